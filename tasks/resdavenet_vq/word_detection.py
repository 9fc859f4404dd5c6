"""Find the words that the codes of a trained model detect: ``python run.py -f resdavenet_vq/word_detection.yaml``.

The unit analysis of ResDAVEnet-VQ (arXiv:1911.09602; wnhsu/ResDAVEnet-VQ ``run_unit_analysis.py``): every utterance is
encoded, and its codes are held against its time-aligned words.
"""

import logging
from typing import Literal, NamedTuple

import numpy as np
from pydantic import PositiveInt

import config
from common import distributed
from common.errors import UserError
from config.limits import BatchSize, Workers
from datasets.audio.log_mel import FRAME_SECONDS
from datasets.loading.rows import OnError, report_problems
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.records import Word
from datasets.spoken_captions.splits import Captions
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.report.parts.words import words_section
from evaluation.unit_tables import write_alignments, write_unit_tables
from evaluation.word_detection.alignments import SLACK, alignment_error
from evaluation.word_detection.detect import DetectionRules, WordDetection, chance_of_words, detect_words
from evaluation.word_detection.tables import write_word_tables
from tasks.resdavenet_vq.extraction import Utterance, extract_all
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.results import results_folder, write_results
from tasks.speech_image.trained import ModelSource

log = logging.getLogger(__name__)
BadAlignments = Literal["error", "skip", "keep"]
Alignments = dict[int, list[Word]]
DRY_ROWS = 2


def word_detection(
    model: ModelSource,
    data: Captions,
    context: Context,
    layers: list[str] | None = None,
    rules: DetectionRules = DetectionRules(),  # noqa: B008  never changed
    utterances: PositiveInt | None = 20000,
    bad_alignments: BadAlignments = "error",
    on_error: OnError = "error",
    batch_size: BatchSize = 16,
    workers: Workers = 0,
    show: PositiveInt = 40,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Measure the codes of some layers as detectors of words, and write tables, metrics and a report.

    Args:
        model: the trained speech encoder.
        data: dataset of utterances with word alignments; without images it loads faster.
        context: given by run.py.
        layers: names of quantised layers such as ``quant3``; all of them when None.
        rules: rules by which a code detects a word.
        utterances: the first so many of the dataset, 20,000 as published; None for all.
        bad_alignments: action at words that overlap or run past the sound: ``error`` stops, ``skip`` leaves the
            utterance out, ``keep`` takes everything as it is, as the public code does.
        on_error: action at sounds that cannot be decoded: ``error`` stops, ``skip`` leaves the utterance out.
        batch_size: utterances encoded at a time at most.
        workers: loading processes.
        show: rows of the tables in the report, in text and in LaTeX; CSV files have all.
        run: folder of all results.

    Raises:
        UserError: weights or data are missing or do not fit, the model lacks a layer or its codes, no utterance has an
            alignment, or an alignment does not fit its sound.
    """
    trained = load_speech(model, distributed.pick_device())
    trained.check(layers or [], codes=True)
    wanted = layers or trained.quantised()
    dataset = data(train=False, on_error=on_error)
    alignments, left_out = usable_alignments(dataset, utterances, bad_alignments)
    if context.dry_run:
        alignments = dict(list(alignments.items())[:DRY_ROWS])
    with results_folder(context, run) as folder:
        coded = encode_speech(trained, dataset, wanted, alignments, batch_size, workers)
        metrics: dict[str, float] = {"utterances": len(coded.utterances), **left_out}
        if on_error == "skip":
            metrics["utterances_unreadable"] = len(alignments) - len(coded.utterances)
        found = coded.detected(rules, bad_alignments != "keep")
        chance = {layer: chance_of_words(*coded.of(layer), rules) for layer in wanted if len(coded.utterances) > 1}
        names = [dataset.record(one.row).uttid for one in coded.utterances]
        for layer in wanted:
            write_word_tables(folder.path, layer, found[layer], show)
            write_unit_tables(folder.path, layer, found[layer], trained.code_norms(layer))
            write_alignments(folder.path / f"alignments_{layer}.jsonl", names, *coded.of(layer))
            metrics |= {f"{layer}/{name}": value for name, value in found[layer].metrics().items()}
            if layer in chance:  # the counts are those of the words themselves
                chance_metrics = chance[layer].metrics().items()
                metrics |= {f"{layer}/chance/{name}": value for name, value in chance_metrics if "f1" in name}
        sections = [words_section(one, layer, show, chance=chance.get(layer)) for layer, one in found.items()]
        write_results(folder, context, "words that codes detect", metrics, sections, weights=trained.name)


class CodedSpeech(NamedTuple):
    """Utterances with the codes that some layers of a model give them, and their words by row."""

    model: SpeechModel
    layers: list[str]
    utterances: list[Utterance]
    words: Alignments

    def of(self, layer: str) -> tuple[list[np.ndarray], list[list[Word]], float]:
        """Return codes (T',) and words of each utterance, and the seconds that a code of a layer covers."""
        codes = [one.layers[layer].codes for one in self.utterances]
        return codes, [self.words[one.row] for one in self.utterances], self.model.seconds(layer)

    def detected(self, rules: DetectionRules, checked: bool) -> dict[str, WordDetection]:
        """Hold the codes of every layer against the words; ``checked`` refuses words behind an utterance's codes."""
        return {layer: detect_words(*self.of(layer), rules, checked) for layer in self.layers}


def encode_speech(
    model: SpeechModel, dataset: SpokenCaptions, layers: list[str], words: Alignments, batch_size: int, workers: int
) -> CodedSpeech:
    """Encode the utterances whose words are given and keep the codes of those that can be read; none is a UserError."""
    log.info("encoding %d utterances of %s", len(words), config.short(dataset.source))
    options = {"rows": list(words), "batch_size": batch_size, "workers": workers}
    encoded = extract_all(model, dataset, layers, features=False, codes=True, **options)
    if not encoded:
        raise UserError(f"none of {len(words)} utterances of {dataset.source} could be used; mend the files")
    return CodedSpeech(model, layers, encoded, words)


def usable_alignments(
    dataset: SpokenCaptions, most: int | None, bad: BadAlignments
) -> tuple[Alignments, dict[str, float]]:
    """Return the words by row of the first ``most`` utterances, where they fit their sound, and counts of the others.

    Of an utterance that the dataset cuts, the words behind the cut are left out, unless bad ones are kept too. With
    ``bad`` ``error``, alignments that do not fit are a ManifestError that lists the first ten; no alignment at all is a
    UserError.
    """
    count = min(len(dataset), most or len(dataset))
    given = {row: words for row in range(count) if (words := dataset.record(row).alignment)}
    if not given:
        raise UserError(
            f"none of the {count} utterances of {dataset.source} has a word alignment (text_alignment); expected "
            "start__WORD__end tokens: worlds that this project builds have them, and for HDF5 that names only its "
            "files data.texts names the list"
        )
    left_out: dict[str, float] = {"utterances_without_alignment": count - len(given)}
    if bad == "keep":
        return given, left_out
    frames, longest = dataset.lengths(), dataset.cut_at()
    fine, errors, behind = {}, {}, 0
    for row, words in given.items():
        cut = longest is not None and frames[row] >= longest
        duration = FRAME_SECONDS * (longest if cut else frames[row])
        kept = [word for word in words if word[1] <= duration + SLACK] if cut else words
        error = alignment_error(kept, duration if frames[row] else float("inf"))  # 0: a header that cannot be read
        if error is None and kept:
            fine[row] = kept
            behind += len(words) - len(kept)
        elif error is not None:
            errors[row] = f"row {row} ({dataset.record(row).uttid}): text_alignment: {error}"
    if bad == "error":
        report_problems(dataset.source, errors.values(), "mend them, or set bad_alignments=skip (or keep)")
    elif errors:
        log.warning("%d utterances left out for their alignments, one is: %s", len(errors), next(iter(errors.values())))
    if not fine:
        first = next(iter(errors.values()), "all words lie behind the cut, see max_frames")
        raise UserError(f"no alignment of {dataset.source} fits its sound, the first: {first}")
    return fine, left_out | {"utterances_with_bad_alignment": len(errors), "words_behind_the_cut": behind}

"""Report what the units of trained models are: ``python run.py -f resdavenet_vq/units.yaml``.

The notebook of wnhsu/ResDAVEnet-VQ (``run_evaluations.ipynb``) as a report: time-aligned transcripts of words, phones
and codes above the spectrogram, how well the codes of several models and layers detect words, and for each code the
words that it is nearest to and stretches of speech to listen to.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from common import distributed
from common.errors import UserError
from config.limits import BatchSize, Workers
from datasets.loading.rows import OnError
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.phones import phones_known, read_phones
from datasets.spoken_captions.records import Word
from datasets.spoken_captions.splits import Captions
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.report.unit_plots import precision_recall, save, words_above
from evaluation.report.units import codes_section, figures_section, no_utterances, utterances_section
from evaluation.word_detection.detect import DetectionRules, WordDetection
from tasks.resdavenet_vq.examples import Utterances
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.resdavenet_vq.word_detection import (
    DRY_ROWS,
    BadAlignments,
    CodedSpeech,
    encode_speech,
    usable_alignments,
)
from tasks.results import results_folder, write_results
from tasks.speech_image.trained import ModelSource

log = logging.getLogger(__name__)
SILENT = "No sounds were found for this dataset."
Found = Mapping[str, Mapping[str, WordDetection]]
"""Words that codes detect, by model and layer."""


def unit_report(
    models: dict[str, ModelSource | None],
    data: Captions,
    context: Context,
    layers: list[str] | None = None,
    phones: bool = False,
    rules: DetectionRules = DetectionRules(),  # noqa: B008  never changed
    utterances: PositiveInt | None = 2000,
    bad_alignments: BadAlignments = "error",
    on_error: OnError = "error",
    batch_size: BatchSize = 16,
    workers: Workers = 0,
    shown: NonNegativeInt = 3,
    keywords: list[str] = [],  # noqa: B006  never changed
    occurrences: PositiveInt = 3,
    codes: NonNegativeInt = 12,
    snippets: NonNegativeInt = 5,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Compare how the codes of models and layers detect words, and show what the codes of the first model cover.

    Args:
        models: trained speech encoders by the names that the figures use; null takes one away that a config names.
        data: dataset of utterances with word alignments and sounds; without images it loads faster.
        context: given by run.py.
        layers: names of quantised layers such as ``quant3``, of each model; all that a model has when None.
        phones: whether phone times are shown, which only worlds of this project have.
        rules: rules by which a code detects a word.
        utterances: the first so many of the dataset are measured; None for all.
        bad_alignments: as in word detection.
        on_error: as in word detection.
        batch_size: utterances encoded at a time at most.
        workers: loading processes.
        shown: utterances that are drawn with their transcripts, the first.
        keywords: words of which occurrences are drawn.
        occurrences: of each of them.
        codes: of each layer of the first model that are shown, those that detect words best.
        snippets: stretches of speech of each code.
        run: folder of all results.

    Raises:
        UserError: weights or data are missing or do not fit, a model lacks a layer or its codes, no utterance has an
            alignment, or an alignment does not fit its sound.
    """
    trained = _models(models, layers or [])
    dataset = data(train=False, on_error=on_error)
    words, left_out = usable_alignments(dataset, utterances, bad_alignments)
    if context.dry_run:
        words = dict(list(words.items())[:DRY_ROWS])
    times = _phones(dataset) if phones else {}
    with results_folder(context, run) as folder:
        coded = {
            name: encode_speech(model, dataset, layers or model.quantised(), words, batch_size, workers)
            for name, model in trained.items()
        }
        found = {name: one.detected(rules, bad_alignments != "keep") for name, one in coded.items()}
        log.info("drawing utterances and codes")
        figures = folder.path / "figures"
        name, first = next(iter(coded.items()))
        examples = _examples(dataset, first, times, figures)
        sections = [
            (f"Utterances and their units ({name})", _first_shown(examples, shown)),
            *((f"“{word}”", _with_word(examples, word, occurrences)) for word in keywords),
            ("Words that codes detect", figures_section(compared(found, rules.top, figures))),
            *(
                (f"Codes of {layer} ({name})", codes_section(examples.cards(layer, one, codes, snippets)))
                for layer, one in found[name].items()
            ),
        ]
        weights = ", ".join(model.name for model in trained.values())
        shown_sections = [(title, html) for title, html in sections if html]
        write_results(folder, context, "units", left_out | _metrics(found), shown_sections, weights=weights)


def _models(sources: Mapping[str, ModelSource | None], layers: list[str]) -> dict[str, SpeechModel]:
    """Load the models that a config names, and see that each has the codes of the layers."""
    given = {name: source for name, source in sources.items() if source is not None}
    if not given:
        raise UserError("models names no model; expected at least one, such as 'models={mine: {run: runs/NAME}}'")
    trained = {name: load_speech(source, distributed.pick_device()) for name, source in given.items()}
    for model in trained.values():
        model.check(layers, codes=True)
    return trained


def _phones(dataset: SpokenCaptions) -> dict[str, list[Word]]:
    """Return the phones of each utterance by its uttid."""
    if not phones_known(dataset.source):
        raise UserError(f"there are no phone times beside {dataset.source}, a world has them; set phones=false")
    return {one.uttid: one.phones for one in read_phones(dataset.source)}


def _metrics(found: Found) -> dict[str, float]:
    """Return the metrics of word detection, called MODEL/LAYER/METRIC."""
    return {
        f"{name}/{layer}/{metric}": value
        for name, of_model in found.items()
        for layer, one in of_model.items()
        for metric, value in one.metrics().items()
    }


def compared(found: Found, top: int, folder: Path) -> list[tuple[str, Path]]:
    """Draw the layers of all models in one figure each way; return what each figure shows, and its SVG file."""
    best = {
        f"{name} {layer}": [(word.f1, word.precision, word.recall) for word in one.words()]
        for name, of_model in found.items()
        for layer, one in of_model.items()
    }
    scores = {name: [word[0] for word in words] for name, words in best.items()}
    return [
        (
            "precision and recall of each word's best code",
            save(precision_recall(best, top), folder / "precision_recall")[1],
        ),
        ("words whose best code has at least this F1", save(words_above(scores), folder / "words_above")[1]),
    ]


def _examples(
    dataset: SpokenCaptions, coded: CodedSpeech, phones: Mapping[str, list[Word]], folder: Path
) -> Utterances:
    codes = {layer: {one.row: one.layers[layer].codes for one in coded.utterances} for layer in coded.layers}
    words = {one.row: coded.words[one.row] for one in coded.utterances}
    return Utterances(dataset, words, phones, codes, {layer: coded.model.seconds(layer) for layer in codes}, folder)


def _first_shown(examples: Utterances, count: int) -> str:
    """Return the first utterances, or a note where there is no sound."""
    shown = [examples.shown(row) for row in list(examples.words)[:count]]
    return utterances_section([one for one in shown if one is not None]) if None not in shown else no_utterances(SILENT)


def _with_word(examples: Utterances, word: str, occurrences: int) -> str:
    """Return occurrences of a word, or a note where it is not spoken or there is no sound."""
    if found := examples.with_word(word, occurrences):
        return utterances_section(found)
    spoken = any(one[2].upper() == word.upper() for words in examples.words.values() for one in words)
    return no_utterances(SILENT if spoken else "Not spoken in these utterances.")

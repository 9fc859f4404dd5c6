"""Are spoken concepts heard, and do they move the image? ``python run.py -f visual_vocab/speak_evaluate.yaml``.

Voices are of three kinds that share no variant of eSpeak's: those of the encoder's training speak the prototypes;
validation voices choose layer, parts and least score; unheard voices are the test.

    figures.json               everything, also what was heard of each spoken word
    report.html, metrics.json  the tables

Shape letters: U spoken words, W words of the vocabulary, Z latents, L labels.
"""

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field
from torch import nn

from common import distributed
from common.files import write_whole
from config.limits import Count, Seed
from datasets.world.settings import World
from datasets.world.speech.synthesise import Synthesiser, with_noise
from datasets.world.speech.voices import Voice
from engine.context import Context
from engine.logs import progress
from engine.logs import say as tell
from engine.run_folder import RunSettings
from evaluation.concepts import grown
from evaluation.report.image_scores import Table
from gan.directions.directions import RandomDirections
from gan.directions.distillation import Vocabulary
from gan.directions.files import ALL, load_vocabularies
from gan.directions.subjects import draw_subjects
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.results import results_folder, write_results
from tasks.results_page import renew_tables
from tasks.visual_vocab.evaluate import BATCH, Looker
from tasks.visual_vocab.judges import ConceptJudge
from tasks.visual_vocab.mover import Mover
from tasks.visual_vocab.pictures import Alpha
from tasks.visual_vocab.speech.recogniser import Listening, Parts, Prototypes, UnheardError, averaged, features
from tasks.visual_vocab.speech.sound import SoundError, spoken_part

log = logging.getLogger(__name__)
FIGURES = "figures.json"
OTHER_VOICES, VALIDATION = 10**6, 10**6 - 1  # worlds whose voices are neither of a training nor of each other
MOST_VOICES = 10_000  # of such a world, that are looked through for variants that nobody has heard
CAPTION = "I can see a {} thing"
TEST, NOISY, CUT, OTHER = "said alone", "said alone, in noise", "cut out of a caption", "other words"
Features = Mapping[str, np.ndarray]  # (T, C), by layer
Words = Annotated[list[str], Field(min_length=1)]


@dataclass(frozen=True)
class SpeakSettings:
    """Numbers on which the figures depend.

    Attributes:
        validation_voices: number of voices that choose.
        voices: number of unheard voices, of each seed.
        seeds: of the unheard voices, the latents and the random directions.
        noise: signal-to-noise ratio of the noisy sounds, dB.
        latents: Z, of each seed.
        random: directions that stand for chance, of each seed.
        alpha: length of the step.
    """

    validation_voices: Annotated[int, Field(ge=1, le=12)] = 6
    voices: Annotated[int, Field(ge=1, le=20)] = 6
    seeds: Annotated[list[Seed], Field(min_length=1)] = (0, 1, 2)  # type: ignore[assignment]
    noise: Annotated[float, Field(ge=-20, le=100)] = 20.0
    latents: Count = 50
    random: Count = 4
    alpha: Alpha = 6.0


class Sound(NamedTuple):
    """A spoken word: what it is, how it was said, and its features; None where nothing could be cut out of it."""

    word: str
    condition: str
    frames: Features | None


class Choice(NamedTuple):
    """What the validation voices chose."""

    listening: Listening
    prototypes: Prototypes
    accuracy: dict[tuple[str, int], tuple[float, float]]  # by layer and parts: without noise, in noise
    kept: tuple[float, float]  # share of words at or above the least score, and of other words below it


def evaluate_speech(
    vocabulary: Path,
    generator: nn.Module,
    judge: ConceptJudge,
    listening: Listening,
    layers: Words,
    parts: Annotated[list[Parts], Field(min_length=1)],
    validation_words: Words,
    test_words: Words,
    context: Context,
    settings: SpeakSettings = SpeakSettings(),
    page: Path | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Have unheard voices speak concepts, and write which are heard and what the steps along them do.

    Args:
        vocabulary: ``vocabulary.safetensors`` of ``visual_vocab/distil.yaml``.
        generator: that it was distilled for.
        judge: sees whether concepts appear or grow; its labels are the attribute words.
        listening: speech encoder; layer, parts and least are chosen anew here.
        layers: of the encoder, of which one is chosen.
        parts: numbers of parts, of which one is chosen.
        validation_words: other words, by which the least score is chosen.
        test_words: other words that are to be refused.
        context: given by run.py.
        settings: numbers on which the figures depend.
        page: Markdown page whose tables are renewed; None for none.
        run: folder of the results.

    Raises:
        UserError: a file is missing, damaged or another generator's, or no word of the vocabulary is a label.
    """
    device = distributed.pick_device()
    generator = generator.to(device).eval().requires_grad_(False)
    words = Mover(generator, load_vocabularies(vocabulary)[0]).vocabularies[ALL]
    spoken = listening.spoken(words.words)
    attributes = [word for word in spoken if word in judge.labels]
    if not attributes:
        raise UnheardError(f"no spoken word is a label of the judge ({', '.join(judge.labels)}); leave out fewer")
    model = load_speech(listening.encoder, device)
    model.check(layers)
    if context.dry_run:
        settings = replace(settings, validation_voices=1, voices=1, seeds=settings.seeds[:1], latents=2, random=1)
        listening = replace(listening, speakers=1)
    with results_folder(context, run) as folder:
        heard_of = {voice.variant for voice in listening.voices}
        choosers = unheard(settings.validation_voices, VALIDATION, heard_of)
        heard_of |= {voice.variant for voice in choosers}
        testers = {seed: unheard(settings.voices, OTHER_VOICES + seed, heard_of) for seed in settings.seeds}
        choice = choose(model, listening, spoken, layers, parts, choosers, validation_words, settings.noise)
        picks: dict[int, list[dict[str, Any]]] = {}
        for seed, voices in progress(testers.items(), len(testers), "unheard voices"):
            sounds = _sounds(model, [choice.listening.layer], spoken, test_words, voices, settings.noise)
            picks[seed] = [heard(sound, choice) for sound in sounds]
        along = {one["nearest"] for found in picks.values() for one in found if one["how"] == TEST and one["kept"]}
        moves = {
            seed: _moves(generator, judge, words, attributes, sorted({*attributes, *along}), seed, settings)
            for seed in progress(settings.seeds, len(settings.seeds), "moves")
        }
        tables = [
            _hearing_table(picks, attributes, spoken, choice, settings),
            _moving_table(picks, moves, attributes, settings),
            _choice_table(choice, layers, parts, settings),
        ]
        if context.dry_run:
            log.info("dry run: %d spoken words, %d attributes", len(spoken), len(attributes))
            return
        figures = {
            "voices": {
                "prototypes": [one.speaker for one in listening.voices],
                "validation": [one.speaker for one in choosers],
                "unheard": {str(seed): [one.speaker for one in voices] for seed, voices in testers.items()},
            },
            "chosen": {"layer": choice.listening.layer, "parts": choice.listening.parts,
                       "least": choice.listening.least},
            "validation": [{"layer": layer, "parts": number, "accuracy": found}
                           for (layer, number), found in choice.accuracy.items()],
            "heard": picks,
            "moves": moves,
        }  # fmt: skip
        write_whole(folder.path / FIGURES, (json.dumps(figures, indent=1) + "\n").encode())
        metrics = _metrics(picks, moves, attributes, choice)
        write_results(folder, context, "spoken concepts", metrics, [(one.heading, one.html()) for one in tables])
        for table in tables:
            tell(table.text())
        if page is not None:
            renew_tables(page, tables, context, folder)


def unheard(number: int, world_seed: int, without: Collection[str]) -> list[Voice]:
    """Return the first voices of a world whose variants are all different, and none of ``without``.

    Raises UnheardError where there are too few.
    """
    world, found = World(Path(), scenes=1, seed=world_seed), {}
    for speaker in range(MOST_VOICES):
        voice = world.voice(speaker)
        if voice.variant not in without and voice.variant not in found:
            found[voice.variant] = voice
        if len(found) == number:
            return list(found.values())
    raise UnheardError(f"only {len(found)} of eSpeak's variants are left for {number} voices; ask for fewer voices")


def choose(
    model: SpeechModel,
    listening: Listening,
    words: Sequence[str],
    layers: Sequence[str],
    parts: Sequence[int],
    voices: Sequence[Voice],
    others: Sequence[str],
    noise: float,
) -> Choice:
    """Choose layer, parts and least score by validation voices, which say the words with and without noise.

    The mean accuracy of both decides, then fewer parts, then the lower layer. The least score is the one that is best
    in the mean of words kept and other words refused.
    """
    said = list(_of(model, layers, words, listening.voices, TEST, noise))
    tried = list(_sounds(model, layers, words, others, voices, noise, (TEST, NOISY, OTHER)))
    found: dict[tuple[str, int], tuple[Prototypes, float, float]] = {}
    for number in sorted(parts):
        for layer in layers:
            vectors: dict[str, list[np.ndarray]] = {word: [] for word in words}
            for sound in said:
                vectors[sound.word].append(averaged(sound.frames[layer], number))
            made = Prototypes.of(vectors)
            shares = [
                np.mean([_nearest(one, made, layer, number)[0] == one.word for one in tried if one.condition == kind])
                for kind in (TEST, NOISY)
            ]
            found[layer, number] = (made, *map(float, shares))
    layer, number = max(found, key=lambda key: round(sum(found[key][1:]), 6))
    made = found[layer, number][0]
    scores = [
        (_nearest(one, made, layer, number)[1], one.condition != OTHER) for one in tried if one.frames is not None
    ]
    least, kept = _least(scores)
    chosen = replace(listening, layer=layer, parts=number, least=least)
    return Choice(chosen, made, {key: (clean, noisy) for key, (_, clean, noisy) in found.items()}, kept)


def _least(scores: Sequence[tuple[float, bool]]) -> tuple[float, tuple[float, float]]:
    """Return the score, in hundredths, that best parts words (True) from others; share of each that it leaves right."""
    own, other = (np.array([score for score, is_word in scores if is_word == kind]) for kind in (True, False))
    grid = np.arange(-100, 101) / 100
    kept, refused = (own >= grid[:, None]).mean(axis=1), (other < grid[:, None]).mean(axis=1)
    best = int(np.argmax(kept + refused))
    return float(grid[best]), (float(kept[best]), float(refused[best]))


def _sounds(
    model: SpeechModel,
    layers: Sequence[str],
    words: Sequence[str],
    others: Sequence[str],
    voices: Sequence[Voice],
    noise: float,
    conditions: Collection[str] = (TEST, NOISY, CUT, OTHER),
) -> Iterator[Sound]:
    """Yield spoken words with their features: each word by each voice, in each condition."""
    for condition in conditions:
        yield from _of(model, layers, others if condition == OTHER else words, voices, condition, noise)


def _of(
    model: SpeechModel,
    layers: Sequence[str],
    words: Sequence[str],
    voices: Sequence[Voice],
    condition: str,
    noise: float,
) -> Iterator[Sound]:
    speaker = Synthesiser()
    for word in words:
        for number, voice in enumerate(voices):
            try:
                part = _spoken(speaker, word, voice, condition, noise, number)
            except SoundError as error:
                log.warning("%s by %s: %s", word, voice.speaker, error)
                yield Sound(word, condition, None)
            else:
                yield Sound(word, condition, features(model, layers, part))


def _spoken(speaker: Synthesiser, word: str, voice: Voice, condition: str, noise: float, seed: int) -> np.ndarray:
    if condition == CUT:
        said = speaker.speak(CAPTION.format(word), voice)
        start, end = next((first, last) for first, last, name in said.words if name == word.upper())
        return spoken_part(said.samples[round(start * 16000) : round(end * 16000)], word)
    samples = speaker.speak(word, voice).samples
    if condition == NOISY:  # with a quarter of a second before and behind, as somebody who presses a button
        samples = with_noise(np.pad(spoken_part(samples, word), 4000), noise, seed)
    return spoken_part(samples, word)


def _nearest(sound: Sound, prototypes: Prototypes, layer: str, parts: int) -> tuple[str, float]:
    if sound.frames is None:
        return "", -1.0
    scores = prototypes.scores(averaged(sound.frames[layer], parts))
    return prototypes.words[int(scores.argmax())], float(scores.max())


def heard(sound: Sound, choice: Choice) -> dict[str, Any]:
    """Return what is heard of a spoken word: the nearest word, its score, whether that suffices."""
    word, score = _nearest(sound, choice.prototypes, choice.listening.layer, choice.listening.parts)
    kept = score >= choice.listening.least
    return {"said": sound.word, "how": sound.condition, "nearest": word, "score": round(score, 4), "kept": kept}


def _moves(
    generator: nn.Module,
    judge: ConceptJudge,
    words: Vocabulary,
    attributes: Sequence[str],
    along: Sequence[str],
    seed: int,
    settings: SpeakSettings,
) -> dict[str, dict[str, float]]:
    """Return in which fraction of latents each attribute appears or grows after steps ``along`` words, and at random.

    By word that the step is along ("random": the mean of random directions of equal length), then by attribute.
    """
    looker = Looker(generator, {"judge": judge}, draw_subjects(generator, settings.latents, seed), BATCH)
    columns = {word: judge.labels.index(word) for word in attributes}

    def shares(step: Any) -> dict[str, float]:
        there = grown(looker.before["judge"], looker.after(step)["judge"], judge.least).float().mean(dim=0)
        return {word: there[column].item() for word, column in columns.items()}

    drawn = RandomDirections(settings.random).find(generator, looker.subjects.latents, seed=10**6 + seed)
    strange = [shares(settings.alpha * vector) for vector in drawn.vectors[0]]
    found = {"random": {word: float(np.mean([one[word] for one in strange])) for word in attributes}}
    for word in along:
        direction = words.direction(word)
        found[word] = shares(settings.alpha * direction / direction.norm())
    return found


class _Moved(NamedTuple):
    heard: float  # share of spoken attributes whose nearest word is right
    random: float  # fraction of latents in which the attribute grows after random steps
    written: float  # after the step along the word itself
    spoken: float  # after the step along what was heard; 0 where nothing was


def _moved(
    picks: Sequence[Mapping[str, Any]], moves: Mapping[str, Mapping[str, float]], words: Collection[str]
) -> _Moved:
    """Return the means over the spoken attributes ``words`` of one seed, said alone without noise."""
    own = [one for one in picks if one["how"] == TEST and one["said"] in words]
    rows = [
        (
            one["nearest"] == one["said"],
            moves["random"][one["said"]],
            moves[one["said"]][one["said"]],
            moves[one["nearest"]][one["said"]] if one["kept"] else 0.0,
        )
        for one in own
    ]
    return _Moved(*np.mean(np.array(rows, float), axis=0).tolist())


def _right(picks: Sequence[Mapping[str, Any]], condition: str, words: Collection[str]) -> float:
    """Return the share of spoken ``words`` whose nearest word is right."""
    own = [one for one in picks if one["how"] == condition and one["said"] in words]
    return float(np.mean([one["nearest"] == one["said"] for one in own]))


def _permuted(picks: Sequence[Mapping[str, Any]], condition: str, words: Collection[str], seed: int) -> float:
    """Return the share that is right where each sound is held against the word of another, by chance."""
    own = [one for one in picks if one["how"] == condition and one["said"] in words]
    order = np.random.default_rng(seed).permutation(len(own))
    return float(np.mean([one["nearest"] == own[at]["said"] for one, at in zip(own, order, strict=True)]))


def _hearing_table(
    picks: Mapping[int, Sequence[Mapping[str, Any]]],
    attributes: Sequence[str],
    words: Sequence[str],
    choice: Choice,
    settings: SpeakSettings,
) -> Table:
    rows = []
    for condition in (TEST, NOISY, CUT):
        for kind, some in (("attributes", attributes), ("all words", words)):
            right = [_right(one, condition, some) for one in picks.values()]
            permuted = [_permuted(one, condition, some, seed) for seed, one in picks.items()]
            kept = [_share(one, condition, some, kept=True) for one in picks.values()]
            rows.append((f"{kind} {condition}", _spread(right), _spread(permuted), f"{100 / len(words):.1f} %",
                         _spread(kept)))  # fmt: skip
    others = [_share(one, OTHER, None, kept=True) for one in picks.values()]
    rows.append(("other words said alone", "", "", "", _spread(others)))
    chosen = choice.listening
    protocol = (
        f"share of spoken words whose own concept is the nearest of {len(words)}, mean and standard deviation over "
        f"seeds {', '.join(map(str, picks))} of {settings.voices} unheard voices each; permuted: each sound held "
        f"against the word of another; taken: nearest concept at a score of {chosen.least:g} or more ({chosen.layer}, "
        f"{chosen.parts} parts); noise: {settings.noise:g} dB"
    )
    return Table("Spoken concepts that are heard", protocol, ("spoken", "heard", "permuted", "chance", "taken"), rows)


def _share(picks: Sequence[Mapping[str, Any]], condition: str, words: Collection[str] | None, kept: bool) -> float:
    own = [one for one in picks if one["how"] == condition and (words is None or one["said"] in words)]
    return float(np.mean([one["kept"] == kept for one in own]))


def _moving_table(
    picks: Mapping[int, Sequence[Mapping[str, Any]]],
    moves: Mapping[int, Mapping[str, Mapping[str, float]]],
    attributes: Sequence[str],
    settings: SpeakSettings,
) -> Table:
    rows = []
    for name, some in [*((word, [word]) for word in attributes), ("all", attributes)]:
        each = [_moved(picks[seed], moves[seed], some) for seed in picks]
        cells = [_spread(column) if name == "all" else _percent(float(np.mean(column))) for column in zip(*each)]  # noqa: B905
        rows.append((name, *cells))
    protocol = (
        f"fraction of {settings.latents} latents of each seed in which the segmenter sees the spoken concept appear or "
        f"grow after a step of {settings.alpha:g}: along random directions of equal length, along the concept itself, "
        "and along what was heard of it (none where the sound was refused); heard: share of unheard voices"
    )
    return Table(
        "Spoken concepts that move the image", protocol, ("concept", "heard", "random", "written", "spoken"), rows
    )


def _choice_table(choice: Choice, layers: Sequence[str], parts: Sequence[int], settings: SpeakSettings) -> Table:
    rows = [
        (
            layer,
            *("{:.1f} / {:.1f} %".format(*(100 * one for one in choice.accuracy[layer, number])) for number in parts),
        )
        for layer in layers
    ]
    chosen = choice.listening
    protocol = (
        f"share of words that {settings.validation_voices} validation voices say and whose own concept is the nearest, "
        f"without noise / in noise of {settings.noise:g} dB, by layer of the encoder and number of parts in which its "
        f"features are averaged; chosen: {chosen.layer}, {chosen.parts} parts, least score {chosen.least:g}, which "
        f"takes {_percent(choice.kept[0])} of the words and refuses {_percent(choice.kept[1])} of other words"
    )
    head = ("layer", *(f"{number} part{'s' if number > 1 else ''}" for number in parts))
    return Table("How spoken words are compared", protocol, head, rows)


def _metrics(
    picks: Mapping[int, Sequence[Mapping[str, Any]]],
    moves: Mapping[int, Mapping[str, Mapping[str, float]]],
    attributes: Sequence[str],
    choice: Choice,
) -> dict[str, float]:
    each = [_moved(picks[seed], moves[seed], attributes) for seed in picks]
    means = {name: float(np.mean([getattr(one, name) for one in each])) for name in _Moved._fields}
    conditions = {"noise": NOISY, "caption": CUT}
    others = [_share(one, OTHER, None, kept=False) for one in picks.values()]
    return {
        "heard": means["heard"],
        **{f"heard/{name}": float(np.mean([_right(one, kind, attributes) for one in picks.values()]))
           for name, kind in conditions.items()},
        "other_words_refused": float(np.mean(others)),
        **{f"grows/{name}": means[name] for name in ("random", "written", "spoken")},
        "least": choice.listening.least,
        "parts": float(choice.listening.parts),
    }  # fmt: skip


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _spread(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1 if len(values) > 1 else 0):.1f} %"

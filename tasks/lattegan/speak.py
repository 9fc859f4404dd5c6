"""Say every instruction of some dialogues by several voices, and encode what was said by a frozen speech encoder.

``python run.py -f lattegan/speak_world.yaml`` writes two HDF5 files (datasets/dialogue/spoken.py): the recordings, and
codes and features of two layers. Either goes on behind its last voice after a stop, and is not made again. No two
voices have both accent and variant in common: those of validation and test differ from training's not in pitch and rate
alone.
"""

import io
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

import config
from common.errors import UserError
from config.limits import Count, CountOrZero, Seed, Threads
from datasets.audio.log_mel import log_mel
from datasets.audio.read import SAMPLE_RATE
from datasets.dialogue.records import DialogueFile
from datasets.dialogue.spoken import SpokenVoice, VoiceSplit, recordings, write_voices
from datasets.media_files import encode_audio
from datasets.world.speech.synthesise import Synthesiser
from datasets.world.speech.voices import ACCENTS, FEMALE, MALE, Voice, voice
from engine.context import Context
from models.weights import weights_digest
from tasks.lattegan.listen import FEATURES, UNITS, layer_size
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.speech_image.trained import ModelSource

log = logging.getLogger(__name__)
MOST_TEXTS = 20_000  # some 45 kB of FLAC each and voice


@dataclass(frozen=True)
class VoiceCounts:
    """Number of voices of each split.

    Attributes:
        train: who say what is learned from.
        val: who say what chooses the best weights.
        test: who say what results are about.
        seed: of the choice.
    """

    train: Count = 16
    val: CountOrZero = 4
    test: CountOrZero = 4
    seed: Seed = 0


def speak(
    dialogues: list[Path],
    sounds: Path,
    encoded: Path,
    speech: ModelSource,
    context: Context,
    voices: VoiceCounts = VoiceCounts(),
    unit_layer: str = UNITS,
    feature_layer: str = FEATURES,
    threads: Threads | None = None,
) -> None:
    """Write the recordings of every distinct instruction, and their codes and features.

    Args:
        dialogues: HDF5 files whose instructions are said, of all splits.
        sounds: file of the recordings.
        encoded: file of codes and features.
        speech: the frozen speech encoder.
        context: given by run.py.
        voices: number of voices of each split.
        unit_layer: layer whose codes are kept.
        feature_layer: layer whose features are kept.
        threads: of torch; all cores when None.

    Raises:
        UserError: a file has no instructions or is another than asked for, the encoder lacks a layer, or eSpeak is not
            installed.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    model = load_speech(speech, torch.device("cpu"))
    model.check([unit_layer], codes=True)
    model.check([feature_layer])
    texts = distinct_texts(dialogues)
    chosen = chosen_voices(voices)
    people = {one.speaker: one for one in chosen}
    log.info("%d distinct instructions, %d voices", len(texts), len(chosen))
    if context.dry_run:
        said = _said(texts[:1], next(iter(chosen)))
        kept = encode(model, [bytes(one) for one in said], unit_layer, feature_layer)
        log.info("dry run: one instruction, %d units, %d features", len(kept["units"]), len(kept["features"]))
        return
    splits = [SpokenVoice(name, split) for name, split in zip(people, chosen.values(), strict=True)]
    about = {"rate": SAMPLE_RATE, "voice_seed": voices.seed}
    count = write_voices(sounds, texts, splits, lambda one: {"sounds": _said(texts, people[one.speaker])}, about)
    log.info("%s: %d voices recorded now", config.short(sounds), count)
    about = {
        "encoder": model.name, "weights": weights_digest(model.speech),
        "unit_layer": unit_layer, "feature_layer": feature_layer,
        "codes": layer_size(model, unit_layer, True), "channels": layer_size(model, feature_layer, False),
    }  # fmt: skip
    found = dict(recordings(sounds)) if not encoded.is_file() else {}
    count = write_voices(
        encoded, texts, splits, lambda one: encode(model, found[one], unit_layer, feature_layer), about
    )
    log.info("%s: %d voices encoded now", config.short(encoded), count)


def distinct_texts(dialogues: list[Path]) -> list[str]:
    """Return every instruction of some files once, in alphabetical order."""
    found: set[str] = set()
    for path in dialogues:
        file = DialogueFile(path)
        if not file.has_words:
            raise UserError(f"{path}: has no instructions, expected a file of dialogues, not of single images")
        for row in range(len(file)):
            found.update(file.texts(row))
    if len(found) > MOST_TEXTS:
        raise UserError(
            f"found {len(found)} distinct instructions, expected at most {MOST_TEXTS}: recordings of free wording take "
            "a disk; say part of the dialogues"
        )
    return sorted(found)


def chosen_voices(counts: VoiceCounts) -> dict[Voice, VoiceSplit]:
    """Return voices by split, no two of the same accent and variant.

    Raises:
        UserError: there are not so many.
    """
    total = counts.train + counts.val + counts.test
    most = len(ACCENTS) * (len(FEMALE) + len(MALE)) // 2
    if total > most:
        raise UserError(f"found {total} voices, expected at most {most} that differ in accent or variant")
    splits: list[VoiceSplit] = ["train"] * counts.train + ["val"] * counts.val + ["test"] * counts.test
    return dict(zip(itertools.islice(_different(counts.seed), total), splits, strict=True))


def _different(seed: int) -> Iterator[Voice]:
    names: set[str] = set()
    for number in itertools.count():
        one = voice(1000 * seed + number)
        if one.name not in names:
            names.add(one.name)
            yield one


def _said(texts: list[str], who: Voice) -> np.ndarray:
    """Say texts; return the bytes of each FLAC file, (n,) of arrays."""
    made = np.empty(len(texts), object)
    for row, text in enumerate(texts):
        samples = Synthesiser().speak(text, who).samples
        made[row] = np.frombuffer(encode_audio(samples, SAMPLE_RATE, "flac"), np.uint8)
    return made


def encode(model: SpeechModel, sounds: list[bytes], unit_layer: str, feature_layer: str) -> dict[str, np.ndarray]:
    """Return the datasets of a voice: codes and features of all recordings behind one another, and where each ends."""
    kept: dict[str, list[np.ndarray]] = {"units": [], "features": []}
    for sound in sounds:
        samples, _ = soundfile.read(io.BytesIO(sound), dtype="float32")
        found = model.encode([unit_layer, feature_layer], log_mel(torch.from_numpy(samples)).values[None])
        kept["units"].append(found[unit_layer][1][0].numpy().astype(np.uint16))
        kept["features"].append(found[feature_layer][0][0].t().numpy().astype(np.float16))
    made: dict[str, Any] = {name: np.concatenate(parts) for name, parts in kept.items()}
    for name, parts in kept.items():
        made[f"{name.removesuffix('s')}_ends"] = np.cumsum([len(part) for part in parts])
    return made

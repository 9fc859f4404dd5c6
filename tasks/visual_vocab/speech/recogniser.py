"""Recognise a spoken word as the nearest of a vocabulary, by features of a trained speech encoder.

Each word has a prototype: eSpeak says it with the voices that the encoder was trained on, and no other; the features
of a layer are averaged in a few parts of equal length, so that the order of sounds counts; the mean over all words is
taken off, and the unit vectors of the voices are averaged. The score of a sound is the cosine to a prototype.

Shape letters: T frames of a layer, C channels, P parts, W words, K = P * C.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field

from common.errors import UserError
from config.limits import Seed
from datasets.audio.log_mel import check_usable, log_mel
from datasets.world.settings import World
from datasets.world.speech.synthesise import Synthesiser
from datasets.world.speech.voices import Voice
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.speech_image.trained import ModelSource
from tasks.visual_vocab.speech.sound import spoken_part

log = logging.getLogger(__name__)
Parts = Annotated[int, Field(ge=1, le=20)]


class UnheardError(UserError, ValueError):
    """A sound that is near no word, or a vocabulary without words that can be spoken."""


class Heard(NamedTuple):
    """A word with the cosine of a sound to its prototype."""

    word: str
    score: float


@dataclass(frozen=True)
class Listening:
    """A speech encoder, and how its features become words.

    Attributes:
        encoder: trained speech encoder.
        world_seed: of the world that it was trained on, whose voices speak the prototypes.
        speakers: of that world.
        layer: whose features are compared; ``logmel`` is the input.
        parts: of equal length, in which features are averaged over time.
        least: cosine below which a sound is no word of the vocabulary.
        leave_out: words of the vocabulary that nobody says.
    """

    encoder: ModelSource
    world_seed: Seed = 11
    speakers: Annotated[int, Field(ge=1, le=1000)] = 10
    layer: str = "conv1"
    parts: Parts = 6
    least: Annotated[float, Field(ge=-1, le=1)] = 0.44
    leave_out: list[str] = field(default_factory=list)

    @property
    def voices(self) -> list[Voice]:
        """Return the voices that the encoder was trained on."""
        world = World(Path(), scenes=1, seed=self.world_seed, speakers=self.speakers)
        return [world.voice(speaker) for speaker in range(self.speakers)]

    def spoken(self, words: Iterable[str]) -> list[str]:
        """Return the words of a vocabulary that people say.

        Raises UnheardError where there is none.
        """
        found = [word for word in words if word not in self.leave_out]
        if not found:
            raise UnheardError("the vocabulary has no word that is spoken: leave_out names all of them; shorten it")
        return found

    def load(self, words: Iterable[str], device: torch.device) -> "SpokenWords":
        """Load the encoder and make the prototypes of a vocabulary.

        Raises:
            UserError: the encoder is missing or damaged, or lacks the layer.
            SpeechError: eSpeak is not installed, or cannot say a word.
            UnheardError: there is no word to make one of.
        """
        model, spoken = load_speech(self.encoder, device), self.spoken(words)
        model.check([self.layer])
        said = say(spoken, self.voices)
        vectors = {word: [averaged(features(model, [self.layer], one)[self.layer], self.parts) for one in sounds]
                   for word, sounds in said.items()}  # fmt: skip
        return SpokenWords(model, Prototypes.of(vectors), self)


def say(words: Iterable[str], voices: Sequence[Voice]) -> dict[str, list[np.ndarray]]:
    """Return what is spoken (n,) float32, 16 kHz, of each word alone, by each voice.

    Raises SpeechError where eSpeak cannot.
    """
    speaker = Synthesiser()
    return {word: [spoken_part(speaker.speak(word, one).samples, word) for one in voices] for word in words}


def features(model: SpeechModel, layers: Sequence[str], samples: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features (T, C) float32 of layers of a sound (n,), 16 kHz.

    Raises FeatureError where the sound is silent.
    """
    mel = log_mel(torch.from_numpy(samples)).values
    check_usable(mel, "the sound")
    return {name: found[0].t().cpu().numpy() for name, (found, _) in model.encode(layers, mel[None]).items()}


def averaged(frames: np.ndarray, parts: int) -> np.ndarray:
    """Average frames (T, C) in parts of equal length, (K,); a frame at a border counts in both parts."""
    edges = np.linspace(0, len(frames), parts + 1)
    starts = np.floor(edges[:-1]).astype(int)
    ends = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    return np.concatenate([frames[start:end].mean(axis=0) for start, end in zip(starts, ends, strict=True)])


class Prototypes(NamedTuple):
    """The mean unit vector of each word, around the mean of all words."""

    words: list[str]  # W
    centre: np.ndarray  # (K,)
    units: np.ndarray  # (W, K)

    @classmethod
    def of(cls, vectors: Mapping[str, Sequence[np.ndarray]]) -> "Prototypes":
        """Make them of vectors (K,) of each word, one of each voice."""
        centre = np.mean([np.mean(rows, axis=0) for rows in vectors.values()], axis=0)
        units = [_unit(np.mean([_unit(row - centre) for row in rows], axis=0)) for rows in vectors.values()]
        return cls([*vectors], centre, np.stack(units))

    def scores(self, vector: np.ndarray) -> np.ndarray:
        """Return the cosines (W,) of a vector (K,) to every word."""
        return self.units @ _unit(vector - self.centre)


class SpokenWords:
    """The words of a vocabulary with their prototypes."""

    def __init__(self, model: SpeechModel, prototypes: Prototypes, listening: Listening) -> None:
        self.model, self.prototypes, self.listening = model, prototypes, listening

    def rank(self, samples: np.ndarray) -> list[Heard]:
        """Return all words with their scores, the nearest first, of what is spoken (n,) float32, 16 kHz."""
        layer, parts = self.listening.layer, self.listening.parts
        scores = self.prototypes.scores(averaged(features(self.model, [layer], samples)[layer], parts))
        return [Heard(self.prototypes.words[n], float(scores[n])) for n in np.argsort(-scores, kind="stable")]

    def pick(self, samples: np.ndarray, name: str = "the sound") -> list[Heard]:
        """Return the same as :meth:`rank`; raise UnheardError where even the nearest word is too far."""
        found = self.rank(samples)
        if found[0].score < self.listening.least:
            raise UnheardError(
                f"{name} is near no word: the nearest, {found[0].word!r}, has a score of {found[0].score:.2f}, "
                f"expected at least {self.listening.least:g}; say one of {', '.join(self.prototypes.words)}"
            )
        return found


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)

"""Voices: many distinct speakers out of eSpeak NG's accents and variants, with their own pitch, liveliness and rate.

The variants listed were measured on one sentence: voiced, no echo, no limiter at work. eSpeak's robots, whispers and
voices with echo can still be asked for by name (with echo, pauses inside a clause are not separated from the phone
before).
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from datasets.world.speech.espeak import SpeechError, library_paths

ACCENTS = ("en", "en-us", "en-us-nyc", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
FEMALE = ("Annie", "anika", "aunty", "belinda", "f1", "grandma", "linda", "shelby", "steph")
MALE = (
    *("Alex", "Denis", "Diogo", "Henrique", "Lee", "Mario", "Michael", "Mike", "Nguyen", "boris", "grandpa", "ian"),
    *("iven4", "kaukovalta", "m1", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel"),
    *("quincy", "rob", "robert", "travis", "victor"),
)
# These run on the second synthesiser in the library, whose noise cannot be seeded.
NOT_REPEATABLE = ("Reed", "adam", "benjamin", "caleb", "david", "edward2", "klatt6", "mike2")
_PITCH, _RANGE, _RATE = (35, 66), (30, 71), (130, 201)
_LIMITS = {"pitch": (0, 99), "pitch_range": (0, 99), "rate": (80, 450)}


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Raises SpeechError for no such variant, one that never says the same twice, or a number outside its limits.
    """

    accent: str = "en-us"  # eSpeak's language name, one of ``ACCENTS`` or another that its data holds
    variant: str = "m3"  # a file of eSpeak's ``voices/!v``
    pitch: int = 50  # 0-99
    pitch_range: int = 50  # liveliness of the pitch, 0-99
    rate: int = 165  # words a minute, 80-450

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SpeechError(f"Voice.{name} is {value}; eSpeak NG takes {low} to {high}.")
        if self.variant in NOT_REPEATABLE:
            raise SpeechError(f"Voice.variant '{self.variant}' does not give the same speech twice; take another.")
        if self.variant not in (*FEMALE, *MALE) and self.variant not in _variants():
            raise SpeechError(f"Voice.variant is '{self.variant}'; eSpeak NG has {', '.join(sorted(_variants()))}.")

    @property
    def name(self) -> str:
        """The name that eSpeak knows, ``accent+variant``."""
        return f"{self.accent}+{self.variant}"

    @property
    def speaker(self) -> str:
        """A stable id that says all about the voice, such as ``en-us_m3_p50_r50_s165``."""
        variant = self.variant.replace(" ", "-")
        return f"{self.accent}_{variant}_p{self.pitch}_r{self.pitch_range}_s{self.rate}"


def voice(seed: int) -> Voice:
    """Return the speaker of a seed, any integer: half of them female, all accents equally often, some 6 million voices.

    The choice is stable over versions of Python and NumPy.
    """
    number = int.from_bytes(hashlib.sha256(f"voice {seed}".encode()).digest(), "big")

    def draw(count: int) -> int:
        nonlocal number
        number, index = divmod(number, count)
        return index

    variants = FEMALE if draw(2) else MALE
    return Voice(
        accent=ACCENTS[draw(len(ACCENTS))],
        variant=variants[draw(len(variants))],
        pitch=_PITCH[0] + draw(_PITCH[1] - _PITCH[0]),
        pitch_range=_RANGE[0] + draw(_RANGE[1] - _RANGE[0]),
        rate=_RATE[0] + draw(_RATE[1] - _RATE[0]),
    )


def varied(who: Voice, variation: float, seed: int) -> Voice:
    """Let a speaker talk somewhat higher or lower, livelier or duller, faster or slower than usual.

    A ``variation`` of 1 is the whole range of pitch and liveliness, and twice the rate; results stay within eSpeak's
    limits.
    """
    draws = np.random.default_rng(seed).uniform(-variation, variation, 3).tolist()
    changes = dict(zip(_LIMITS, draws, strict=True))
    numbers = {}
    for name, (low, high) in _LIMITS.items():
        usual = getattr(who, name)
        unit = usual if name == "rate" else high - low
        numbers[name] = min(max(round(usual + changes[name] * unit), low), high)
    return replace(who, **numbers)


def _variants() -> set[str]:
    _, data = library_paths()
    return {path.name for path in (data / "voices" / "!v").iterdir()}

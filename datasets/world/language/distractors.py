"""Sentences that say nothing of an image, for documents in which a caption is hidden.

Neutral ones use no word for an attribute of an object. Hard ones name colours, shapes, sizes and materials of other
things; never a colour and a shape together, so that a pair which captions hold out is not named here either.
"""

from collections.abc import Callable

from common.errors import UserError
from datasets.world.language.phrases import with_article
from datasets.world.scene.objects import COLOURS
from datasets.world.scene.random_stream import Draws

MOST_SHARE = 0.9
TRIES = 12  # sentences that may be too long before a phrase of a few words is taken

_PEOPLE = (
    "my sister", "my brother", "our neighbour", "a friend", "the teacher", "my aunt", "his father", "her mother",
    "the old man", "a young woman", "the driver", "my cousin",
)  # fmt: skip
_GOODS = (
    "bicycle", "umbrella", "car", "door", "scarf", "boat", "chair", "coat", "lamp", "kettle", "guitar", "basket",
    "clock", "map",
)  # fmt: skip
_TIMES = ("last summer", "yesterday", "on monday", "in the morning", "last week", "before dinner", "every winter")
_PLACES = (
    "at the market", "in the city", "near the station", "by the lake", "in the garden", "at school", "in the park",
    "at home", "on the train",
)  # fmt: skip
_WEATHER = ("nice", "cold", "rainy", "warm", "windy", "cloudy", "lovely")
_DEEDS = ("works", "was waiting", "met us", "went for a walk", "told a story", "sang a song", "lost a ticket")
_SHOPS = ("shop", "bakery", "library", "museum", "office", "school")
_SAYINGS = (
    "dinner will be ready soon", "the train was late again", "nobody knew the answer", "we had a long talk about it",
    "it took us all afternoon", "please write to me when you can", "i forgot to call them", "that was a good idea",
    "we will see you tomorrow", "they never said a word about it",
)  # fmt: skip
_CASES = ("box", "bag", "parcel", "case")
_SHAPES = ("cube", "block", "sphere", "ball", "cylinder")
_SIZES = ("large", "big", "small", "tiny")
_MATERIALS = ("rubber", "metal")
_SHORT = {  # neutral phrases by their number of words
    1: ("hello", "thanks", "well", "anyway"),
    2: ("good morning", "thank you", "of course", "how nice"),
    3: ("see you soon", "what a day", "many happy returns", "so they say"),
}

Form = Callable[[Draws], str]

_NEUTRAL: tuple[Form, ...] = (
    lambda d: f"the weather was {d.pick(_WEATHER)} {d.pick(('on that day', 'all week', *_TIMES))}",
    lambda d: f"we bought it {d.pick(_TIMES)} {d.pick(_PLACES)}",
    lambda d: f"{d.pick(_PEOPLE)} {d.pick(_DEEDS)} {d.pick(_PLACES)}",
    lambda d: f"{d.pick(_PEOPLE)} sent me {with_article(d.pick(_GOODS))} {d.pick(_TIMES)}",
    lambda d: f"the {d.pick(_SHOPS)} {d.pick(('opens', 'closes'))} {d.pick(('early', 'late'))} {d.pick(_TIMES)}",
    lambda d: f"please remember the {d.pick(_GOODS)}",
    lambda d: d.pick(_SAYINGS),
)
_HARD: tuple[Form, ...] = (
    lambda d: f"{d.pick(_PEOPLE)} has a {d.pick(COLOURS)} {d.pick(_GOODS)}",
    lambda d: f"the {d.pick(_CASES)} it came in was {d.pick(COLOURS)}",
    lambda d: f"{d.pick(_PEOPLE)} lost a {d.pick(_SHAPES)} {d.pick(_PLACES)}",
    lambda d: f"we painted the {d.pick(_GOODS)} {d.pick(COLOURS)} {d.pick(_TIMES)}",
    lambda d: f"a {d.pick(_SIZES)} {d.pick(COLOURS)} {d.pick(_GOODS)} was standing {d.pick(_PLACES)}",
    lambda d: f"the {d.pick(_GOODS)} is made of {d.pick(_MATERIALS)}",
    lambda d: f"the game needs a {d.pick(_SIZES)} {d.pick(_SHAPES)}",
)
_HARD_SHORT: dict[int, Form] = {
    2: lambda d: f"{d.pick(COLOURS)} {d.pick(_GOODS)}",
    3: lambda d: f"a {d.pick(COLOURS)} {d.pick(_GOODS)}",
}


class DistractorError(UserError, ValueError):
    """A share of distractors that no document can have."""


def with_distractors(caption: str, share: float, seed: int, hard_share: float = 0.5) -> str:
    """Hide a caption among sentences that do not describe its image.

    Args:
        caption: in words that spaces separate.
        share: of the document's words that are distractors, as nearly as whole words allow.
        seed: of sentences and order; the same arguments give the same document.
        hard_share: probability of a sentence to be hard.

    Returns:
        The sentences in random order, with ". " between them; the caption is one of them.

    Raises:
        DistractorError: the share is negative or above 0.9.
    """
    if not 0 <= share <= MOST_SHARE:
        raise DistractorError(f"share={share}; expected 0 to {MOST_SHARE} of a document's words")
    draws = Draws(seed)
    left = int(len(caption.split()) * share / (1 - share) + 0.5)
    sentences = []
    while left:
        sentence = _sentence(draws, left, draws.chance(hard_share))
        sentences.append(sentence)
        left -= len(sentence.split())
    sentences.insert(draws.below(len(sentences) + 1), caption)
    return ". ".join(sentences)


def _sentence(draws: Draws, most: int, hard: bool) -> str:
    """Return a sentence of at most so many words."""
    for _ in range(TRIES if most > len(_SHORT) else 0):
        sentence = draws.pick(_HARD if hard else _NEUTRAL)(draws)
        if len(sentence.split()) <= most:
            return sentence
    number = min(most, len(_SHORT))
    return _HARD_SHORT[number](draws) if hard and number in _HARD_SHORT else draws.pick(_SHORT[number])

"""Noun phrases: the names of an object, and the objects that a description fits."""

import re
from collections.abc import Iterable, Mapping

from datasets.world.scene.objects import Scene, SceneObject
from datasets.world.scene.random_stream import Draws

ATTRIBUTES = ("size", "material", "colour", "shape")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# Synonyms as in CLEVR (clevr-dataset-gen, question_generation/synonyms.json).
_SIZE = {"large": ("large", "big"), "small": ("small", "tiny")}
_SHAPE = {"cube": ("cube", "block"), "sphere": ("sphere", "ball"), "cylinder": ("cylinder",)}
_ANY = ("object", "thing")
_FIRST = {"rubber": ("matte",), "metal": ("shiny", "metallic")}  # before the colour or after it
_LAST = {"rubber": ("rubber",), "metal": ("metal",)}  # after the colour only, or as "made of ..."

Description = Mapping[str, str]


def description(item: SceneObject, attributes: Iterable[str]) -> dict[str, str]:
    """Return the chosen ``attributes`` of ``item`` with their values, in the order of `ATTRIBUTES`."""
    chosen = set(attributes)
    return {name: getattr(item, name) for name in ATTRIBUTES if name in chosen}


def fitting(scene: Scene, words: Description) -> list[int]:
    """Return the objects of ``scene``, counted from 0, that the description ``words`` fits."""
    return [
        index
        for index, item in enumerate(scene.objects)
        if all(getattr(item, name) == value for name, value in words.items())
    ]


def noun(words: Description, draws: Draws, plural: bool = False) -> str:
    """Put a description into words such as "small red metal cube" or "blocks made of rubber", with random synonyms.

    There is no article. Without a shape the noun is "thing" or "object".
    """
    head = draws.pick(_SHAPE[words["shape"]] if "shape" in words else _ANY) + ("s" if plural else "")
    parts = [draws.pick(_SIZE[words["size"]])] if "size" in words else []
    colour = [words["colour"]] if "colour" in words else []
    tail = ""
    if "material" in words:
        form = draws.below(4)
        if form == 0:
            colour = [draws.pick(_FIRST[words["material"]]), *colour]
        elif form == 1:
            tail = f" made of {draws.pick(_LAST[words['material']])}"
        else:
            colour = [*colour, draws.pick(_FIRST[words["material"]] + _LAST[words["material"]])]
    return " ".join([*parts, *colour, head]) + tail


def with_article(words: str) -> str:
    """Put "a" or "an" before the noun phrase ``words``."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def counted(number: int, words: Description, draws: Draws) -> str:
    """Return a phrase such as "a red cube" or "two red cubes", for 1 to 10."""
    if number == 1:
        return with_article(noun(words, draws))
    return f"{NUMBERS[number]} {noun(words, draws, plural=True)}"


def unique(scene: Scene, index: int, draws: Draws) -> dict[str, str] | None:
    """Describe an object by colour, shape and as little else as distinguishes it; None where another looks alike."""
    item = scene.objects[index]
    extras = [(), *draws.shuffled([("size",), ("material",)]), ("size", "material")]
    for extra in extras:
        words = description(item, ("colour", "shape", *extra))
        if len(fitting(scene, words)) == 1:
            return words
    return None


def says(text: str, attribute: str, value: str) -> bool:
    """Return whether a caption has a word, singular or plural, for a value of one of `ATTRIBUTES`."""
    material = {name: (*_FIRST[name], *_LAST[name]) for name in _FIRST}
    named = {"size": _SIZE, "shape": _SHAPE, "material": material}.get(attribute, {}).get(value, (value,))
    words = re.findall(r"\w+", text.lower())
    return any(word in words or f"{word}s" in words for word in named)


def joined(parts: list[str], draws: Draws) -> str:
    """Join the phrases ``parts`` with commas and "and" as ``draws`` choose."""
    if len(parts) == 1:
        return parts[0]
    form = draws.below(3)
    if form == 0 and len(parts) <= 3:
        return " and ".join(parts)
    last = ", and " if form == 1 and len(parts) > 2 else " and "
    return ", ".join(parts[:-1]) + last + parts[-1]

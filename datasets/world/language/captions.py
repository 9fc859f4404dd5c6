"""English captions by grammar, every one true of its scene.

"a" and "an" claim that such an object is there; a number claims that there are exactly so many; "the" claims that there
is exactly one. A list names different objects. Directions are the viewer's (relations.py).
"""

import itertools
from collections.abc import Callable
from typing import Literal

from datasets.world.language.phrases import (
    ATTRIBUTES,
    NUMBERS,
    counted,
    description,
    fitting,
    joined,
    noun,
    unique,
    with_article,
)
from datasets.world.scene.objects import Scene, SceneError
from datasets.world.scene.random_stream import Draws
from datasets.world.scene.relations import Position, Relation, positions, relations, spot

Style = Literal["complete", "attributes", "objects", "full", "short", "mixed"]

_OPENERS = (  # before a singular, before a plural
    ("there is", "there are"),
    ("here is", "here are"),
    *((words, words) for words in ("i see", "i can see", "we see", "you can see", "look at", "a picture of")),
    *((words, words) for words in ("a photo of", "an image of", "a picture with", "a scene with")),
    *(
        (words, words)
        for words in ("this picture shows", "the image shows", "the scene has", "the picture contains", "")
    ),
)
_RELATIONS = {
    "left": ("to the left of", "left of", "on the left of"),
    "right": ("to the right of", "right of", "on the right of"),
    "front": ("in front of",),
    "behind": ("behind",),
}
_SPOTS = {"left": "on the left", "right": "on the right", "front": "in the front", "behind": "in the back"}
_MIDDLE = ("in the middle", "in the center")
_PATIENCE = 400  # drafts in a row that bring nothing new before the search ends

Form = Callable[[Scene, Draws], str | None]


def captions(scene: Scene, count: int, seed: int, style: Style = "mixed") -> list[str]:
    """Describe a scene of one to ten objects in several ways; all texts are different.

    The same scene, seed and style give the same captions, and a smaller count their beginning. The style "complete"
    names every object with all its attributes and says where it is; "attributes" does so without the positions, which
    can make up for an attribute that nobody understood; "objects" names every object with at least colour and shape and
    no position; "full" does so and may say where they are; "short" names one or two objects; "mixed" is both of the
    last in turn by chance, and counts such as "three red things". Texts are in lower case, without punctuation but
    commas and without digits. Raises SceneError where the scene is empty, the style unknown, or there are not so many
    different captions.
    """
    if style not in _FORMS:
        raise SceneError(f"style={style!r}; expected one of {', '.join(_FORMS)}")
    if not scene.objects:
        raise SceneError("an empty scene has no captions; pass a scene with at least one object")
    if count < 1 or seed < 0:
        raise SceneError(f"count={count} and seed={seed}; expected at least one caption and a non-negative seed")
    draws = Draws(seed)
    found: dict[str, None] = {}
    stale = 0
    while stale < _PATIENCE:
        text = draws.pick(_FORMS[style])(scene, draws)
        if text is None or text in found:
            stale += 1
            continue
        stale = 0
        found[text] = None
        if len(found) == count:
            return list(found)
    raise SceneError(f"found {len(found)} different {style} captions for a scene, not {count}; ask for fewer")


def _open(text: str, draws: Draws, plural: bool = False) -> str:
    opener = draws.pick(_OPENERS)[plural]
    return f"{opener} {text}" if opener else text


def _extras(draws: Draws) -> tuple[str, ...]:
    return draws.pick(((), (), (), ("size",), ("size",), ("material",), ("size", "material")))


def _phrases(scene: Scene, draws: Draws) -> list[tuple[int, str]]:
    """Name all objects, like ones together: (number, phrase) in random order.

    Objects of one colour and shape get the same attributes, so that a number counts all objects that its phrase fits.
    """
    extras: dict[tuple[str, str], tuple[str, ...]] = {}
    groups: dict[tuple[tuple[str, str], ...], int] = {}
    for item in draws.shuffled(scene.objects):
        kind = item.colour, item.shape
        if kind not in extras:
            extras[kind] = _extras(draws)
        words = tuple(description(item, ("colour", "shape", *extras[kind])).items())
        groups[words] = groups.get(words, 0) + 1
    return [(number, counted(number, dict(words), draws)) for words, number in groups.items()]


def _attributes(scene: Scene, draws: Draws) -> str:
    """Name every object with all attributes: "a small red metal cube and a large blue rubber ball"."""
    return _everything(scene, draws, placed=False)


def _everything(scene: Scene, draws: Draws, placed: bool = True) -> str:
    """Name every object with all attributes and its position: "a small red metal cube on the left and a ...".

    Equal objects are counted and have no position.
    """
    parts, numbers = [], []
    for index, position in draws.shuffled(list(enumerate(positions(scene)))):
        words = description(scene.objects[index], ATTRIBUTES)
        twins = fitting(scene, words)
        if index == twins[0]:
            where = f" {_where(position, draws)}" if placed and len(twins) == 1 else ""
            parts.append(counted(len(twins), words, draws) + where)
            numbers.append(len(twins))
    return _open(joined(parts, draws), draws, plural=numbers[0] > 1)


def _where(position: Position, draws: Draws) -> str:
    """Return the words of a position: "in the back on the left"."""
    sides = [_SPOTS[side] for side in spot(position) if side]
    return " ".join(sides) or draws.pick(_MIDDLE)


def _list(scene: Scene, draws: Draws) -> str:
    """List all objects: "a red cube, two blue balls and a small cylinder"."""
    phrases = _phrases(scene, draws)
    return _open(joined([phrase for _, phrase in phrases], draws), draws, plural=phrases[0][0] > 1)


def _numbered_list(scene: Scene, draws: Draws) -> str:
    """List all objects behind their number: "three objects, a red cube and two blue balls"."""
    number = len(scene.objects)
    total = f"{NUMBERS[number]} {draws.pick(('object', 'thing'))}" + ("s" if number > 1 else "")
    text = joined([phrase for _, phrase in _phrases(scene, draws)], draws)
    return _open(f"{total}, {text}", draws, plural=number > 1)


def _list_in_order(scene: Scene, draws: Draws) -> str | None:
    """List all objects from left to right; None for a single one or if two are too close to tell their order."""
    order = sorted((position.x, index) for index, position in enumerate(positions(scene)))
    if len(order) < 2 or any(b[0] - a[0] < 0.05 for a, b in itertools.pairwise(order)):
        return None
    items = [scene.objects[index] for _, index in order]
    text = joined([counted(1, description(item, ("colour", "shape", *_extras(draws))), draws) for item in items], draws)
    return f"from left to right{draws.pick((',', ' there is', ' i see', ' we see'))} {text}"


def _list_and_relation(scene: Scene, draws: Draws) -> str | None:
    """List all objects and one relation: "a red cube and a blue ball, the red cube is behind the blue ball"."""
    claim = _definite_relation(scene, draws, draws.pick((" is", "")))
    if claim is None or len(scene.objects) > 4:
        return None
    return f"{_list(scene, draws)}, {claim}" if " is " in claim else f"{_list(scene, draws)}, with {claim}"


def _relation(scene: Scene, draws: Draws) -> Relation | None:
    found = relations(scene)
    return draws.pick(found) if found else None


def _definite_relation(scene: Scene, draws: Draws, verb: str = " is") -> str | None:
    """Say a relation of two unique objects: "the red cube is behind the blue ball"; None where there is none."""
    relation = _relation(scene, draws)
    if relation is None:
        return None
    one, other = (unique(scene, index, draws) for index in (relation.subject, relation.anchor))
    if one is None or other is None:
        return None
    return f"the {noun(one, draws)}{verb} {draws.pick(_RELATIONS[relation.direction])} the {noun(other, draws)}"


def _some_attributes(draws: Draws) -> tuple[str, ...]:
    """Draw the attributes that a phrase names: mostly colour and shape, seldom less, sometimes more."""
    if draws.chance(0.15):
        return draws.pick((("colour",), ("shape",), ("size", "shape"), ("material", "shape"), ("size", "colour")))
    return ("colour", "shape", *_extras(draws))


def _one(scene: Scene, draws: Draws) -> str:
    """Name one object: "a red cube"."""
    return _open(counted(1, description(draws.pick(scene.objects), _some_attributes(draws)), draws), draws)


def _two(scene: Scene, draws: Draws) -> str | None:
    """Name two objects: "a red cube and a blue ball"; None where there are no two with different words."""
    if len(scene.objects) < 2:
        return None
    one, other = (description(item, _some_attributes(draws)) for item in draws.shuffled(scene.objects)[:2])
    if one == other:
        return None
    return _open(f"{counted(1, one, draws)} and {counted(1, other, draws)}", draws)


def _related(scene: Scene, draws: Draws) -> str | None:
    """Name two objects by a relation: "a red cube behind a blue ball"; None where there is none."""
    relation = _relation(scene, draws)
    if relation is None:
        return None
    one, other = (
        with_article(noun(description(scene.objects[index], _some_attributes(draws)), draws))
        for index in (relation.subject, relation.anchor)
    )
    return _open(f"{one} {draws.pick(_RELATIONS[relation.direction])} {other}", draws)


def _placed(scene: Scene, draws: Draws) -> str | None:
    """Name one object with its position: "a red cube on the left"."""
    index = draws.below(len(scene.objects))
    along, across = spot(positions(scene)[index])
    where = draws.pick([_SPOTS[side] for side in (along, across) if side] or _MIDDLE)
    if draws.chance(0.4):
        words = unique(scene, index, draws)
        return None if words is None else f"the {noun(words, draws)} is {where}"
    words = description(scene.objects[index], _some_attributes(draws))
    return _open(f"{counted(1, words, draws)} {where}", draws)


def _number(scene: Scene, draws: Draws, most: int = 10) -> str | None:
    """Count the objects with the same attributes: "three red things"; None for one or for more than ``most``."""
    names = draws.pick(
        (("colour", "shape"), ("colour", "shape"), ("shape",), ("colour",), ("size", "shape"), ATTRIBUTES)
    )
    words = description(draws.pick(scene.objects), names)
    number = len(fitting(scene, words))
    return _open(counted(number, words, draws), draws, plural=True) if 2 <= number <= most else None


def _pair(scene: Scene, draws: Draws) -> str | None:
    """Count two objects with the same attributes: "two red things"; None for another number."""
    return _number(scene, draws, most=2)


_FULL: tuple[Form, ...] = (_list, _list, _list, _numbered_list, _list_in_order, _list_and_relation)
_SHORT: tuple[Form, ...] = (_one, _two, _related, _related, _definite_relation, _placed, _pair)
_FORMS: dict[str, tuple[Form, ...]] = {
    "complete": (_everything,),
    "attributes": (_attributes,),
    "objects": (_list, _numbered_list),
    "full": _FULL,
    "short": _SHORT,
    "mixed": (*_FULL, *_SHORT, _number),
}

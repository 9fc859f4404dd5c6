"""Instructions that build a scene turn by turn, as those of i-CLEVR (arXiv:1811.09845, Maluuba/GeNeVA_datasets)."""

from datasets.world.language.phrases import counted, description, noun, unique
from datasets.world.scene.objects import Scene, SceneError
from datasets.world.scene.random_stream import Draws
from datasets.world.scene.relations import bearing, positions, spot

_ALONG = {"behind": "behind {0}", "front": "in front of {0}"}
_ACROSS = {"left": "on the left", "right": "on the right"}
_SPOTS = {"behind": "at the back", "front": "at the front"}
_VERBS = ("add", "put", "place", "draw")
_LATER = ("now add", "then draw")


def instructions(scene: Scene, seed: int = 0, varied: bool = False) -> list[str]:
    """Say how to build a scene, one text for each object; turn k leads to `scene.prefix(k)`.

    The first object is "at the center" when the scene was sampled with `centred=True`. With ``varied`` there are
    several verbs, synonyms, sizes, materials, and names instead of "it"; else i-CLEVR's own wording: "add a red cube
    behind it on the left", where "it" is the object of the turn before. Raises SceneError where the seed, which matters
    with ``varied``, is negative.
    """
    if seed < 0:
        raise SceneError(f"seed={seed}; expected a non-negative whole number")
    draws = Draws(seed)
    where = positions(scene)
    texts = []
    for turn, item in enumerate(scene.objects):
        if varied:
            extras = draws.pick(((), (), ("size",), ("material",), ("size", "material")))
            verb = draws.pick(_VERBS + (_LATER if turn else ()))
            start = f"{verb} {counted(1, description(item, ('colour', 'shape', *extras)), draws)}"
        else:
            start = f"add a {item.colour} {item.shape}"
        if turn == 0:
            texts.append(f"{start} {_first(*spot(where[0]))}")
            continue
        name = "it"
        if varied and draws.chance(0.5):
            words = unique(scene.prefix(turn), turn - 1, draws)
            name = "it" if words is None else f"the {noun(words, draws)}"
        texts.append(f"{start} {_next(*bearing(where[turn], where[turn - 1]), name)}".rstrip())
    return texts


def _first(along: str | None, across: str | None) -> str:
    parts = [_SPOTS[along]] if along else []
    parts += [_ACROSS[across]] if across else []
    return " ".join(parts) or "at the center"


def _next(along: str | None, across: str | None, name: str) -> str:
    if along is None:
        return "" if across is None else f"{_ACROSS[across]} of {name}"
    return " ".join([_ALONG[along].format(name), *([_ACROSS[across]] if across else [])])

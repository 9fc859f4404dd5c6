"""Reads captions back and checks them against a scene, sharing no code with the grammar that writes them."""

import itertools
import re

from datasets.world.scene.objects import Scene, project

WORDS = {
    "size": {"large": "large", "big": "large", "small": "small", "tiny": "small"},
    "material": {"rubber": "rubber", "matte": "rubber", "metal": "metal", "metallic": "metal", "shiny": "metal"},
    "colour": {c: c for c in ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")},
    "shape": {"cube": "cube", "block": "cube", "sphere": "sphere", "ball": "sphere", "cylinder": "cylinder"},
}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
OPENERS = (
    "there is|there are|here is|here are|i see|i can see|we see|you can see|look at|a picture of|a photo of|"
    "an image of|a picture with|a scene with|this picture shows|the image shows|the scene has|the picture contains"
)
RELATIONS = {
    "left": "to the left of|left of|on the left of",
    "right": "to the right of|right of|on the right of",
    "front": "in front of",
    "behind": "behind",
}
SPOTS = {  # bounds of x and y in the image
    "on the left": (0, 0.4, 0, 1),
    "on the right": (0.6, 1, 0, 1),
    "in the front": (0, 1, 0.55, 1),
    "in the back": (0, 1, 0, 0.45),
    "in the (?:middle|center)": (0.35, 0.65, 0.35, 0.65),
}
PLAIN = re.compile(r"[a-z]+(,? [a-z]+)*")


class Phrase:
    """A noun phrase: "a" and a number with attributes, or "the"."""

    def __init__(self, text: str) -> None:
        text, self.bounds = _without_spots(text)
        article, *rest = text.split()
        if article in ("a", "an"):
            assert article == ("an" if rest[0][0] in "aeiou" else "a"), text
        self.definite = article == "the"
        self.number = 1 if article in ("a", "an", "the") else NUMBERS[article]
        if rest[-3:-1] == ["made", "of"]:
            rest = [rest[-1], *rest[:-3]]
        *adjectives, noun = rest
        if self.number > 1:
            assert noun.endswith("s"), text
            noun = noun[:-1]
        self.wanted = {}
        for word in [*adjectives, noun]:
            if word not in ("object", "thing"):
                (name,) = [name for name, values in WORDS.items() if word in values]
                assert name not in self.wanted, text
                self.wanted[name] = WORDS[name][word]
        assert noun in WORDS["shape"] or noun in ("object", "thing"), text

    def fits(self, scene: Scene) -> list[int]:
        named = [k for k, o in enumerate(scene.objects) if all(getattr(o, n) == v for n, v in self.wanted.items())]
        where = project(scene, 1)
        return [k for k in named if all(a < where[k][0] < b and c < where[k][1] < d for a, b, c, d in self.bounds)]


def _without_spots(text: str) -> tuple[str, list[tuple[float, float, float, float]]]:
    bounds = []
    for pattern, limits in SPOTS.items():
        text, found = re.subn(rf" {pattern}\b", "", text)
        bounds += [limits] * found
    return text, bounds


class Reading:
    """What a caption says of a scene: whether it is true, and which phrases name objects."""

    def __init__(self, scene: Scene, caption: str) -> None:
        assert PLAIN.fullmatch(caption), caption
        self.scene = scene
        self.positions = project(scene, 1)
        self.ordered = caption.startswith("from left to right")
        text = caption.removeprefix("from left to right").removeprefix(",").strip()
        text = re.sub(rf"^(?:{OPENERS}) ", "", text)
        self.mentioned: list[Phrase] = []
        self.true = self._sentence(text)

    def _sentence(self, text: str) -> bool:
        tail = re.search(r", (?:with )?(the .*)$", text)
        if tail:
            return self._relation(tail[1]) and self._sentence(text[: tail.start()])
        total = re.match(r"(\w+) (?:objects?|things?), ", text)
        if total:
            return NUMBERS[total[1]] == len(self.scene.objects) and self._sentence(text[total.end() :])
        related = self._relation(text)
        if related is not None:
            return related
        for pattern, (left, right, top, bottom) in SPOTS.items():
            spot = re.search(rf"^the .* is {pattern}$", text)
            if spot:
                found = self._candidates(text.removesuffix(spot[0][spot[0].rindex(" is ") :]))
                return any(left < x < right and top < y < bottom for x, y, _ in self.positions[found])
        return self._list([Phrase(part) for part in re.split(r",? and |, ", text)])

    def _candidates(self, text: str) -> list[int]:
        phrase = Phrase(text)
        self.mentioned.append(phrase)
        found = phrase.fits(self.scene)
        assert not phrase.definite or len(found) == 1, text
        return found

    def _relation(self, text: str) -> bool | None:
        for direction, words in RELATIONS.items():
            parts = re.split(rf"(?: is)? (?:{words}) (?=a |an |the )", text)
            if len(parts) == 2:
                ones, others = (self._candidates(part) for part in parts)
                return any(self._stands(a, direction, b) for a in ones for b in others if a != b)
        return None

    def _stands(self, a: int, direction: str, b: int) -> bool:
        (ax, _, adepth), (bx, _, bdepth) = self.positions[a], self.positions[b]
        return {"left": ax < bx, "right": ax > bx, "front": adepth < bdepth, "behind": adepth > bdepth}[direction]

    def _list(self, phrases: list[Phrase]) -> bool:
        """Numbers are exact, and all phrases name different objects."""
        self.mentioned += phrases
        if any(phrase.number > 1 and phrase.number != len(phrase.fits(self.scene)) for phrase in phrases):
            return False
        slots = [set(phrase.fits(self.scene)) for phrase in phrases for _ in range(phrase.number)]
        if self.ordered:
            order = self.positions[:, 0].argsort()
            return len(order) == len(slots) and all(k in slot for k, slot in zip(order, slots, strict=True))
        everyone = range(len(self.scene.objects))
        return any(
            all(k in slot for k, slot in zip(choice, slots, strict=True))
            for choice in itertools.permutations(everyone, len(slots))
        )

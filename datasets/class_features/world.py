"""Classes of the embedded world, shape x colour, some of which are never seen: "red cube", "red sphere", ...

Images show one object from near by; their features are those of a segmenter's own layers, before its scores, averaged
over the object. The shipped segmenter was trained on renders of all shapes and colours, so what it sees of an unseen
class is not new to it, as ImageNet's networks are not new to birds; which features belong to which words is. A class's
document are captions of scenes that hold such an object and others, so that most of its words are about something else.
"""

from collections.abc import Sequence
from itertools import count
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from config.limits import Chance, Count, Seed
from datasets.class_features.dataset import ClassFeaturesError, FeatureSet, HeldOut, Labelled
from datasets.class_features.documents import tfidf
from datasets.world.language.captions import captions
from datasets.world.render.ray_cast import render
from datasets.world.scene.near import MOST, near_scene
from datasets.world.scene.objects import COLOURS, SHAPES, Scene
from datasets.world.scene.random_stream import Draws
from models.segmenter.labels import GROUPS
from models.segmenter.network import AttributeSegmenter, SmallSegmenter

CLASSES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)
BATCH = 64  # images that are rendered and encoded at a time
IMAGE_SEEDS, TEXT_SEEDS, OTHER_SEEDS = 6_000_000, 7_000_000, 8_000_000  # first scenes, far from those of the worlds


def world_classes(
    segmenter: AttributeSegmenter,
    validation: list[str],
    test: list[str],
    train_images: Count = 60,
    held_out_images: Count = 30,
    captions_per_class: Count = 40,
    max_objects: Annotated[int, Field(ge=1, le=MOST)] = MOST,
    distractors: Annotated[Chance, Field(lt=1)] = 0.0,
    size: Annotated[int, Field(ge=16, le=2048)] = 64,
    seed: Seed = 0,
) -> FeatureSet:
    """Render images of all 24 classes, take their features, and have documents written.

    Args:
        segmenter: small segmenter whose features are taken.
        validation: unseen classes on which the best weights are chosen, such as ``red cube``.
        test: unseen classes that the report is about; the other classes are trained on.
        train_images: images of each seen class.
        held_out_images: further images of every class, for each of validation and test.
        captions_per_class: captions that make a class's document.
        max_objects: most objects of a scene that a caption describes; the first is of the class.
        distractors: share of a document's words that belong to captions of other scenes, at random.
        size: height and width of the images, pixels.
        seed: of scenes and captions.

    Returns:
        The features and documents.

    Raises:
        ClassFeaturesError: a class does not exist, stands twice, or holds out all of a colour or shape; or the
            segmenter is not small.
    """
    seen = _seen(validation, test)
    names = [*seen, *validation, *test]
    per_class = {name: 2 * held_out_images + (train_images if name in seen else 0) for name in names}
    images = _features(_scenes(per_class, IMAGE_SEEDS + 100_000 * seed, 1), segmenter, size)
    rows = np.arange(len(names))
    is_validation = np.isin(names, validation)

    def held(first: int, classes: np.ndarray) -> HeldOut:
        part = slice(first, first + held_out_images)
        seen_rows = rows[: len(seen)]
        return HeldOut(classes, _labelled(images, names, classes, part), _labelled(images, names, seen_rows, part))

    documents = tfidf(_texts(names, captions_per_class, max_objects, distractors, seed))
    return FeatureSet(
        source="the embedded world",
        names=names,
        documents=documents.numbers,
        words=documents.words,
        seen_count=len(seen),
        train=_labelled(images, names, rows[: len(seen)], slice(2 * held_out_images, None)),
        validation=held(0, rows[is_validation]),
        test=held(held_out_images, rows[np.isin(names, test)]),
    )


def _seen(validation: list[str], test: list[str]) -> list[str]:
    """Return the classes that are trained on, after checking the others."""
    held = [*validation, *test]
    wrong = [name for name in held if name not in CLASSES]
    if wrong or len(set(held)) != len(held) or not validation or not test:
        raise ClassFeaturesError(
            f"found the unseen classes {', '.join(held) or 'none'}; expected different ones of both splits, each a "
            f"colour ({', '.join(COLOURS)}) and a shape ({', '.join(SHAPES)})"
        )
    seen = [name for name in CLASSES if name not in held]
    missing = {word for name in held for word in name.split()} - {word for name in seen for word in name.split()}
    if missing:
        raise ClassFeaturesError(f"no seen class is {' or '.join(sorted(missing))}; leave one of each to train on")
    return seen


def _labelled(images: dict[str, np.ndarray], names: list[str], rows: np.ndarray, part: slice) -> Labelled:
    """Return a part of the images of some classes."""
    chosen = [images[names[row]][part] for row in rows]
    return Labelled(np.concatenate(chosen), np.repeat(rows, [len(one) for one in chosen]))


def _scenes(wanted: dict[str, int], first_seed: int, max_objects: int) -> dict[str, list[Scene]]:
    """Draw near scenes until there are so many of each class, which is that of the first object."""
    found: dict[str, list[Scene]] = {name: [] for name in wanted}
    missing = sum(wanted.values())
    for number in count(first_seed):
        scene = near_scene(number, 1, max_objects)
        name = f"{scene.objects[0].colour} {scene.objects[0].shape}"
        if len(found.get(name, ())) < wanted.get(name, 0):
            found[name].append(scene)
            missing -= 1
        if not missing:
            return found
    raise AssertionError("count never ends")


@torch.no_grad()
def _features(scenes: dict[str, list[Scene]], segmenter: AttributeSegmenter, size: int) -> dict[str, np.ndarray]:
    """Return features (n, X) float32 of each class's scenes."""
    if not isinstance(segmenter.network, SmallSegmenter):
        raise ClassFeaturesError(
            f"the segmenter's network is a {type(segmenter.network).__name__}, expected a SmallSegmenter such as the "
            "shipped one"
        )
    segmenter.eval()
    rows = [scene for some in scenes.values() for scene in some]
    parts = []
    for first in range(0, len(rows), BATCH):
        pixels = render(rows[first : first + BATCH], size).image.permute(0, 3, 1, 2).float() / 127.5 - 1
        parts.append(object_features(segmenter, pixels))
    found = torch.cat(parts).numpy()
    ends = np.cumsum([len(some) for some in scenes.values()])[:-1]
    return dict(zip(scenes, np.split(found, ends), strict=True))


def object_features(segmenter: AttributeSegmenter, images: Tensor) -> Tensor:
    """Return what a small segmenter's three encoding layers see of the objects, (B, X), X the sum of their channels.

    Each map is averaged, cells weighed by how probable the segmenter finds an object there; ``images`` (B, 3, R, R) are
    in [-1, 1].
    """
    ground = segmenter(images).scores[:, GROUPS[-1].channels].softmax(1)[:, 1:]
    parts = []
    for maps in segmenter.network.features(segmenter.normalised(images)):
        weights = F.adaptive_avg_pool2d(ground, maps.shape[2:])
        weights = weights / weights.sum(dim=(2, 3), keepdim=True)
        parts.append((maps * weights).sum(dim=(2, 3)))
    return torch.cat(parts, dim=1)


def _texts(names: Sequence[str], number: int, max_objects: int, distractors: float, seed: int) -> list[str]:
    """Write each class's document: captions of its scenes, and of others until these have their share of the words."""
    first = TEXT_SEEDS + 100_000 * seed
    about = _scenes(dict.fromkeys(names, number), first, max_objects)
    others = count(OTHER_SEEDS + 100_000 * seed)
    texts = []
    for index, name in enumerate(names):
        draws = Draws(seed, index)
        sentences = [captions(scene, 1, draws.below(2**31))[0] for scene in about[name]]
        own = sum(len(sentence.split()) for sentence in sentences)
        foreign = 0
        while foreign < distractors * (own + foreign):
            sentence = captions(near_scene(next(others), 1, max_objects), 1, draws.below(2**31))[0]
            foreign += len(sentence.split())
            sentences.append(sentence)
        texts.append(". ".join(draws.shuffled(sentences)))
    return texts

"""Images before and after steps along concepts, and with units of a layer switched off in a region.

Shape letters: Z latents, D numbers in a latent, C units of a layer, h, w cells of its map, R pixels high and wide.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from common.text_files import TextError, read_text
from gan.directions.directions import DirectionError, shifted
from gan.directions.distillation import Vocabulary
from gan.directions.files import ALL
from gan.directions.subjects import Subjects, class_names, draw_images, draw_subjects
from gan.hooks import Edit, edited, layer_named, recorded, resize_mask
from gan.images import to_uint8
from gan.latents import latent_dim_of
from models.segmenter.network import AttributeSegmenter
from models.segmenter.objects import describe

TRIED_AT_ONCE, TRIED_BATCHES = 16, 80  # latents that are looked at for those of a class
KEPT = 64  # such searches that are remembered
Units = Mapping[str, Mapping[str, Sequence[int]]]


class Ablation(NamedTuple):
    """Switch units off where a region is."""

    layer: str
    units: list[int]
    region: Tensor  # (rows, columns) bool, of any resolution


class Mover:
    """Generate images and move them along the directions of words.

    Args:
        generator: in evaluation mode.
        vocabularies: by class, ``all`` among them.
        segmenter: parts latents of generators without classes by what their largest object is; None does not.

    Raises:
        DirectionError: the directions are another generator's.
    """

    def __init__(
        self,
        generator: nn.Module,
        vocabularies: Mapping[str, Vocabulary],
        segmenter: AttributeSegmenter | None = None,
    ) -> None:
        dim, own = latent_dim_of(generator), vocabularies[ALL].vectors.shape[1]
        if dim != own:
            raise DirectionError(
                f"the directions of words have {own} numbers and the generator's latents {dim}; take the vocabulary "
                "that was distilled for this generator"
            )
        self.generator, self.vocabularies, self.segmenter = generator, vocabularies, segmenter
        self.device = next(generator.parameters()).device
        self._of_class = functools.lru_cache(maxsize=KEPT)(self._drawn_of_class)

    @property
    def words(self) -> list[str]:
        """Return the words over all classes, the most frequent first."""
        return self.vocabularies[ALL].words

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes that :meth:`subjects` knows."""
        names = class_names(self.generator)
        if names or self.segmenter is None:
            return names
        return [name for name in self.segmenter.labels if name not in ("background", "foreground", "other shape")]

    def subjects(self, number: int, seed: int, of_class: str | int | None = None) -> Subjects:
        """Draw latents, of one class where it is named.

        Raises DirectionError where there is no such class, or too few of many latents show it.
        """
        if of_class is None or class_names(self.generator) or self.segmenter is None:
            return self._here(draw_subjects(self.generator, number, seed, of_class))
        if of_class not in self.classes:
            raise DirectionError(
                f"there is no class {of_class!r}; the generator has none, and the segmenter knows "
                f"{', '.join(self.classes)}"
            )
        return self._of_class(number, seed, of_class)

    def _drawn_of_class(self, number: int, seed: int, of_class: str) -> Subjects:
        """Draw latents whose largest object is of a class, as the segmenter sees it."""
        source, kept = torch.Generator().manual_seed(seed), []
        for _ in range(TRIED_BATCHES):
            latents = torch.randn(TRIED_AT_ONCE, latent_dim_of(self.generator), generator=source)
            images = draw_images(self.generator, self._here(Subjects(latents, None)))
            for latent, objects in zip(latents, describe(self.segmenter, images), strict=True):
                largest = max(objects, key=lambda item: item.share, default=None)
                if largest is not None and of_class in largest.attributes.values():
                    kept.append(latent)
            if len(kept) >= number:
                return self._here(Subjects(torch.stack(kept[:number]), None))
        raise DirectionError(
            f"only {len(kept)} of {TRIED_BATCHES * TRIED_AT_ONCE} latents show {of_class!r} as their largest object, "
            f"{number} asked for; ask for fewer or for another class"
        )

    def direction(self, words: Sequence[str], of_class: str | None = None) -> Tensor:
        """Return the sum (D,) of the unit vectors of words, those of the class where it has such words."""
        own = self.vocabularies.get(of_class or ALL, self.vocabularies[ALL])
        found = [(own if word in own.words else self.vocabularies[ALL]).direction(word) for word in words]
        return torch.stack([torch.nn.functional.normalize(one, dim=0) for one in found]).sum(dim=0).to(self.device)

    def images(
        self, subjects: Subjects, steps: Mapping[str, float], ablation: Ablation | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return images (Z, 3, R, R) before and after steps along words, in units of their unit vectors.

        Raises DirectionError for a word without direction; LayerNameError or MaskError where the ablation does not fit.
        """
        latents = subjects.latents
        for word, alpha in steps.items():
            latents = shifted(latents, self.vocabularies[ALL].direction(word).to(latents), alpha)
        before, moved = draw_images(self.generator, subjects), Subjects(latents, subjects.classes)
        if ablation is None or not ablation.units or not ablation.region.any():
            return before, draw_images(self.generator, moved)
        with edited(self.generator, {ablation.layer: self._edit(moved, ablation)}):
            return before, draw_images(self.generator, moved)

    def _edit(self, subjects: Subjects, ablation: Ablation) -> Edit:
        layer_named(self.generator, ablation.layer)
        with torch.no_grad(), recorded(self.generator, [ablation.layer]) as record:
            draw_images(self.generator, Subjects(*(one if one is None else one[:1] for one in subjects)))
        channels, rows, columns = record[ablation.layer].shape[1:]
        if max(ablation.units) >= channels:
            raise DirectionError(
                f"layer {ablation.layer!r} has {channels} units, 0 to {channels - 1}; found {max(ablation.units)}"
            )
        mask = torch.zeros(channels, rows, columns)
        mask[ablation.units] = resize_mask(ablation.region.float(), (rows, columns))
        return Edit(mask.to(self.device))

    def _here(self, subjects: Subjects) -> Subjects:
        return Subjects(*(None if one is None else one.to(self.device) for one in subjects))


def read_units(path: Path, generator: nn.Module) -> Units:
    """Read ``units.json`` of a dissection (``words_by_drawing/dissect.yaml``): units of each label, by layer.

    Raises DirectionError where the file is missing or holds something else, LayerNameError for other layers.
    """
    try:
        content = json.loads(read_text(path))
    except FileNotFoundError as error:
        raise DirectionError(f"there is no {path}: run words_by_drawing/dissect.yaml, or set units to null") from error
    except (ValueError, TextError, RecursionError) as error:
        raise DirectionError(f"{path} is not JSON ({error}); give units.json of a dissection") from error
    fits = isinstance(content, dict) and all(
        isinstance(labels, dict)
        and all(
            isinstance(units, list) and all(type(unit) is int and unit >= 0 for unit in units)
            for units in labels.values()
        )
        for labels in content.values()
    )
    if not fits or not content:
        raise DirectionError(f"{path} holds something else than units of each label by layer; give units.json")
    for layer in content:
        layer_named(generator, layer)
    return content


def pictures(images: Tensor) -> list:
    """Return images (Z, 3, R, R) as (R, R, 3) uint8 each."""
    return [to_uint8(image).numpy() for image in images]

"""Generate images, an image source: a caption names a row of the table of latents, a generator does the rest.

Shape letters: b pairs of this rank, R pixels high and wide.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from common.errors import UserError
from config.limits import Seed
from datasets.digests import digest, rows_digest
from datasets.spoken_captions.active_learning import ActivePair, ActivePairs, latent_ids, read_active, split_name
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import SpeechImageData
from gan.editing.regenerate import Positives, generate, regenerate
from gan.editing.regions import resized_region
from gan.editing.strategies import units_off
from gan.hooks import layer_named
from gan.images import encoder_input, to_uint8
from gan.latents import PUBLISHED_SEED, Latents, latent_dim_of

log = logging.getLogger(__name__)
LAYERS = "task.objective.negatives.layers"
BATCH = 16  # images generated together where some are kept: as quick as 32 on a core, and little is filled up


class GeneratedBatch(NamedTuple):
    """The images of a batch: edited ones where captions were collected for them (active learning)."""

    positives: Positives  # what the generator makes of the latents
    images: Tensor  # (b, 3, R, R) that the captions describe
    active: Tensor  # (b,) bool, where they are edited


class GeneratedImages:
    """Generates the images of datasets whose captions name rows of a table of latents.

    Args:
        generator: (B, latent_dim) to (B, 3, R, R); it is not trained.
        data: whose images will be asked for.
        device: device of the generator.
        latents: rows of the table, 200,000 as published; a caption beyond is an error. None: as many as the captions
            need and at most 200,000, with the same rows.
        seed: of the table, 1 as published.
        kept: images that are kept once generated, on the device (50 kB each at 64 pixels); others are generated anew
            each time. With any kept, all are generated in batches of one size, so that an image does not depend on
            which others are there already: a resumed run, which begins with none, gets the very same ones.

    Raises:
        UserError: a dataset reads image files, or a caption's name is no id.
        LatentError: a caption's id is beyond the table, or the generator has no ``latent_dim``.
    """

    def __init__(
        self,
        generator: nn.Module,
        data: SpeechImageData,
        device: torch.device,
        latents: PositiveInt | None = None,
        seed: Seed = PUBLISHED_SEED,
        kept: NonNegativeInt = 0,
    ) -> None:
        self.generator = generator.to(device).eval().requires_grad_(False)
        self.layers: list[str] = []
        self.device = device
        sets = [data.train_loader.dataset, *(loader.dataset for loader in data.loaders.values())]
        self.names = [name for dataset in sets for name in _names(dataset)]
        self.ids = latent_ids(self.names)
        self.latents = Latents.of_captions(
            self.ids, latent_dim_of(self.generator), latents, seed, "task.images.latents"
        )
        self.most_kept, self.kept = kept, {}
        self.shapes: dict[str, tuple[int, int, int]] = {}
        self.active = ActivePairs([], None, {})

    def edit(self, layers: Sequence[str], active_learning: Path | None = None) -> None:
        """Name the layers whose units will be switched off, and the selection whose images captions describe.

        Captions below ``active/`` describe edited images of the selection ``active_learning``, which has one layer. A
        UserError: more layers or another one, or units or cells that the layer does not have.
        """
        for name in layers:
            layer_named(self.generator, name)
        self.layers = list(layers)
        self.active = _active_pairs(active_learning, self.layers)
        if active_learning is not None:
            self._check_units(active_learning)
            _say_collected(active_learning, self.names, len(self.active.pairs))

    def check(self, _data: SpeechImageData) -> None:
        """Look whether every caption below ``active/`` has its edited image, or raise an ActiveLearningError."""
        for latent, name in zip(self.ids, self.names, strict=True):
            if split_name(name)[1]:
                self.active.find(latent)

    def prepared(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a training batch with its ``generated`` images, a :class:`GeneratedBatch`."""
        return {**batch, "generated": self.generate(batch)}

    def images(self, batch: Mapping[str, Any]) -> Tensor:
        """Return a batch's images (b, 3, R, R) normalised; generated unless they are there."""
        generated = batch["generated"] if "generated" in batch else self.generate(batch)
        return encoder_input(generated.images)

    def shown(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the first image of a prepared batch, (R, R, 3) uint8, by its published name."""
        return {"positive": to_uint8(batch["generated"].images[0]).numpy()}

    def generate(self, batch: Mapping[str, Any]) -> GeneratedBatch:
        """Generate the images of a batch from its ``latent`` ids (b,); ``active`` (b,) bool says which were edited."""
        ids = batch["latent"]
        positives = self._positives(ids)
        active = batch.get("active", torch.zeros_like(ids, dtype=torch.bool)).to(self.device)
        if not active.any():
            return GeneratedBatch(positives, positives.images, active)
        images = positives.images.clone()
        images[active] = self._collected(positives, active, ids)
        return GeneratedBatch(positives, images, active)

    def image(self, dataset: SpokenCaptions, row: int) -> Tensor:
        """Generate the image of one row of a dataset, (3, R, R) in about [-1, 1]."""
        name, active = split_name(dataset.record(row).uttid)
        return self.generate({"latent": torch.tensor([int(name)]), "active": torch.tensor([active])}).images[0]

    def image_u8(self, dataset: SpokenCaptions, row: int) -> np.ndarray:
        """Generate the image of one row of a dataset, (R, R, 3) uint8."""
        return to_uint8(self.image(dataset, row)).numpy()

    def image_ids(self, dataset: SpokenCaptions, rows: Sequence[int]) -> Tensor:
        """Return numbers of some rows' images (n,) int64: the latents' ids, and others for edited images."""
        names = [split_name(dataset.record(row).uttid) for row in rows]
        return torch.tensor([2 * int(latent) + active for latent, active in names])

    def _positives(self, ids: Tensor) -> Positives:
        """Generate the images of ids (b,), or take those that were kept."""
        latents, names = self.latents.take(ids).to(self.device), ids.tolist()
        if self.most_kept == 0:
            return generate(self.generator, latents, self.layers)
        found = {name: self.kept[name] for name in names if name in self.kept}
        new = {name: row for row, name in enumerate(names) if name not in found}
        if new:
            images = self._in_batches(latents[list(new.values())])
            found |= dict(zip(new, images, strict=True))
            free = max(0, self.most_kept - len(self.kept))
            self.kept |= {name: found[name].clone() for name in islice(new, free)}
        return Positives(latents, torch.stack([found[name] for name in names]), self.shapes)

    def _in_batches(self, latents: Tensor) -> Tensor:
        """Generate images (n, 3, R, R) in batches of one size, the last filled up with its last latent.

        Kernels differ with the size of a batch, and their results by rounding, but not with what else is in it.
        """
        images = []
        for part in latents.split(BATCH):
            filled = torch.cat([part, part[-1:].expand(BATCH - len(part), -1)])
            generated = generate(self.generator, filled, self.layers)
            self.shapes = generated.shapes
            images.append(generated.images[: len(part)])
        return torch.cat(images)

    def digests(self) -> dict[str, str]:
        """Return the digests of the generator and of the selection of active learning."""
        found = {"generator": _weights_digest(self.generator)}
        if self.active.pairs:
            arrays = (part for pair in self.active.pairs for part in pair[1:] if part is not None)
            edits = rows_digest((array.tobytes() for array in arrays), len(self.active.pairs))
            found["selection of active learning"] = edits
        return found

    def _collected(self, positives: Positives, active: Tensor, ids: Tensor) -> Tensor:
        """Generate the edited images that captions were collected for."""
        pairs = [self.active.find(int(latent)) for latent in ids[active.cpu()]]
        layer = self.layers[0]
        channels, *size = positives.shapes[layer]
        masks = torch.stack([_edited_cells(pair, tuple(size)) for pair in pairs]).to(self.device)
        units = torch.cat([units_off(torch.from_numpy(pair.units)[None], channels) for pair in pairs])
        chosen = Positives(positives.latents[active], positives.images[active], positives.shapes)
        return regenerate(self.generator, chosen, masks, {layer: units.to(self.device)})

    def _check_units(self, folder: Path) -> None:
        """Refuse a selection whose units or cells the layer has not: it was made with another generator."""
        layer = self.layers[0]
        channels, *size = generate(self.generator, self.latents.take([0]).to(self.device), [layer]).shapes[layer]
        for pair in self.active.pairs:
            beyond = [int(unit) for unit in pair.units if not 0 <= unit < channels]
            if beyond:
                raise UserError(
                    f"{folder}: the edit of latent {pair.latent} switches off unit {beyond[0]}, but {layer} of this "
                    f"generator has the units 0 to {channels - 1}; give the generator that the selection was made with"
                )
            if pair.cells is not None and pair.cells.shape != tuple(size):
                raise UserError(
                    f"{folder}: the edit of latent {pair.latent} is of a layer of {_grid(pair.cells.shape)} cells, but "
                    f"{layer} of this generator has {_grid(size)}; give the generator that the selection was made with"
                )


def _edited_cells(pair: ActivePair, size: tuple[int, int]) -> Tensor:
    """Return the region of an edit on a layer's grid, ``size`` bool.

    A published folder has it at the image's resolution only. If nothing would be left of it on the grid, the cell that
    holds most of it is edited, or else the image of the caption would be that of its negative.
    """
    if pair.cells is not None:
        return torch.from_numpy(pair.cells) > 0.5
    region = torch.from_numpy(pair.region)[None] > 0.5
    cells = resized_region(region, size)[0]
    if cells.any() or not region.any():
        return cells
    share = functional.adaptive_avg_pool2d(region.float(), size)[0]
    return functional.one_hot(share.argmax(), share.numel()).view(size).bool()


def _grid(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _names(dataset: SpokenCaptions) -> list[str]:
    """Return the captions of a dataset, which name latents."""
    if dataset.image is not None:
        raise UserError(
            "data: a dataset reads image files (image), but task.images generates the images; set image: null, or "
            "task.images: null to train on the files"
        )
    return [dataset.record(row).uttid for row in range(len(dataset))]


def _weights_digest(module: nn.Module) -> str:
    """Return a digest of a network's parameters and buffers and their names: ``weights with digest 0123456789ab``."""

    def parts() -> Iterator[bytes | str]:
        for name, value in sorted(module.state_dict().items()):
            yield name
            yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

    return f"weights with digest {digest(parts())}"


def _say_collected(selection: Path, names: Sequence[str], pairs: int) -> None:
    """Log how many of a selection's ``pairs`` have a caption among ``names``; without one nothing is swapped."""
    collected = sum(split_name(name)[1] for name in names)
    message = f"{collected} captions below active/ for the {pairs} edited images of {selection}"
    if collected:
        log.info("%s", message)
    else:
        log.warning("%s: training goes on as without the selection, apart from its clusters", message)


def _active_pairs(folder: Path | None, layers: Sequence[str]) -> ActivePairs:
    """Return the selection, one without pairs where there is no folder."""
    if folder is None:
        return ActivePairs([], None, {})
    selection = read_active(folder)
    if len(layers) != 1:
        raise UserError(f"{LAYERS} is {list(layers)}; active learning keeps the units of one layer: name only that one")
    if selection.layer is not None and selection.layer != layers[0]:
        raise UserError(
            f"{folder} holds edits of {selection.layer}, but {LAYERS} is {list(layers)}; set it to [{selection.layer}]"
        )
    return selection

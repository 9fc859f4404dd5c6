"""Train the localiser that scores drawn images: which objects are there, and where.

Maluuba/GeNeVA ``scripts/train_object_detector_localizer.py``: weighted cross-entropies whose classes count by inverse
frequency, squared errors of the coordinates, images of noise and empty scenes without objects, the best weights by F1.
``python run.py -f lattegan/localizer_world.yaml`` trains a small one on the embedded world.

Shape letters: b images of this rank, K classes, C coordinates, R pixels.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

import losses
from common import distributed
from common.errors import UserError
from config import Deferred, Problem
from config.limits import Chance, Weight
from datasets.dialogue.dataset import Turns
from datasets.dialogue.records import SIZE, to_bytes
from datasets.dialogue.splits import DialogueData
from datasets.loading.skipped import merge_skipped
from engine.context import Context
from engine.init_from import read_checkpoint
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.object_scores import Objects, confusion, scores_of_images
from evaluation.report.localizer import LocatedImage, write_localizer_report
from models.object_localizer import ObjectLocalizer, PointsTrunk, save_localizer
from tasks.checks import Node, plan_errors

SHOWN = 24  # images in the report
SKIPPED = "skipped.csv"
MIRRORED = 0.5  # share of the images that are turned left to right
Network = Annotated[Callable[..., ObjectLocalizer], Deferred("num_objects", "num_coords")]


class LocalizerTraining:
    """Trains a localiser on single images.

    Args:
        localizer: what is trained.
        optimization: of all its parameters.
        data: given by main.
        device: given by main.
        length: given by main.
        positive_weight: of objects that are there, in the cross-entropy (``pos-weight``).
        location_weight: of the squared errors; 0.0128 is the published one for batches of 128.
        point_weight: of the cross-entropy of the cell that an object is in, of its class's map; needs a PointsTrunk.
        noise: images without objects for each training image (``noise-fraction``).
        empty: share of these that show the empty scene, the others are noise (``bg-fraction-within-noise``).
        mirror: turn each training image left to right by chance, its locations too.
        folder: given by main; the run folder.

    Raises:
        UserError: the data have no empty scene to show, or the trunk has no maps of the classes.
    """

    metric = "f1"
    metrics = (metric, "precision", "recall", "jaccard", "rsim")
    module_names = ("localizer",)
    shown_metrics = ("f1", "precision", "recall", "rsim", "location_error")

    def __init__(
        self,
        localizer: Network,
        optimization: Optimization,
        data: DialogueData,
        device: torch.device,
        length: Length,
        positive_weight: Weight = 2.0,
        location_weight: Weight = 0.0128,
        point_weight: Weight = 0.0,
        noise: Chance = 0.0,
        empty: Chance = 0.0,
        mirror: bool = False,
        folder: RunFolder | None = None,
    ) -> None:
        self.localizer = localizer(num_objects=data.num_objects, num_coords=data.num_coords).to(device)
        self.data, self.device, self.folder = data, device, folder
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        self.positive_weight, self.location_weight = positive_weight, location_weight
        self.noise, self.empty, self.point_weight, self.mirror = noise, empty, point_weight, mirror
        trunk = self.localizer.trunk
        if point_weight and (not isinstance(trunk, PointsTrunk) or trunk.features < data.num_objects):
            raise UserError(
                f"task.point_weight is {point_weight}, but the trunk is a {type(trunk).__name__} of {trunk.features} "
                f"features: expected a PointsTrunk of at least {data.num_objects}, or 0"
            )
        dialogues = data.train_loader.dataset.dialogues
        if noise * empty > 0 and dialogues.single:
            raise UserError(
                f"task.empty is {empty}, but data.train, {dialogues.path}, has single images and no background: give "
                "the file of dialogues, or 0"
            )
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        self.modules: dict[str, nn.Module] = {"localizer": self.localizer}
        optimizer, schedule = optimization.start([self.localizer], self.steps_per_epoch, length)
        self.optimizers = {"localizer": optimizer}
        self.schedulers = {} if schedule is None else {"localizer": schedule}
        self.class_weights = class_weights(dialogues.object_counts()).to(device)

    @staticmethod
    def validate_with_siblings(
        data: Node, optimization: Node | None = None, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from plan_errors(
            LocalizerTraining.module_names, LocalizerTraining.metrics, data, trainer, launch, optimization
        )

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split."""
        return self.data.digests()

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def batches(self, epoch: int, start: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.train_loader.batches(epoch, start)

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Lower the errors of detections and locations."""
        images, there, truth = (batch[name].to(self.device) for name in ("image", "objects", "locations"))
        images = in_unit(images)
        if self.mirror:
            images, truth = self._mirrored(images, truth, there, step)
        blank = self._without_objects(len(images), step)
        readings = self.localizer(torch.cat((images, blank)))
        there = torch.cat((there, there.new_zeros(len(blank), there.shape[1])))
        detection = losses.object_detection(readings.logits.float(), there, self.class_weights, self.positive_weight)
        location = losses.object_location(readings.locations[: len(images)].float(), truth, there[: len(images)])
        parts = {"detection": detection, "location": self.location_weight * location}
        if self.point_weight:
            points = losses.object_points(readings.maps[: len(images)].float(), truth, there[: len(images)])
            parts["points"] = self.point_weight * points
        total = sum(parts.values())
        step.update("localizer", total, parts=parts)
        return {"loss": total, **parts, "location": location}

    def _mirrored(self, images: Tensor, truth: Tensor, there: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Turn half of the images left to right, the same whatever the number of ranks; 0 stays where nothing is."""
        count, world = len(images), distributed.world_size()
        chosen = torch.rand(count * world, generator=step.generator) < MIRRORED
        chosen = chosen[distributed.rank() * count :][:count].to(self.device)
        turned = truth.clone()
        turned[..., 0] = (1 - truth[..., 0]) * there
        return (
            torch.where(chosen[:, None, None, None], images.flip(3), images),
            torch.where(chosen[:, None, None], turned, truth),
        )

    def _without_objects(self, count: int, step: Step) -> Tensor:
        """Return images (n, 3, R, R) of noise and the empty scene, the same whatever the number of ranks."""
        wanted, world = round(self.noise * count), distributed.world_size()
        size = self.data.train_loader.dataset.resolution
        if not wanted:
            return torch.zeros(0, 3, size, size, device=self.device)
        share = slice(distributed.rank() * wanted, (distributed.rank() + 1) * wanted)
        images = torch.rand(wanted * world, 3, size, size, generator=step.generator)[share].to(self.device)
        empty = (torch.rand(wanted * world, generator=step.generator) < self.empty)[share].to(self.device)
        scene = in_unit(self.data.train_loader.dataset.background.to(self.device))
        return torch.where(empty[:, None, None, None], scene, images)

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics over the validation images, or over their first ``limit`` batches."""
        return self._metrics(*self.read("validation", limit))

    @torch.no_grad()
    def read(self, split: str, limit: int | None = None) -> tuple[Objects, Objects]:
        """Return what the localiser finds in a split's images and what is there; the same on every rank."""
        self.localizer.eval()
        found, truth = [], []
        for number, batch in enumerate(self.data.loaders[split].batches(0)):
            readings = self.localizer(in_unit(batch["image"].to(self.device)))
            found.append((readings.probabilities.cpu().numpy(), readings.locations.cpu().numpy()))
            truth.append((batch["objects"].numpy(), batch["locations"].numpy()))
            if number + 1 == limit:
                break
        gathered = distributed.gather_objects((found, truth))
        return tuple(  # type: ignore[return-value]
            Objects(*(np.concatenate([part[i] for rank in gathered for part in rank[side]]) for i in (0, 1)))
            for side in (0, 1)
        )

    def _metrics(self, found: Objects, truth: Objects) -> dict[str, float]:
        """Return F1, precision and recall over all decisions, as published, and means over images."""
        both, first, second = (float(part.sum()) for part in (found.there & truth.there, found.there, truth.there))
        by_image = scores_of_images(found, truth)
        errors = np.abs(found.locations - truth.locations)[truth.there][:, :2]
        return {
            "f1": 2 * both / max(first + second, 1),
            "precision": both / max(first, 1),
            "recall": both / max(second, 1),
            "jaccard": float(by_image["jaccard"].mean()),
            "rsim": float(by_image["rsim"].mean()),
            "location_error": float(errors.mean() * SIZE) if len(errors) else 0.0,
        }

    def examples(self) -> list[Example]:
        """Return three validation images."""
        batch = next(iter(self.data.loaders["validation"].batches(0)))
        return [Example(image, None, "an image") for image in to_bytes(batch["image"][:3])]

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Read the held-out images; write the page with examples, and the weights with how they were made."""
        split = self.data.report_split
        found, truth = self.read(split)
        skipped = [row for rows in distributed.gather_objects(self.data.skipped) for row in rows]
        metrics = self._metrics(found, truth)
        if not distributed.is_main():
            return {}
        merge_skipped(folder.path / SKIPPED, skipped)
        dataset: Turns = self.data.loaders[split].dataset
        write_localizer_report(
            folder.path / "report.html",
            title=f"{context.run_name}: objects in {len(found.probabilities)} held-out images",
            metrics=metrics,
            classes=dataset.dialogues.classes,
            confusion=confusion(found, truth),
            examples=self._examples(split),
            curves={n: p for n, p in folder.curves().items() if n.startswith(("train/loss", "validation/"))},
            config_yaml=context.config_text,
        )
        about: dict[str, Any] = {"made_by": f"python run.py -f {context.name}.yaml", "seed": context.values.get("seed")}
        if folder.best.exists():
            about["images_seen"] = read_checkpoint(folder.path)[1]["step"] * self.batch_size
        about |= {"data": context.values["data"], "test": {name: round(value, 4) for name, value in metrics.items()}}
        save_localizer(self.localizer, folder.path / "localizer.safetensors", dataset.dialogues.classes, about)
        return metrics

    @torch.no_grad()
    def _examples(self, split: str) -> list[LocatedImage]:
        batch = next(iter(self.data.loaders[split].batches(0)))
        images = batch["image"][:SHOWN]
        readings = self.localizer(in_unit(images.to(self.device)))
        return [
            LocatedImage(image, found.cpu().numpy() > 0.5, places.cpu().numpy(), there.numpy() > 0, truth.numpy())
            for image, found, places, there, truth in zip(
                to_bytes(images), readings.probabilities, readings.locations, batch["objects"], batch["locations"],
                strict=False,
            )
        ]  # fmt: skip


def class_weights(counts: np.ndarray) -> Tensor:
    """Return weights (K,) float32 inverse to how often a class occurs, of sum 1; one that never does counts as once."""
    weights = 1.0 / np.maximum(counts, 1)
    return torch.from_numpy((weights / weights.sum()).astype(np.float32))


def in_unit(images: Tensor) -> Tensor:
    """Return images in [-1, 1) as the localiser takes them, in 0-1: pixels / 255."""
    return (images + 1) * (128 / 255)

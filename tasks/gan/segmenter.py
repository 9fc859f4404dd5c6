"""Train a segmenter of CLEVR attributes on renders of the world with their attribute maps.

The paper "Learning Words by Drawing Images" (CVPR 2019) uses such a network to describe and to judge GAN samples. The
published one comes without its training; here each of the five groups of labels has its own cross-entropy (attributes
on objects only), and the deep head counts 0.4 as where that architecture comes from (arXiv:1612.01105, 3.2).
``python run.py -f gan/segmenter_world.yaml`` makes the one that is shipped, ``gan/segmenter_resnet50.yaml`` the
published architecture.

Shape letters: b images of this rank, H, W pixels.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common import distributed
from config import Problem
from config.limits import Weight
from datasets.world.attribute_images import AttributeImages, LabelledImages, SegmentationData
from engine.context import Context
from engine.init_from import read_checkpoint
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.frechet import to_uint8
from evaluation.report.segmentation import Overlay, write_segmentation_report
from evaluation.segmentation import LabelCounts
from models.segmenter.file import save_segmenter
from models.segmenter.labels import ATTRIBUTE_GROUPS, GROUPS, attribute_labels
from models.segmenter.network import AttributeSegmenter
from tasks.checks import Node, plan_errors

SHOWN = 24  # images in the report


def attribute_cross_entropy(scores: Tensor, numbers: Tensor) -> dict[str, Tensor]:
    """Return the cross-entropy of each group of labels by name, of logits (b, 18, H, W).

    ``numbers`` (b, 5, H, W) are true labels, counted from 1 in each group and 0 on the background. Each is the mean
    over the pixels that have such a label: objects' pixels, or all for the ground. The attributes' losses are zero for
    a batch that shows no object.
    """
    found = {}
    for row, group in enumerate(ATTRIBUTE_GROUPS):
        target = numbers[:, row] - 1  # -1 on the background
        total = F.cross_entropy(scores[:, group.channels], target, ignore_index=-1, reduction="sum")
        found[group.name] = total / (target >= 0).sum().clamp(min=1)
    found[GROUPS[-1].name] = F.cross_entropy(scores[:, GROUPS[-1].channels], numbers[:, -1])
    return found


class SegmenterTraining:
    """Trains an attribute segmenter.

    Args:
        segmenter: what is trained.
        optimization: of all its parameters.
        data: given by main.
        device: given by main.
        length: given by main.
        deep_weight: of the deep head's loss, where the network has one.
    """

    metric = "mean_iou"
    metrics = ("object_accuracy", metric, *(f"{what}_{group.name}" for group in GROUPS for what in ("accuracy", "iou")))
    module_names = ("segmenter",)
    shown_metrics = ("object_accuracy", "accuracy_shape", "accuracy_colour", "iou_ground", "mean_iou")

    def __init__(
        self,
        segmenter: AttributeSegmenter,
        optimization: Optimization,
        data: SegmentationData,
        device: torch.device,
        length: Length,
        deep_weight: Weight = 0.4,
    ) -> None:
        self.segmenter = segmenter.to(device)
        self.data, self.device, self.deep_weight = data, device, deep_weight
        self.batch_size = data.batch_size
        self.steps_per_epoch = data.steps_per_epoch
        self.modules: dict[str, nn.Module] = {"segmenter": self.segmenter}
        optimizer, schedule = optimization.start([self.segmenter], self.steps_per_epoch, length)
        self.optimizers = {"segmenter": optimizer}
        self.schedulers = {} if schedule is None else {"segmenter": schedule}

    def learns_from(self) -> dict[str, str]:
        """Return nothing: the images are rendered as the config says, which a run keeps."""
        return {}

    @staticmethod
    def validate_with_siblings(
        data: Node, optimization: Node | None = None, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from plan_errors(
            SegmenterTraining.module_names, SegmenterTraining.metrics, data, trainer, launch, optimization
        )

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def batches(self, epoch: int, start: int) -> Iterator[LabelledImages]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.batches(epoch, start)

    def train_step(self, batch: LabelledImages, step: Step) -> dict[str, Tensor | float]:
        """Lower the cross-entropy of every group, and of the deep head."""
        batch = batch.to(self.device)
        scores, deep = self.segmenter(batch.images)
        numbers = self._at(batch.numbers, scores)
        values = attribute_cross_entropy(scores.float(), numbers)
        total = torch.stack(list(values.values())).sum()
        if deep is not None:
            values["deep"] = torch.stack(list(attribute_cross_entropy(deep.float(), numbers).values())).sum()
            total = total + self.deep_weight * values["deep"]
        step.update("segmenter", total, parts=values)
        return {"loss": total, **{f"cross_entropy_{name}": value for name, value in values.items()}}

    @staticmethod
    def _at(numbers: Tensor, scores: Tensor) -> Tensor:
        """Bring labels to the size of the scores."""
        if numbers.shape[2:] == scores.shape[2:]:
            return numbers
        return F.interpolate(numbers.float(), scores.shape[2:], mode="nearest-exact").long()

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics over the validation renders, or over their first ``limit`` batches."""
        return self.count(self.data.validation, limit).metrics()

    @torch.no_grad()
    def count(self, dataset: AttributeImages, limit: int | None = None) -> LabelCounts:
        """Count the labels of a set, each rank its share of at most ``limit`` batches; the same on every rank."""
        counts = LabelCounts()
        for batch in self.data.evaluation_batches(dataset, limit):
            images, numbers = batch.to(self.device)
            scores = self.segmenter(images).scores
            counts.add(attribute_labels(scores), self._at(numbers, scores))
        everyones = LabelCounts()
        for other in distributed.gather_objects(counts):
            everyones.merge(other)
        return everyones

    def examples(self) -> list[Example]:
        """Return three validation renders."""
        images = self.data.validation.take(torch.arange(min(3, len(self.data.validation)))).images
        return [Example(image, None, "a render") for image in _shown(images)]

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Evaluate the test renders; write the page with overlays, and the weights with how they were made."""
        counts = self.count(self.data.test)
        metrics = counts.metrics()
        if not distributed.is_main():
            return {}
        write_segmentation_report(
            folder.path / "report.html",
            title=f"{context.run_name}: attributes in {len(self.data.test)} held-out renders",
            metrics=metrics,
            by_label=counts.by_label(),
            overlays=self._overlays(),
            curves={n: p for n, p in folder.curves().items() if n.startswith(("train/loss", "validation/"))},
            config_yaml=context.config_text,
        )
        self._write_weights(folder, context, metrics)
        return metrics

    @torch.no_grad()
    def _overlays(self) -> list[Overlay]:
        batch = self.data.test.take(torch.arange(min(SHOWN, len(self.data.test)))).to(self.device)
        scores = torch.cat([self.segmenter(part).scores for part in batch.images.split(8)])
        found, truth = attribute_labels(scores).cpu(), self._at(batch.numbers, scores).cpu()
        triples = zip(_shown(batch.images), found.numpy(), truth.numpy(), strict=True)
        return [Overlay(*triple) for triple in triples]

    def _write_weights(self, folder: RunFolder, context: Context, metrics: dict[str, float]) -> None:
        """Write ``segmenter.safetensors`` and ``.json``, which `models.segmenter.file.load_segmenter` reads."""
        about: dict[str, Any] = {"made_by": f"python run.py -f {context.name}.yaml", "seed": context.values.get("seed")}
        if folder.best.exists():
            about["images_seen"] = read_checkpoint(folder.path)[1]["step"] * self.batch_size
        about["data"] = context.values["data"]
        about["test"] = {"renders": len(self.data.test)} | {name: round(value, 4) for name, value in metrics.items()}
        save_segmenter(self.segmenter, folder.path / "segmenter.safetensors", about)


def _shown(images: Tensor) -> np.ndarray:
    """Return images (b, 3, H, W) in [-1, 1] as pixels to show, (b, H, W, 3) uint8."""
    return to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()

"""Train the classifier that judges concepts beside the segmenter: ``python run.py -f visual_vocab/judge.yaml``.

It learns which labels an image shows from renders of the world, without label maps, by binary cross-entropy. Shape
letters: b images of this rank, L labels, H, W pixels.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common import distributed
from config import Problem
from datasets.world.attribute_images import AttributeImages, LabelledImages, SegmentationData
from engine.context import Context
from engine.init_from import read_checkpoint
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.report.retrieval import Report, write_report
from gan.images import to_uint8
from models.presence import PresenceClassifier, save_classifier
from models.segmenter.labels import ATTRIBUTE_GROUPS
from tasks.checks import Node, plan_errors

SMALLEST = 0.005  # of the image's pixels, as of objects that a segmenter finds
FILE = "judge.safetensors"


def present(numbers: Tensor) -> Tensor:
    """Return which labels (b, L) float of 0 and 1 an image shows, of its true labels (b, 5, H, W) counted from 1."""
    least = SMALLEST * numbers.shape[2] * numbers.shape[3]
    shown = [
        ((numbers[:, row] == number).sum(dim=(1, 2)) >= least)
        for row, group in enumerate(ATTRIBUTE_GROUPS)
        for number in range(1, len(group.labels) + 1)
    ]
    return torch.stack(shown, dim=1).float()


class JudgeTraining:
    """Trains a classifier of what images show.

    Args:
        classifier: what is trained.
        optimization: of all its parameters.
        data: given by main.
        device: given by main.
        length: given by main.
    """

    metric = "accuracy"
    metrics = (metric, *(f"accuracy_{group.name}" for group in ATTRIBUTE_GROUPS))
    module_names = ("classifier",)
    shown_metrics = metrics

    def __init__(
        self,
        classifier: PresenceClassifier,
        optimization: Optimization,
        data: SegmentationData,
        device: torch.device,
        length: Length,
    ) -> None:
        self.classifier = classifier.to(device)
        self.data, self.device = data, device
        self.batch_size, self.steps_per_epoch = data.batch_size, data.steps_per_epoch
        self.modules: dict[str, nn.Module] = {"classifier": self.classifier}
        optimizer, schedule = optimization.start([self.classifier], self.steps_per_epoch, length)
        self.optimizers = {"classifier": optimizer}
        self.schedulers = {} if schedule is None else {"classifier": schedule}

    def learns_from(self) -> dict[str, str]:
        """Return nothing: the images are rendered as the config says, which a run keeps."""
        return {}

    @staticmethod
    def validate_with_siblings(
        data: Node, optimization: Node | None = None, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from plan_errors(JudgeTraining.module_names, JudgeTraining.metrics, data, trainer, launch, optimization)

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def batches(self, epoch: int, start: int) -> Iterator[LabelledImages]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.batches(epoch, start)

    def train_step(self, batch: LabelledImages, step: Step) -> dict[str, Tensor | float]:
        """Lower the binary cross-entropy of the labels."""
        images, numbers = batch.to(self.device)
        loss = F.binary_cross_entropy_with_logits(self.classifier(images).float(), present(numbers))
        step.update("classifier", loss)
        return {"loss": loss}

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics over the validation renders, or over their first ``limit`` batches."""
        return self.measure(self.data.validation, limit)

    @torch.no_grad()
    def measure(self, dataset: AttributeImages, limit: int | None = None) -> dict[str, float]:
        """Return the share of right answers, present or not, over all labels and over those of each kind."""
        right = [
            (self.classifier(images) > 0).float() == present(numbers)
            for images, numbers in (batch.to(self.device) for batch in self.data.evaluation_batches(dataset, limit))
        ]
        every = torch.cat([part.cpu() for one in distributed.gather_objects(right) for part in one]).float()
        found = {self.metric: every.mean().item()}
        return found | {f"accuracy_{group.name}": every[:, group.channels].mean().item() for group in ATTRIBUTE_GROUPS}

    def examples(self) -> list[Example]:
        """Return three validation renders."""
        images = self.data.validation.take(torch.arange(min(3, len(self.data.validation)))).images
        return [Example(to_uint8(image).numpy(), None, "a render") for image in images]

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Evaluate the test renders; write the page, and the weights with how they were made."""
        metrics = self.measure(self.data.test)
        if not distributed.is_main():
            return {}
        title = f"{context.run_name}: labels of {len(self.data.test)} held-out renders"
        curves = {name: points for name, points in folder.curves().items() if name.startswith(("train/loss", "valid"))}
        write_report(
            folder.path / "report.html",
            Report(title=title, metrics=metrics, curves=curves, config_yaml=context.config_text),
        )
        about: dict[str, Any] = {"made_by": f"python run.py -f {context.name}.yaml", "data": context.values["data"]}
        if folder.best.exists():
            about["images_seen"] = read_checkpoint(folder.path)[1]["step"] * self.batch_size
        about["test"] = {name: round(value, 4) for name, value in metrics.items()}
        save_classifier(self.classifier, folder.path / FILE, about)
        return metrics

"""Train a classifier of images with classes, an independent judge of generators that are asked for a class.

It learns from real images alone, spoiled as generated ones may be (datasets/world/render/artefacts.py).
``python run.py -f gan/classifier_world.yaml`` trains one on renders in minutes. Shape letters: b images of this rank, S
pixels, K classes.
"""

from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common import distributed
from config import Deferred, Problem
from config.limits import Weight
from datasets.class_images.dataset import ClassBatch, ClassImages
from datasets.world.render.artefacts import like_generated
from engine.context import Context
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Example, Step
from tasks.checks import Node, plan_errors
from tasks.gan.class_networks import CLASSIFIER, describe, write_description
from tasks.gan.sheets import class_examples

AT_ONCE = 100  # images that are judged together


class ClassifierTraining:
    """Trains a classifier.

    Args:
        classifier: images to logits.
        optimization: of all its parameters.
        data: given by main.
        device: given by main.
        length: given by main.
        artefacts: strength of what spoils training images, 0 (nothing) to 1.
        folder: given by main; the run folder.
    """

    metric = "accuracy"
    metrics = (metric, "worst_class_accuracy")
    module_names = (CLASSIFIER,)
    shown_metrics = metrics

    def __init__(
        self,
        classifier: Annotated[Callable[..., nn.Module], Deferred("num_classes")],
        optimization: Optimization,
        data: ClassImages,
        device: torch.device,
        length: Length,
        artefacts: Weight = 1.0,
        folder: RunFolder | None = None,
    ) -> None:
        self.classifier = classifier(num_classes=data.num_classes).to(device, memory_format=torch.channels_last)
        self.data, self.device, self.folder, self.artefacts = data, device, folder, artefacts
        self.batch_size = data.batch_size
        self.steps_per_epoch = len(data.train) // data.batch_size
        self.modules: dict[str, nn.Module] = {CLASSIFIER: self.classifier}
        optimizer, schedule = optimization.start([self.classifier], self.steps_per_epoch, length)
        self.optimizers = {CLASSIFIER: optimizer}
        self.schedulers = {} if schedule is None else {CLASSIFIER: schedule}
        node = classifier.node(num_classes=data.num_classes)
        self.description = describe({CLASSIFIER: node}, data.class_names, data.size)

    @staticmethod
    def validate_with_siblings(
        data: Node, optimization: Node | None = None, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        names, metrics = ClassifierTraining.module_names, ClassifierTraining.metrics
        yield from plan_errors(names, metrics, data, trainer, launch, optimization)

    def begin_epoch(self, epoch: int) -> None:  # noqa: ARG002
        """Write the description of the network beside its checkpoints."""
        if self.folder is not None and distributed.is_main():
            write_description(self.folder.path, self.description)

    def batches(self, epoch: int, start: int) -> Iterator[ClassBatch]:
        """Yield this rank's training batches from position ``start`` on."""
        first = epoch * self.steps_per_epoch
        for number in range(first + start, first + self.steps_per_epoch):
            yield self.data.batch(number)

    def train_step(self, batch: ClassBatch, step: Step) -> dict[str, Tensor | float]:
        """Lower the cross-entropy of spoiled images."""
        images = batch.images.float() / 127.5 - 1
        if self.artefacts:
            draws = torch.Generator().manual_seed(step.generator.initial_seed() + distributed.rank())
            nothing = torch.zeros(len(images), 1, *images.shape[2:], dtype=torch.uint8)
            images, _ = like_generated(images, nothing, draws, self.artefacts)
        logits = self.classifier(images.to(self.device, memory_format=torch.channels_last))
        classes = batch.classes.to(self.device)
        loss = F.cross_entropy(logits.float(), classes)
        step.update(CLASSIFIER, loss)
        return {"loss": loss, "train_accuracy": (logits.argmax(dim=1) == classes).float().mean()}

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the images."""
        return self.data.digests()

    @torch.no_grad()
    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the share of validation images whose class is told, over all and of the worst class."""
        found, truth = [], []
        for batch in self.data.validation_batches(AT_ONCE, limit):
            images = batch.images.to(self.device).float() / 127.5 - 1
            found.append(self.classifier(images).argmax(dim=1).cpu())
            truth.append(batch.classes)
        right = (torch.cat(found) == torch.cat(truth)).double().numpy()
        classes = torch.cat(truth).numpy()
        by_class = [right[classes == number].mean() for number in np.unique(classes)]
        return {"accuracy": float(right.mean()), "worst_class_accuracy": float(min(by_class))}

    def examples(self) -> list[Example]:
        """Return three validation images with their classes."""
        return class_examples(self.data)

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:  # noqa: ARG002
        """Evaluate the validation images."""
        return self.evaluate()

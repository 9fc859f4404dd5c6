"""Recognise images of classes that were never trained on by a noisy document of each.

"A Generative Adversarial Approach for Zero-Shot Learning from Noisy Texts" (CVPR 2018, arXiv:1712.01381), the paper
behind AttnGAN's noise-reducing text encoding (models/tfidf_captions.py). A generator makes image features of a class's
document; a discriminator judges them and names their class. The layer that reads the documents carries a penalty by
which whole words go silent. As EthanZhu90/ZSL_GAN ``train_CUB.py``.
``python run.py -f attngan/zero_shot_world.yaml`` trains on the embedded world, ``attngan/zero_shot_cub.yaml`` on birds.

Shape letters: B global batch, b batch of this rank, X feature size, S seen classes.
"""

import csv
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from common import distributed
from common.files import write_whole
from config import Deferred, Problem
from config.limits import Chance, Count, Weight
from datasets.class_features.dataset import ClassFeatures, HeldOut
from engine.context import Context
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.report.zero_shot import write_zero_shot_report
from evaluation.zero_shot import (
    NEIGHBOURS,
    SeenUnseen,
    accuracy,
    class_accuracy,
    harmonic_mean,
    nearest_classes,
    seen_unseen_curve,
)
from losses import gradient_penalty, group_lasso, visual_pivot, wasserstein_discriminator, wasserstein_generator
from models.feature_gan import FeatureDiscriminator, FeatureGenerator
from models.tfidf_captions import WordNorms, word_norms
from tasks.checks import Node, plan_errors

log = logging.getLogger(__name__)

Optimise = Annotated[Callable[..., Optimizer], Deferred("params")]
Batch = list[tuple[Tensor, Tensor]]  # features (b, X) and classes (b,) of each update of a step
NOISE_SEED = 0  # of the generated features that evaluations compare with: the same each time
OF_GENERATED = 0.5  # weight of the generated features' cross-entropy in the generator's loss, as published


@dataclass(frozen=True)
class ZeroShotWeights:
    """Weights of the losses, as published for CUB-200-2011 and NABirds.

    Attributes:
        penalty: of the discriminator's gradient penalty.
        pivot: of the distance between the means of generated and real features of a class.
        squares: of the sum of squares of the generator's weights.
        lasso: of the L2,1 norm of the layer that reads documents, which silences words.
    """

    penalty: Weight = 10.0
    pivot: Weight = 1.0
    squares: Weight = 1e-3
    lasso: Weight = 1e-4


@dataclass(frozen=True)
class ZeroShotMeasure:
    """Measurement of a generator by the features that it makes.

    Attributes:
        samples: features generated of each class.
        neighbours: generated features that vote for an image's class.
        silent: words whose column of the reducing layer has at most this share of the largest column's norm are called
            silenced.
    """

    samples: Annotated[int, Field(gt=0, le=100_000)] = 60
    neighbours: Count = NEIGHBOURS
    silent: Chance = 0.01


class ZeroShot:
    """Trains a generator of image features from documents against a discriminator.

    Args:
        generator: see :class:`models.feature_gan.FeatureGenerator`.
        discriminator: see :class:`models.feature_gan.FeatureDiscriminator`.
        generator_optimizer: of the generator's parameters.
        discriminator_optimizer: of the discriminator's.
        weights: of the losses.
        measure: measurement of the generator.
        discriminator_steps: updates of the discriminator before each of the generator.
        steps_per_epoch: updates of the generator that count as an epoch, after which the trainer may evaluate.
        data: given by main.
        device: given by main.
    """

    metric = "accuracy"
    metrics = (metric, "class_accuracy", "area_under_curve", "harmonic_mean")
    module_names = ("generator", "discriminator")
    shown_metrics = ("accuracy", "chance", "area_under_curve")

    def __init__(
        self,
        generator: Annotated[Callable[..., FeatureGenerator], Deferred("text_dim", "feature_dim")],
        discriminator: Annotated[Callable[..., FeatureDiscriminator], Deferred("classes", "feature_dim")],
        generator_optimizer: Optimise,
        discriminator_optimizer: Optimise,
        data: ClassFeatures,
        device: torch.device,
        weights: ZeroShotWeights = ZeroShotWeights(),
        measure: ZeroShotMeasure = ZeroShotMeasure(),
        discriminator_steps: Count = 5,
        steps_per_epoch: Count = 40,
    ) -> None:
        content = data.content
        self.data, self.device, self.weights, self.measure = data, device, weights, measure
        self.generator = generator(text_dim=data.text_dim, feature_dim=data.feature_dim).to(device)
        self.discriminator = discriminator(classes=content.seen_count, feature_dim=data.feature_dim).to(device)
        self.discriminator_steps, self.steps_per_epoch = discriminator_steps, steps_per_epoch
        self.batch_size = data.batch_size
        self.documents = torch.from_numpy(content.documents).to(device)
        self.pivots = torch.from_numpy(content.pivots()).to(device)
        self.modules = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimizers = {
            "generator": generator_optimizer(params=list(self.generator.parameters())),
            "discriminator": discriminator_optimizer(params=list(self.discriminator.parameters())),
        }
        self.schedulers: dict[str, Any] = {}
        if content.validation is None:
            log.warning(
                "%s has no validation classes, so the best weights are chosen on the test classes, as published",
                content.source,
            )

    @staticmethod
    def validate_with_siblings(
        data: Node, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from plan_errors(ZeroShot.module_names, ZeroShot.metrics, data, trainer, launch)

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes from epoch to epoch."""

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield this rank's features and classes of every update of a step, the generator's last."""
        updates = self.discriminator_steps + 1
        first = epoch * self.steps_per_epoch
        for step in range(first + start, first + self.steps_per_epoch):
            yield [self.data.batch(number) for number in range(step * updates, (step + 1) * updates)]

    def train_step(self, batch: Batch, step: Step) -> dict[str, Tensor | float]:
        """Improve the discriminator several times, then the generator once against it, each on features of its own."""
        batch = [(features.to(self.device), classes.to(self.device)) for features, classes in batch]
        values: dict[str, Tensor | float] = {}
        for features, classes in batch[:-1]:
            values = self._update_discriminator(features, classes, step)
        return values | self._update_generator(*batch[-1], step)

    def _update_discriminator(self, real: Tensor, classes: Tensor, step: Step) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.generator(self._noise(step), self.documents[classes])
        of_real, of_fake = self.discriminator(real), self.discriminator(fake)

        def critic(features: Tensor) -> Tensor:
            return self.discriminator(features).real

        terms = {
            "wasserstein": wasserstein_discriminator(of_real.real, of_fake.real, drift=0.0),
            "classes_real": F.cross_entropy(of_real.classes, classes),
            "classes_generated": F.cross_entropy(of_fake.classes, classes),
            "penalty": self.weights.penalty * gradient_penalty(critic, real, fake, self._mix(step)),
        }
        loss = torch.stack(list(terms.values())).sum()
        step.update("discriminator", loss, parts=terms)
        named = {f"discriminator_{name}": value for name, value in terms.items()}
        right = (of_real.classes.argmax(dim=1) == classes).float().mean()
        return {"discriminator": loss, **named, "class_accuracy_real": right}

    def _update_generator(self, real: Tensor, classes: Tensor, step: Step) -> dict[str, Tensor]:  # noqa: ARG002
        """Make one update; of the real features only the classes matter to it."""
        made = self.generator(self._noise(step), self.documents[classes])
        answers = self.discriminator(made)
        everyones = [distributed.gather_rows(rows) for rows in (made, classes)]
        reading = self.generator.reduce
        squares = sum(value.square().sum() for name, value in self.generator.named_parameters() if "weight" in name)
        terms = {
            "wasserstein": wasserstein_generator(answers.real),
            "classes": OF_GENERATED * F.cross_entropy(answers.classes, classes),
            "pivot": self.weights.pivot * visual_pivot(*everyones, self.pivots),
            "squares": self.weights.squares * squares,
        }
        if reading is not None:
            terms["lasso"] = self.weights.lasso * group_lasso(reading.weight)
        loss = torch.stack(list(terms.values())).sum()
        step.update("generator", loss, parts=terms)
        named = {f"generator_{name}": value for name, value in terms.items()}
        right = (answers.classes.argmax(dim=1) == classes).float().mean()
        return {"generator": loss, **named, "class_accuracy_generated": right}

    def _noise(self, step: Step) -> Tensor:
        """Draw this rank's part (b, Z) of a global batch's noise."""
        return self._share(torch.randn(self.batch_size, self.generator.noise_dim, generator=step.generator))

    def _mix(self, step: Step) -> Tensor:
        """Draw this rank's part (b,) of the shares of generated features in the penalty's points."""
        return self._share(torch.rand(self.batch_size, generator=step.generator))

    def _share(self, rows: Tensor) -> Tensor:
        share = self.batch_size // self.data.world_size
        return rows[self.data.rank * share :][:share].to(self.device)

    # -- evaluation ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(self, classes: np.ndarray) -> np.ndarray:
        """Return generated features (k, samples, X) of k classes, rows of the documents; each time the same noise."""
        draws = torch.Generator().manual_seed(NOISE_SEED)
        made = []
        for row in classes:
            noise = torch.randn(self.measure.samples, self.generator.noise_dim, generator=draws).to(self.device)
            made.append(self.generator(noise, self.documents[int(row)].expand(len(noise), -1)).float().cpu().numpy())
        return np.stack(made)

    def measured(self, held: HeldOut, limit: int | None = None) -> tuple[dict[str, float], SeenUnseen]:
        """Return the metrics of held-out images, of at most ``limit`` batches of each kind, and the curve."""
        content, most = self.data.content, None if limit is None else limit * self.batch_size
        rows = np.concatenate([np.arange(content.seen_count), held.classes])
        generated = self.generate(rows)
        names = np.repeat(rows, self.measure.samples)
        flat = generated.reshape(len(names), -1)
        novel = names >= content.seen_count
        features, classes = (part[:most] for part in held.unseen)
        answers = nearest_classes(features, flat[novel], names[novel], self.measure.neighbours)
        metrics = {
            "accuracy": accuracy(answers, classes),
            "class_accuracy": class_accuracy(answers, classes),
            "chance": 1 / len(held.classes),
        }
        seen, seen_classes = (part[:most] for part in held.seen or content.train)
        index = np.full(len(content.documents), -1)
        index[rows] = np.arange(len(rows))
        is_unseen = rows >= content.seen_count
        curve = seen_unseen_curve(
            seen, index[seen_classes], features, index[classes], generated.mean(axis=1), is_unseen
        )
        metrics["area_under_curve"] = curve.area
        if held.seen is not None:
            everywhere = [
                class_accuracy(nearest_classes(images, flat, names, self.measure.neighbours), truth)
                for images, truth in ((seen, seen_classes), (features, classes))
            ]
            metrics |= {"seen_among_all": everywhere[0], "unseen_among_all": everywhere[1]}
            metrics["harmonic_mean"] = harmonic_mean(*everywhere)
        return metrics, curve

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics of the validation classes, or of the test classes where there are none."""
        held = self.data.content.validation or self.data.content.test
        found = self.measured(held, limit)[0] if distributed.is_main() else None
        return distributed.gather_objects(found)[0]

    def words(self) -> WordNorms | None:
        """Return the words that the reducing layer lets pass, and those that it silenced; None without that layer."""
        if self.generator.reduce is None:
            return None
        named = self.data.content.words or [f"column {number}" for number in range(self.data.text_dim)]
        return word_norms(self.generator.reduce.weight, named, self.measure.silent)

    def examples(self) -> list[Example]:
        """Return nothing: features cannot be shown."""
        return []

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the training images and of the documents."""
        return self.data.digests()

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Measure the test classes; write the page, ``seen_unseen.csv`` and ``words.csv``."""
        if not distributed.is_main():
            return {}
        metrics, curve = self.measured(self.data.content.test)
        norms = self.words()
        if norms is not None:
            metrics |= {"words_silenced": float(len(norms.silenced)), "words": float(self.data.text_dim)}
            rows = [
                (word, f"{share:.6g}", int(word in norms.silenced)) for part in norms for word, share in part.items()
            ]
            write_whole(folder.path / "words.csv", _table(("word", "relative_norm", "silenced"), rows))
        rows = [[f"{value:.6g}" for value in row] for row in zip(*curve, strict=True)]
        write_whole(folder.path / "seen_unseen.csv", _table(SeenUnseen._fields, rows))
        unseen = [self.data.content.names[row] for row in self.data.content.test.classes]
        write_zero_shot_report(
            folder.path / "report.html",
            title=f"{context.run_name}: images of {len(unseen)} classes that were never trained on",
            metrics=metrics,
            curve=curve,
            kept={} if norms is None else norms.kept,
            silenced={} if norms is None else norms.silenced,
            curves={n: p for n, p in folder.curves().items() if n.startswith(("train/", "validation/"))},
            config_yaml=context.config_text,
        )
        return metrics


def _table(head: tuple[str, ...], rows: list[Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()

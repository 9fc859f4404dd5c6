"""Train a generator of the next image of a dialogue, from single turns; whole dialogues are drawn to evaluate it.

LatteGAN, arXiv:2112.13985 (smatsumori/LatteGAN ``src/modules/propv1/model_scain.py``). The instructions' embeddings are
made before (``tasks/lattegan/tirg.py``, ``embed.py``). ``python run.py -f lattegan/exp170.yaml`` has the published
settings on i-CLEVR.

Shape letters: B turns of the global batch, b of this rank, K classes of objects, C coordinates, R height and width of
the images, Z size of the noise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from common import distributed
from common.errors import UserError
from common.files import write_whole
from config import Deferred, Problem
from config.limits import Weight
from datasets.dialogue.dataset import Dialogues, Turns
from datasets.dialogue.generated_folder import write_scene
from datasets.dialogue.records import to_bytes
from datasets.dialogue.splits import DialogueData
from datasets.loading.skipped import merge_skipped
from datasets.media_files import encode_image
from engine.context import Context
from engine.run_folder import RunFolder
from engine.seeding import step_generator
from engine.task import Example, Step
from evaluation.object_scores import SCORES, Objects, scores_of_images, summarise
from evaluation.report.dialogues import DrawnDialogue, dialogue_sheet, dialogues_html
from evaluation.report.localizer import scores_table
from evaluation.report.retrieval import Report, write_report
from gan.lattegan.generator import GeneratedTurn, ImageEncoder, MultiScaleImageEncoder
from gan.lattegan.layers import Instructions
from gan.lattegan.objectives import LatteganHinge, SeenTurns
from gan.lattegan.rollout import Drawn, Networks, RollOuts, roll_out
from models.object_localizer import ObjectLocalizer
from tasks.checks import Node, plan_errors
from tasks.results import last_start

IMAGE, GENERATOR, DISCRIMINATOR = "image_encoder", "generator", "discriminator"
SHOWN = 8  # dialogues in a sheet and in the report
SKIPPED = "skipped.csv"
DISTANCE, F1 = "negative_image_distance", "f1_all_labels"
AGAINST = ("detector", "labels")
Optimise = Annotated[Callable[..., Optimizer], Deferred("params")]
Generator = Annotated[Callable[..., nn.Module], Deferred("text_dim")]
Discriminator = Annotated[Callable[..., nn.Module], Deferred("text_dim", "num_objects")]


class DrawnRow(NamedTuple):
    """One drawn dialogue of L turns beside the true one."""

    row: int
    drawn: Drawn
    truth: Tensor  # (L, 3, R, R)
    objects: np.ndarray  # (L, K) 0 and 1
    locations: np.ndarray  # (L, K, C)


@dataclass
class _Measured:
    """Numbers of the drawn dialogues, row by row, so that their order does not depend on the number of ranks."""

    rows: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    def merged(self, name: str) -> np.ndarray:
        return np.concatenate([self.rows[row][name] for row in sorted(self.rows)])


class Lattegan:
    """Trains an image encoder and a generator against a discriminator, which compare an image with the previous one.

    Args:
        image_encoder: previous images to maps.
        generator: noise, instructions and maps to images.
        discriminator: previous images, images and instructions to logits.
        generator_optimizer: of the generator's and the image encoder's parameters.
        discriminator_optimizer: of the discriminator's.
        data: given by main; turns to learn from and dialogues to draw, with embeddings.
        device: given by main.
        objective: losses of both players.
        rollouts: drawing of dialogues.
        image_noise: uniform noise up to this is added to both true images of a turn; 1/64 as published.
        localizer: reads drawn images, for the scores by objects; None leaves these out.
        folder: given by main; the run folder.

    Raises:
        UserError: networks, localiser and data do not fit one another.
    """

    metrics = (
        DISTANCE,
        *(f"{score}_{turns}_{who}" for score in SCORES for turns in ("all", "last") for who in AGAINST),
    )
    module_names = (IMAGE, GENERATOR, DISCRIMINATOR)
    settles = (IMAGE, GENERATOR)

    def __init__(
        self,
        image_encoder: ImageEncoder | MultiScaleImageEncoder,
        generator: Generator,
        discriminator: Discriminator,
        generator_optimizer: Optimise,
        discriminator_optimizer: Optimise,
        data: DialogueData,
        device: torch.device,
        objective: LatteganHinge = LatteganHinge(),  # noqa: B008  never changed
        rollouts: RollOuts = RollOuts(),  # noqa: B008  never changed
        image_noise: Weight = 1 / 64,
        localizer: ObjectLocalizer | None = None,
        folder: RunFolder | None = None,
    ) -> None:
        self.data, self.device, self.folder = data, device, folder
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        self.objective, self.rollouts, self.image_noise = objective, rollouts, image_noise
        text_dim = data.text_dim
        self.networks = Networks(
            image_encoder.to(device),
            generator(text_dim=text_dim).to(device),
            discriminator(text_dim=text_dim, num_objects=data.num_objects).to(device),
        )
        self.localizer = None if localizer is None else localizer.to(device).eval().requires_grad_(False)
        self._check()
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        self.modules: dict[str, nn.Module] = dict(zip(self.module_names, self.networks, strict=True))
        drawing = [*self.networks.image_encoder.parameters(), *self.networks.generator.parameters()]
        self.optimizers = {
            GENERATOR: generator_optimizer(params=drawing),
            DISCRIMINATOR: discriminator_optimizer(params=list(self.networks.discriminator.parameters())),
        }
        self.schedulers: dict[str, Any] = {}
        self.metric = DISTANCE if localizer is None else F1
        self.shown_metrics = (
            ("image_distance",) if localizer is None else ("f1_all_labels", "rsim_all_labels", "image_distance")
        )

    @staticmethod
    def validate_with_siblings(
        data: Node, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from _few_turns(data.get("batch_size", 2))
        yield from plan_errors(Lattegan.module_names, Lattegan.metrics, data, trainer, launch)

    def _check(self) -> None:
        """Refuse data of other kinds, images of another resolution, and a localiser of other classes."""
        loaders = {"train": self.data.train_loader, **self.data.loaders}
        for split, loader in loaders.items():
            expected = Turns if split == "train" else Dialogues
            if not isinstance(loader.dataset, expected):
                raise UserError(
                    f"data.{split} is {type(loader.dataset).__name__}, expected {expected.__name__}: single turns are "
                    "learned from, whole dialogues are drawn"
                )
            for name in (GENERATOR, DISCRIMINATOR):
                size = getattr(self.networks, name).resolution
                if loader.dataset.resolution != size:
                    raise UserError(
                        f"task.{name} is for images of {size} pixels, data.{split} has {loader.dataset.resolution}"
                    )
        wide, expected_dim = self.networks.image_encoder.image_dim, self.networks.generator.image_dim
        if wide != expected_dim:
            raise UserError(
                f"task.image_encoder makes maps of {wide} channels, task.generator takes {expected_dim}: give the same "
                "image_dim"
            )
        if self.localizer is not None:
            found = self.localizer.num_objects, self.localizer.num_coords
            expected_sizes = self.data.num_objects, self.data.num_coords
            if found != expected_sizes:
                raise UserError(
                    f"task.localizer knows {found[0]} classes with {found[1]} coordinates, the data have "
                    f"{expected_sizes[0]} with {expected_sizes[1]}: give the localiser of this data set"
                )

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def batches(self, epoch: int, start: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.train_loader.batches(epoch, start)

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split."""
        return self.data.digests()

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Generate once; improve the discriminator on these images, then the generator against it."""
        turns = self._turns(batch, step)
        sizes = self.networks.generator.noise_dim, self.networks.generator.condition_dim
        noise, variation = (self._draw(len(turns.real), (size,), step, torch.randn) for size in sizes)
        maps = self.networks.image_encoder(turns.previous)
        made = self.networks.generator(noise, turns.instructions, maps, variation)
        step.settle(IMAGE, turns.previous)
        step.settle(GENERATOR, noise, turns.instructions, maps, variation)
        parts = self.objective.discriminator(self.networks.discriminator, turns, made.images.detach())
        step.update(DISCRIMINATOR, sum(parts.values()), parts=parts)
        values: dict[str, Tensor | float] = {f"discriminator_{name}": value for name, value in parts.items()}
        parts = self.objective.generator(self.networks.discriminator, turns, made)
        loss = sum(parts.values())
        step.update(GENERATOR, loss, parts=parts)
        if step.wants_images:
            self._show(turns, made, step)
        return {"loss": loss, **{f"generator_{name}": value for name, value in parts.items()}, **values}

    def _turns(self, batch: dict[str, Any], step: Step) -> SeenTurns:
        """Return the turns of a batch with noise on both images, and the instruction before each, in a circle."""
        previous, real = (
            images + self.image_noise * self._draw(len(images), tuple(images.shape[1:]), step, torch.rand)
            for images in (batch[name].to(self.device) for name in ("previous", "image"))
        )
        own = Instructions(*(batch[name].to(self.device) for name in ("sentence", "words", "nwords")))
        first = distributed.rank() * len(real)
        wrong = [torch.roll(distributed.gather_rows(part), 1, 0)[first : first + len(real)] for part in own]
        return SeenTurns(previous, real, own, Instructions(*wrong), batch["added"].to(self.device))

    def _draw(self, count: int, shape: tuple[int, ...], step: Step, draw: Callable[..., Tensor]) -> Tensor:
        """Draw numbers (b, *shape), the same whatever the number of ranks."""
        everyones = draw(count * distributed.world_size(), *shape, generator=step.generator)
        return everyones[distributed.rank() * count :][:count].to(self.device)

    def _show(self, turns: SeenTurns, made: GeneratedTurn, step: Step) -> None:
        """Show the first turns: previous, true and generated images, and the gate."""
        rows = [
            torch.cat(list(part[:SHOWN].detach().cpu()), dim=2) for part in (turns.previous, turns.real, made.images)
        ]
        step.show("previous, true and generated images", to_bytes(torch.cat(rows, dim=1)))
        if made.gate is not None:
            gate = torch.cat(list(made.gate[:SHOWN].detach().float().mean(dim=1).cpu()), dim=1)
            step.show("gates, bright where nothing changes", to_bytes((2 * gate - 1).expand(3, -1, -1)))

    # -- evaluation ----------------------------------------------------------------------------------------------

    def draw(self, split: str, limit: int | None = None) -> Iterator[DrawnRow]:
        """Draw this rank's dialogues of a split, or of its first ``limit`` batches."""
        for network in self.networks:
            network.eval()
        loader = self.data.loaders[split]
        background = loader.dataset.background.to(self.device)
        for number, batch in enumerate(loader.batches(0)):
            turns = Instructions(*(batch[name].to(self.device) for name in ("sentences", "words", "nwords")))
            rows, lengths = batch["index"].tolist(), batch["nturns"].tolist()
            draws = [step_generator(self.rollouts.seed, row) for row in rows]
            drawn = roll_out(self.networks, background, turns, batch["nturns"], draws, self.rollouts)
            for at, (row, length, one) in enumerate(zip(rows, lengths, drawn, strict=True)):
                truth, objects, locations = (batch[name][at, :length] for name in ("images", "objects", "locations"))
                yield DrawnRow(row, one, truth, objects.numpy(), locations.numpy())
            if number + 1 == limit:
                return

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics over the validation dialogues; leave a sheet of them in the run folder."""
        shown: list[DrawnRow] = []
        metrics = self.measure(self._watched(self.draw("validation", limit), shown))
        if self.folder is not None and limit is None and distributed.is_main():
            folder = self.folder.path / "samples"
            sheet = dialogue_sheet([self._dialogue("validation", row) for row in shown])
            write_whole(folder / f"samples_{len(list(folder.glob('*.png'))):04d}.png", encode_image(sheet, "png"))
        return metrics

    def _watched(self, drawn: Iterator[DrawnRow], shown: list[DrawnRow]) -> Iterator[DrawnRow]:
        """Keep the first dialogues that go by."""
        for one in drawn:
            if len(shown) < SHOWN:
                shown.append(one)
            yield one

    def measure(self, drawn: Iterator[DrawnRow]) -> dict[str, float]:
        """Return the scores of drawn dialogues of all ranks, the same on every rank.

        ``image_distance`` is the mean absolute difference of all turns' pixels in [-1, 1]; with a localiser, the six
        scores of all and of last turns against its reading of the true images and against the true labels.
        """
        own = _Measured()
        for one in drawn:
            made = one.drawn.images.float().cpu()
            values = {
                "distance": (made - one.truth).abs().mean(dim=(1, 2, 3)).double().numpy(),
                "last": np.arange(len(made)) == len(made) - 1,
                "there": one.objects.astype(np.float64),
                "locations": one.locations,
            }
            if self.localizer is not None:
                for name, images in (("made", one.drawn.images), ("true", one.truth)):
                    found = self._read(images)
                    values |= {f"{name}_there": found[0], f"{name}_locations": found[1]}
            own.rows[one.row] = values
        everyones = _Measured()
        for rows in distributed.gather_objects(own.rows):
            everyones.rows |= rows
        distance = float(everyones.merged("distance").mean())
        metrics = {"image_distance": distance, DISTANCE: -distance}
        if self.localizer is None:
            return metrics
        made, true = (
            Objects(everyones.merged(f"{name}_there"), everyones.merged(f"{name}_locations"))
            for name in ("made", "true")
        )
        labels = Objects(everyones.merged("there"), everyones.merged("locations"))
        for who, other in zip(AGAINST, (true, labels), strict=True):
            scores = summarise(scores_of_images(made, other), everyones.merged("last"))
            metrics |= {f"{name}_{who}": value for name, value in scores.items()}
        return metrics

    @torch.no_grad()
    def _read(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return what the localiser finds in images (L, 3, R, R) as they would be stored."""
        stored = torch.from_numpy(to_bytes(images)).movedim(-1, 1).to(self.device).float() / 255
        found = self.localizer(stored)
        return found.probabilities.cpu().numpy(), found.locations.cpu().numpy()

    def _dialogue(self, split: str, one: DrawnRow) -> DrawnDialogue:
        texts = self.data.loaders[split].dataset.dialogue(one.row).texts
        gates = None if one.drawn.gates is None else one.drawn.gates.float().cpu().numpy()
        return DrawnDialogue(texts, to_bytes(one.truth), to_bytes(one.drawn.images), gates)

    def look_at_held_out(self) -> None:
        """Read what evaluation and report will read, as far as that takes seconds; SampleError where it is broken."""
        self.data.look_at_held_out()

    def examples(self) -> list[Example]:
        """Return the last images of the first three validation dialogues, with their instructions."""
        dataset = self.data.loaders["validation"].dataset
        dialogues = [dataset.dialogue(row) for row in range(min(3, len(dataset)))]
        return [Example(one.images[-1], None, " / ".join(one.texts)) for one in dialogues]

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Draw the held-out dialogues into ``images_<split>``, score them and write the page.

        The folder has the published layout, which ``lattegan/score.yaml`` reads.
        """
        split = self.data.report_split
        shown: list[DrawnRow] = []
        metrics = self.measure(self._watched(self._written(split, folder), shown))
        skipped = [row for rows in distributed.gather_objects(self.data.skipped) for row in rows]
        if not distributed.is_main():
            return {}
        merge_skipped(folder.path / SKIPPED, skipped)
        dialogues = [self._dialogue(split, row) for row in shown]
        write_whole(folder.path / "dialogues.png", encode_image(dialogue_sheet(dialogues), "png"))
        sections = [("Dialogues", dialogues_html(dialogues))]
        if self.localizer is not None:
            sections.insert(0, ("Six scores", scores_table(metrics, SCORES, ("all", "last"), AGAINST)))
        report = Report(
            title=f"{context.run_name}: dialogues drawn turn by turn",
            metrics=metrics,
            sections=sections,
            curves={
                name: points for name, points in folder.curves().items() if name.startswith(("train/loss", "valid"))
            },
            config_yaml=context.config_text,
            info={"config": context.name, **last_start(folder)},
        )
        write_report(folder.path / "report.html", report)
        return metrics

    def _written(self, split: str, folder: RunFolder) -> Iterator[DrawnRow]:
        """Write the dialogues that are drawn."""
        dataset = self.data.loaders[split].dataset
        for one in self.draw(split):
            stored = dataset.dialogue(one.row)
            images = to_bytes(one.drawn.images)
            write_scene(folder.path / f"images_{split}", stored.scene_id, images, to_bytes(one.truth), stored.texts)
            yield one


def _few_turns(size: int) -> Iterator[Problem]:
    """Yield the error of batches without a wrong pair."""
    if isinstance(size, int) and size < 2:
        yield (
            "data.batch_size",
            f"found {size}, expected at least 2: a turn needs another turn's instruction to be wrong",
        )

"""Dialogues drawn turn by turn to evaluate what draws them: metrics, sheets, the page; for LatteGAN and GeNeVA-GAN."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from common import distributed
from common.errors import UserError
from common.files import write_whole
from datasets.dialogue.dataset import Dialogues, Turns
from datasets.dialogue.generated_folder import write_scene
from datasets.dialogue.records import to_bytes
from datasets.dialogue.splits import DialogueData
from datasets.loading.skipped import merge_skipped
from datasets.media_files import encode_image
from engine.context import Context
from engine.run_folder import RunFolder
from engine.seeding import step_generator
from engine.task import Example
from evaluation.object_scores import SCORES, Objects, scores_of_images, summarise, summarise_turns
from evaluation.report.dialogues import DrawnDialogue, dialogue_sheet, dialogues_html
from evaluation.report.localizer import scores_table
from evaluation.report.retrieval import Report, write_report
from gan.lattegan.layers import Instructions
from gan.lattegan.rollout import Drawn, Networks, RollOuts, roll_out
from models.object_localizer import ObjectLocalizer
from tasks.results import last_start

SHOWN = 8  # dialogues in a sheet and in the report
SKIPPED = "skipped.csv"
DISTANCE, F1 = "negative_image_distance", "f1_all_labels"
AGAINST = ("detector", "labels")
METRICS = (
    DISTANCE,
    *(f"{score}_{turns}_{who}" for score in SCORES for turns in ("all", "last") for who in AGAINST),
)
"""Those that may choose the best weights."""


LEARNED = {Turns: "single turns", Dialogues: "whole dialogues"}


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


class DialogueDrawing:
    """Draws the held-out dialogues of a training and measures them.

    Args:
        data: whose validation and test rows are whole dialogues.
        networks: on ``device``.
        turns: returns what the generator is told at each turn of a batch, on ``device``.
        rollouts: number of candidates and noise.
        device: of the networks.
        localizer: reads drawn images, for the scores by objects; None leaves these out.
        folder: run folder.
        readers: further networks that ``turns`` uses.
        learns_from: dataset that the training rows must be of.

    Attributes:
        metric: chooses the best weights unless the config says otherwise.
        shown_metrics: of the console's line.

    Raises:
        UserError: networks, localiser and data do not fit one another.
    """

    def __init__(
        self,
        data: DialogueData,
        networks: Networks,
        turns: Callable[[dict[str, Any]], Instructions | Tensor],
        rollouts: RollOuts,
        device: torch.device,
        localizer: ObjectLocalizer | None,
        folder: RunFolder | None,
        learns_from: type,
        readers: Sequence[nn.Module] = (),
    ) -> None:
        self.data, self.networks, self.turns, self.rollouts = data, networks, turns, rollouts
        self.device, self.folder, self.switched = device, folder, (*networks, *readers)
        self.localizer = None if localizer is None else localizer.to(device).eval().requires_grad_(False)
        self._check(learns_from)
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        self.metric = DISTANCE if localizer is None else F1
        self.shown_metrics = (
            ("image_distance",) if localizer is None else ("f1_all_labels", "rsim_all_labels", "image_distance")
        )

    def _check(self, learns_from: type) -> None:
        """Refuse data of other kinds, images of another resolution, and a localiser of other classes."""
        loaders = {"train": self.data.train_loader, **self.data.loaders}
        for split, loader in loaders.items():
            expected = learns_from if split == "train" else Dialogues
            if not isinstance(loader.dataset, expected):
                raise UserError(
                    f"data.{split} is {type(loader.dataset).__name__}, expected {expected.__name__}: "
                    f"{LEARNED[learns_from]} are learned from, whole dialogues are drawn"
                )
            for name in ("generator", "discriminator"):
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

    def draw(self, split: str, limit: int | None = None) -> Iterator[DrawnRow]:
        """Draw this rank's dialogues of a split, or of its first ``limit`` batches."""
        for network in self.switched:
            network.eval()
        loader = self.data.loaders[split]
        background = loader.dataset.background.to(self.device)
        for number, batch in enumerate(loader.batches(0)):
            rows, lengths = batch["index"].tolist(), batch["nturns"].tolist()
            draws = [step_generator(self.rollouts.seed, row) for row in rows]
            drawn = roll_out(self.networks, background, self.turns(batch), batch["nturns"], draws, self.rollouts)
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
        scores of all and of last turns against its reading of the true images and against the true labels; F1 and
        RSIM of each turn too, as ``rsim_turn_1_labels``.
        """
        own = _Measured()
        for one in drawn:
            made = one.drawn.images.float().cpu()
            values = {
                "distance": (made - one.truth).abs().mean(dim=(1, 2, 3)).double().numpy(),
                "last": np.arange(len(made)) == len(made) - 1,
                "turn": np.arange(len(made)),
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
            by_image = scores_of_images(made, other)
            of_turns = {name: by_image[name] for name in ("f1", "rsim")}
            scores = summarise(by_image, everyones.merged("last"))
            scores |= summarise_turns(of_turns, everyones.merged("turn"))
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

"""Train an encoder of instructions before anything is drawn: compose the last image's map and an instruction (TIRG).

smatsumori/LatteGAN ``src/scripts/pretrain_tirg.py`` (arXiv:2112.13985, arXiv:1812.07119): a frozen network's map of
the next image is to be found. ``python run.py -f lattegan/tirg_iclevr.yaml`` has the published settings (exp095);
embeddings of every instruction follow with ``lattegan/embed.yaml``. Differs from the public code: the validation turns
choose the best weights, not the test turns; the head of the text's detection is trained too; the number of classes is
the data's.

Shape letters: b turns of this rank, C channels of a map, D size of the text's embeddings, K classes of objects.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

import losses
from common import distributed
from common.errors import UserError
from config import Deferred, Problem
from config.limits import Count, Weight
from datasets.dialogue.readers import check_fits
from datasets.dialogue.records import to_bytes
from datasets.dialogue.splits import DialogueData
from datasets.loading.skipped import merge_skipped
from engine.context import Context
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.report.dialogues import gates_html
from evaluation.report.retrieval import Report, write_report
from evaluation.report.similarity_plots import densities, figure_html, joint
from models.spoken_instruction_encoders import InstructionEncoder
from models.tirg import Composed, FrozenResnet18, LocalizerTrunk
from tasks.checks import Node, plan_errors
from tasks.results import last_start

SKIPPED = "skipped.csv"
SHOWN = 8  # turns whose gates are shown
TINY = 1e-16  # of maps that do not differ
Network = Annotated[Callable[..., nn.Module], Deferred("image_dim", "text_dim", "num_objects")]


@dataclass(frozen=True)
class TirgWeights:
    """Weights of the terms beside the distance.

    Attributes:
        gate: of the gate's cross-entropy with where the maps differ (``gate_loss_gamma``).
        text_detection: of the added objects read off the sentence (``text_detection_gamma``).
        gate_detection: of those read off the gate (``gate_detection_gamma``).
    """

    gate: Weight = 0.0
    text_detection: Weight = 0.0
    gate_detection: Weight = 0.0


class TirgTraining:
    """Trains an encoder of instructions and the network that composes.

    Args:
        encoder: of instructions, as the data's reader of texts makes them.
        network: composes maps and instructions.
        trunk: frozen, images to the maps that are to be found.
        optimizer: of all parameters that are trained.
        text_lr: learning rate of the encoder, which then has no weight decay (``lr_bert``); the optimiser's when None.
        data: given by main.
        device: given by main.
        distance: ``l1`` between maps, or ``ranking`` of pooled maps (``loss_type``).
        margin: of the ranking.
        others: rows of the batch that each row meets in the ranking (``k``).
        weights: of the other terms.
        folder: given by main; the run folder.

    Raises:
        UserError: the data have no reader of texts, or one for another encoder.
    """

    metric = "negative_distance"
    metrics = (metric, "recall_at_1", "recall_at_10", "f1_text", "f1_gate")
    module_names = ("text", "network", "detector")
    shown_metrics = ("distance", "still_distance", "recall_at_1", "f1_text", "f1_gate")

    def __init__(
        self,
        encoder: InstructionEncoder,
        network: Network,
        trunk: FrozenResnet18 | LocalizerTrunk,
        optimizer: Annotated[Callable[..., Optimizer], Deferred("params")],
        data: DialogueData,
        device: torch.device,
        text_lr: Annotated[float, Field(ge=0, le=100)] | None = None,
        distance: Literal["l1", "ranking"] = "l1",
        margin: Weight = 0.3,
        others: Count = 1,
        weights: TirgWeights = TirgWeights(),
        folder: RunFolder | None = None,
    ) -> None:
        self.data, self.device, self.folder = data, device, folder
        if folder is not None:
            data.keep_skipped(folder.path / SKIPPED)
            data.train_loader.note_small_set()
        check_fits(data.train_loader.dataset.texts, encoder.inputs, "data.train")
        self.distance, self.margin, self.others, self.weights = distance, margin, others, weights
        self.encoder, self.trunk = encoder.to(device), trunk.to(device).eval()
        self.network = network(image_dim=trunk.channels, text_dim=encoder.text_dim, num_objects=data.num_objects).to(
            device
        )
        self.detector = nn.Linear(encoder.text_dim, data.num_objects).to(device)
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        self.modules: dict[str, nn.Module] = {"text": encoder, "network": self.network, "detector": self.detector}
        heads = [*self.network.parameters(), *self.detector.parameters()]
        text: dict[str, Any] = {"params": list(encoder.parameters())}
        if text_lr is not None:
            text |= {"lr": text_lr, "weight_decay": 0.0}
        self.optimizers = {"all": optimizer(params=[{"params": heads}, text])}
        self.schedulers: dict[str, Any] = {}

    @staticmethod
    def validate_with_siblings(
        data: Node, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from plan_errors(TirgTraining.module_names, TirgTraining.metrics, data, trainer, launch)

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split."""
        return self.data.digests()

    def begin_epoch(self, epoch: int) -> None:
        """Nothing changes between epochs."""

    def batches(self, epoch: int, start: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches from position ``start`` on."""
        return self.data.train_loader.batches(epoch, start)

    def compose(self, batch: dict[str, Any]) -> tuple[Composed, Tensor, Tensor, Tensor]:
        """Return what is composed, the maps before and after (b, C, H, W), and logits of added objects (b, K)."""
        told = self.encoder(*(batch[name].to(self.device) for name in self.encoder.inputs))
        before, after = (self.trunk(batch[name].to(self.device)) for name in ("previous", "image"))
        made = self.network(before, told.sentences, told.memory, told.ignored)
        return made, before, after, self.detector(told.sentences)

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Bring the composed maps nearer to those of the next images."""
        made, before, after, detected = self.compose(batch)
        added = batch["added"].to(self.device)
        parts = {"distance": self._distance(made.maps, after)}
        if self.weights.gate:
            still = still_share(before, after, channels=made.gate.shape[1] > 1, over_ranks=True)
            parts["gate"] = self.weights.gate * F.binary_cross_entropy(made.gate, still)
        if self.weights.text_detection:
            loss = F.binary_cross_entropy_with_logits(detected, added)
            parts["text_detection"] = self.weights.text_detection * loss
        if self.weights.gate_detection:
            loss = F.binary_cross_entropy_with_logits(made.objects, added)
            parts["gate_detection"] = self.weights.gate_detection * loss
        total = torch.stack(list(parts.values())).sum()
        step.update("all", total, parts=parts)
        return {"loss": total, **parts}

    def _distance(self, made: Tensor, target: Tensor) -> Tensor:
        if self.distance == "l1":
            return F.l1_loss(made, target)
        everyones = [distributed.gather_rows(part) for part in pooled(made, target)]
        return losses.rolled_ranking(*everyones, margin=self.margin, others=self.others)

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics over the validation turns, or over their first ``limit`` batches."""
        return self.measure("validation", limit)

    def measure(self, split: str, limit: int | None = None) -> dict[str, float]:
        """Return distances, retrieval among the split's images, and F1 of added objects; the same on every rank.

        ``distance`` is of the composed maps, ``still_distance`` of the image before, both as they are trained with; the
        recalls say how often the right image is among the first by cosine, as images with equal features count as one.
        """
        return self._metrics(self._rows(split, limit))

    @torch.no_grad()
    def _rows(self, split: str, limit: int | None = None) -> dict[str, np.ndarray]:
        """Return numbers of each turn of a split: pooled maps (n, C), distances (n, 2), logits and labels (n, K)."""
        for network in self.modules.values():
            network.eval()
        rows: dict[str, list[np.ndarray]] = {}
        for number, batch in enumerate(self.data.loaders[split].batches(0)):
            made, before, after, detected = self.compose(batch)
            first, second, third = pooled(made.maps, after, before)
            each = torch.stack([(one - after).abs().mean(dim=(1, 2, 3)) for one in (made.maps, before)], dim=1)
            values = {"made": first, "target": second, "before": third, "l1": each, "text": detected}
            values |= {"gate": made.objects, "added": batch["added"]}
            for name, value in values.items():
                rows.setdefault(name, []).append(value.float().cpu().numpy())
            if number + 1 == limit:
                break
        everyones = [one for one in distributed.gather_objects(rows) if one]  # a rank may have no turn
        if not everyones:
            raise UserError(f"no turn of the {split} split could be read; the run's {SKIPPED} says why")
        return {name: np.concatenate([part for one in everyones for part in one[name]]) for name in everyones[0]}

    def _metrics(self, found: dict[str, np.ndarray]) -> dict[str, float]:
        ranks = target_ranks(found["made"], found["target"])
        moved, still = found["l1"].mean(axis=0)
        metrics = {"distance": float(moved), "still_distance": float(still)}
        metrics |= {f"recall_at_{count}": float((ranks < count).mean()) for count in (1, 10)}
        for name in ("text", "gate"):
            metrics[f"f1_{name}"] = micro_f1(found[name] > 0, found["added"] > 0)
        chosen = metrics["distance"] if self.distance == "l1" else 1 - metrics["recall_at_1"]
        return metrics | {self.metric: -chosen}

    def examples(self) -> list[Example]:
        """Return the first three validation turns."""
        loader = self.data.loaders["validation"]
        batch = next(iter(loader.batches(0)))
        rows = batch["index"][:3].tolist()
        images = to_bytes(batch["image"][:3])
        return [Example(image, None, loader.dataset.text(row)[1]) for image, row in zip(images, rows, strict=True)]

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Measure the held-out turns and write the page, with plots of similarities and distances, and gates."""
        found = self._rows(self.data.report_split)
        metrics = self._metrics(found)
        skipped = [row for rows in distributed.gather_objects(self.data.skipped) for row in rows]
        if not distributed.is_main():
            return {}
        merge_skipped(folder.path / SKIPPED, skipped)
        lengths = self.data.loaders[self.data.report_split].dataset.dialogues.lengths
        report = Report(
            title=f"{context.run_name}: images found by the last image and an instruction",
            metrics=metrics,
            sections=[
                ("Similarities and distances", similarities_html(found, int(lengths.max()))),
                ("Gates", self._gates_html()),
            ],
            curves={
                name: points for name, points in folder.curves().items() if name.startswith(("train/loss", "valid"))
            },
            config_yaml=context.config_text,
            info={"config": context.name, **last_start(folder)},
        )
        write_report(folder.path / "report.html", report)
        return metrics

    @torch.no_grad()
    def _gates_html(self) -> str:
        """Return the first held-out turns: previous and next image, where their maps do not differ, and the gate."""
        loader = self.data.loaders[self.data.report_split]
        batch = next(iter(loader.batches(0)))
        made, before, after, _ = self.compose(batch)
        gates = [
            part.float().mean(dim=1).cpu().numpy()[:SHOWN] for part in (still_share(before, after, True), made.gate)
        ]
        images = [to_bytes(batch[name][:SHOWN]) for name in ("previous", "image")]
        texts = [loader.dataset.text(row)[1] for row in batch["index"][:SHOWN].tolist()]
        return gates_html(texts, *images, *gates)


def similarities_html(found: dict[str, np.ndarray], longest: int) -> str:
    """Return plots of what :meth:`TirgTraining._rows` has: cosines of pooled maps, distances of maps.

    The wrong image of a turn is ``longest`` turns away, the length of the longest dialogue: that of another one.
    """
    made, target, before = (unit_rows(found[name]) for name in ("made", "target", "before"))
    pairs = {
        "right image": (made, target),
        "wrong image": (made, np.roll(target, longest, 0)),
        "image before": (before, target),
    }
    cosines = {name: (one * other).sum(axis=1) for name, (one, other) in pairs.items()}
    moved, still = found["l1"].T
    names = "distance of the image before", "distance of what is composed"
    return figure_html(
        densities(cosines, "cosine with the next image's features"),
        "What is composed beside the right and a wrong next image, and the image before beside the right one.",
    ) + figure_html(joint(still, moved, names, equal=True), "Below the line the instruction has helped.")


def pooled(*maps: Tensor) -> list[Tensor]:
    """Return the means (b, C) of maps (b, C, H, W)."""
    return [one.mean(dim=(2, 3)) for one in maps]


def still_share(before: Tensor, after: Tensor, channels: bool, over_ranks: bool = False) -> Tensor:
    """Return where two maps (b, C, H, W) do not differ, 0-1, relative to the largest difference of the batch.

    (b, C, H, W) with ``channels``, else the mean over them (b, 1, H, W). ``over_ranks`` takes the batch of all ranks,
    which call it together.
    """
    difference = (before - after).abs()
    if not channels:
        difference = difference.mean(dim=1, keepdim=True)
    largest = difference.max()
    if over_ranks:
        largest = distributed.gather_rows(largest[None]).max()
    return 1 - difference / (largest + TINY)


def target_ranks(made: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return how many other targets (n, C) are nearer by cosine to each row of ``made`` than its own, (n,)."""
    similarity = unit_rows(made) @ unit_rows(target).T
    return (similarity > similarity.diagonal()[:, None]).sum(axis=1)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (n, C) of length 1, zeros where they were zeros."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def micro_f1(found: np.ndarray, there: np.ndarray) -> float:
    """Return F1 over all decisions, 0 where nothing is found and nothing there."""
    total = found.sum() + there.sum()
    return float(2 * (found & there).sum() / total) if total else 0.0

"""Train a generator of the next image of a dialogue, from single turns; whole dialogues are drawn to evaluate it.

LatteGAN, arXiv:2112.13985 (smatsumori/LatteGAN ``src/modules/propv1/model_scain.py``). The instructions' embeddings are
made before (``tasks/lattegan/tirg.py``, ``embed.py``). ``python run.py -f lattegan/exp170.yaml`` has the published
settings on i-CLEVR.

Shape letters: B turns of the global batch, b of this rank, K classes of objects, C coordinates, R height and width of
the images, Z size of the noise.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from common import distributed
from config import Deferred, Problem
from config.limits import Weight
from datasets.dialogue.dataset import Turns
from datasets.dialogue.records import to_bytes
from datasets.dialogue.splits import DialogueData
from engine.context import Context
from engine.run_folder import RunFolder
from engine.task import Example, Step
from evaluation.report.dialogues import DrawnDialogue, dialogue_sheet
from gan.lattegan.generator import GeneratedTurn, ImageEncoder, MultiScaleImageEncoder
from gan.lattegan.layers import Instructions
from gan.lattegan.objectives import LatteganHinge, SeenTurns
from gan.lattegan.rollout import Networks, RollOuts
from models.object_localizer import ObjectLocalizer
from published import load_published
from tasks.checks import Node, plan_errors
from tasks.lattegan.batches import draw_rows, few_rows
from tasks.lattegan.drawing import METRICS, SHOWN, DialogueDrawing, DrawnRow
from tasks.lattegan.exported import export_weights

LAYOUT = torch.channels_last  # a sixth quicker on a CPU
IMAGE, GENERATOR, DISCRIMINATOR = "image_encoder", "generator", "discriminator"
Optimise = Annotated[Callable[..., Optimizer], Deferred("params")]
Generator = Annotated[Callable[..., nn.Module], Deferred("text_dim")]
Discriminator = Annotated[Callable[..., nn.Module], Deferred("text_dim", "num_objects")]


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

    metrics = METRICS
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
        self.data, self.device = data, device
        self.objective, self.image_noise = objective, image_noise
        text_dim = data.text_dim
        self.networks = Networks(
            image_encoder.to(device, memory_format=LAYOUT),
            generator(text_dim=text_dim).to(device, memory_format=LAYOUT),
            discriminator(text_dim=text_dim, num_objects=data.num_objects).to(device, memory_format=LAYOUT),
        )
        self.drawing = DialogueDrawing(data, self.networks, self._told, rollouts, device, localizer, folder, Turns)
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        self.modules: dict[str, nn.Module] = dict(zip(self.module_names, self.networks, strict=True))
        drawing = [*self.networks.image_encoder.parameters(), *self.networks.generator.parameters()]
        self.optimizers = {
            GENERATOR: generator_optimizer(params=drawing),
            DISCRIMINATOR: discriminator_optimizer(params=list(self.networks.discriminator.parameters())),
        }
        self.schedulers: dict[str, Any] = {}
        self.metric, self.shown_metrics = self.drawing.metric, self.drawing.shown_metrics

    @staticmethod
    def validate_with_siblings(
        data: Node, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from few_rows(data.get("batch_size", 2), "a turn needs another turn's instruction to be wrong")
        yield from plan_errors(Lattegan.module_names, Lattegan.metrics, data, trainer, launch)

    read_export = staticmethod(export_weights)

    @staticmethod
    def read_published(path: Path) -> dict[str, dict[str, Tensor]]:
        """Read a snapshot of smatsumori/LatteGAN, ``model_e<epoch>_i<iteration>.pth``; errors as of its loader."""
        return {name: network.state_dict() for name, network in load_published("lattegan", path)._asdict().items()}

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
        noise, variation = (draw_rows(len(turns.real), (size,), step, torch.randn, self.device) for size in sizes)
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
        values |= {f"generator_{name}": value for name, value in parts.items()}
        gradients = [one.grad for one in self.networks.image_encoder.parameters() if one.grad is not None]
        values["gradient_norm/image_encoder"] = nn.utils.get_total_norm(gradients)  # a part of the generator's
        if step.wants_images:
            self._show(turns, made, batch["index"].tolist(), step)
        return {"loss": loss, **values}

    def _turns(self, batch: dict[str, Any], step: Step) -> SeenTurns:
        """Return the turns of a batch with noise on both images, and the instruction before each, in a circle."""
        previous, real = (
            (
                images
                + self.image_noise * draw_rows(len(images), tuple(images.shape[1:]), step, torch.rand, self.device)
            ).contiguous(memory_format=LAYOUT)
            for images in (batch[name].to(self.device) for name in ("previous", "image"))
        )
        own = Instructions(*(batch[name].to(self.device) for name in ("sentence", "words", "nwords")))
        first = distributed.rank() * len(real)
        wrong = [torch.roll(distributed.gather_rows(part), 1, 0)[first : first + len(real)] for part in own]
        return SeenTurns(previous, real, own, Instructions(*wrong), batch["added"].to(self.device))

    def _told(self, batch: dict[str, Any]) -> Instructions:
        """Return the embeddings of all turns of dialogues."""
        return Instructions(*(batch[name].to(self.device) for name in ("sentences", "words", "nwords")))

    def _show(self, turns: SeenTurns, made: GeneratedTurn, rows: list[int], step: Step) -> None:
        """Show the first turns, with the objects that they add, and histograms of the discriminator's logits."""
        parts = [to_bytes(part[:SHOWN]) for part in (turns.previous, turns.real, made.images)]
        step.show("previous, true and generated images", np.concatenate([np.concatenate(one, axis=1) for one in parts]))
        dataset, added = self.data.train_loader.dataset, turns.added[:SHOWN].cpu().numpy() > 0
        classes = dataset.dialogues.classes
        texts = [
            f"{dataset.text(row)[1]} [{', '.join(classes[kind] for kind in np.flatnonzero(kinds)) or 'nothing new'}]"
            for row, kinds in zip(rows, added, strict=False)
        ]
        gates = None if made.gate is None else made.gate[:SHOWN].detach().float().mean(dim=1).cpu().numpy()
        sheet = dialogue_sheet([DrawnDialogue(texts, parts[1], parts[2], gates)])
        step.show("turns: instruction [added], true and generated images, gate", sheet)
        discriminator = self.networks.discriminator.eval()  # its spectral norms and batch norms stay as they are
        with torch.no_grad():
            for name, images in (("D(x)", turns.real), ("D(G(z))", made.images)):
                step.show_values(name, discriminator(turns.previous, images, turns.instructions).fitting)
        discriminator.train()

    # -- evaluation ----------------------------------------------------------------------------------------------

    def draw(self, split: str, limit: int | None = None) -> Iterator[DrawnRow]:
        """Draw this rank's dialogues of a split, or of its first ``limit`` batches."""
        return self.drawing.draw(split, limit)

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics over the validation dialogues; leave a sheet of them in the run folder."""
        return self.drawing.evaluate(limit)

    def measure(self, drawn: Iterator[DrawnRow]) -> dict[str, float]:
        """Return the scores of drawn dialogues of all ranks, the same on every rank."""
        return self.drawing.measure(drawn)

    def look_at_held_out(self) -> None:
        """Read what evaluation and report will read, as far as that takes seconds; SampleError where it is broken."""
        self.data.look_at_held_out()

    def examples(self) -> list[Example]:
        """Return the last images of the first three validation dialogues, with their instructions."""
        return self.drawing.examples()

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Draw the held-out dialogues into ``images_<split>``, score them and write the page."""
        return self.drawing.report(folder, context)

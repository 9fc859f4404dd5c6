"""Train GeNeVA-GAN: whole dialogues are learned from, turn by turn, and drawn to evaluate it.

arXiv:1811.09845 (Maluuba/GeNeVA ``geneva/models/recurrent_gan.py``), which LatteGAN is compared with. At each turn the
discriminator is improved and then the generator; what reads instructions, and the image encoder, are improved once a
dialogue, by the sum of what all turns ask for. ``python run.py -f lattegan/geneva_iclevr.yaml`` has the published
settings. What differs from the public code stands in docs/systems/lattegan.md.

Shape letters: B dialogues of the global batch, b of this rank, T turns of the longest of them, K classes of objects,
R height and width of the images, S words of an instruction, V size of a word vector, D of a sentence, Q of a
dialogue's state, Z of the noise.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from common import distributed
from common.errors import UserError
from config import Deferred, Problem
from config.limits import Weight
from datasets.dialogue.dataset import Dialogues
from datasets.dialogue.records import to_bytes
from datasets.dialogue.splits import DialogueData
from datasets.dialogue.texts import WordVectors
from engine.context import Context
from engine.run_folder import RunFolder
from engine.task import Example, Step
from gan.lattegan.geneva import GenevaImageEncoder
from gan.lattegan.objectives import DialogueTurns, GenevaAdversarial
from gan.lattegan.rollout import Networks, RollOuts
from models.object_localizer import ObjectLocalizer
from published.lattegan import geneva
from tasks.checks import Node, plan_errors
from tasks.lattegan.batches import draw_rows, few_rows
from tasks.lattegan.drawing import METRICS, SHOWN, DialogueDrawing, DrawnRow

TEXT, DIALOGUE, IMAGE = "sentence_encoder", "dialogue", "image_encoder"
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
FEATURES, RECURRENT = "features", "recurrent"
Optimise = Annotated[Callable[..., Optimizer], Deferred("params")]
SentenceEncoder = Annotated[Callable[..., nn.Module], Deferred("word_dim")]
Dialogue = Annotated[Callable[..., nn.Module], Deferred("text_dim")]
Generator = Annotated[Callable[..., nn.Module], Deferred("state_dim")]
Discriminator = Annotated[Callable[..., nn.Module], Deferred("state_dim", "num_objects")]


class Read(NamedTuple):
    """What became of the instructions of b dialogues; each is a leaf of which the next is made."""

    sentences: Tensor | None  # (T, b, D) with the sentence encoder's graph; None where they are embeddings
    told: Tensor  # (T, b, D)
    made: Tensor  # (T, b, P), conditions with the projection's graph
    conditions: Tensor  # (T, b, P)
    outputs: Tensor  # (T, b, Q) with the recurrent network's graph
    states: list[Tensor]  # T of (b, Q)


class Geneva:
    """Trains a generator that is told the state of a dialogue, against a discriminator that is told it too.

    Args:
        dialogue: sentences to states.
        image_encoder: previous images to maps.
        generator: noise, states and maps to images.
        discriminator: previous images, images and states to logits.
        generator_optimizer: of the generator's parameters.
        discriminator_optimizer: of the discriminator's.
        recurrent_optimizer: of the dialogue's recurrent network and the norm behind it (``rnn_lr``).
        feature_optimizer: of the projection of sentences and the image encoder (``feature_encoder_lr``).
        data: given by main; whole dialogues, with word vectors (``texts``) or embeddings.
        device: given by main.
        sentence_encoder: word vectors to sentences; None takes the data's embeddings of sentences instead.
        text_optimizer: of the sentence encoder's parameters (``gru_lr``).
        objective: losses of both players.
        teacher_forcing: the image encoder sees the true previous image, otherwise the one that was generated; the
            discriminator sees the true one either way.
        rollouts: drawing of dialogues.
        image_noise: uniform noise up to this is added to all true images; published are 1/64 of CoDraw, 1/128 of
            i-CLEVR.
        localizer: reads drawn images, for the scores by objects; None leaves these out.
        folder: given by main; the run folder.

    Raises:
        UserError: networks, localiser and data do not fit one another.
    """

    metrics = METRICS
    module_names = (TEXT, DIALOGUE, IMAGE, GENERATOR, DISCRIMINATOR)
    settles = (DIALOGUE, IMAGE, GENERATOR)

    def __init__(
        self,
        dialogue: Dialogue,
        image_encoder: GenevaImageEncoder,
        generator: Generator,
        discriminator: Discriminator,
        generator_optimizer: Optimise,
        discriminator_optimizer: Optimise,
        recurrent_optimizer: Optimise,
        feature_optimizer: Optimise,
        data: DialogueData,
        device: torch.device,
        sentence_encoder: SentenceEncoder | None = None,
        text_optimizer: Optimise | None = None,
        objective: GenevaAdversarial = GenevaAdversarial(),  # noqa: B008  never changed
        teacher_forcing: bool = True,
        rollouts: RollOuts = RollOuts(),  # noqa: B008  never changed
        image_noise: Weight = 1 / 128,
        localizer: ObjectLocalizer | None = None,
        folder: RunFolder | None = None,
    ) -> None:
        self.data, self.device, self.objective = data, device, objective
        self.teacher_forcing, self.image_noise = teacher_forcing, image_noise
        self.sentence_encoder = None
        if sentence_encoder is not None:
            self.sentence_encoder = sentence_encoder(word_dim=_word_dim(data)).to(device)
        text_dim = data.text_dim if self.sentence_encoder is None else self.sentence_encoder.text_dim
        self.dialogue = dialogue(text_dim=text_dim).to(device)
        size = self.dialogue.state_dim
        self.networks = Networks(
            image_encoder.to(device),
            generator(state_dim=size).to(device),
            discriminator(state_dim=size, num_objects=data.num_objects).to(device),
        )
        own = {TEXT: self.sentence_encoder, DIALOGUE: self.dialogue}
        own |= dict(zip((IMAGE, GENERATOR, DISCRIMINATOR), self.networks, strict=True))
        self.modules: dict[str, nn.Module] = {name: module for name, module in own.items() if module is not None}
        self.drawing = DialogueDrawing(
            data,
            self.networks,
            self._states,
            rollouts,
            device,
            localizer,
            folder,
            Dialogues,
            list(self.modules.values()),
        )
        loader = data.train_loader
        self.batch_size, self.steps_per_epoch = loader.samples_per_step, loader.steps_per_epoch
        self.looks = self.networks.generator.fusion != "none"
        features = [*self.dialogue.project.parameters(), *self.dialogue.norm.parameters()]
        if self.looks:
            features += image_encoder.parameters()
        recurrent = [*self.dialogue.rnn.parameters(), *self.dialogue.output.parameters()]
        self.optimizers = {
            GENERATOR: generator_optimizer(params=list(self.networks.generator.parameters())),
            DISCRIMINATOR: discriminator_optimizer(params=list(self.networks.discriminator.parameters())),
            RECURRENT: recurrent_optimizer(params=recurrent),
            FEATURES: feature_optimizer(params=features),
        }
        if self.sentence_encoder is not None:
            if text_optimizer is None:
                raise UserError("task.text_optimizer is missing: expected an optimiser of the sentence encoder")
            self.optimizers[TEXT] = text_optimizer(params=list(self.sentence_encoder.parameters()))
        self.schedulers: dict[str, Any] = {}
        self.metric, self.shown_metrics = self.drawing.metric, self.drawing.shown_metrics

    @staticmethod
    def validate_with_siblings(
        data: Node, trainer: Node | None = None, launch: Node | None = None
    ) -> Iterator[Problem]:
        """Yield the errors of a training that cannot be as it is planned."""
        yield from few_rows(data.get("batch_size", 2), "a dialogue needs another one's images to be wrong")
        if (trainer or {}).get("precision") == "fp16":
            reason = "a dialogue's gradients are passed on from network to network, and the first overflow ends the run"
            yield "trainer.precision", f"found fp16, but {reason}; expected auto, bf16 or fp32"
        yield from plan_errors(Geneva.module_names, Geneva.metrics, data, trainer, launch)

    def read_published(self, path: Path) -> dict[str, dict[str, Tensor]]:
        """Read a snapshot of Maluuba/GeNeVA, or of LatteGAN's training of it, which has no discriminator.

        Raises WeightsError where it is damaged or of another kind.
        """
        return geneva.read_states(path, gate=self.networks.generator.gate is not None)

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
        """Go through the dialogues: each turn improves both players, the end improves what they are told and shown.

        Gradients by states and maps are kept at each turn and passed on to the networks behind them: the sum is that of
        one backward pass through the whole dialogue.
        """
        turns = list(self._turns(batch, step))
        read = self._read(batch, len(turns), step)
        values: dict[str, Tensor | float] = defaultdict(float)
        made: list[Tensor] = []
        for turn, state in zip(turns, read.states, strict=True):
            seen = turn._replace(states=state)
            before = turn.previous if self.teacher_forcing or not made else made[-1]
            images, found = self._turn(seen, before, step)
            made.append(images)
            for name, value in found.items():
                values[name] += value / len(turns)
        self._pass_on(read, step)
        if step.wants_images:
            self._show(turns, read.states, made, step)
        return {"loss": sum(value for name, value in values.items() if name.startswith("generator_")), **values}

    def _turn(self, seen: DialogueTurns, before: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """Improve the discriminator, then the generator; return images (b, 3, R, R) and the terms of the losses."""
        networks, told = self.networks, seen.states.detach()
        noise, variation = (
            draw_rows(len(before), (size,), step, torch.randn, self.device)
            for size in (networks.generator.noise_dim, networks.generator.condition_dim)
        )
        maps = networks.image_encoder(before)
        leaf = maps.detach().requires_grad_(self.looks)
        made = networks.generator(noise, told, leaf, variation)
        step.settle(IMAGE, before)
        step.settle(GENERATOR, noise, told, leaf, variation)
        fake = made.images.detach()
        parts = self.objective.discriminator(networks.discriminator, seen, fake)
        step.update(DISCRIMINATOR, sum(parts.values()), parts=parts, into=[seen.states])
        values = {f"discriminator_{name}": value.detach() for name, value in parts.items()}
        parts = self.objective.generator(networks.discriminator, seen._replace(states=told), made)
        step.update(GENERATOR, sum(parts.values()), parts=parts, into=[leaf] if self.looks else ())
        if self.looks:
            step.accumulate(FEATURES, _passed(maps, leaf.grad))
        return fake, values | {f"generator_{name}": value.detach() for name, value in parts.items()}

    def _pass_on(self, read: Read, step: Step) -> None:
        """Improve what reads, from the discriminator back to the words."""
        asked = torch.stack([state.grad for state in read.states])
        step.update(RECURRENT, _passed(read.outputs, asked), into=[read.conditions])
        into = () if read.sentences is None else [read.told]
        step.update(FEATURES, _passed(read.made, read.conditions.grad), into=into)
        if read.sentences is not None:
            step.update(TEXT, _passed(read.sentences, read.told.grad))

    def _read(self, batch: dict[str, Any], count: int, step: Step) -> Read:
        """Read the instructions of ``count`` turns."""
        sentences = self._sentences(batch, count).transpose(0, 1)
        told = sentences.detach().requires_grad_(self.sentence_encoder is not None)
        start = self.dialogue.start(sentences.shape[1], self.device)
        for turn in told.detach():
            step.settle(DIALOGUE, turn, start)
        made = self.dialogue.conditions(told)
        conditions = made.detach().requires_grad_()
        outputs, _ = self.dialogue.read(conditions, start)
        states = [state.detach().requires_grad_() for state in outputs]
        return Read(None if self.sentence_encoder is None else sentences, told, made, conditions, outputs, states)

    def _sentences(self, batch: dict[str, Any], count: int) -> Tensor:
        """Return sentences (b, T, D), those of a dialogue that has ended are its last one's."""
        at = _turns_at(batch["nturns"], count)

        def of(name: str) -> Tensor:
            return _taken(batch[name], at).to(self.device)

        if self.sentence_encoder is None:
            return of("sentences")
        words, lengths = of("vectors"), of("nvectors")
        longest = max(int(lengths.max()), 1)
        return self.sentence_encoder(words.flatten(0, 1)[:, :longest], lengths.flatten()).unflatten(0, at.shape)

    @torch.no_grad()
    def _states(self, batch: dict[str, Any]) -> Tensor:
        """Return the states (b, T, Q) of whole dialogues."""
        sentences = self._sentences(batch, int(batch["nturns"].max())).transpose(0, 1)
        start = self.dialogue.start(sentences.shape[1], self.device)
        return self.dialogue.read(self.dialogue.conditions(sentences), start)[0].transpose(0, 1)

    def _turns(self, batch: dict[str, Any], step: Step) -> Iterator[DialogueTurns]:
        """Yield the turns of dialogues, without states; beside each dialogue's stands the next dialogue's, in a circle.

        A dialogue that has ended repeats its last turn, which counts nowhere but in batch norms.
        """
        lengths = batch["nturns"]
        everyones = distributed.gather_rows(lengths)
        count, size = int(everyones.max()), len(lengths)
        at = _turns_at(lengths, count)
        images, objects, added = (_taken(batch[name], at) for name in ("images", "objects", "added"))
        images = images.to(self.device)
        images = images + self.image_noise * draw_rows(size, tuple(images.shape[1:]), step, torch.rand, self.device)
        start = self.data.train_loader.dataset.background.to(self.device)
        start = start + self.image_noise * draw_rows(size, tuple(start.shape), step, torch.rand, self.device)
        for turn in range(count):
            now = at[:, turn]
            before = images[torch.arange(size), (now - 1).clamp(min=0)]
            previous = torch.where((now == 0).view(-1, 1, 1, 1).to(self.device), start, before)
            rows = (lengths > turn).nonzero().flatten()
            share = len(rows) * distributed.world_size() / int((everyones > turn).sum())
            yield DialogueTurns(
                previous, images[:, turn], torch.empty(0), _others, added[:, turn].to(self.device),
                objects[:, turn].to(self.device), (rows if len(rows) else torch.arange(size)).to(self.device), share,
            )  # fmt: skip

    def _show(self, turns: list[DialogueTurns], states: list[Tensor], made: list[Tensor], step: Step) -> None:
        """Show the first dialogues: a row of true images and one of generated ones; and histograms of the logits."""
        rows = []
        for row in range(min(SHOWN // 2, len(made[0]))):
            for images in ([turn.real for turn in turns], made):
                rows.append(torch.cat([part[row].detach().cpu() for part in images], dim=2))
        step.show("true images of dialogues, and generated ones below", to_bytes(torch.cat(rows, dim=1)))
        discriminator = self.networks.discriminator.eval()  # its spectral norms stay as they are
        with torch.no_grad():
            for name, all_images in (("D(x)", [turn.real for turn in turns]), ("D(G(z))", made)):
                each = zip(turns, all_images, states, strict=True)
                scores = [discriminator(turn.previous, images, told).fitting[turn.rows] for turn, images, told in each]
                step.show_values(name, torch.cat(scores))
        discriminator.train()

    # -- evaluation ----------------------------------------------------------------------------------------------

    def draw(self, split: str, limit: int | None = None) -> Iterator[DrawnRow]:
        """Draw this rank's dialogues of a split, or of its first ``limit`` batches."""
        return self.drawing.draw(split, limit)

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return the metrics over the validation dialogues; leave a sheet of them in the run folder."""
        return self.drawing.evaluate(limit)

    def look_at_held_out(self) -> None:
        """Read what evaluation and report will read, as far as that takes seconds; SampleError where it is broken."""
        self.data.look_at_held_out()

    def examples(self) -> list[Example]:
        """Return the last images of the first three validation dialogues, with their instructions."""
        return self.drawing.examples()

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Draw the held-out dialogues into ``images_<split>``, score them and write the page."""
        return self.drawing.report(folder, context)


def _word_dim(data: DialogueData) -> int:
    """Return V of the data's reader of texts; a UserError where it makes no word vectors."""
    texts = data.train_loader.dataset.texts
    if not isinstance(texts, WordVectors):
        found = "no reader of texts" if texts is None else f"a {type(texts).__name__}"
        raise UserError(
            f"data.train has {found}, task.sentence_encoder takes word vectors: give "
            "texts={type: datasets.dialogue.texts.WordVectors, path: ...} to each split"
        )
    return texts.word_dim


def _others(values: Tensor) -> Tensor:
    """Return the next row's values for each of this rank's rows (b, ...), in a circle over all ranks."""
    return torch.roll(distributed.gather_rows(values), -1, 0)[distributed.rank() * len(values) :][: len(values)]


def _passed(values: Tensor, gradient: Tensor) -> Tensor:
    """Return a number whose gradient by ``values`` is ``gradient``."""
    return (values * gradient).sum()


def _turns_at(lengths: Tensor, count: int) -> Tensor:
    """Return which turn each of b dialogues is at (b, count), the last where it has ended."""
    return torch.minimum(torch.arange(count), lengths[:, None] - 1)


def _taken(values: Tensor, at: Tensor) -> Tensor:
    """Return the turns ``at`` (b, T) of values (b, all turns, ...)."""
    return values[torch.arange(len(at))[:, None], at]

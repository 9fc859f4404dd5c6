"""Everything that drawing needs of a training: three networks, what reads instructions, and the empty scene.

Shape letters: R height and width of the images, D size of the embeddings.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

import config
from common.errors import UserError
from config.limits import Count
from datasets.dialogue.readers import check_fits
from datasets.dialogue.records import DialogueFile, history, in_range, scaled
from datasets.dialogue.texts import WordPieces, WordVectors
from datasets.dialogue.typed import Typed, typed
from engine.init_from import averaged_weights, load_run, read_checkpoint
from gan.lattegan.rollout import Networks
from models.instruction_encoders import BertInstructionEncoder, EncodedInstruction, GruInstructionEncoder
from models.weights import build_for
from tasks.lattegan.exported import TEXT, read_export
from tasks.lattegan.listen import SpokenEncoder, TextModules, load_listener
from tasks.speech_image.trained import ModelSource

PARTS = Networks._fields
TASK = "tasks.lattegan.task.Lattegan"


class Reads(Protocol):
    """What reads instructions, written or spoken ones (tasks/lattegan/listen.py has the latter)."""

    encoder: nn.Module

    def hear(self, said: Any) -> Any:
        """Return what :meth:`encode` takes of one instruction; raise UserError for what is none."""

    def encode(self, before: Sequence[Any], now: Any) -> EncodedInstruction:
        """Encode an instruction given those before it; B is 1."""


class Written:
    """Read written instructions.

    Args:
        encoder: of instructions.
        texts: reads them for it.
        corpus: ``codraw`` or ``iclevr``, whose words and history they have.

    Raises:
        UserError: the reader does not fit the encoder.
    """

    def __init__(
        self, encoder: GruInstructionEncoder | BertInstructionEncoder, texts: WordVectors | WordPieces, corpus: str
    ) -> None:
        check_fits(texts, encoder.inputs)
        self.encoder, self.texts, self.corpus = encoder.eval(), texts, corpus

    def hear(self, said: str) -> Typed:
        """Return an instruction in the words of the data; raise TextReaderError for one that cannot be read."""
        return typed(said, self.corpus, self.texts)

    @torch.no_grad()
    def encode(self, before: Sequence[Typed], now: Typed) -> EncodedInstruction:
        """Encode an instruction given those before it; B is 1."""
        found = self.texts(history(self.corpus, [one.text for one in before]), now.text)
        device = next(self.encoder.parameters()).device
        return self.encoder(*(found[name][None].to(device) for name in self.encoder.inputs))


class DrawingModel(NamedTuple):
    """A trained LatteGAN with what reads its instructions."""

    networks: Networks  # in evaluation mode
    reads: Reads
    background: Tensor  # (3, R, R) in [-1, 1], the empty scene
    name: str  # for people

    @property
    def written(self) -> bool:
        """Whether instructions are written; spoken otherwise."""
        return isinstance(self.reads, Written)


def check_model(model: DrawingModel) -> DrawingModel:
    """Return a model whose parts fit one another, in evaluation mode.

    Raises UserError where they do not.
    """
    expected, found = model.networks.generator.text_dim, model.reads.encoder.text_dim
    if found != expected:
        raise UserError(
            f"{model.name}: the encoder makes embeddings of {found} numbers, the generator was trained on {expected}: "
            "give the encoder that its training's embeddings were made with"
        )
    size = model.networks.generator.resolution
    if model.background.shape != (3, size, size):
        raise UserError(
            f"{model.name}: the empty scene is {tuple(model.background.shape)}, the generator's images {size} x {size}"
        )
    for network in model.networks:
        network.eval().requires_grad_(False)
    if hasattr(model.networks.generator, "mixed_masks"):
        model.networks.generator.mixed_masks = False  # a candidate would depend on the others
    return model


def of_run(
    run: Path,
    encoder: GruInstructionEncoder | BertInstructionEncoder,
    texts: WordVectors | WordPieces,
    dialogues: Path,
    text_run: Path | None = None,
) -> DrawingModel:
    """Read a training of LatteGAN (its best, averaged weights) and the text encoder that made its embeddings.

    Args:
        run: run folder of tasks.lattegan.task.Lattegan, or one of its checkpoints.
        encoder: of instructions.
        texts: reads them for it.
        dialogues: HDF5 of dialogues, for the empty scene and the number of classes.
        text_run: run folder of tasks.lattegan.tirg.TirgTraining whose best weights the encoder gets; None keeps its
            own.

    Raises:
        UserError: a file is missing or damaged, or the parts do not fit one another.
    """
    if text_run is not None:
        load_run(text_run, TextModules(encoder))
    file = DialogueFile(dialogues)
    return _of_checkpoint(run, file, Written(encoder, texts, file.corpus))


def of_spoken_run(
    run: Path,
    encoder: SpokenEncoder,
    speech: ModelSource,
    dialogues: Path,
    text_run: Path | None = None,
    layer: str | None = None,
    max_previous: Count | None = None,
) -> DrawingModel:
    """Read a training of LatteGAN on spoken instructions, and what hears them.

    Args:
        run: run folder of tasks.lattegan.task.Lattegan, or one of its checkpoints.
        encoder: of instructions.
        speech: the frozen speech encoder.
        dialogues: HDF5 of dialogues, for the empty scene and the number of classes.
        text_run: run folder of tasks.lattegan.tirg.TirgTraining whose best weights the encoder gets; None keeps its
            own.
        layer: of the speech encoder; None is ``quant3`` for units and ``conv3`` for features.
        max_previous: the last frames of what was said before that are read; None: as many as ``text_run`` has read, 400
            without one.

    Raises:
        UserError: a file is missing or damaged, or the parts do not fit one another.
    """
    return _of_checkpoint(run, DialogueFile(dialogues), load_listener(encoder, speech, layer, text_run, max_previous))


def _of_checkpoint(run: Path, file: DialogueFile, reads: Reads) -> DrawingModel:
    """Read the three networks of a training and join them with what reads their instructions."""
    path, nodes = network_nodes(run, reads.encoder, file.path)
    weights = averaged_weights(read_checkpoint(run)[1])

    def built(name: str) -> nn.Module:
        node = config.check_outside(nodes[name], nn.Module, f"task.{name}")
        return build_for(lambda: config.build(node, name), weights[name], str(path))

    networks = Networks(*(built(name) for name in PARTS))
    size = networks.generator.resolution
    background = in_range(scaled(file.background[None], size))[0]
    return check_model(DrawingModel(networks, reads, background, path.parent.parent.name))


def network_nodes(run: Path, encoder: nn.Module, dialogues: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Return the checkpoint of a run, and the nodes that its networks are built from.

    Raises UserError for a run of another task.
    """
    path, state = read_checkpoint(run)
    task = config.translated(config.parse_yaml(state["config"], str(path))).get("task", {})
    kind = task.get("type", TASK)
    if kind != TASK:
        raise UserError(f"{path} is of {kind}, which this cannot draw with: give a run of {TASK}")
    lacking = [name for name in PARTS if name not in state["modules"] or name not in task]
    if lacking:
        raise UserError(f"{path} holds no {', '.join(lacking)}: give a run of {TASK}")
    given: dict[str, dict[str, Any]] = {"image_encoder": {}, "generator": {"text_dim": encoder.text_dim}}
    given["discriminator"] = given["generator"] | {"num_objects": DialogueFile(dialogues).num_objects}
    return path, {name: task[name] | given[name] for name in PARTS}


def of_export(path: Path) -> DrawingModel:
    """Read a LatteGAN that lattegan/export.yaml wrote, such as models/shipped/lattegan_world.json.

    Args:
        path: the ``.json``; its ``.safetensors`` lies beside it.

    Raises:
        UserError: a file is missing, damaged, or does not fit.
    """
    found = read_export(path)
    networks = Networks(*(found.networks[name] for name in PARTS))
    reads = Written(found.networks[TEXT], found.texts, found.corpus)
    return check_model(DrawingModel(networks, reads, in_range(found.background[None])[0], path.stem))

"""Read back what system 3 trained: text encoders with the image encoder or the generator that belongs to them.

A run folder and an export hold the same description, ``model.json`` or ``NAME.json``: the networks as nodes, the words
in the order of their numbers, and how many of a caption are read. Weights are in the run's checkpoints, or beside the
description as ``NAME.safetensors``. Published files come without words: ``captions.pickle`` has them.

Shape letters: B captions, L words.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import config
from common.errors import UserError
from common.files import write_whole
from config import Problem, check_values
from config.limits import Count
from datasets.text_image.files import read_vocabulary
from datasets.text_image.vocabulary import Vocabulary, VocabularyError, words
from engine.init_from import averaged_weights, read_checkpoint
from models.damsm import CaptionEncoder
from models.weights import build_for, read_card, read_state_dict, weights_digest, write_weights
from published import load_published

log = logging.getLogger(__name__)
DESCRIPTION = "model.json"
TEXT, IMAGE, GENERATOR = "text", "image", "generator"  # networks by the names that checkpoints and exports use
PUBLISHED_WORDS = 18
REMEDY = "write it with attngan/export.yaml, or give model.run=RUN_FOLDER of a training (attngan/world_attngan.yaml)"


class TrainedError(UserError, ValueError):
    """Networks of text and images that are not there, or are of another kind."""


@dataclass
class PublishedFiles:
    """Files of taoxugit/AttnGAN that belong together.

    Attributes:
        encoders: ``text_encoderN.pth`` beside ``image_encoderN.pth``, or their folder.
        vocabulary: ``captions.pickle`` of the data that they were trained on, or the folder of these data.
        generator: ``bird_AttnGAN2.pth``, ``netG_epoch_N.pth`` or the like, where images are generated.
        max_words: words of a caption that are read (WORDS_NUM).
        captions_per_image: 10 of birds, 5 of COCO; counts only where the vocabulary is read from texts.
    """

    encoders: Path
    vocabulary: Path
    generator: Path | None = None
    max_words: Count = PUBLISHED_WORDS
    captions_per_image: Count = 10


@dataclass
class TextImageSource:
    """Source of trained networks of text and images: exactly one of the two keys is given.

    Attributes:
        run: a run folder of :mod:`tasks.attngan` (its best weights), one of its checkpoints, or the ``.json`` of an
            export such as the one that comes with the project.
        published: files of taoxugit/AttnGAN.
    """

    run: Path | None = None
    published: PublishedFiles | None = None

    def __post_init__(self) -> None:
        check_values(self)

    @staticmethod
    def validate(run: Path | None, published: Any) -> Iterator[Problem]:
        """Yield the error of two sources, or none."""
        if (run is None) == (published is None):
            found = "none" if run is None else "both"
            yield "run", f"found {found} of run and published; expected exactly one"


class Tokens(NamedTuple):
    """Captions as word numbers."""

    numbers: Tensor  # (B, L) int64, padded with 0
    lengths: Tensor  # (B,) words of each
    unknown: list[list[str]]  # words of each caption that the vocabulary lacks, in order


class Words(NamedTuple):
    """How captions become numbers."""

    vocabulary: Vocabulary
    max_words: int  # of a caption, the first ones; further words are not read

    def tokens(self, captions: Sequence[str]) -> Tokens:
        """Number the known words of each caption; raise VocabularyError for a caption without any, which it names."""
        known = set(self.vocabulary.words[1:])
        rows = [self.vocabulary.encode(caption)[: self.max_words] for caption in captions]
        unknown = [[word for word in words(caption) if word not in known] for caption in captions]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        numbers = torch.zeros(len(rows), int(lengths.max()) if len(rows) else 0, dtype=torch.int64)
        for row, own in zip(numbers, rows, strict=True):
            row[: len(own)] = torch.tensor(own)
        return Tokens(numbers, lengths, unknown)

    def left_out(self, caption: str) -> list[str]:
        """Return the known words behind the first ``max_words``; raises as :meth:`tokens`."""
        return [self.vocabulary.words[number] for number in self.vocabulary.encode(caption)[self.max_words :]]

    def read(self, tokens: Tensor) -> list[str]:
        """Return the words of one caption's ``tokens`` (L,), without padding."""
        return [self.vocabulary.words[number] for number in tokens.tolist() if number]


class Trained(NamedTuple):
    """Networks that belong together, in evaluation mode on the CPU."""

    networks: dict[str, nn.Module]  # text, and image or generator
    words: Words
    description: dict[str, Any]  # nodes and words, as ``model.json`` has them
    step: int | None  # optimisation steps of the training; None where it is not known

    @property
    def digest(self) -> str:
        """Name the weights of all networks."""
        return " ".join(weights_digest(network) for network in self.networks.values())


def describe(words: Words, nodes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the description of networks, by their names, and of the words that they read."""
    return {"networks": dict(nodes), "max_words": words.max_words, "vocabulary": words.vocabulary.words[1:]}


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write ``model.json`` into a run folder."""
    write_whole(folder / DESCRIPTION, (json.dumps(description, indent=1) + "\n").encode())


def save_export(
    path: Path,
    networks: Mapping[str, nn.Module],
    words: Words,
    nodes: Mapping[str, dict[str, Any]],
    about: Mapping[str, Any],
) -> Path:
    """Write networks as an export, which :func:`load` reads: ``NAME.json``, and ``NAME.safetensors`` beside it.

    Args:
        path: the ``.json``.
        networks: by the names that :data:`TEXT`, :data:`IMAGE` and :data:`GENERATOR` give them.
        words: that the text encoder reads.
        nodes: of the same networks, complete, so that they can be built from them (:meth:`config.Factory.node`).
        about: further plain values for the card, such as ``steps``, ``seed``, ``config`` and ``metrics``.

    Returns:
        The file of the weights.

    Raises:
        TrainedError: ``path`` does not end in ``.json``, nodes and networks differ in their names, or ``about`` has an
            entry of the description itself.
    """
    description = describe(words, nodes)
    if path.suffix != ".json":
        raise TrainedError(f"found {path.name} as the name of an export, expected one that ends in .json")
    if networks.keys() != nodes.keys():
        raise TrainedError(
            f"found networks {', '.join(networks)} and nodes {', '.join(nodes)}, expected the same names"
        )
    if clash := sorted(description.keys() & about.keys()):
        raise TrainedError(f"about names {', '.join(clash)}, which the description of the networks has: rename it")
    state = {
        f"{name}.{key}": value for name, network in networks.items() for key, value in network.state_dict().items()
    }
    weights = path.with_suffix(".safetensors")
    write_weights(weights, state, {**about, **description})
    return weights


def load(source: TextImageSource, wanted: Sequence[str] = (TEXT, IMAGE)) -> Trained:
    """Load networks of a source by their names.

    Raises:
        TrainedError: the source lacks one of them, or describes what this project does not build.
        UserError: a file is missing, damaged, unsafe, or does not fit its network.
    """
    if source.published is not None:
        return _load_published(source.published, wanted)
    found = _load_export(source.run, wanted) if source.run.suffix == ".json" else _load_run(source.run, wanted)
    for network in found.networks.values():
        network.eval()
    return found


def _load_published(files: PublishedFiles, wanted: Sequence[str]) -> Trained:
    encoders = load_published("damsm", files.encoders)
    networks: dict[str, nn.Module] = {TEXT: encoders.text, IMAGE: encoders.image}
    if files.generator is not None:
        networks[GENERATOR] = load_published("attngan", files.generator)
    if GENERATOR in wanted and files.generator is None:
        raise TrainedError("published.generator is null, expected the file of a generator such as bird_AttnGAN2.pth")
    vocabulary = read_vocabulary(files.vocabulary, files.captions_per_image)
    words = Words(vocabulary, files.max_words)
    _check_words(encoders.text, vocabulary, f"{files.vocabulary} has", str(files.encoders))
    nodes = {TEXT: caption_encoder_node(encoders.text)}
    return Trained({name: networks[name] for name in wanted}, words, describe(words, nodes), None)


def caption_encoder_node(encoder: CaptionEncoder) -> dict[str, Any]:
    """Return the node of a published text encoder, whose sizes are those of its weights."""
    cell = {nn.LSTM: "lstm", nn.GRU: "gru"}[type(encoder.rnn)]
    return {
        "type": "models.damsm.CaptionEncoder",
        "vocab_size": encoder.vocab_size,
        "embedding_dim": encoder.embedding_dim,
        "word_dim": encoder.embedding.embedding_dim,
        "dropout": encoder.drop.p,
        "cell": cell,
        "reduced_dim": None if encoder.reduce is None else encoder.reduce.out_features,
    }


def _load_export(path: Path, wanted: Sequence[str]) -> Trained:
    description = _description(read_card(path, REMEDY), path)
    weights = path.with_suffix(".safetensors")
    state = read_state_dict(weights)
    parts = {name: _below(state, name) for name in wanted}
    return _assembled(description, parts, wanted, path, weights, description.get("steps"))


def export_weights(path: Path) -> dict[str, dict[str, Tensor]]:
    """Return the weights of an export, ``NAME.json``, by the names of its networks.

    Raises:
        UserError: card or weights are missing, damaged or describe no networks.
    """
    state = read_state_dict(path.with_suffix(".safetensors"))
    return {name: _below(state, name) for name in _description(read_card(path, REMEDY), path)["networks"]}


def _load_run(path: Path, wanted: Sequence[str]) -> Trained:
    folders = [path] if path.is_dir() else [path.parent, path.parent.parent]
    card = next((folder / DESCRIPTION for folder in folders if (folder / DESCRIPTION).is_file()), None)
    if card is None:
        raise TrainedError(
            f"there is no trained model of text and images at {path}: expected a run folder with {DESCRIPTION} and "
            "checkpoints/, or the .json of an export"
        )
    description = _description(read_card(card, "start the run again"), card)
    file, state = read_checkpoint(path)
    weights = averaged_weights(state)
    parts = {name: weights.get(name, {}) for name in wanted}
    log.info("%s of %s, step %d", " and ".join(wanted), config.short(path), state["step"])
    return _assembled(description, parts, wanted, card, file, state["step"])


def _assembled(
    description: dict[str, Any],
    parts: Mapping[str, Mapping[str, Tensor]],
    wanted: Sequence[str],
    card: Path,
    weights: Path,
    step: int | None,
) -> Trained:
    """Build the wanted networks of a description with their weights, which come from the file ``weights``."""
    words = Words(_vocabulary(description, card), description["max_words"])
    networks = {}
    for name in wanted:
        node = description["networks"].get(name)
        if node is None:
            there = ", ".join(description["networks"])
            raise TrainedError(f"{card} describes {there}, expected {name} too: give what was trained with it")
        try:
            checked = config.check_outside(node, nn.Module, f"networks.{name}")
        except config.ConfigError as error:
            raise TrainedError(f"{card} describes what this version of the project does not build: {error}") from error
        networks[name] = build_for(partial(config.build, checked, name), parts[name], str(weights))
    if TEXT in networks:
        _check_words(networks[TEXT], words.vocabulary, f"{card} lists", str(weights))
    return Trained(networks, words, description, step)


def _description(content: Any, path: Path) -> dict[str, Any]:
    """Return a description whose parts have the right types."""
    fits = (
        isinstance(content, dict)
        and isinstance(content.get("networks"), dict)
        and all(isinstance(node, dict) for node in content["networks"].values())
        and type(content.get("max_words")) is int
        and 0 < content["max_words"] <= 10_000
        and isinstance(content.get("vocabulary"), list)
        and all(isinstance(word, str) for word in content["vocabulary"])
    )
    if not fits:
        raise TrainedError(f"{path} describes no model of text and images (networks, max_words, vocabulary)")
    return content


def _vocabulary(description: dict[str, Any], path: Path) -> Vocabulary:
    try:
        return Vocabulary(description["vocabulary"])
    except VocabularyError as error:
        raise TrainedError(f"{path}: {error}") from error


def _check_words(text: nn.Module, vocabulary: Vocabulary, found: str, weights: str) -> None:
    """Refuse a vocabulary of another size than the text encoder's."""
    if len(vocabulary) != text.vocab_size:
        raise TrainedError(
            f"{found} {len(vocabulary)} words with the padding, the text encoder of {weights} knows {text.vocab_size}: "
            "give the vocabulary that it was trained with"
        )


def _below(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}

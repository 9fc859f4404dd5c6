"""Checkpoints of surisdi/learning-by-drawing: VGG16 images and DAVEnet speech in one torch file.

A file ``model_best_<name>.pth.tar`` or ``checkpoint_<name>.pth.tar`` is a torch save (not a tar file) of a dict with
``model_state_dict``, ``epoch``, ``best_eval``, ``recall_now`` and ``optimizer``; names start with ``module.``.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from models.davenet import HIDDEN, DavenetSpeech
from models.image_encoders import Vgg16Encoder
from models.weights import WeightsError, as_state_dict, load_strictly, read_torch_file, sized, strip_prefix
from published.encoders import PublishedSpeechImage
from published.key_map import convolutions_1d, convolutions_2d, inverse, rename
from published.writing import expect_network, write_torch_file

IMAGE, SPEECH = "model_image.image_model.", "model_audio.audio_model."
CHECKPOINTS = ("model_best_*.pth.tar", "checkpoint_*.pth.tar")  # the one to prefer first
IMAGE_RULES = [
    (r"30\.(weight|bias)", r"embedder.\1"),
    (r"(\d+)\.(weight|bias)", r"trunk.\1.\2"),
]


def _speech_positions(size: Literal["small", "large"]) -> dict[str, str]:
    """Return our name of each numbered layer: batch norm, stem and ReLU, then convolution, ReLU and pooling in turn."""
    positions = {"0": "input_norm", "1": "stem"}
    for index in range(len(HIDDEN[size]) + 1):
        positions[str(3 + 3 * index)] = f"convs.{index}"
    return positions


def _checkpoint_file(path: Path) -> Path:
    """Return the file itself, or the one ``model_best_*`` (else ``checkpoint_*``) file of a folder."""
    if not path.is_dir():
        return path
    for pattern in CHECKPOINTS:
        found = sorted(path.glob(pattern))
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise WeightsError(f"The folder {path} holds several checkpoints ({names}): give the path of one.")
        if found:
            return found[0]
    raise WeightsError(f"The folder {path} holds no model_best_*.pth.tar and no checkpoint_*.pth.tar: give another.")


def _part(state: Mapping[str, Tensor], prefix: str, last: str, source: Path) -> dict[str, Tensor]:
    part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if last not in part:
        raise WeightsError(f"{source} has no {prefix}{last}: it is not a Davenet checkpoint, or not a whole one.")
    return part


def load(path: Path) -> PublishedSpeechImage:
    """Load a Davenet checkpoint, a ``.pth.tar`` file or its folder.

    Speech size and embedding size are read off the weights.

    ``details`` holds ``epoch``, ``best_eval``, ``recall_now`` where present. Raises WeightsError where the file is
    missing, damaged, of another kind, or does not fit.
    """
    file = _checkpoint_file(path)
    content = read_torch_file(file)
    if not isinstance(content, Mapping) or "model_state_dict" not in content:
        raise WeightsError(
            f"{file} has no entry model_state_dict: it is not a checkpoint of learning-by-drawing "
            "(a run of this project is named by model.run or init_from.path)."
        )
    state = strip_prefix(as_state_dict(content["model_state_dict"], file))
    strangers = [name for name in state if not name.startswith((IMAGE, SPEECH))]
    if strangers:
        raise WeightsError(f"{file} holds {strangers[0]!r}, expected {IMAGE}* and {SPEECH}* only.")

    image_state = rename(_part(state, IMAGE, "30.weight", file), IMAGE_RULES, str(file))
    image = Vgg16Encoder(embedding_dim=len(sized(image_state, "embedder.weight", file)))
    load_strictly(image, image_state, f"{file} ({IMAGE}*)")

    speech_state = _part(state, SPEECH, "12.weight", file)
    size = "large" if "15.weight" in speech_state else "small"
    positions = _speech_positions(size)
    rules = [(rf"{number}\.(\w+)", rf"{name}.\1") for number, name in positions.items()]
    last = f"{list(positions)[-1]}.weight"
    if last not in speech_state:
        raise WeightsError(f"{file} has no {SPEECH}{last}, which the {size} speech encoder ends with.")
    speech = DavenetSpeech(size, embedding_dim=len(sized(speech_state, last, file)))
    load_strictly(speech, convolutions_1d(rename(speech_state, rules, str(file))), f"{file} ({SPEECH}*)")

    details = {name: content[name] for name in ("epoch", "best_eval", "recall_now") if name in content}
    return PublishedSpeechImage(image, speech, file, _plain(details))


def save(image: nn.Module, speech: nn.Module, path: Path, epoch: int = 0) -> None:
    """Write both encoders as a checkpoint that the public code reads by its key ``seed``, after so many epochs.

    The public code names its own files ``model_best_NAME.pth.tar``. Raises WeightsError where an encoder is of another
    network, which the public code does not have.
    """
    expect_network(image, Vgg16Encoder, "learning-by-drawing's image encoder")
    expect_network(speech, DavenetSpeech, "learning-by-drawing's speech encoder")
    write_torch_file(path, {"epoch": epoch, "model_state_dict": entries(image, speech)})


def entries(image: Vgg16Encoder, speech: DavenetSpeech) -> dict[str, Tensor]:
    """Return the weights of ``image`` and ``speech`` by their published names, with the prefix of DataParallel."""
    rules = [(rf"{re.escape(name)}\.(\w+)", rf"{number}.\1") for number, name in _speech_positions(speech.size).items()]
    of_speech = convolutions_2d(rename(speech.state_dict(), rules, "the speech encoder"), stem="1.weight")
    of_image = rename(image.state_dict(), inverse(IMAGE_RULES), "the image encoder")
    state = {f"module.{IMAGE}{name}": value for name, value in of_image.items()}
    return state | {f"module.{SPEECH}{name}": value for name, value in of_speech.items()}


def _plain(value: object) -> object:
    """Turn one-element tensors and NumPy numbers among the scores into Python numbers."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return value.item() if hasattr(value, "item") else value

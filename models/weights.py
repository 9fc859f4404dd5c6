"""Weight files: read without running code, loaded so that nothing is skipped in silence."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from common.disk_space import full_disk, no_room
from common.errors import UserError
from common.files import write_together
from common.safe_load import TorchFileError, read_torch_values
from common.text_files import TextError, read_text

logger = logging.getLogger(__name__)
LARGEST_CARD = 2**24  # bytes
HASHED = 2**20  # bytes of each tensor that a digest looks at


class WeightsError(UserError, ValueError):
    """A weight file is missing, damaged, of another kind, or does not fit the network."""


def read_torch_file(path: Path) -> Any:
    """Return the content of a ``.safetensors`` or torch file (zip or older) on the CPU, ``weights_only=True``.

    A WeightsError says that it is missing, truncated or corrupt, or wants to run code.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no weight file {path}: give the path of an existing file.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"{path} ({path.stat().st_size} bytes) is not a complete safetensors file: it is truncated, damaged or "
                "of another format. Fetch or copy it again."
            ) from error
    try:
        return read_torch_values(path)
    except TorchFileError as error:
        raise WeightsError(str(error)) from error


def read_card(path: Path, remedy: str) -> Any:
    """Return the JSON beside weights that describes them, unchecked; ``remedy`` is said where there is none.

    A WeightsError says that it is missing, far too large, or no JSON.
    """
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise WeightsError(
                f"{path} has {path.stat().st_size} bytes, expected at most {LARGEST_CARD}: it is no card."
            )
        return json.loads(read_text(path))
    except FileNotFoundError as error:
        raise WeightsError(f"There is no {path}: {remedy}.") from error
    except (ValueError, TextError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path} is not JSON ({error}): fetch or copy it again.") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a file that holds one state dict, tensors by name; errors as of :func:`read_torch_file`."""
    return as_state_dict(read_torch_file(path), path)


def as_state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """Return ``content``, read from ``path``, as tensors by name; a WeightsError where it is no state dict."""
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, expected a state dict (tensors by name).")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} holds {name!r} ({type(value).__name__}), expected a state dict with tensors only: "
                "give the file of the weights themselves."
            )
    return dict(content)


def write_weights(path: Path, state: Mapping[str, Tensor], card: Mapping[str, Any] | None = None) -> None:
    """Write tensors by name as safetensors, and a ``card`` of plain values as the ``.json`` beside: both or neither."""
    contents = {path: save({name: value.detach().cpu().contiguous() for name, value in state.items()})}
    if card is not None:
        contents[path.with_suffix(".json")] = (json.dumps(card, indent=1) + "\n").encode()
    write_together(contents)


def real_values(value: Tensor, name: str) -> Tensor:
    """Return a tensor of any real type, also a parameter, as plain float64; ``name`` is for messages."""
    if value.is_complex() or value.is_quantized:
        raise WeightsError(
            f"{name} is of the type {value.dtype}, expected plain real numbers: fetch or make the file again."
        )
    return value.detach().cpu().double()


def sized(state: Mapping[str, Tensor], name: str, source: Path | str) -> Tensor:
    """Return an entry that tells a network's sizes; a WeightsError where it is missing, or tells none.

    It has two axes or more, none of size 0; ``source`` is named in messages.
    """
    if name not in state:
        raise WeightsError(f"{source} lacks {name} (by this project's names): it is a checkpoint of another kind.")
    shape = tuple(state[name].shape)
    if len(shape) < 2 or 0 in shape:
        raise WeightsError(
            f"{source}: {name} has the shape {shape}, expected two axes or more, none of size 0: fetch the file again."
        )
    return state[name]


def strip_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove DataParallel's prefix from all names; a WeightsError where only some have it."""
    prefix = "module."
    bare = [name for name in state if not name.startswith(prefix)]
    if 0 < len(bare) < len(state):
        raise WeightsError(f"Only some names start with {prefix!r} ({bare[0]!r} does not): the file mixes two models.")
    return {name.removeprefix(prefix): value for name, value in state.items()}


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], source: str, assign: bool = False) -> None:
    """Load a state dict into a network; every entry must exist and fit, else a WeightsError lists the first few.

    Only ``num_batches_tracked`` may be absent (torch < 0.4.1). ``source`` is named in messages. With ``assign`` the
    network keeps the tensors of ``state`` themselves, so that one without weights (device meta) can be filled.
    """
    _check_fit(module, state, source)
    own = module.state_dict()
    module.load_state_dict({name: state.get(name, value) for name, value in own.items()}, strict=True, assign=assign)


def build_for(make: Callable[[], nn.Module], state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Build a network of sizes that a file says and load its weights, as :func:`load_strictly` does.

    Sizes that are not those of the weights take no memory.
    """
    with torch.device("meta"):
        _check_fit(make(), state, source)
    network = make()
    load_strictly(network, state, source)
    return network


def _check_fit(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that do not fit a network."""
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unknown = [name for name in state if name not in own]
    misfits = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    odd = [
        f"{name} is {state[name].dtype}"
        for name, value in own.items()
        if name in state and (state[name].is_quantized or (state[name].is_complex() and not value.is_complex()))
    ]
    errors = [
        f"{len(names)} {what}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        for what, names in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", misfits),
            ("of another type", odd),
        )
        if names
    ]
    if errors:
        raise WeightsError(f"The weights in {source} do not fit {type(module).__name__}: {'; '.join(errors)}.")


def download_torchvision(url: str) -> dict[str, Tensor]:
    """Return torchvision's weights from torch's cache folder, downloading and checking them first if needed.

    The address ends in the first digits of the file's SHA-256. A WeightsError says that the download failed (and which
    file to put where) or that the checksum is wrong.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    target = folder / url.rsplit("/", 1)[-1]
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        logger.info("Downloading %s to %s", url, target)
        try:
            torch.hub.download_url_to_file(url, str(target), hash_prefix=_hash_prefix(target), progress=False)
        except (URLError, OSError, RuntimeError) as error:
            if (reason := full_disk(error)) is not None:
                raise no_room(folder, reason) from error
            raise WeightsError(
                f"Could not download {url} ({error}): fetch that file where there is network and place it at {target}."
            ) from error
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(_hash_prefix(target)):
        raise WeightsError(
            f"{target} has SHA-256 {digest[:8]}..., expected {_hash_prefix(target)}...: delete it, fetch {url} again."
        )
    return read_state_dict(target)


def _hash_prefix(target: Path) -> str:
    return target.stem.rsplit("-", 1)[-1]


def weights_digest(network: Any) -> str:
    """Digest the weights of a network, 16 hexadecimal digits; what is no network counts as one without weights."""
    digest = hashlib.sha256()
    if isinstance(network, nn.Module):
        for key, value in network.state_dict().items():
            digest.update(key.encode())
            digest.update(value.cpu().numpy().tobytes()[:HASHED])
    return digest.hexdigest()[:16]

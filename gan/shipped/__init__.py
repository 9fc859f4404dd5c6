"""Generators that come with the project: ``NAME.safetensors`` with the weights, ``NAME.json`` with how they were made.

``tasks/gan/progan_export.py`` writes both from a training run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gan.progan.generator import ProganError, ProganGenerator
from models.weights import build_for, read_card, read_state_dict, write_weights

FOLDER = Path(__file__).parent
MOST_WIDTH, MOST_STAGES = 2**13, 12  # of a card's generator, 8192 x 8192 pixels


class ShippedError(ProganError):
    """There is no such generator, or its files do not fit each other."""


def names(folder: Path = FOLDER) -> list[str]:
    """List the generators of a folder, sorted: those with both weights and a description."""
    return sorted(path.stem for path in folder.glob("*.json") if path.with_suffix(".safetensors").exists())


def card(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Return how a generator was made: its shape, config, seed, images seen and figures.

    Raises ShippedError where there is none of that name, or its description cannot be read.
    """
    path = folder / f"{name}.json"
    if name not in names(folder):
        known = ", ".join(names(folder)) or "none"
        raise ShippedError(f"there is no generator {name!r} in {folder} (there: {known}); train and export one")
    content = read_card(path, "restore it or export again")
    if isinstance(content, dict) and _is_width(content.get("latent_dim")) and _are_widths(content.get("widths")):
        return content
    raise ShippedError(f"{path} does not describe a generator (latent_dim, widths): restore it or export again")


def _is_width(value: Any) -> bool:
    return type(value) is int and 0 < value <= MOST_WIDTH


def _are_widths(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST_STAGES and all(map(_is_width, value))


def load(name: str = "progan_world", folder: Path = FOLDER) -> ProganGenerator:
    """Load a generator that comes with the project, in evaluation mode on the CPU.

    Args:
        name: of its files.
        folder: that holds them.

    Returns:
        The generator: latents (B, D) to images (B, 3, R, R), about -1 to 1.

    Raises:
        ShippedError: there is none of that name, or its description cannot be read.
        WeightsError: the weights are damaged or do not fit the description.
    """
    content = card(name, folder)
    path = folder / f"{name}.safetensors"
    model = build_for(
        lambda: ProganGenerator(content["latent_dim"], content["widths"]), read_state_dict(path), str(path)
    )
    return model.eval()


def save(model: ProganGenerator, name: str, made: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a generator, and plain JSON on how it was made; returns the file of the weights."""
    path = folder / f"{name}.safetensors"
    weights = {key: value.to(torch.float32) for key, value in model.state_dict().items()}
    shape = {"latent_dim": model.latent_dim, "widths": model.widths, "resolution": model.resolution}
    write_weights(path, weights, {**shape, **made})
    return path

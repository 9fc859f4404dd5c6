"""Generators that come with the project: ``NAME.safetensors`` with the weights, ``NAME.json`` with how they were made.

``tasks/gan/progan_export.py`` and ``tasks/gan/class_export.py`` write both from a training run. The JSON describes a
Progressive GAN by its sizes, and a generator of classes by its node (``network``) and the names of the classes.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import config
from gan.class_generators import ClassInLatent
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
    if isinstance(content, dict) and (_is_of_classes(content) or _is_progan(content)):
        return content
    raise ShippedError(f"{path} does not describe a generator (latent_dim, widths): restore it or export again")


def _is_progan(content: dict[str, Any]) -> bool:
    return _is_width(content.get("latent_dim")) and _are_widths(content.get("widths"))


def _is_of_classes(content: dict[str, Any]) -> bool:
    classes = content.get("classes")
    named = isinstance(classes, list) and bool(classes) and all(isinstance(name, str) for name in classes)
    return named and isinstance(content.get("network"), dict)


def _is_width(value: Any) -> bool:
    return type(value) is int and 0 < value <= MOST_WIDTH


def _are_widths(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST_STAGES and all(map(_is_width, value))


def load(name: str = "progan_world", folder: Path = FOLDER) -> nn.Module:
    """Load a generator that comes with the project, in evaluation mode on the CPU.

    Args:
        name: of its files.
        folder: that holds them.

    Returns:
        The generator: latents (B, D) to images (B, 3, R, R), about -1 to 1. Of a generator of classes the latents hold
        the class too, see :class:`gan.class_generators.ClassInLatent`.

    Raises:
        ShippedError: there is none of that name, or its description cannot be read.
        WeightsError: the weights are damaged or do not fit the description.
    """
    content = card(name, folder)
    if "network" in content:
        return ClassInLatent(load_of_classes(name, folder)[0])
    path = folder / f"{name}.safetensors"
    model = build_for(
        lambda: ProganGenerator(content["latent_dim"], content["widths"]), read_state_dict(path), str(path)
    )
    return model.eval()


def load_of_classes(name: str, folder: Path = FOLDER) -> tuple[nn.Module, list[str]]:
    """Load a generator of latents (B, D) and classes (B,), in evaluation mode on the CPU, with the classes' names.

    Raises ShippedError where there is none of that name, or it has no classes; WeightsError where files do not fit.
    """
    content = card(name, folder)
    path = folder / f"{name}.safetensors"
    if "network" not in content:
        raise ShippedError(f"{name!r} makes images without classes; expected a generator of classes")
    try:
        checked = config.check_outside(content["network"], nn.Module, "network")
    except config.ConfigError as error:
        raise ShippedError(f"{path.with_suffix('.json')} describes what is not built here: {error}") from error
    model = build_for(partial(config.build, checked, "network"), read_state_dict(path), str(path))
    return model.eval(), content["classes"]


def save(model: ProganGenerator, name: str, made: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a Progressive GAN, and plain JSON on how it was made; returns the file of the weights."""
    shape = {"latent_dim": model.latent_dim, "widths": model.widths, "resolution": model.resolution}
    return _write(model, name, {**shape, **made}, folder)


def save_of_classes(
    model: nn.Module,
    name: str,
    network: Mapping[str, Any],
    classes: Sequence[str],
    made: Mapping[str, Any],
    folder: Path = FOLDER,
) -> Path:
    """Write a generator of classes with its node ``network`` and how it was made; returns the file of the weights."""
    card = {"network": dict(network), "classes": list(classes), "resolution": model.resolution, **made}
    return _write(model, name, card, folder)


def _write(model: nn.Module, name: str, card: Mapping[str, Any], folder: Path) -> Path:
    path = folder / f"{name}.safetensors"
    weights = {key: value.to(torch.float32) for key, value in model.state_dict().items()}
    write_weights(path, weights, dict(card))
    return path

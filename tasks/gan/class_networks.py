"""Trained generators and classifiers of classes: read from run folders, published files, and what is shipped.

A run of ``tasks/gan/conditional.py`` or ``tasks/gan/classifier.py`` writes ``model.json`` beside its checkpoints: the
networks as nodes, and the names of the classes.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

import config
from common.errors import UserError
from common.files import write_whole
from config import Problem
from engine.init_from import averaged_weights, read_checkpoint
from gan import shipped
from gan.biggan.latents import draw
from gan.biggan.standing_statistics import has_statistics, standing_statistics
from gan.class_generators import ClassInLatent
from models.weights import build_for, read_card
from published import load_published

log = logging.getLogger(__name__)
DESCRIPTION = "model.json"
STANDING = 16  # batches of standing statistics, as published
GENERATOR, DISCRIMINATOR, CLASSIFIER = "generator", "discriminator", "classifier"


class ClassNetworkError(UserError, ValueError):
    """There is no trained network of classes, or it is not what was asked for."""


@dataclass(frozen=True)
class GeneratorSource:
    """A trained generator; give one of the three.

    Attributes:
        run: run folder or checkpoint of ``tasks.gan.conditional``; averaged weights are taken where there are some.
        published: file of BigGAN's weights, see docs/guides/published.md.
        shipped: name of one that comes with the project.
    """

    run: Path | None = None
    published: Path | None = None
    shipped: str | None = None

    @staticmethod
    def validate(run: Path | None, published: Path | None, shipped: str | None) -> Iterator[Problem]:
        """Yield the error of none or several."""
        given = sum(one is not None for one in (run, published, shipped))
        if given != 1:
            yield "run", f"found {given} of run, published and shipped, expected one of them"


class TrainedNetwork(NamedTuple):
    """A network in evaluation mode on the CPU."""

    network: nn.Module
    class_names: list[str]
    steps: int | None  # optimisation steps, None where nobody knows

    def number_of(self, name: str) -> int:
        """Return the number of a class given by name or number; raise ClassNetworkError where there is none."""
        if name in self.class_names:
            return self.class_names.index(name)
        if name.isdecimal() and int(name) < len(self.class_names):
            return int(name)
        close = config.closest(name, self.class_names)
        raise ClassNetworkError(f"found class {name!r}, expected one of {len(self.class_names)} classes{close}")


def describe(nodes: Mapping[str, dict[str, Any]], classes: Sequence[str], size: int) -> dict[str, Any]:
    """Return the description of networks, of their classes and of the images' height and width in pixels."""
    return {"networks": dict(nodes), "classes": list(classes), "size": size}


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write ``model.json`` into a run folder."""
    write_whole(folder / DESCRIPTION, (json.dumps(description, indent=1) + "\n").encode())


def load_class_generator(source: GeneratorSource) -> TrainedNetwork:
    """Load a generator; classes of published files have numbers for names, and some that are shipped have no classes.

    Raises ClassNetworkError where the source holds none, WeightsError where a file is damaged.
    """
    if source.shipped is not None:
        if "network" in shipped.card(source.shipped):
            return TrainedNetwork(*shipped.load_of_classes(source.shipped), None)
        return TrainedNetwork(shipped.load(source.shipped), [], None)
    if source.published is not None:
        network = load_published("biggan", source.published)
        return TrainedNetwork(network, [str(number) for number in range(network.num_classes)], None)
    return load_network(source.run, GENERATOR)


def load_network(run: Path, name: str) -> TrainedNetwork:
    """Load the network ``name`` of a run folder or a checkpoint in one.

    Raises ClassNetworkError where there is none, or it is described in a way that is not built here.
    """
    folders = [run] if run.is_dir() else [run.parent, run.parent.parent]
    card = next((folder / DESCRIPTION for folder in folders if (folder / DESCRIPTION).is_file()), None)
    if card is None:
        raise ClassNetworkError(
            f"there is no {name} at {run}: expected a run folder with {DESCRIPTION} and checkpoints/"
        )
    content = read_card(card, "start the run again")
    networks = content.get("networks") if isinstance(content, dict) else None
    names = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(networks, dict) or not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise ClassNetworkError(f"{card} does not describe networks with classes; start the run again")
    if name not in networks:
        raise ClassNetworkError(f"{card} describes {', '.join(networks)}, expected {name}: give another run")
    try:
        checked = config.check_outside(networks[name], nn.Module, f"networks.{name}")
    except config.ConfigError as error:
        raise ClassNetworkError(f"{card} describes what this version of the project does not build: {error}") from error
    file, state = read_checkpoint(run)
    network = build_for(partial(config.build, checked, name), averaged_weights(state)[name], str(file))
    log.info("%s of %s, step %d", name, config.short(run), state["step"])
    return TrainedNetwork(network.eval(), names, state["step"])


def settle(network: nn.Module, seed: int = 0, batches: int = STANDING, size: int = 50, **how: float | None) -> None:
    """Give a trained generator standing statistics, where it has batch norms, in place.

    Averaged weights come with the newest statistics, which fit badly. ``how`` are ``std`` and ``truncation`` of the
    latents (:func:`gan.biggan.latents.draw`): statistics are taken of what is drawn afterwards.
    """
    if has_statistics(network):
        device = next(network.parameters()).device
        draws = (draw(network, size, seed + number, **how) for number in range(batches))
        standing_statistics(network, (tuple(one.to(device) for one in drawn) for drawn in draws))


def with_class_in_latent(run: Path) -> nn.Module:
    """Load the generator of a run folder for jobs that call generators with latents alone, such as dissections.

    Args:
        run: run folder or checkpoint of ``tasks.gan.conditional``.

    Returns:
        The generator, in evaluation mode on the CPU; see :class:`gan.class_generators.ClassInLatent`.

    Raises:
        ClassNetworkError: there is none.
    """
    network = load_network(run, GENERATOR).network
    settle(network)
    return ClassInLatent(network)

"""Weights into modules that they fit, and a list of the rest: entries that misfit, parts that begin anew.

A part is what a network may be built with or without, such as one of its quantisers. A network names the attributes
that hold its parts in ``switchable``; each member of such an attribute is one part.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from common.errors import UserError

log = logging.getLogger(__name__)
SHOWN = 10  # misfits in an error


@dataclass
class Fitted:
    """Result for the weights of one module."""

    loaded: int = 0  # how many entries were copied, counters of single numbers left aside
    # a line for each entry that is missing, unknown or of another shape
    errors: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)  # parts of the module that are not in the weights
    unused: list[str] = field(default_factory=list)  # parts in the weights that the module does not have


def load_modules(
    modules: Mapping[str, nn.Module],
    weights: Mapping[str, dict[str, Tensor]],
    found: Path,
    allow_partial: bool,
    other_parts: bool = False,
    remedy: str = "",
) -> None:
    """Load weights, from the file ``found``, into modules of the same names, and list what is not loaded.

    With ``other_parts`` parts may begin anew, and parts of the weights stay unused, without ``allow_partial`` (see
    :class:`engine.init_from.InitFrom`). A UserError says that no entry fits, or lists those that are missing, unknown
    or of another shape, unless ``allow_partial``; it names ``remedy``, which ends in "or ", before that one.
    """
    errors: list[str] = []
    notes: list[str] = []
    loaded = 0
    for name, module in modules.items():
        if name not in weights:
            errors.append(f"{name}: not in the checkpoint, which has {', '.join(weights)}")
            continue
        fitted = load_fitting(module, weights[name])
        loaded += fitted.loaded
        errors += [f"{name}.{error}" for error in fitted.errors]
        if other_parts or allow_partial:
            notes += _parts_message(name, fitted, found)
        else:
            errors += [f"{name}.{part}: missing in the checkpoint" for part in fitted.new]
            errors += [f"{name}.{part}: unknown to this model" for part in fitted.unused]
    if errors and not allow_partial:
        raise _misfit(errors, found, remedy)
    for note in notes:
        log.info("%s", note)
    if errors and not loaded:
        raise UserError(f"{found} holds nothing that fits this model ({errors[0]}, ...); give other weights")
    if errors:
        listed = "\n  ".join(errors)
        log.warning("%d entries are not loaded from %s, %d are:\n  %s", len(errors), found, loaded, listed)


def _misfit(errors: list[str], found: Path, remedy: str) -> UserError:
    more = f"\n  ... and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    listed = "\n  ".join(errors[:SHOWN]) + more
    return UserError(
        f"{found} does not fit this model ({len(errors)} entries):\n  {listed}\n"
        f"set {remedy}init_from.allow_partial: true to load what fits"
    )


def _parts_message(name: str, fitted: Fitted, found: Path) -> Iterator[str]:
    if fitted.new:
        yield f"{name}: not in {found} and so begun anew: {', '.join(fitted.new)}"
    if fitted.unused:
        yield f"{name}: in {found} and not in this model: {', '.join(fitted.unused)}"


def load_fitting(module: nn.Module, weights: dict[str, Tensor]) -> Fitted:
    """Copy the entries of ``weights`` that fit ``module`` by name and shape; the others keep what they hold."""
    own = module.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    module.load_state_dict(fitting, strict=False)
    mine, theirs = _parts(module, own), _parts(module, weights)
    loaded = sum(value.dim() > 0 for value in fitting.values())
    fitted = Fitted(loaded, new=sorted(mine - theirs), unused=sorted(theirs - mine))
    apart = {*fitted.new, *fitted.unused}
    fitted.errors += [
        f"{key}: missing in the checkpoint" for key in own if key not in weights and _part(module, key) not in apart
    ]
    for key, value in weights.items():
        if key not in own and _part(module, key) not in apart:
            fitted.errors.append(f"{key}: unknown to this model")
        elif key in own and key not in fitting:
            shapes = f"shape {tuple(value.shape)} in the checkpoint, {tuple(own[key].shape)} in this model"
            fitted.errors.append(f"{key}: {shapes}")
    return fitted


def _parts(module: nn.Module, names: Iterable[str]) -> set[str]:
    return {part for name in names if (part := _part(module, name)) is not None}


def _part(module: nn.Module, name: str) -> str | None:
    """Return the part that an entry belongs to: the first two words of its name, where the first holds parts."""
    position, _, rest = name.partition(".")
    return f"{position}.{rest.partition('.')[0]}" if position in getattr(module, "switchable", ()) else None

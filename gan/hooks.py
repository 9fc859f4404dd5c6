"""Edit and read the layers of a network while it runs: blending with masks, for any ``nn.Module``.

An edit replaces a layer's output ``x`` by ``x*(1-a) + v*a`` ("GAN Dissection", arXiv:1811.10597, section 3.2). In the
published code, ``netdissect/nethook.py`` of CSAILVision/gandissect and of surisdi/learning-by-drawing, two things
differ: masks of another resolution are max-pooled without saying so (here: ``resize_mask``), and masks with too few
channels silently become zero (here: an error). Shape letters: B images, C channels ("units"), H, W rows and columns.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from common.errors import UserError


class LayerNameError(UserError):
    """A name that no layer of the network has."""


class MaskError(UserError):
    """A mask or replacement that does not fit the layer it is meant for."""


@dataclass(frozen=True)
class Edit:
    """Change of one layer's output ``x`` (B, C, H, W) to ``x*(1-mask) + value*mask``.

    Attributes:
        mask: Bool, or float in 0-1: (C,), (H, W), (C, H, W) or (B, C, H, W). In the last two an axis may have size one
            and then holds for the whole axis, so that (B, 1, H, W) is one region for each image.
        value: Replacement, in the same shapes (usually (C,) or (B, C, H, W)) or as one number; None is zero.
    """

    mask: Tensor
    value: Tensor | float | None = None

    def apply(self, output: Tensor, layer: str = "layer") -> Tensor:
        """Return the edited output, a new tensor of its shape (B, C, H, W).

        Gradients flow through output, mask and value.

        With another number of axes after (B, C) masks are (C,) or have the output's last axes. Raises MaskError, which
        names the ``layer``, where mask or value does not fit.
        """
        mask = _fitted("mask", self.mask, output, layer)
        kept = output * (1 - mask)
        if self.value is None:
            return kept
        if not isinstance(self.value, Tensor):
            return kept + mask * self.value
        return kept + mask * _fitted("replacement", self.value, output, layer)


class _Tap:
    """The one forward hook of a layer that is edited or recorded: all edits in the order of entering, then records."""

    def __init__(self, layer: nn.Module) -> None:
        self.edits: list[tuple[str, Edit]] = []
        self.records: list[tuple[str, dict[str, Tensor]]] = []
        self.handle: RemovableHandle = layer.register_forward_hook(self)

    def __call__(self, _layer: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        name = (self.edits or self.records)[0][0]
        if not isinstance(output, Tensor) or output.dim() < 2:
            found = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise LayerNameError(
                f"layer {name!r} puts out {found}, expected a tensor with axes (images, channels, ...); "
                "name a layer inside or after it"
            )
        for name, edit in self.edits:
            output = edit.apply(output, name)
        for name, record in self.records:
            record[name] = output
        # Later layers work on a copy: those that change their input in place must not change the record.
        return output.clone() if self.records else output


_taps: "WeakKeyDictionary[nn.Module, _Tap]" = WeakKeyDictionary()


@contextmanager
def edited(model: nn.Module, edits: Mapping[str, Edit]) -> Iterator[nn.Module]:
    """Apply edits to layers' outputs inside the ``with`` block; nothing is left on the model afterwards.

    ``edits`` go from a layer's name (dotted for nested modules) to its edit; nested blocks that edit the same layer act
    one after the other, the inner one last. Raises LayerNameError where the model has no such layer, or the layer does
    not put out one tensor, and, while the model runs, MaskError where a mask or replacement does not fit its layer.
    """
    layers = {name: layer_named(model, name) for name in edits}
    with ExitStack() as stack:
        for name, edit in edits.items():
            stack.enter_context(_tapped(layers[name], "edits", (name, edit)))
        yield model


@contextmanager
def recorded(model: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of layers, after any edit, whichever of the two blocks is the inner one.

    Yields a mapping that each run of the model fills: layer -> output of its latest call, as part of the graph where
    gradients are on. It keeps what it holds after the block. Raises LayerNameError where the model has no such layer.
    """
    found = {name: layer_named(model, name) for name in layers}
    record: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, layer in found.items():
            stack.enter_context(_tapped(layer, "records", (name, record)))
        yield record


def layer_named(model: nn.Module, name: str) -> nn.Module:
    """Return the sub-module of that (dotted) name, such as ``layer4`` or ``blocks.2.conv``.

    Raises LayerNameError, which lists the layers that there are.
    """
    layer = model
    parts = name.split(".") if name else [""]
    for depth, part in enumerate(parts):
        children = {child: module for child, module in layer._modules.items() if module is not None}
        if part not in children:
            inside = f"{type(model).__name__}" + "".join(f".{parent}" for parent in parts[:depth])
            valid = ", ".join(children) or "no layers"
            close = difflib.get_close_matches(part, children, n=1)
            hint = f"; did you mean {'.'.join([*parts[:depth], close[0]])!r}?" if close else ""
            raise LayerNameError(f"no layer {name!r}: {inside} has {valid}{hint}")
        layer = children[part]
    return layer


def resize_mask(mask: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize a mask (..., H, W), bool or float, to (..., rows, columns): each cell is the largest of those it covers.

    That is adaptive max pooling, as published. Raises MaskError where the mask has no rows and columns, or a size is
    below one.
    """
    rows, columns = (size, size) if isinstance(size, int) else size
    if mask.dim() < 2 or 0 in mask.shape:
        raise MaskError(f"a mask of shape {tuple(mask.shape)} has no rows and columns; expected (..., rows, columns)")
    if rows < 1 or columns < 1:
        raise MaskError(f"a mask cannot be resized to {rows} x {columns}; expected at least 1 x 1")
    real = mask if mask.is_floating_point() else mask.to(torch.float32)
    flat = real.reshape(-1, 1, *mask.shape[-2:])
    return F.adaptive_max_pool2d(flat, (rows, columns)).reshape(*mask.shape[:-2], rows, columns).to(mask.dtype)


@contextmanager
def _tapped(layer: nn.Module, kind: str, entry: tuple) -> Iterator[None]:
    """Keep one entry in the layer's tap; the last one to go takes the hook with it."""
    tap = _taps.get(layer)
    if tap is None:
        tap = _taps[layer] = _Tap(layer)
    entries = getattr(tap, kind)
    entries.append(entry)
    try:
        yield
    finally:
        del entries[next(i for i, other in enumerate(entries) if other is entry)]
        if not tap.edits and not tap.records:
            tap.handle.remove()
            del _taps[layer]


def _fitted(what: str, given: Tensor, output: Tensor, layer: str) -> Tensor:
    """Return ``given`` with as many axes as ``output`` and of its type and device."""
    axes, shape = output.dim(), tuple(output.shape)
    if given.dim() == 1:
        fitted, exact = given.reshape(1, -1, *[1] * (axes - 2)), {1}
    elif given.dim() == axes - 2:
        fitted, exact = given[None, None], set(range(2, axes))
    elif given.dim() in (axes - 1, axes):
        fitted, exact = (given if given.dim() == axes else given[None]), set()
    else:
        raise MaskError(_message(what, given, shape, layer))
    sizes = zip(range(axes), fitted.shape, shape, strict=True)
    if any(found != wanted and (axis in exact or found != 1) for axis, found, wanted in sizes):
        raise MaskError(_message(what, given, shape, layer))
    return fitted.to(device=output.device, dtype=output.dtype)


def _message(what: str, given: Tensor, shape: tuple[int, ...], layer: str) -> str:
    space = " x ".join(map(str, shape[2:])) or "no further axes"
    expected = [f"({shape[1]},)"]
    if len(shape) == 4:
        expected += [f"({shape[2]}, {shape[3]})"]
    expected += [str(shape[1:]) if len(shape) > 2 else "", str(shape)]
    return (
        f"a {what} of shape {tuple(given.shape)} does not fit the output of layer {layer!r} with {shape[0]} images, "
        f"{shape[1]} channels and {space} cells; expected {' or '.join(filter(None, expected))}"
        + ("; gan.hooks.resize_mask changes the resolution of a mask" if len(shape) == 4 else "")
    )

"""Layers' outputs without running the rest of a generator, and batches that shrink where memory ends."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan.directions.directions import DirectionError
from gan.hooks import layer_named

log = logging.getLogger(__name__)
CPU_MEMORY = "can't allocate memory"  # of torch's allocator, which raises a plain RuntimeError


class _Reached(Exception):
    """Carries a layer's output out of a generator's forward pass."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


def images_of(generator: nn.Module, latents: Tensor, classes: Tensor | None = None) -> Tensor:
    """Generate images (B, 3, R, R) from latents (B, dim), and classes (B,) of generators that take them."""
    return generator(latents) if classes is None else generator(latents, classes)


def layer_output(generator: nn.Module, layer: str, latents: Tensor, classes: Tensor | None = None) -> Tensor:
    """Return the output of a layer, by its (dotted) name; what follows the layer is not run.

    Gradients flow through it. Raises LayerNameError where there is no such layer, DirectionError where the images do
    not come through it.
    """

    def leave(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        raise _Reached(output)

    handle = layer_named(generator, layer).register_forward_hook(leave)
    try:
        images_of(generator, latents, classes)
    except _Reached as reached:
        return reached.output
    finally:
        handle.remove()
    raise DirectionError(f"{type(generator).__name__} made images without its layer {layer!r}; name one that it runs")


class Batches:
    """Runs functions on at most ``size`` rows at a time; after each lack of memory on half as many, from then on."""

    def __init__(self, size: int) -> None:
        self.size = size

    def map(self, function: Callable[..., tuple[Tensor, ...]], *rows: Tensor | None) -> tuple[Tensor, ...]:
        """Return what ``function`` makes of all rows, batch after batch, concatenated; None stays None.

        Raises DirectionError where memory is lacking for a single row.
        """
        number = next(len(one) for one in rows if one is not None)
        made, start = [], 0
        while start < number:
            batch = [None if one is None else one[start : start + self.size] for one in rows]
            try:
                made.append(function(*batch))
            except (torch.OutOfMemoryError, RuntimeError) as error:
                self._halve(error)
                continue
            start += self.size
        return tuple(torch.cat(parts) for parts in zip(*made, strict=True))

    def _halve(self, error: RuntimeError) -> None:
        """Halve the size, or raise ``error`` where it is not about memory."""
        if not isinstance(error, torch.OutOfMemoryError) and CPU_MEMORY not in str(error):
            raise error
        if self.size == 1:
            raise DirectionError("memory is lacking for a single latent; take a smaller generator or an earlier layer")
        self.size //= 2
        log.warning("memory is lacking; going on with %d latents at a time", self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

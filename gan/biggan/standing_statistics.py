"""Standing statistics: batch norms whose means and variances fit the weights (arXiv:1809.11096, appendix D).

An average of a generator's weights with the newest generator's statistics fits badly; the published code offers this
too (``accumulate_standing_stats``), yet its released images use the newest ones.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.errors import UserError


class StatisticsError(UserError, ValueError):
    """Standing statistics of nothing."""


def _norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


def has_statistics(network: nn.Module) -> bool:
    """Return whether a network has batch norms with stored statistics."""
    return bool(_norms(network))


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Bring the stored statistics of batch norms back at the block's end."""
    norms = _norms(network)
    stored = [[buffer.clone() for buffer in norm.buffers()] for norm in norms]
    try:
        yield
    finally:
        for norm, buffers in zip(norms, stored, strict=True):
            for buffer, value in zip(norm.buffers(), buffers, strict=True):
                buffer.copy_(value)


@torch.no_grad()
def standing_statistics(generator: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> int:
    """Replace the stored statistics of every batch norm by the mean, over batches, of each batch's own.

    While it runs, batch norms normalise by the batch, as in training; every other layer stays as it is, so that the
    vectors of spectral norms do not move. Afterwards modes and momenta are as before.

    Args:
        generator: with batch norms.
        batches: arguments of the generator, such as (latents, classes); large ones, 16 or more as published.

    Returns:
        How many batches there were.

    Raises:
        StatisticsError: there are no batches, or no batch norms.
    """
    norms = _norms(generator)
    if not norms:
        raise StatisticsError(f"{type(generator).__name__} has no batch norm, so it needs no standing statistics")
    before = [(norm.training, norm.momentum) for norm in norms]
    stored = [[buffer.clone() for buffer in norm.buffers()] for norm in norms]
    count = 0
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for count, inputs in enumerate(batches, start=1):
            for norm in norms:
                norm.momentum = 1 / count  # which makes the running average a plain mean of all batches
            generator(*inputs)
    finally:
        for norm, (training, momentum), buffers in zip(norms, before, stored, strict=True):
            norm.train(training)
            norm.momentum = momentum
            if not count:
                for buffer, value in zip(norm.buffers(), buffers, strict=True):
                    buffer.copy_(value)
    if not count:
        raise StatisticsError("found no batches, expected at least one to take statistics of; the old ones are kept")
    return count

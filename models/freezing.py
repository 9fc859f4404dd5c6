"""Keeping parts of a network as they are while the rest learns."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def hold_batch_norm(module: nn.Module) -> None:
    """Put every batch norm inside ``module`` in evaluation mode: it normalises with its stored statistics."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()

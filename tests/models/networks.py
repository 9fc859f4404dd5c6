"""Checks of every network, for the tests of this folder."""

import torch
from torch import Tensor, nn


def check_gradients(network: nn.Module, output: Tensor) -> None:
    """The output is finite, and every trainable parameter gets a finite gradient that is not all zero."""
    assert torch.isfinite(output).all()
    (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name
        else:
            assert parameter.grad is None, name


def mel(batch: int, frames: int, seed: int = 0) -> Tensor:
    """Log-mels in the published range, -80 to 0 dB."""
    generator = torch.Generator().manual_seed(seed)
    return (20 * torch.randn(batch, 40, frames, generator=generator) - 40).clamp(-80, 0)

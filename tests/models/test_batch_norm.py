"""Batch norm over ranks."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from models.batch_norm import BatchNorm
from tests.ranks import on_two_ranks

ROWS = 7  # two ranks hold four and three of them


def learn(norm, x, share):
    """One step: outputs, input gradient and statistics; the loss is a sum over the global batch."""
    x = x[share].clone().requires_grad_()
    weight = torch.linspace(-1, 1, ROWS)[share].view(-1, 1, 1)
    y = norm(x)
    (y.pow(3) * weight).sum().backward()
    return {
        "y": y.detach(),
        "x": x.grad,
        "weight": norm.weight.grad,
        "mean": norm.running_mean.clone(),
        "var": norm.running_var.clone(),
    }


def learn_share(rank, world, x):
    result = learn(BatchNorm(3), x, slice(0, 4) if rank == 0 else slice(4, 7))
    dist.all_reduce(result["weight"])
    return result


def test_two_ranks_normalise_like_torch_in_one(tmp_path):
    x = 3 + 2 * torch.randn(ROWS, 3, 5, generator=torch.Generator().manual_seed(0))
    expected = learn(nn.BatchNorm1d(3), x, slice(None))
    ranks = on_two_ranks(learn_share, tmp_path, x)
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([rank[name] for rank in ranks]), expected[name], rtol=1e-4, atol=1e-5)
    for name in ("weight", "mean", "var"):
        for rank in ranks:
            torch.testing.assert_close(rank[name], expected[name], rtol=1e-4, atol=1e-5)


def test_alone_it_is_torchs_own():
    x = torch.randn(4, 3, 5, 6)
    assert torch.equal(BatchNorm(3)(x), nn.BatchNorm2d(3)(x))
    with pytest.raises(ValueError, match="takes"):
        BatchNorm(3)(torch.randn(3))


def test_without_weights_it_is_torchs_own_over_ranks_too(monkeypatch):
    """Conditional batch norms scale by themselves; a world of two, of which the other is empty, stands for ranks."""
    monkeypatch.setattr("common.distributed.world_size", lambda: 2)
    monkeypatch.setattr("common.distributed.sum_over_ranks", lambda value: value)
    x = torch.randn(ROWS, 3, 4, 4)
    torch.testing.assert_close(BatchNorm(3, affine=False)(x), nn.BatchNorm2d(3, affine=False)(x), rtol=1e-4, atol=1e-5)

"""Batch norm over every rank's part of the batch, so that several processes normalise as one does; and held still."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common import distributed


class BatchNorm(_BatchNorm):
    """Batch norm of ``(B, C, ...)`` with any number of further axes; arXiv:1502.03167.

    In one process, and in evaluation, it is torch's own. With several processes the statistics are those of the global
    batch, summed over ranks differentiably; unlike torch's ``SyncBatchNorm`` it works on the CPU as well.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's name
        if input.dim() < 2:
            raise ValueError(f"BatchNorm takes (B, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """Normalise ``(B, C, ...)``; ranks may hold different numbers of values."""
        if not self.training or distributed.world_size() == 1:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return self._normalise_over_ranks(input.to(self.running_mean.dtype)).to(input.dtype)

    def _normalise_over_ranks(self, x: Tensor) -> Tensor:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        count = distributed.sum_over_ranks(x.new_tensor(float(x.numel() // x.shape[1])))
        mean = distributed.sum_over_ranks(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = distributed.sum_over_ranks(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), self.momentum)
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        return torch.addcmul(self.bias.view(shape), scaled, self.weight.view(shape)) if self.affine else scaled


def hold_batch_norm(module: nn.Module) -> None:
    """Put every batch norm inside ``module`` in evaluation mode: it normalises with its stored statistics."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()

"""Keeping the copies of a model alike on all ranks: weights, gradients, running statistics.

In the manner of NVIDIA's StyleGAN training loops, gradients are averaged explicitly after the backward pass, without
wrapper modules: names in state dicts stay as they are, and several optimisers are safe.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from common import distributed

BUCKET_BYTES = 25 * 2**20


def broadcast_modules(modules: Iterable[nn.Module]) -> None:
    """Give every rank the parameters and buffers of rank 0; modules stand in the same order on every rank."""
    if distributed.world_size() == 1:
        return
    for module in modules:
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor.detach(), src=0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average ``.grad`` over ranks in flattened buckets of about 25 MB, parameters in the same order on every rank.

    A parameter without gradient on this rank, but with one elsewhere, counts as zero here; one without gradient on
    every rank stays without, so optimisers skip it as in a single process.
    """
    if distributed.world_size() == 1:
        return
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if not trainable:
        return
    used = torch.tensor([parameter.grad is not None for parameter in trainable], dtype=torch.uint8)
    used = used.to(trainable[0].device)
    dist.all_reduce(used, op=dist.ReduceOp.MAX)
    gradients = []
    for parameter, any_rank in zip(trainable, used.tolist(), strict=True):
        if any_rank:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        flat /= distributed.world_size()
        for gradient, part in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _buckets(tensors: list[Tensor]) -> Iterable[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def average_running_statistics(modules: Iterable[nn.Module]) -> None:
    """Average the floating-point running statistics of batch norms over ranks (before evaluation and saving)."""
    if distributed.world_size() == 1:
        return
    for module in modules:
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats:
                for buffer in (part.running_mean, part.running_var):
                    dist.all_reduce(buffer)
                    buffer /= distributed.world_size()

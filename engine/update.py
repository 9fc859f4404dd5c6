"""One optimiser's update: backward, average over ranks, unscale, clip, finite check, step."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from common import distributed
from common.errors import UserError
from engine import replicas

log = logging.getLogger(__name__)
Precision = Literal["auto", "bf16", "fp16", "fp32"]


class NonFiniteLoss(UserError):
    """The loss or its gradient became infinite or NaN."""


class NoGradient(UserError):
    """The loss does not depend on what is trained, so that nothing is learned."""


class Updater:
    """Makes updates for several optimisers, each with its own gradient scaler.

    ``precision`` is resolved by :func:`pick_precision`; ``clip_norm`` is the largest total gradient norm of one
    optimiser's parameters, None leaves gradients as they are; ``clipped`` are modules with the largest gradient norm of
    their parameters, which are clipped apart from all others.
    """

    def __init__(
        self,
        optimizers: dict[str, Optimizer],
        precision: Precision,
        device: torch.device,
        clip_norm: float | None,
        clipped: Sequence[tuple[nn.Module, float]] = (),
    ) -> None:
        self.optimizers = optimizers
        self.precision = precision
        self.device = device
        self.clip_norm = clip_norm
        self.clipped = clipped
        self._pending: set[str] = set()  # optimisers whose gradients hold a part of the next update
        self.scalers = {
            name: torch.amp.GradScaler(device.type, enabled=precision == "fp16") for name in self.optimizers
        }

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Run the forward pass in the run's precision."""
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            yield

    def __call__(
        self,
        name: str,
        loss: Tensor,
        retain_graph: bool = False,
        parts: dict[str, Tensor] | None = None,
        into: Sequence[Tensor] = (),
    ) -> float:
        """Minimise a scalar ``loss`` by one step of optimiser ``name``; only its parameters receive gradients.

        Return the total gradient norm before clipping. ``retain_graph`` keeps the graph for a further update from the
        same forward pass; ``parts`` are named when the loss is not finite. ``into`` are tensors whose ``.grad`` becomes
        the loss's gradient too, this rank's and unclipped: a task passes it on to the networks that made them.

        Raises:
            NonFiniteLoss: the loss or (outside fp16, whose scaler skips such steps) the gradient is not finite;
                the weights are still those before the step.
            NoGradient: the loss was computed from nothing that is trained.
        """
        optimizer, scaler = self.optimizers[name], self.scalers[name]
        scale = scaler.get_scale()
        parameters = self._backward(name, loss, retain_graph, parts, into)
        for tensor in into:
            tensor.grad /= scale
        self._pending.discard(name)
        replicas.average_gradients(parameters)
        scaler.unscale_(optimizer)
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not math.isfinite(norm.item()) and self.precision != "fp16":
            raise NonFiniteLoss(
                f"the gradient of '{name}' has norm {norm.item()} (its loss is {loss.item():.6g}{_listed(parts)})"
            )
        self._clip(parameters, norm)
        scaler.step(optimizer)
        scaler.update()
        if self.precision == "fp16" and scaler.get_scale() < 1e-4:
            raise NonFiniteLoss(f"the fp16 gradient of '{name}' stays infinite at every scale; use bf16 or fp32")
        return norm.item()

    def accumulate(self, name: str, loss: Tensor, parts: dict[str, Tensor] | None = None) -> None:
        """Add the gradients of a part of the loss to those of the next update of optimiser ``name``.

        Args and errors are those of :meth:`__call__`.
        """
        self._backward(name, loss, False, parts)
        self._pending.add(name)

    def _backward(
        self,
        name: str,
        loss: Tensor,
        retain_graph: bool,
        parts: dict[str, Tensor] | None,
        into: Sequence[Tensor] = (),
    ) -> list[Tensor]:
        """Compute the gradients of an optimiser's parameters, on top of a pending part's; return the parameters."""
        optimizer = self.optimizers[name]
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        if name not in self._pending:
            optimizer.zero_grad(set_to_none=True)
        if distributed.any_rank(not math.isfinite(loss.item())):
            raise NonFiniteLoss(f"the loss of '{name}' is {loss.item()}{_listed(parts)}")
        if not loss.requires_grad or not parameters:
            raise NoGradient(
                f"the loss of '{name}' ({loss.item():.6g}{_listed(parts)}) depends on nothing that is trained; "
                "expected trainable parameters on the way to it: look for frozen networks in the config"
            )
        for tensor in into:
            tensor.grad = torch.zeros_like(tensor)
        self.scalers[name].scale(loss).backward(inputs=[*parameters, *into], retain_graph=retain_graph)
        return parameters

    def _clip(self, parameters: list[Tensor], norm: Tensor) -> None:
        """Shorten the gradients of an optimiser's ``parameters``, whose total norm is ``norm``, as far as is asked."""
        updated = set(map(id, parameters))
        for module, longest in self.clipped:
            own = [parameter for parameter in module.parameters() if id(parameter) in updated]
            if own:
                torch.nn.utils.clip_grad_norm_(own, longest)
        if self.clip_norm is not None:
            if self.clipped:
                norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            torch.nn.utils.clip_grads_with_norm_(parameters, self.clip_norm, norm)


def _listed(parts: dict[str, Tensor] | None) -> str:
    return "".join(f", {name} {value.detach().item():.6g}" for name, value in (parts or {}).items())


def pick_precision(precision: Precision, device: torch.device) -> Precision:
    """Resolve ``auto``: bf16 on GPUs that have it, else fp32; refuse fp16 on the CPU, and log what is not plain.

    CPUs with avx512_bf16 compute in fp32 too unless bf16 is asked for: a step is 1.3 to 1.8 times quicker there, but of
    ten seeds of the quick-start one learned far less in bf16, and none in fp32 (docs/results/quickstart.md).
    """
    if precision == "fp16" and device.type == "cpu":
        raise UserError("trainer.precision: fp16 needs a GPU; use fp32 or bf16 on the CPU")
    found = precision
    if precision == "auto":
        found = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if found == "bf16":
        log.info("computing in bf16 on %s%s", device, " (precision: auto)" if precision == "auto" else "")
    if device.type == "cpu" and cpu_has_bf16() and precision == "auto":
        log.info(
            "computing in fp32; this CPU has avx512_bf16, where trainer.precision=bf16 is 1.3 to 1.8 times quicker"
        )
    if device.type == "cpu" and not cpu_has_bf16() and found == "bf16":
        log.warning("this CPU has no avx512_bf16: bf16 is emulated, many times slower than trainer.precision=fp32")
    return found


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 numbers by instructions of its own (avx512_bf16)."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))

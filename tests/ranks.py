"""Runs a test's function in two real gloo processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

WORLD = 2


def on_two_ranks(function: Callable[..., dict[str, Any]], folder: Path, *arguments: Any) -> list[dict[str, Any]]:
    """Call ``function(rank, 2, *arguments)`` on each rank; returns what each gave, read back from ``folder``."""
    torch.multiprocessing.spawn(_rank, args=(function, folder, arguments), nprocs=WORLD)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]


def _rank(rank: int, function: Callable[..., dict[str, Any]], folder: Path, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    torch.save(function(rank, WORLD, *arguments), folder / f"rank{rank}.pt")
    dist.destroy_process_group()

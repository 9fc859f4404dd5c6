"""Random states: one seed for all, and states that a checkpoint can carry as plain tensors and lists."""

import os
import random
from typing import Any

import numpy as np
import torch


def seed_all(seed: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch; ranks draw different streams from one seed."""
    stream = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
    random.seed(stream)
    np.random.seed(stream)
    torch.manual_seed(stream)


def make_deterministic() -> None:
    """Ask torch for repeatable algorithms; warns where an operation has none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


def random_state() -> dict[str, Any]:
    """Return the states of Python, NumPy, torch and CUDA as tensors and lists, which ``weights_only`` reads."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what :func:`random_state` returned."""
    random.setstate(_python(state["python"]))
    np.random.set_state(_numpy(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def random_error(state: Any) -> str | None:
    """Return the part of a state, whatever it is, that :func:`set_random_state` cannot restore, or None."""
    if not isinstance(state, dict):
        return "the random state"
    trials = {
        "python": lambda words: random.Random().setstate(_python(words)),
        "numpy": lambda words: np.random.RandomState().set_state(_numpy(words)),
        "torch": torch.Generator().set_state,
    }
    for name, trial in trials.items():
        try:
            trial(state[name])
        except Exception:  # whatever a value of any kind makes them raise
            return f"the random state of {name}"
    cuda = state.get("cuda")
    fits = cuda is None or (isinstance(cuda, torch.Tensor) and cuda.dtype == torch.uint8)
    return None if fits else "the random state of CUDA"


def _python(state: list[Any]) -> tuple[Any, ...]:
    version, words, gauss = state
    return version, tuple(words.tolist()), gauss


def _numpy(state: list[Any]) -> tuple[Any, ...]:
    name, keys, *rest = state
    return name, keys.numpy().astype(np.uint32), *rest


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return a CPU generator that depends on the seed and the step alone, the same on every rank."""
    words = np.random.SeedSequence([seed, step, 0x5EED]).generate_state(2)
    return torch.Generator().manual_seed((int(words[0]) << 31) ^ int(words[1]))

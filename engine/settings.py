"""The ``trainer:`` and ``launch:`` groups of a config: the training of a task, and its processes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from config import Problem, check_values
from config.limits import Processes
from engine.update import Precision


@dataclass
class EmaSettings:
    """Exponential moving averages of weights, used for evaluation. Buffers are copied, not averaged.

    Attributes:
        decay: weight of the old average in each step, such as 0.999.
        modules: names of the modules to average; all by default.
        start_step: optimisation step at which averaging begins; until then the averages are the weights themselves.
        statistics: running means and variances of generators' batch norms. "own" are those of the averaged network
            itself, taken on the inputs of every tenth step; "live" are copied from the trained one, as the public code
            of AttnGAN and BigGAN has it, and fit the averaged weights badly.
    """

    decay: Annotated[float, Field(gt=0, lt=1)]
    modules: list[str] | None = None
    start_step: NonNegativeInt = 0
    statistics: Literal["own", "live"] = "own"

    def __post_init__(self) -> None:
        check_values(self)


@dataclass
class CheckpointSettings:
    """When checkpoints are written.

    Attributes:
        every_epochs: write ``last.pt`` after every so many epochs.
        every_steps: write it also after every so many optimisation steps.
        keep: numbered copies (``step_*.pt``) that stay beside ``last.pt`` and ``best.pt``.
        snapshot_every_epochs: keep the weights of epoch 0 (before training) and after every so many epochs, as
            ``snapshots/e0.pt`` and so on: for ``init_from`` and measurements, since a run goes on from ``last.pt``.
    """

    every_epochs: PositiveInt = 1
    every_steps: PositiveInt | None = None
    keep: NonNegativeInt = 0
    snapshot_every_epochs: PositiveInt | None = None

    def __post_init__(self) -> None:
        check_values(self)


@dataclass
class TrainerSettings:
    """Settings of a training.

    Attributes:
        epochs: passes over the training data.
        max_steps: stop after so many optimisation steps.
        max_minutes: stop after so many minutes, with waiting for data, evaluation and earlier parts of a resumed run.
        precision: ``auto`` is bf16 on GPUs that have it, else fp32; ``bf16`` is quicker than that on CPUs with
            avx512_bf16 (the log says so), and many times slower on others.
        compile: compile every module with ``torch.compile``.
        clip_norm: largest gradient norm of one optimiser.
        clip_modules: largest gradient norm of single modules of the task, by their names, such as ``{text: 0.25}``;
            each is clipped by its own norm, before ``clip_norm``.
        ema: moving averages of the weights.
        best_by: metric of the evaluation that chooses ``best.pt``, the highest; the task's own choice when None.
        evaluate_every_epochs: epochs between two evaluations; the last epoch is always evaluated.
        log_every_steps: optimisation steps between two log rows.
        show_every_steps: optimisation steps between two whose images TensorBoard shows, where a task has some; or None.
        checkpoint: when checkpoints are written.
    """

    epochs: PositiveInt
    max_steps: PositiveInt | None = None
    max_minutes: PositiveFloat | None = None
    precision: Precision = "auto"
    compile: bool = False
    clip_norm: PositiveFloat | None = None
    clip_modules: dict[str, PositiveFloat] = field(default_factory=dict)
    ema: EmaSettings | None = None
    best_by: str | None = None
    evaluate_every_epochs: PositiveInt = 1
    log_every_steps: PositiveInt = 20
    show_every_steps: PositiveInt | None = 200
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)

    def __post_init__(self) -> None:
        check_values(self)

    @staticmethod
    def validate(precision: str) -> Iterator[Problem]:
        """Yield an error for fp16 on a machine without a GPU."""
        if precision == "fp16" and not torch.cuda.is_available():
            yield "precision", "found fp16, but fp16 needs a GPU and torch finds none; expected auto, bf16 or fp32 here"


@dataclass
class Launch:
    """Number of processes that run.py starts on this machine.

    Attributes:
        processes: a number, or None for as many visible GPUs as share every batch evenly (one process on a machine
            without). torchrun's own numbers win when it launched the program.
    """

    processes: Processes | None = None

"""How a task is trained: the ``trainer:`` group of a config."""

from dataclasses import dataclass, field

from engine.update import Precision


@dataclass
class EmaSettings:
    """Exponential moving averages of weights, used for evaluation. Buffers are copied, not averaged.

    Attributes:
        decay: weight of the old average in each step, such as 0.999.
        modules: names of the modules to average; all by default.
    """

    decay: float
    modules: list[str] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ValueError(f"decay: found {self.decay}, expected a number between 0 and 1, such as 0.999")


@dataclass
class CheckpointSettings:
    """When checkpoints are written.

    Attributes:
        every_epochs: write ``last.pt`` after every so many epochs.
        every_steps: write it also after every so many optimisation steps.
        keep: how many numbered copies (``step_*.pt``) stay beside ``last.pt`` and ``best.pt``.
    """

    every_epochs: int = 1
    every_steps: int | None = None
    keep: int = 0

    def __post_init__(self) -> None:
        if self.every_epochs < 1 or (self.every_steps is not None and self.every_steps < 1) or self.keep < 0:
            raise ValueError(
                f"found every_epochs={self.every_epochs}, every_steps={self.every_steps}, keep={self.keep}; expected "
                "at least 1, 1 (or null) and 0"
            )


@dataclass
class TrainerSettings:
    """How a task is trained.

    Attributes:
        epochs: passes over the training data.
        max_steps: stop after so many optimisation steps.
        max_minutes: stop after so many minutes of training, earlier parts of a resumed run included.
        precision: ``auto`` is bf16 on GPUs that have it, else fp32.
        compile: compile every module with ``torch.compile``.
        clip_norm: largest gradient norm of one optimiser.
        ema: moving averages of the weights.
        evaluate_every_epochs: epochs between two evaluations; the last epoch is always evaluated.
        log_every_steps: optimisation steps between two log rows.
        checkpoint: when checkpoints are written.
    """

    epochs: int
    max_steps: int | None = None
    max_minutes: float | None = None
    precision: Precision = "auto"
    compile: bool = False
    clip_norm: float | None = None
    ema: EmaSettings | None = None
    evaluate_every_epochs: int = 1
    log_every_steps: int = 20
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)

    def __post_init__(self) -> None:
        for name in ("epochs", "evaluate_every_epochs", "log_every_steps", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: found {value}, expected 1 or more")
        for name in ("max_minutes", "clip_norm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}: found {value}, expected a number above 0, or null")

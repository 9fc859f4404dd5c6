"""The options of wnhsu/ResDAVEnet-VQ's training program, their defaults, and the keys of a config here that they are.

``args.pkl`` of an experiment holds them all by name but for where data and experiment are; ``scripts/train.sh`` takes
them as flags.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.resdavenet import STAGES

Kind = Literal["int", "float", "bool", "text", "ints"]
SPEECH, CODEBOOK = "task.speech_encoder", "task.speech_encoder.codebook"
OPTIMIZER, SCHEDULE = "task.optimization.optimizer", "task.optimization.schedule"


@dataclass(frozen=True)
class Option:
    """One option."""

    default: Any  # of the public code, as ``args.pkl`` holds it
    kind: Kind  # ``ints`` are numbers with commas between
    keys: tuple[str, ...] = ()  # of a config here that have its value as it is


OPTIONS = {
    "audio_model": Option("ResDavenetVQ", "text"),
    "image_model": Option("Resnet50", "text"),
    "freeze_image_model": Option(False, "bool", ("task.image_encoder.freeze_trunk",)),
    "pretrained_image_model": Option(True, "bool"),
    "seed_dir": Option("", "text"),
    "seed_epoch": Option(-1, "int"),
    "margin": Option(1.0, "float", ("task.objective.losses.0.margin", "task.objective.losses.1.margin")),
    "layer_widths": Option("128,256,256,512,1024", "ints", (f"{SPEECH}.layer_widths",)),
    "layer_depths": Option("2,2,2,2", "ints", (f"{SPEECH}.layer_depths",)),
    "convsize": Option(9, "int", (f"{SPEECH}.kernel",)),
    "seed": Option(8675309, "int", ("seed",)),
    "VQ_commitment_cost": Option(1.0, "float", (f"{CODEBOOK}.commitment_cost",)),
    "VQ_turnon": Option("0,0,0,0,0", "ints"),
    "VQ_sizes": Option(",".join(["1024"] * STAGES), "ints", (f"{SPEECH}.codes",)),
    "nonneg_init": Option(False, "bool", (f"{CODEBOOK}.nonneg_init",)),
    "init_std": Option(1.0, "float", (f"{CODEBOOK}.init_std",)),
    "init_ema_mass": Option(1.0, "float", (f"{CODEBOOK}.init_ema_mass",)),
    "jitter": Option(0.12, "float", (f"{SPEECH}.jitter",)),
    "optim": Option("adam", "text"),
    "batch_size": Option(64, "int", ("data.batch_size",)),
    "lr": Option(2e-4, "float", (f"{OPTIMIZER}.lr",)),
    "lr_decay": Option(3, "int", (f"{SCHEDULE}.every_epochs",)),
    "lr_decay_multiplier": Option(0.95, "float", (f"{SCHEDULE}.factor",)),
    "momentum": Option(0.9, "float"),
    "weight_decay": Option(5e-7, "float", (f"{OPTIMIZER}.weight_decay",)),
    "force_start_epoch": Option(0, "int"),
    "n_epochs": Option(150, "int", ("trainer.epochs",)),
    "n_print_steps": Option(100, "int", ("trainer.log_every_steps",)),
    "save_every": Option(10, "int"),
    "num_workers": Option(8, "int", ("data.workers",)),
}
ONLY_OF_THE_PROGRAM = {  # not in args.pkl
    "data_train": Option("", "text", ("data.train.manifest",)),
    "data_val": Option("", "text", ("data.validation.manifest",)),
    "exp_dir": Option("", "text"),
    "resume": Option(False, "bool"),
    "mode": Option("train", "text"),
}


def options_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``args.pkl`` would hold of a training here, whose complete config is ``values``.

    Options that its config does not say have the public defaults.
    """
    found = {name: option.default for name, option in OPTIONS.items()}
    for name, option in OPTIONS.items():
        value = _at(values, option.keys[0]) if option.keys else None
        if value is not None:
            found[name] = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    if isinstance(found["VQ_sizes"], int):
        found["VQ_sizes"] = ",".join([str(found["VQ_sizes"])] * STAGES)
    if str(_at(values, f"{OPTIMIZER}.type")).endswith(".SGD"):
        found |= {"optim": "sgd", "momentum": _at(values, f"{OPTIMIZER}.momentum") or 0.0}
    return found


def _at(values: Any, key: str) -> Any:
    """Return the value at a dotted key, None where there is none."""
    for part in key.split("."):
        if isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        elif isinstance(values, Mapping):
            values = values.get(part)
        else:
            return None
    return values

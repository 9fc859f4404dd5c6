"""Runs a training of ResDAVEnet-VQ from the words of ``scripts/train.sh``: flags of the original become keys here.

    python scripts/train_flags.py CODE NAME "FLAGS" [key=value ...]

The flags are those of the original's ``run_ResDavenetVQ.py``, by the same names and shortened as there.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import run  # noqa: E402 - needs the line above
from published.resdavenet_vq.options import (  # noqa: E402
    ONLY_OF_THE_PROGRAM,
    OPTIMIZER,
    OPTIONS,
    SPEECH,
)

ALL = OPTIONS | ONLY_OF_THE_PROGRAM
SETTING = re.compile(r"[A-Za-z_][\w.]*=")
FOR_RUN = ("--dry-run", "--print-config")
USAGE = 'scripts/train.sh 01100 RDVQ_01100 "--lr 1e-4" [key=value ...]'
YES, NO = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one sentence."""
        fail(f"{message}; the head of config_files/resdavenet_vq/base.yaml says what each flag is here")


def fail(message: str) -> NoReturn:
    """End the program with code 2 and ``message`` as one sentence."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def settings_of(arguments: list[str]) -> list[str]:
    """Translate the words of train.sh to arguments of run.py behind ``-f CONFIG``.

    They are a turn-on code, a name, and flags, a seed or ``key=value``; the third may hold several words.
    """
    if len(arguments) < 2:
        fail(f"found {len(arguments)} arguments, expected a turn-on code, a name and flags: {USAGE}")
    code, name, *rest = arguments
    if not name:
        fail(f"found an empty name, expected what the run is called, such as RDVQ_{code}")
    words = [*rest[:1][0].split(), *rest[1:]] if rest else []
    given, others = _parsed([word for word in words if word not in FOR_RUN and not SETTING.match(word)])
    seeds = [*others, *([given["seed_dir"]] if given.get("seed_dir") else [])]
    if len(seeds) > 1:
        fail(f"found the seeds {' and '.join(seeds)}, expected one, of a path without spaces")
    own = {f"{SPEECH}.turn_on": f"'{code}'", "run.name": f"resdavenet_vq/{name}"}
    own |= _translated(given)
    if "seed_epoch" in given and given["seed_epoch"] > 0:
        if not seeds:
            fail(f"found --seed-epoch {given['seed_epoch']} without --seed-dir; give the folder that has this epoch")
        own["init_from.path"] = _epoch_file(seeds[0], given["seed_epoch"])
    elif seeds:
        own["init_from.path"] = seeds[0]
    as_given = [word for word in words if word in FOR_RUN or SETTING.match(word)]
    return [*(f"{key}={value}" for key, value in own.items()), *as_given]


def _parsed(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the given flags, by their published names, and the words that are none."""
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for name, option in ALL.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=name, type=_TYPES[option.kind], metavar="VALUE", **_choices(name))
    parser.add_argument("others", nargs="*", default=[])
    dashed = [re.sub(r"^--[^=]*", lambda flag: flag[0].replace("_", "-"), word) for word in words]
    found = vars(parser.parse_intermixed_args(dashed))
    return found, found.pop("others")


def _choices(name: str) -> dict[str, Any]:
    known = {
        "audio_model": ["ResDavenetVQ"],
        "image_model": ["Resnet50"],
        "optim": ["sgd", "adam"],
        "mode": ["train", "eval"],
    }
    return {"choices": known[name]} if name in known else {}


def _flag(text: str) -> bool:
    if text.lower() not in YES + NO:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected true or false")
    return text.lower() in YES


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected whole numbers with commas between") from error


_TYPES = {"int": int, "float": float, "bool": _flag, "text": str, "ints": _numbers}


def _translated(given: dict[str, Any]) -> dict[str, str]:
    """Return keys of a config and their values as YAML; each flag without a key of its own is translated by hand."""
    if given.get("mode", "train") != "train":
        fail("found --mode eval, expected train: python run.py -f resdavenet_vq/evaluate.yaml evaluates")
    if "force_start_epoch" in given:
        print("--force-start-epoch changes nothing: the original's program never reads it", file=sys.stderr)
    found = {key: _yaml(value) for name, value in given.items() for key in ALL[name].keys}
    if "layer_widths" in given:
        found["task.image_encoder.embedding_dim"] = _yaml(given["layer_widths"][-1])
    if "VQ_turnon" in given:
        found[f"{SPEECH}.turn_on"] = f"'{''.join(map(str, given['VQ_turnon']))}'"
    if "pretrained_image_model" in given:
        found["task.image_encoder.pretrained"] = "imagenet" if given["pretrained_image_model"] else "null"
    if "save_every" in given:
        every = given["save_every"]
        found["trainer.checkpoint.snapshot_every_epochs"] = str(every) if every > 0 else "null"
    if "optim" in given:
        found[f"{OPTIMIZER}.type"] = {"sgd": "torch.optim.SGD", "adam": "torch.optim.Adam"}[given["optim"]]
    if given.get("optim") == "sgd":
        found[f"{OPTIMIZER}.momentum"] = _yaml(given.get("momentum", OPTIONS["momentum"].default))
    if "exp_dir" in given:
        folder = Path(given["exp_dir"])
        found |= {"run.folder": str(folder.parent), "run.name": folder.name}
    if given.get("resume") is False:
        found["run.resume"] = "never"
    return found


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _epoch_file(seed: str, epoch: int) -> str:
    """Return the weights of an epoch, in a run folder of this project or in an experiment folder of the original."""
    snapshot = Path(seed) / "snapshots"
    return str(snapshot / f"e{epoch}.pt") if (ROOT / snapshot).is_dir() else f"{seed}/models/audio_model.e{epoch}.pth"


if __name__ == "__main__":
    sys.exit(run.main(["-f", os.environ.get("CONFIG", "resdavenet_vq/base.yaml"), *settings_of(sys.argv[1:])]))

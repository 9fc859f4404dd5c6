"""YAML files of surisdi/learning-by-drawing (``file: main``, ``args:``), and the command here that does the same.

The original's ``run.py`` puts ``args`` over the defaults of the argument parser in ``main.py``. Names, defaults and
meanings are facts of that program; the head of ``words_by_drawing/base.yaml`` maps every key as well.
"""

import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.yaml_core import parse_argument

DEFAULTS: dict[str, Any] = {
    "evaluate": False,
    "experiment": False,
    "experiment_name": "test",
    "model": "Davenet",
    "name_dataset": "audio_clevrgan_natural",
    "margin": 1.0,
    "embedding_dim": 512,
    "loss_type": "regular",
    "audio_model": "large",
    "clustering": False,
    "epochs": 150,
    "batch_size": 32,
    "lr": 0.001,
    "lrdecay": 30,
    "momentum": 0.9,
    "weight_decay": 5e-7,
    "expdir": "./results/checkpoints/",
    "seed": "",
    "submodels_load": [],
    "name_checkpoint": "",
    "resume": False,
    "path_model_gan": "./downloaded_files/",
    "path_model_segmenter": "./downloaded_files/",
    "path_negatives_test": "./downloaded_files/",
    "path_repeated_attributes": "./downloaded_files/",
    "path_cluster_load": "",
    "epochs_clustering": 15,
    "workers": 12,
    "print_freq": 10,
    "folder_dataset": "./data/",
    "use_cpu": False,
    "layers": ["layer4", "layer5", "layer6"],
    "symfun": "dot",
    "loading_image": False,
    "results": "./results/",
    "active_learning": False,
    "generate_active_learning": False,
    "active_learning_name": "",
    "active_learning_path": "./active_learning/",
}
EXPERIMENTS = ("recall", "videos", "recall_selected", "test_synthetic", "repeated_attributes")
TRAINING = "words_by_drawing/train_published.yaml"
OPTIMIZATION, NEGATIVES = "task.optimization", "task.objective.negatives"
CLUSTERING = f"{NEGATIVES}.clustering"
OBJECTIVES = {
    "regular": "tasks.words_by_drawing.Regular",
    "negatives_edited": "tasks.words_by_drawing.Edited",
    "negatives_hard": "tasks.words_by_drawing.Hard",
    "negatives_both": "tasks.words_by_drawing.EditedOrHard",
}
OF_TRAINING = {
    "embedding_dim": ("task.image_encoder.embedding_dim", "task.speech_encoder.embedding_dim"),
    "audio_model": ("task.speech_encoder.size",),
    "epochs": ("trainer.epochs",),
    "print_freq": ("trainer.log_every_steps",),
    "batch_size": ("data.batch_size",),
    "workers": ("data.workers",),
    "lr": (f"{OPTIMIZATION}.optimizer.lr",),
    "momentum": (f"{OPTIMIZATION}.optimizer.momentum",),
    "weight_decay": (f"{OPTIMIZATION}.optimizer.weight_decay",),
    "lrdecay": (f"{OPTIMIZATION}.schedule.every_epochs",),
}
MODULES = {"model_image": "image", "model_audio": "speech"}
NOISE_UNITS = (35, 221, 280, 496)  # of every edited layer, as far as it has them
UNITS = {"layer5": 256, "layer6": 256}  # of the published generator; 512 in the other layers
IMAGES = {"size": 128, "resize": 128, "random_crop": False}
YES, NO = ("yes", "on", "y"), ("no", "off", "n")  # YAML 1.1, which the original reads
MOST = 500  # pairs that are evaluated


@dataclass
class Command:
    """Keep the command here that does what a file of the original does there."""

    config: str  # its name
    settings: dict[str, Any] = field(default_factory=dict)  # value by key path, those of the config too
    environment: dict[str, str] = field(default_factory=dict)  # variables to set before the command
    remarks: list[str] = field(default_factory=list)  # for the user, on keys without a counterpart

    def line(self, values: Mapping[str, Any]) -> str:
        """Write the command in one line for a shell, without the settings that the config's ``values`` have already."""
        absent = object()
        words = [f"{name}={value}" for name, value in self.environment.items()]
        words += ["python", "run.py", "-f", self.config]
        for key, value in self.settings.items():
            present = _at(values, key, absent)
            if present is absent or present != value:
                words.append(shlex.quote(f"{key}={_written(value)}"))
        return " ".join(words)


def is_of_the_original(values: Mapping[str, Any]) -> bool:
    """Return whether a YAML file with these values is one of the original's."""
    return "entry" not in values and isinstance(values.get("file"), str) and isinstance(values.get("args"), dict)


def answer(name: str, values: Mapping[str, Any], load: Callable[[str], Mapping[str, Any]]) -> str:
    """Say in a sentence, the command, and remarks, one a line, which command does what a file of the original does.

    ``load`` gives the values of a config here by its name.
    """
    said = f"{name} is a config of surisdi/learning-by-drawing (file: {values['file']}, args: ...); nothing was run"
    if values["file"] != "main":
        return f"{said}: of its programs only main is known here, expected file: main"
    unknown = [key for key in values["args"] if key not in DEFAULTS]
    command = translated({key: value for key, value in values["args"].items() if key in DEFAULTS})
    if isinstance(command, str):
        return f"{said}: {command}"
    remarks = command.remarks + [f"{key}: the original has no such argument and stops there" for key in unknown]
    lines = [f"{said}. The same here:", "", f"  {command.line(load(command.config))}", *([""] if remarks else [])]
    return "\n".join([*lines, *(f"  ({remark})" for remark in remarks)])


def translated(given: Mapping[str, Any]) -> Command | str:
    """Translate the original's arguments that a file gives into the command, or say why there is none."""
    if (error := _error(given)) is not None:
        return error
    args = DEFAULTS | dict(given)
    for flag in (key for key, default in DEFAULTS.items() if isinstance(default, bool)):
        args[flag] = _truth(args[flag])
    if args["model"] != "Davenet":
        return f"found model: {args['model']}, expected Davenet, the one that the original has"
    if args["loss_type"] not in OBJECTIVES:
        return f"found loss_type: {args['loss_type']}, expected one of {', '.join(OBJECTIVES)}"
    if args["experiment"] and args["experiment_name"] not in EXPERIMENTS:
        return f"found experiment_name: {args['experiment_name']}, expected one of {', '.join(EXPERIMENTS)}"
    if args["experiment"]:
        command = _experiment(args)
    elif args["evaluate"]:
        command = _evaluation(args)
    elif args["generate_active_learning"]:
        command = _selection(args)
    else:
        command = _training(args)
    if args["use_cpu"]:
        command.environment["CUDA_VISIBLE_DEVICES"] = ""
    if "expdir" in given:
        command.remarks.append("expdir: checkpoints are in the run's folder, runs/NAME/checkpoints")
    return command


def _training(args: Mapping[str, Any]) -> Command:
    made = Command(TRAINING, {key: args[name] for name, keys in OF_TRAINING.items() for key in keys})
    folder = _dataset(args)
    made.settings |= {"prepare.folder": folder, "run.name": _name(args)}
    made.settings |= {f"data.{split}.folder": folder for split in ("train", "validation", "test")}
    if args["path_model_gan"] != DEFAULTS["path_model_gan"]:
        models = os.path.normpath(args["path_model_gan"])
        made.settings |= {"prepare.models": models, "task.images.generator.folder": models}
    if args["symfun"] == "cos":
        made.settings["task.similarity.measure"] = "cosine"
    if args["results"] != DEFAULTS["results"]:
        made.settings["run.folder"] = os.path.normpath(args["results"])
    if args["loading_image"]:
        made.settings |= {"task.images": None} | {
            f"data.{key}.image": IMAGES for key in ("train", "validation", "test")
        }
        made.remarks.append("loading_image: scripts/download_data.sh images fetches the images")
    made.settings |= _objective(args)
    if args["seed"]:
        made.settings["init_from.path"] = _weights(args)
        modules = [MODULES.get(name, name) for name in args["submodels_load"]]
        if modules and set(modules) != set(MODULES.values()):
            made.settings["init_from.modules"] = modules
    if args["resume"]:
        made.remarks.append("resume: the same command goes on with a run that was stopped (run.resume: auto)")
    return made


def _objective(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the loss."""
    kind, published_mining = OBJECTIVES[args["loss_type"]], args["symfun"] == "cos"
    if args["loss_type"] in ("regular", "negatives_hard"):
        mining = {"mining": "published"} if published_mining and args["loss_type"] == "negatives_hard" else {}
        return {"task.objective": {"type": kind, "margin": args["margin"], **mining}}
    settings = {"task.objective.type": kind, "task.objective.margin": args["margin"]}
    if published_mining and args["loss_type"] == "negatives_both":
        settings["task.objective.mining"] = "published"
    return settings | _negatives(args)


def _negatives(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of edited negatives."""
    settings: dict[str, Any] = {f"{NEGATIVES}.layers": args["layers"]}
    if args["active_learning"]:
        settings[f"{NEGATIVES}.active_learning"] = os.path.normpath(args["active_learning_name"])
    if not args["clustering"]:
        return settings | {CLUSTERING: None}
    units = {name: [unit for unit in NOISE_UNITS if unit < UNITS.get(name, 512)] for name in args["layers"]}
    settings |= {f"{CLUSTERING}.epochs_clustering": args["epochs_clustering"], f"{CLUSTERING}.excluded_units": units}
    if args["path_cluster_load"] and not args["active_learning"]:
        settings[f"{CLUSTERING}.load"] = os.path.normpath(args["path_cluster_load"])
    return settings


def _tested(config: str, args: Mapping[str, Any]) -> Command:
    """Return the part that all jobs with trained weights share."""
    made = Command(f"words_by_drawing/{config}.yaml")
    if not args["seed"]:
        made.remarks.append("seed: none is given, so the original takes random weights; give model.run=runs/NAME here")
    elif (weights := _weights(args)).startswith("runs/"):
        made.settings["model.run"] = weights
    else:
        made.settings |= {"model.published": weights, "model.run": None}
    if args["results"] != DEFAULTS["results"]:
        made.settings["run.folder"] = os.path.normpath(args["results"])
    if config == "test_synthetic":
        made.remarks.append(
            "test_synthetic: its negatives were not published; the config has those of the embedded world"
        )
        return made
    made.settings["data.folder"] = _dataset(args)
    if args["loading_image"]:
        return Command(made.config, made.settings | {"generator": None, "data.image": IMAGES}, {}, made.remarks)
    made.settings["generator"] = _fetched("generator", args["path_model_gan"])
    return made


def _experiment(args: Mapping[str, Any]) -> Command:
    name = args["experiment_name"]
    made = _tested(name, args)
    if name == "recall":
        made.settings["layers"] = args["layers"]
    if name in ("recall_selected", "repeated_attributes"):
        made.settings["segmenter"] = _fetched("segmenter", args["path_model_segmenter"])
    if name == "recall_selected":
        made.settings["negatives"] = f"{_models(args['path_negatives_test'])}/negatives.pth.tar"
    if name == "repeated_attributes":
        made.settings["audio"] = f"{_models(args['path_repeated_attributes'])}/repetition_audios"
    return made


def _evaluation(args: Mapping[str, Any]) -> Command:
    """Evaluate whole batches until they hold more than 500 pairs, of which the last 500 count."""
    made = _tested("evaluate", args)
    size = args["batch_size"]
    made.settings |= {"batch_size": size, "data.first": (MOST // size + 1) * size, "data.last": MOST}
    return made


def _selection(args: Mapping[str, Any]) -> Command:
    made = _tested("generate_active_learning", args)
    made.settings |= {"layer": args["layers"][0], "units": "clusters" if args["clustering"] else "random"}
    if args["active_learning_path"] != DEFAULTS["active_learning_path"]:
        made.settings["run.folder"] = os.path.normpath(args["active_learning_path"])
    return made


def _weights(args: Mapping[str, Any]) -> str:
    """Return where the original's weights are: its own file if it is there, else the run of that name here."""
    if args["seed"] != "EXPDIR":
        return os.path.normpath(args["seed"])
    file = Path(args["expdir"]) / f"model_best_{_name(args)}.pth.tar"
    return os.path.normpath(file) if file.is_file() else f"runs/{_name(args)}"


def _name(args: Mapping[str, Any]) -> str:
    return args["name_checkpoint"] or f"{args['model']}_{args['name_dataset']}"


def _dataset(args: Mapping[str, Any]) -> str:
    return os.path.normpath(args["folder_dataset"] + args["name_dataset"])


def _models(folder: str) -> str:
    """Return a folder of downloaded files; the original's own is ``downloads`` here."""
    return "downloads" if folder == DEFAULTS["path_model_gan"] else os.path.normpath(folder)


def _fetched(what: str, folder: str) -> dict[str, str]:
    return {"type": f"published.words_by_drawing.files.fetched_{what}", "folder": _models(folder)}


def _truth(value: Any) -> bool:
    """Read a flag as the original understands it: YAML 1.1, and any other text but the empty one is true."""
    text = value.lower() if isinstance(value, str) else None
    return True if text in YES else False if text in NO else bool(value)


def _written(value: Any) -> str:
    """Write a value as an argument of run.py, which reads it back."""
    plain = isinstance(value, str) and parse_argument(value, "a value of the original") == value
    return value if plain else json.dumps(value, ensure_ascii=False)


def _error(given: Mapping[str, Any]) -> str | None:
    """Return the error of the first value that is not of the kind that the original's argument has."""
    kinds = {int: "a whole number", float: "a number", str: "text", list: "a list of names"}
    for key, value in given.items():
        kind = type(DEFAULTS[key])
        if kind is bool or (kind is str and isinstance(value, str)):
            continue
        names = isinstance(value, list) and all(isinstance(item, str) for item in value)
        whole = isinstance(value, int) and not isinstance(value, bool)
        fits = {list: names, int: whole, float: whole or isinstance(value, float)}.get(kind, False)
        if not fits or (key == "batch_size" and value < 1) or (key == "layers" and not value):
            return f"found {key}: {value!r:.60}, expected {kinds[kind]}, such as {DEFAULTS[key]!r}"
    return None


def _at(values: Any, key_path: str, absent: Any) -> Any:
    """Return the value at a key path, or ``absent``."""
    for key in key_path.split("."):
        if not isinstance(values, Mapping) or key not in values:
            return absent
        values = values[key]
    return values

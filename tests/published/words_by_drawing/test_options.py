"""YAML files of surisdi/learning-by-drawing are answered with the command here that does the same."""

import shlex

import pytest

import config
import run as program
from published.words_by_drawing.options import DEFAULTS, answer, is_of_the_original, translated
from tests.config_files.test_published_keys import KEYS

DATA = "model: Davenet\n    name_dataset: audio_clevrgan_natural\n    folder_dataset: ./data/"
EXAMPLES = {  # the three files of the original, rewritten
    "train": f"""
name: train_example
file: main
args:
    {DATA}
    batch_size: 8
    workers: 30
    lrdecay: 30
    epochs: 180
    embedding_dim: 512
    lr: 0.001
    name_checkpoint: train_example
    loss_type: negatives_edited
    audio_model: large
    clustering: True
    epochs_clustering: 10
    layers: ['layer4']
""",
    "evaluate": (
        f"file: main\nargs:\n    evaluate: yes\n    {DATA}\n    name_checkpoint: train_example\n    seed: EXPDIR\n"
    ),
    "videos": (
        f"file: main\nargs:\n    experiment: True\n    experiment_name: videos\n    {DATA}\n"
        "    name_checkpoint: train_example\n    seed: EXPDIR\n    results: ./results/"
    ),
}


def read(name):
    return config.load(name).values


def checked(command):
    """The values that a command runs with, after the check of the whole config."""
    words = shlex.split(command.line(read(command.config)))
    assert words[:3] == ["python", "run.py", "-f"]
    return words[3], config.check(config.load(words[3], words[4:]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_original_are_answered(tmp_path, capsys, name):
    path = tmp_path / f"{name}.yaml"
    path.write_text(EXAMPLES[name])
    assert program.main(["-f", str(path)]) == 2
    printed = capsys.readouterr().err
    assert f"{name}.yaml is a config of surisdi/learning-by-drawing (file: main, args: ...); nothing was run" in printed
    (line,) = (line.strip() for line in printed.splitlines() if line.startswith("  python "))
    fetched = '\'generator={"type": "published.words_by_drawing.files.fetched_generator", "folder": "downloads"}\''
    tested = f"model.run=runs/train_example data.folder=data/audio_clevrgan_natural {fetched}"
    assert (
        line
        == {
            "train": "python run.py -f words_by_drawing/train_published.yaml data.workers=30 run.name=train_example",
            "evaluate": f"python run.py -f words_by_drawing/evaluate.yaml {tested} batch_size=32 data.first=512",
            "videos": f"python run.py -f words_by_drawing/videos.yaml {tested}",
        }[name]
    )
    words = shlex.split(line)
    assert config.check(config.load(words[3], words[4:]))["entry"]


def test_the_defaults_are_those_of_the_original():
    config_name, values = checked(translated({}))
    assert config_name == "words_by_drawing/train_published.yaml"
    assert values["task"]["objective"]["type"] == "tasks.words_by_drawing.Regular"
    assert (values["trainer"]["epochs"], values["data"]["batch_size"]) == (150, 32)
    assert values["run"]["name"] == "Davenet_audio_clevrgan_natural"
    assert sorted(DEFAULTS) == sorted(set(KEYS.split()) - {"results/clusters"})


def test_every_key_of_a_training_is_translated():
    given = {
        "name_dataset": "audio_clevrgan_synth",
        "folder_dataset": "/sets/",
        "margin": 0.5,
        "embedding_dim": 256,
        "loss_type": "negatives_both",
        "audio_model": "small",
        "clustering": "yes",
        "epochs": 3,
        "batch_size": 16,
        "lr": 0.01,
        "lrdecay": 7,
        "momentum": 0.8,
        "weight_decay": 1e-5,
        "seed": "old/model_best_x.pth.tar",
        "submodels_load": ["model_audio"],
        "name_checkpoint": "12",
        "path_model_gan": "./models/",
        "path_cluster_load": "./clusters/one",
        "epochs_clustering": 4,
        "workers": 2,
        "print_freq": 5,
        "use_cpu": True,
        "layers": ["layer4", "layer5"],
        "symfun": "cos",
        "results": "out/",
        "expdir": "./checkpoints/",
        "resume": True,
    }
    command = translated(given)
    assert command.line(read(command.config)).startswith("CUDA_VISIBLE_DEVICES= python run.py -f ")
    assert [remark.split(":")[0] for remark in command.remarks] == ["resume", "expdir"]
    command.environment.clear()
    _, values = checked(command)
    data, task = values["data"], values["task"]
    assert {data[split]["folder"] for split in ("train", "validation", "test")} == {"/sets/audio_clevrgan_synth"}
    assert (data["batch_size"], data["workers"], values["trainer"]["epochs"]) == (16, 2, 3)
    assert values["trainer"]["log_every_steps"] == 5
    assert values["run"]["name"] == "12"
    assert values["run"]["folder"] == "out"
    assert values["init_from"] == {"path": "old/model_best_x.pth.tar", "modules": ["speech"], "allow_partial": False}
    objective = task["objective"]
    assert objective["type"] == "tasks.words_by_drawing.EditedOrHard"
    assert (objective["margin"], objective["mining"]) == (0.5, "published")
    assert task["similarity"]["measure"] == "cosine"
    assert [task[name]["embedding_dim"] for name in ("image_encoder", "speech_encoder")] == [256, 256]
    assert task["speech_encoder"]["size"] == "small"
    assert task["images"]["generator"]["folder"] == "models"
    assert values["prepare"]["models"] == "models"
    optimization = task["optimization"]
    assert {"lr": 0.01, "momentum": 0.8, "weight_decay": 1e-5}.items() <= optimization["optimizer"].items()
    assert optimization["schedule"]["every_epochs"] == 7
    assert objective["negatives"]["layers"] == ["layer4", "layer5"]
    clustering = objective["negatives"]["clustering"]
    assert (clustering["epochs_clustering"], clustering["load"]) == (4, "clusters/one")
    assert clustering["excluded_units"] == {"layer4": [35, 221, 280, 496], "layer5": [35, 221]}


def test_a_flag_that_is_off_is_off():
    _, values = checked(translated({"loss_type": "negatives_edited", "clustering": "no", "layers": ["layer4"]}))
    assert values["task"]["objective"]["negatives"]["clustering"] is None
    _, values = checked(translated({"loading_image": True}))
    assert values["task"]["images"] is None
    assert {"size": 128, "resize": 128, "random_crop": False}.items() <= values["data"]["train"]["image"].items()
    given = {"loss_type": "negatives_edited", "clustering": True, "active_learning": True, "layers": ["layer4"]}
    _, values = checked(translated(given | {"active_learning_name": "./active_learning/x_1"}))
    assert values["task"]["objective"]["negatives"]["active_learning"] == "active_learning/x_1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"experiment_name": "recall"}, {"layers": ["layer4", "layer5", "layer6"]}),
        ({"experiment_name": "recall_selected"}, {"negatives": "downloads/negatives.pth.tar"}),
        ({"experiment_name": "repeated_attributes"}, {"audio": "downloads/repetition_audios"}),
        ({"experiment_name": "test_synthetic"}, {}),
        ({"experiment": False, "generate_active_learning": True, "layers": ["layer4"]}, {"units": "random"}),
        ({"experiment": False, "evaluate": True, "batch_size": 8}, {"batch_size": 8, "pairs": 500}),
    ],
)
def test_experiments_take_published_weights(given, expected):
    config_name, values = checked(translated({"experiment": True, "seed": "./best/model_best_x.pth.tar"} | given))
    assert given.get("experiment_name", "") in config_name
    assert values["model"] == {"run": None, "published": "best/model_best_x.pth.tar"}
    assert expected.items() <= values.items()


def test_the_original_s_own_weights_are_taken_where_they_are(tmp_path):
    given = {"evaluate": True, "seed": "EXPDIR", "name_checkpoint": "a", "expdir": str(tmp_path)}
    assert translated(given).settings["model.run"] == "runs/a"
    (tmp_path / "model_best_a.pth.tar").touch()
    assert translated(given).settings["model.published"] == str(tmp_path / "model_best_a.pth.tar")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"batch_size": "8"}, "found batch_size: '8', expected a whole number, such as 32"),
        ({"batch_size": 0, "evaluate": True}, "found batch_size: 0, expected a whole number"),
        (
            {"layers": "layer4"},
            "found layers: 'layer4', expected a list of names, such as ['layer4', 'layer5', 'layer6']",
        ),
        ({"lr": None}, "found lr: None, expected a number"),
        ({"folder_dataset": 3}, "found folder_dataset: 3, expected text"),
        ({"model": "Resnet"}, "found model: Resnet, expected Davenet"),
        ({"experiment": True}, "found experiment_name: test, expected one of recall, videos"),
        ({"learning": 1}, "(learning: the original has no such argument and stops there)"),
        (
            {"evaluate": True},
            "(seed: none is given, so the original takes random weights; give model.run=runs/NAME here)",
        ),
    ],
)
def test_what_cannot_be_translated_is_said(args, message):
    assert message in answer("x.yaml", {"file": "main", "args": args}, read)


def test_other_files_are_none_of_the_original():
    assert not is_of_the_original(read("train_example"))
    assert not is_of_the_original({"file": "main"})
    assert "expected file: main" in answer("x.yaml", {"file": "other", "args": {}}, read)


def test_the_three_examples_are_one_chain():
    train, evaluate, videos = (read(f"{name}_example") for name in ("train", "evaluate", "experiment_video"))
    for values, split in ((evaluate, "validation"), (videos, "test")):
        assert values["model"] == {"run": "runs/train_example"}
        assert values["data"] == {key: value for key, value in train["data"][split].items() if key != "keep"}
        assert values["generator"] == train["task"]["images"]["generator"]
    assert (evaluate["data"]["first"], evaluate["data"]["last"], evaluate["pairs"]) == (504, 500, 500)
    assert evaluate["batch_size"] == train["data"]["batch_size"]

"""scripts/train.sh: what of the original's words becomes which key of a config, and what is refused."""

import os
import subprocess
from pathlib import Path

import pytest

import config
from published.resdavenet_vq.options import ONLY_OF_THE_PROGRAM, OPTIONS
from scripts.train_flags import settings_of

ROOT = Path(__file__).resolve().parents[2]
OWN = ["task.speech_encoder.turn_on='01100'", "run.name=resdavenet_vq/RDVQ_01100"]
SNAPSHOTS = "trainer.checkpoint.snapshot_every_epochs"


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["", "trainer.epochs=3"], ["trainer.epochs=3"]),
        ([], []),
        (["runs/a"], ["init_from.path=runs/a"]),
        (["--seed-dir ./exps/A"], ["init_from.path=./exps/A"]),
        (["--resume True --seed_dir ./exps/A"], ["init_from.path=./exps/A"]),
        (["--seed-dir=./exps/A --seed-epoch -1"], ["init_from.path=./exps/A"]),
        (["runs/lr=1/seed_1 trainer.epochs=2"], ["init_from.path=runs/lr=1/seed_1", "trainer.epochs=2"]),
        (
            ["--seed-dir exps/A --seed-epoch 30 seed=2", "--dry-run"],
            ["init_from.path=exps/A/models/audio_model.e30.pth", "seed=2", "--dry-run"],
        ),
        (["--lr 1e-3 --batch 5"], ["task.optimization.optimizer.lr=0.001", "data.batch_size=5"]),
        (["--save-every -1"], [f"{SNAPSHOTS}=null"]),
        (["--save_every 5", "a.b={c: d e}"], [f"{SNAPSHOTS}=5", "a.b={c: d e}"]),
        (["--exp-dir ./exps/x"], ["run.folder=exps"]),
        (["--resume no"], ["run.resume=never"]),
        (["--optim adam --momentum 0.5"], ["task.optimization.optimizer.type=torch.optim.Adam"]),
    ],
)  # fmt: skip
def test_words_become_settings(words, settings):
    found = settings_of(["01100", "RDVQ_01100", *words])
    assert [word for word in found if word not in OWN and not word.startswith("run.name=x")] == settings
    assert "run.name=x" in found if "exps/x" in str(words) else found[:2] == OWN


def test_every_flag_of_the_original_becomes_what_it_is():
    """All flags, with values that are not the defaults, in a config that is checked as a whole."""
    flags = {
        "audio-model": "ResDavenetVQ", "image-model": "Resnet50", "freeze-image-model": "True",
        "pretrained-image-model": "no", "seed-dir": "exps/A", "seed-epoch": "30", "margin": "0.5",
        "layer-widths": "6,8,8,12,16", "layer-depths": "1,2,1,1", "convsize": "5", "seed": "3",
        "VQ-commitment-cost": "0.25", "VQ-turnon": "0,1,0,1,0", "VQ-sizes": "2,3,4,5,6", "nonneg-init": "true",
        "init-std": "0.5", "init-ema-mass": "2", "jitter": "0.2", "optim": "sgd", "batch-size": "32", "lr": "1e-2",
        "lr-decay": "4", "lr-decay-multiplier": "0.5", "momentum": "0.8", "weight-decay": "1e-6",
        "force-start-epoch": "2", "n-epochs": "7", "n-print-steps": "9", "save-every": "3", "num-workers": "1",
        "data-train": "a/train.json", "data-val": "a/val.json", "exp-dir": "exps/B", "resume": "True", "mode": "train",
    }  # fmt: skip
    assert {name.replace("-", "_") for name in flags} == set(OPTIONS | ONLY_OF_THE_PROGRAM)
    text = " ".join(f"--{name} {value}" for name, value in flags.items())
    values = config.check(config.load("resdavenet_vq/base.yaml", settings_of(["00000", "RDVQ", text])))
    task = values["task"]
    speech, image = task["speech_encoder"], task["image_encoder"]
    assert (image["freeze_trunk"], image["pretrained"], image["embedding_dim"]) == (True, None, 16)
    assert (speech["layer_widths"], speech["layer_depths"], speech["kernel"]) == ([6, 8, 8, 12, 16], [1, 2, 1, 1], 5)
    assert (speech["turn_on"], speech["codes"], speech["jitter"]) == ("01010", [2, 3, 4, 5, 6], 0.2)
    how = {key: speech["codebook"][key] for key in ("commitment_cost", "nonneg_init", "init_std", "init_ema_mass")}
    assert how == {"commitment_cost": 0.25, "nonneg_init": True, "init_std": 0.5, "init_ema_mass": 2.0}
    assert [loss["margin"] for loss in task["objective"]["losses"]] == [0.5, 0.5]
    optimizer = task["optimization"]["optimizer"]
    assert [optimizer[key] for key in ("type", "lr", "weight_decay", "momentum")] == [
        "torch.optim.SGD",
        0.01,
        1e-6,
        0.8,
    ]
    schedule = task["optimization"]["schedule"]
    assert (schedule["every_epochs"], schedule["factor"], schedule["first_epoch"]) == (4, 0.5, 1)
    assert (values["data"]["batch_size"], values["data"]["workers"], values["seed"]) == (32, 1, 3)
    assert [values["data"][split]["manifest"] for split in ("train", "validation")] == ["a/train.json", "a/val.json"]
    trainer = values["trainer"]
    assert (trainer["epochs"], trainer["log_every_steps"], trainer["checkpoint"]["snapshot_every_epochs"]) == (7, 9, 3)
    assert values["init_from"]["path"] == "exps/A/models/audio_model.e30.pth"
    assert (values["run"]["folder"], values["run"]["name"]) == ("exps", "B")


def test_the_epoch_of_a_run_of_this_project(tmp_path):
    (tmp_path / "snapshots").mkdir()
    found = settings_of(["01100", "a", f"--seed-dir {tmp_path} --seed-epoch 20"])
    assert found[-1] == f"init_from.path={tmp_path}/snapshots/e20.pt"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["01100"], "error: found 1 arguments, expected a turn-on code, a name and flags"),
        (["01100", "", ""], "error: found an empty name"),
        (["01100", "a", "--learning 3"], "error: unrecognized arguments: --learning; the head of"),
        (["01100", "a", "--lr fast"], "error: argument --lr: invalid float value: 'fast'"),
        (["01100", "a", "--VQ-sizes 1,x"], "error: argument --VQ-sizes: found '1,x', expected whole numbers"),
        (["01100", "a", "--resume perhaps"], "error: argument --resume: found 'perhaps', expected true or false"),
        (["01100", "a", "--optim adamw"], "error: argument --optim: invalid choice: 'adamw'"),
        (["01100", "a", "--mode eval"], "error: found --mode eval, expected train: python run.py -f "),
        (["01100", "a", "runs/my run"], "error: found the seeds runs/my and run, expected one"),
        (["01100", "a", "--seed-dir"], "error: argument --seed-dir: expected one argument"),
        (["01100", "a", "--seed-epoch 3"], "error: found --seed-epoch 3 without --seed-dir"),
        (["01100", "a", "--seed-dir b --seed-epoch x"], "error: argument --seed-epoch: invalid int value"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        settings_of(words)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(message)
    assert printed.err.count("\n") == 1


def test_a_wrong_code_is_reported_by_the_config_that_is_named():
    script, words = ROOT / "scripts" / "train.sh", ["0110", "small", "--jitter 0.1"]
    environment = os.environ | {"CONFIG": "resdavenet_vq/world_cpu.yaml"}
    done = subprocess.run(["bash", script, *words], capture_output=True, text=True, env=environment, cwd="/")
    assert done.returncode == 2
    assert "turn_on [command line]: found '0110' (str), expected five digits of 0 and 1" in done.stderr
    assert "config_files/resdavenet_vq/world_cpu.yaml" in done.stderr
    assert "Traceback" not in done.stderr

"""The configs of ResDAVEnet-VQ: published defaults, one config for each published model, what each starts from."""

import re

import pytest

import config
from published.resdavenet_vq.files import MODELS
from tests.config_files.test_published_keys import mapped

FOLDER = config.PROJECT_ROOT / "config_files" / "resdavenet_vq"
# the options of wnhsu/ResDAVEnet-VQ's run_ResDavenetVQ.py
OPTIONS = (
    "audio-model image-model freeze-image-model pretrained-image-model seed-dir seed-epoch margin layer-widths "
    "layer-depths convsize seed VQ-commitment-cost VQ-turnon VQ-sizes nonneg-init init-std init-ema-mass jitter optim "
    "batch-size lr lr-decay lr-decay-multiplier momentum weight-decay force-start-epoch n-epochs n-print-steps "
    "save-every data-train data-val exp-dir resume mode num-workers"
)


def checked(name):
    return config.check(config.load(f"resdavenet_vq/{name}"))


def published(name):
    """Return the name of the config of a published model."""
    return "rdvq_" + "_from_".join(reversed(name.removeprefix("RDVQ_").split("_")))


def test_every_published_option_is_mapped_once():
    text = (FOLDER / "base.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\n# {6,}(?=\S)", " ", text)  # the end of a row that goes on
    assert sorted(mapped(text.replace("original's options", "original's keys"))) == sorted(OPTIONS.split())


def test_the_published_defaults():
    values = checked("base")
    speech, optimization = values["task"]["speech_encoder"], values["task"]["optimization"]
    assert (speech["turn_on"], speech["codes"], speech["kernel"], speech["jitter"]) == ("00000", 1024, 9, 0.12)
    assert (speech["layer_widths"], speech["layer_depths"]) == ([128, 256, 256, 512, 1024], [2, 2, 2, 2])
    assert speech["published_jitter"] is False
    assert speech["codebook"] == {
        "commitment_cost": 1.0, "decay": 0.99, "epsilon": 1e-8, "init_std": 1.0, "nonneg_init": False,
        "init_ema_mass": 1.0, "restart_below": None, "kmeans_rounds": 0,
    }  # fmt: skip
    image = values["task"]["image_encoder"]
    assert (image["pretrained"], image["freeze_trunk"], image["embedding_dim"]) == ("imagenet", False, 1024)
    assert values["task"]["similarity"]["kind"] == "pooled"
    assert [loss["margin"] for loss in values["task"]["objective"]["losses"]] == [1.0, 1.0]
    assert (optimization["optimizer"]["lr"], optimization["optimizer"]["weight_decay"]) == (2e-4, 5e-7)
    assert (optimization["schedule"]["every_epochs"], optimization["schedule"]["factor"]) == (3, 0.95)
    assert (values["data"]["batch_size"], values["trainer"]["epochs"], values["seed"]) == (64, 150, 8675309)


@pytest.mark.parametrize("name", MODELS)
def test_each_published_model_has_a_config_that_starts_where_it_did(name):
    values, codes = checked(published(name)), name.removeprefix("RDVQ_").split("_")
    assert values["task"]["speech_encoder"]["turn_on"] == codes[-1]
    before = "_".join(codes[:-1])
    start = f"runs/resdavenet_vq/{published('RDVQ_' + before)}" if before else None
    assert (values["init_from"] or {}).get("path") == start
    assert f"ResDAVEnet-VQ {MODELS[name].label} on" in values["description"]
    text = (FOLDER / f"{published(name)}.yaml").read_text(encoding="utf-8")
    assert f"({name})" in text
    assert f"Published recall@10: {MODELS[name].recall:.3f}." in text
    base = checked("base")
    speech = values["task"]["speech_encoder"] | {"turn_on": "00000"}
    assert {**values["task"], "speech_encoder": speech} == base["task"]
    assert (values["data"], values["trainer"], values["seed"]) == (base["data"], base["trainer"], base["seed"])


def test_there_is_no_other_config_of_a_published_model():
    assert {path.stem for path in FOLDER.glob("rdvq_*.yaml")} == {published(name) for name in MODELS}


@pytest.mark.parametrize("name", ["world_cpu", "world_gpu", "tuxpaint"])
def test_the_small_pairs_differ_in_quantisers_only(name):
    plain, quantised = checked(name), checked(f"{name}_01100")
    speech = quantised["task"]["speech_encoder"]
    assert speech["turn_on"] == "01100"
    assert quantised["init_from"]["path"] == f"runs/resdavenet_vq/{name}"
    own = plain["task"]["speech_encoder"]
    assert {**speech, "turn_on": "00000", "codebook": own["codebook"]} == own
    assert quantised["data"] == plain["data"]
    assert quantised["task"]["image_encoder"]["embedding_dim"] == speech["layer_widths"][-1]

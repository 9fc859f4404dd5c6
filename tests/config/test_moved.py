"""Names of another day: reported in a config that is written now, translated in what was saved."""

import importlib
import re

import pytest
from torch import nn

import config
from config.moved import MOVED, OFFERED, moved
from config.resolve import public_names, resolve_type


def own_names(module):
    return [name for name in public_names(module) if getattr(module, name).__module__ == module.__name__]


def test_the_table_leads_to_modules_that_are_there():
    for module in MOVED.values():
        assert own_names(importlib.import_module(module)), module
        assert module not in MOVED, f"{module} moved again: correct what leads to it"


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ("datasets.speech_image.SpeechImageData", "datasets.spoken_captions.SpeechImageData"),
        ("tasks.units.abx.abx", "tasks.resdavenet_vq.abx.abx"),
        ("tasks.words_by_drawing_experiments.recall.recall", "tasks.words_by_drawing.experiments.recall.recall"),
        ("gan.editing.EditedNegatives", None),  # never was there
        ("gan.progan.ProganGenerator", "gan.progan.generator.ProganGenerator"),
        ("evaluation.generation.frechet.RandomFeatures", "evaluation.frechet.RandomFeatures"),
        ("tasks.ranked.rank_split", "tasks.speech_image.rank_split.rank_split"),
        ("tasks.speech_image.ranked.rank_split", "tasks.speech_image.rank_split.rank_split"),
    ],
)
def test_what_moved_is_reported_with_its_name_of_today(former, now):
    with pytest.raises(config.ConfigError) as error:
        resolve_type(former)
    if now is None:
        assert "gan.editing.strategies.EditedNegatives' does not exist" in str(error.value)
        return
    assert str(error.value) == f"'{former}' is now '{now}': write that"
    assert resolve_type(moved(former)).__name__ == now.rpartition(".")[2]


def test_every_former_name_of_the_table_is_reported_or_still_offered():
    for former, module in MOVED.items():
        name = own_names(importlib.import_module(module))[0]
        now = OFFERED.get(f"{former}.{name}", f"{module}.{name}")
        try:
            assert resolve_type(f"{former}.{name}") is resolve_type(now)
        except config.ConfigError as error:
            assert re.search(rf"is now '{re.escape(now)}'|only describes|not on the allow-list", str(error))


def test_what_packages_offer_is_what_the_table_leads_to():
    for former, offered in OFFERED.items():
        module, _, name = former.rpartition(".")
        assert resolve_type(offered) is resolve_type(f"{MOVED[module]}.{name}")


def test_a_slip_in_a_former_name_is_reported_with_the_nearest_of_today():
    with pytest.raises(
        config.ConfigError, match=r"'gan\.progan\.generator\.ProganGeneratr' does not exist; did you mean"
    ):
        resolve_type("gan.progan.ProganGeneratr")


def test_what_was_saved_is_translated():
    saved = {
        "entry": "tasks.units.dump.dump",
        "description": "tasks.units.dump.dump",
        "data": {"type": "datasets.speech_image.HeldOut", "pairs": [{"type": "datasets.spoken_captions.PlacesFiles"}]},
        "optimizer": {"type": "torch.optim.Adam", "lr": 0.1},
        "other": {"type": None, "entry": {"type": "gan.progan.ProganGenerator"}},
    }
    assert config.translated(saved) == {
        "entry": "tasks.resdavenet_vq.dump.dump",
        "description": "tasks.units.dump.dump",
        "data": {
            "type": "datasets.spoken_captions.HeldOut",
            "pairs": [{"type": "datasets.spoken_captions.PlacesFiles"}],
        },
        "optimizer": {"type": "torch.optim.Adam", "lr": 0.1},
        "other": {"type": None, "entry": {"type": "gan.progan.generator.ProganGenerator"}},
    }
    assert saved["entry"] == "tasks.units.dump.dump"
    assert config.translated(config.translated(saved)) == config.translated(saved)


def test_the_former_name_that_a_package_offers_again_is_left_alone(monkeypatch):
    package = importlib.import_module("gan.progan")
    generator = resolve_type("gan.progan.generator.ProganGenerator")
    monkeypatch.setattr(package, "ProganGenerator", generator, raising=False)
    assert resolve_type("gan.progan.ProganGenerator") is generator
    assert config.translated({"type": "gan.progan.ProganGenerator"}) == {"type": "gan.progan.ProganGenerator"}


def test_a_card_with_a_former_name_is_built():
    card = {"type": "gan.progan.ProganGenerator", "latent_dim": 8, "widths": [4, 4]}
    checked = config.check_outside(card, nn.Module, "network")
    assert checked["type"] == "gan.progan.generator.ProganGenerator"
    assert isinstance(config.build(checked), nn.Module)


ENCODERS = {"image_encoder": {"type": "models.small.SmallImageEncoder"}, "same_image": "impostor"}
OBJECTIVE = {"margin": 1.0, "impostors": "sampled"}
NEGATIVES = {"layers": ["layer4"], "max_retries": 1}


@pytest.mark.parametrize(
    ("former", "now"),
    [
        (
            {"type": "tasks.speech_image.SpeechImage", "ranking": [{"type": "losses.sampled_triplet"}]},
            {"objective": {"type": "tasks.speech_image.Ranking", "losses": [{"type": "losses.sampled_triplet"}]}},
        ),
        (
            {"loss_type": "regular", "editing": None, "drawing": None},
            {"objective": {"type": "tasks.words_by_drawing.Regular", **OBJECTIVE}, "images": None},
        ),
        (
            {"loss_type": "negatives_both", "editing": NEGATIVES, "drawing": {"kept": 3}},
            {
                "objective": {
                    "type": "tasks.words_by_drawing.EditedOrHard",
                    **OBJECTIVE,
                    "mining": "configured",
                    "largest_loss": 5.0,
                    "negatives": NEGATIVES,
                },
                "images": {"type": "tasks.words_by_drawing.GeneratedImages", "kept": 3},
            },
        ),
    ],
)
def test_a_saved_task_has_the_parts_of_today(former, now):
    shared = {"mining": "configured", "largest_loss": 5.0, **OBJECTIVE} if "loss_type" in former else {}
    saved = {"type": "tasks.words_by_drawing.WordsByDrawing", **ENCODERS, **shared, **former}
    found = config.translated({"task": saved})
    assert found == {"task": {"type": "tasks.speech_image.SpeechImage", **ENCODERS, **now}}
    assert config.translated(found) == found


@pytest.mark.parametrize("odd", [{"loss_type": [1]}, {"loss_type": {}}, {"loss_type": "regular", "drawing": 5}])
def test_nonsense_in_a_saved_task_is_left_to_the_check(odd):
    saved = {"type": "tasks.words_by_drawing.WordsByDrawing", **odd}
    assert isinstance(config.translated({"task": saved})["task"], dict)

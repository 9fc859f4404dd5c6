"""Former names of keys: named in a config that is written now, translated in what was saved."""

import pytest

import config
from config.moved import moved
from config.renamed import RENAMED_CLASSES, RENAMED_KEYS
from config.resolve import resolve_type
from config.signatures import parameters


@pytest.mark.parametrize("dotted", RENAMED_KEYS)
def test_the_table_leads_to_keys_that_are_there(dotted):
    declared = parameters(resolve_type(dotted))
    for former, now in RENAMED_KEYS[dotted].items():
        assert now in declared
        assert former not in declared


@pytest.mark.parametrize(("former", "now"), RENAMED_CLASSES.items())
def test_the_table_of_classes_leads_to_what_is_there(former, now):
    assert resolve_type(now).__name__ == now.rpartition(".")[2]
    with pytest.raises(config.ConfigError, match="is now '"):
        resolve_type(former)


def test_a_class_with_a_new_name_in_a_module_that_moved():
    now = "datasets.text_image.dataset.CaptionedImages"
    assert moved("datasets.captioned.pictures.CaptionedPictures") == now
    assert moved("datasets.text_image.dataset.CaptionedPictures") == now


def saved_network():
    return {"type": "models.resdavenet_vq.ResDavenetVq", "turn_on": "01100", "quantizing": {"decay": 0.9}}


def test_keys_of_a_saved_config_are_translated_at_any_depth():
    captions = {"folder": "x", "pictures": 4, "least_sureness": 0.5}
    saved = {
        "entry": "main.train",
        "prepare": {"type": "tasks.words_by_drawing.synthetic_captions.ensure_built", "captions": captions},
        "task": {
            "type": "tasks.speech_image.SpeechImage",
            "same_picture": "left_out",
            "speech_encoder": saved_network(),
        },
    }
    now = config.translated(saved)
    assert now["prepare"]["captions"] == {"folder": "x", "candidates": 4, "least_confidence": 0.5}
    assert now["task"]["same_image"] == "left_out"
    assert now["task"]["speech_encoder"]["codebook"] == {"decay": 0.9}
    assert "same_picture" not in now["task"]
    assert saved["task"]["same_picture"] == "left_out"
    assert config.translated(now) == now


def test_keys_of_an_entry_are_translated():
    entry = "tasks.words_by_drawing.experiments.make_negatives.make_negatives"
    assert config.translated({"entry": entry, "pictures": 3}) == {"entry": entry, "images": 3}
    entry = "tasks.resdavenet_vq.word_detection.word_detection"
    assert config.translated({"entry": entry, "how": {"top": 3}}) == {"entry": entry, "rules": {"top": 3}}


def test_the_same_word_elsewhere_is_left_alone():
    saved = {"type": "models.davenet.DavenetSpeech", "pictures": 3, "side": 4}
    assert config.translated(saved) == saved
    both = saved_network() | {"codebook": {"decay": 0.5}}
    assert config.translated(both) == both  # nobody knows which is meant; the check refuses the former one


def test_a_former_key_in_a_config_that_is_written_now(tmp_path):
    path = tmp_path / "old.yaml"
    base = config.find("resdavenet_vq/rdvq_01100.yaml")
    path.write_text(f"extends: {base}\ntask: {{speech_encoder: {{quantizing: {{decay: 0.9}}}}}}\n")
    with pytest.raises(config.ConfigError, match=r"quantizing.*: is now 'codebook': write that") as error:
        config.check(config.load(str(path), []))
    assert "1 error\n" in str(error.value)


def test_a_card_with_a_former_key_is_built():
    from torch import nn

    checked = config.check_outside(saved_network(), nn.Module, "network")
    assert checked["codebook"]["decay"] == 0.9
    assert "quantizing" not in checked

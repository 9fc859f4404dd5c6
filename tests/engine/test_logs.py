"""The lines of a plain log: short, and without remarks that hide less than they take."""

import io

import numpy as np
import pytest
import soundfile
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.logs import RunLog, compact, progress, short_list
from engine.run_folder import RunFolder

NAMES = [
    "loss",
    "sampled_triplet_image_or_speech",
    "sampled_triplet_speech_or_image",
    "gradient_norm/encoders",
    "a",
    "b",
]


def named(count):
    return dict.fromkeys(NAMES[:count], 1.23456)


@pytest.mark.parametrize("width", [10, 20, 60, 100])
def test_one_or_two_values_too_many_are_shown(width):
    assert short_list(named(3), width) == (
        "loss 1.235  sampled_triplet_image_or_speech 1.235  sampled_triplet_speech_or_image 1.235"
    )
    assert short_list({}, width) == ""


def test_long_names_have_a_line_with_the_gradient():
    line = short_list(named(4), rest="in metrics.jsonl")
    assert line.endswith("sampled_triplet_speech_or_image 1.235  gradient_norm/encoders 1.235")


def test_three_are_counted_and_the_place_to_read_them_is_named():
    assert short_list(named(6), 60, "in metrics.jsonl") == (
        "loss 1.235  sampled_triplet_image_or_speech 1.235  and 4 more in metrics.jsonl"
    )
    assert short_list(named(6), 90).endswith("sampled_triplet_speech_or_image 1.235  and 3 more")
    assert "more" not in short_list(named(6), 120)


def test_both_ways_of_a_loss_share_one_name():
    margin = {"masked_margin_softmax_image_to_speech": 3.4341, "masked_margin_softmax_speech_to_image": 3.29}
    values = {
        "loss": 6.724,
        **margin,
        "triplet_image_to_speech": 1.0,
        "go_to_a": 2.0,
        "a_to_b": 3.0,
        "gradient_norm/net": 0.5,
    }
    assert compact(values) == [
        "loss 6.724",
        "masked_margin_softmax 3.434/3.29 (image→speech/speech→image)",
        "triplet_image_to_speech 1",
        "go_to_a 2",
        "a_to_b 3",
        "gradient_norm/net 0.5",
    ]
    words = {"median rank speech→image": 2.0, "recall@1": 0.5, "median rank image→speech": 3.5}
    assert compact(words) == ["median rank 2/3.5 (speech→image/image→speech)", "recall@1 0.5"]
    assert "more" not in short_list(values, width=120)


def test_places_of_a_measure_share_one_name():
    places = {
        "perplexity/quant2": 115.831,
        "gradient_norm/net": 0.5,
        "perplexity/quant3": 80.0,
        "commitment/quant3": 0.25,
    }
    assert compact(places) == ["perplexity 115.8/80 (quant2/quant3)", "gradient_norm/net 0.5", "commitment/quant3 0.25"]


def test_a_long_loop_without_a_terminal_tells_how_far_it_is(caplog):
    caplog.set_level("INFO")
    assert list(progress("ab", 5, "rows", done=3, line_seconds=0)) == ["a", "b"]
    assert [record.getMessage() for record in caplog.records] == ["rows: 3 of 5", "rows: 4 of 5"]
    caplog.clear()
    for line_seconds in (None, 30):
        assert list(progress("ab", 2, "rows", line_seconds=line_seconds)) == ["a", "b"]
    assert not caplog.records


def test_examples_are_written_without_warnings(tmp_path, capsys):
    """Sound beyond full scale is clipped, and half a character cannot be written."""
    folder = RunFolder(tmp_path)
    log = RunLog(folder)
    loud = np.linspace(-1.5, 1.5, 1600, dtype=np.float32)
    log.example("pair", 0, np.zeros((4, 4, 3), np.uint8), loud, "a \ud83d house")
    log.close()
    assert "clip" not in "".join(capsys.readouterr())
    assert loud.max() == 1.5, "the caller's sound stays"
    events = EventAccumulator(str(folder.tensorboard))
    events.Reload()
    (text,) = events.Tensors("pair/text/text_summary")
    assert text.tensor_proto.string_val == ["a \ufffd house".encode()]
    (sound,) = events.Audio("pair/speech")
    samples, rate = soundfile.read(io.BytesIO(sound.encoded_audio_string))
    assert rate == 16000
    np.testing.assert_allclose(samples, loud.clip(-1, 1), atol=1e-3)


def test_numbers_become_histograms(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.prepare({}, True, [])
    log = RunLog(folder)
    log.images(3, {}, {"D(x)": np.array([0.5, 0.5, -2.0], np.float32)})
    log.close()
    events = EventAccumulator(str(folder.tensorboard))
    events.Reload()
    (found,) = events.Histograms("D(x)")
    assert (found.step, found.histogram_value.num, found.histogram_value.min) == (3, 3, -2)

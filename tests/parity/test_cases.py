import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import losses
from tests.parity import __main__ as parity
from tests.parity.case import fraction, read_case
from tests.parity.nested import nested_fraction

ROOT = Path(__file__).parents[2]
CASES = [
    "davenet_large",
    "davenet_small",
    "losses_speech",
    "logmel",
    "clevr_segmenter",
    "unit_clustering",
    "regions",
    "unit_analysis",
    "progan_tiny",
    "progan_128",
    "resdavenet_vq",
    "resdavenet_vq_training",
    "vq_ema_update",
    "damsm",
    "damsm_linear",
    "damsm_rdc_text",
    "zero_shot",
    "attngan_b1",
    "attngan_b3",
    "attngan_dcgan",
    "attngan_discriminators",
    "losses_damsm",
    "biggan",
    "biggan_discriminator",
    "biggan_tf_hub",
    "lattegan",
    "lattegan_variants",
    "geneva_localizer",
    "tirg_text",
    "geneva_losses",
    "geneva",
]


@pytest.mark.parametrize("name", CASES)
def test_case(assets, name):
    path = assets / "parity" / f"{name}.json"
    fractions = parity.run_case(path)
    assert list(fractions) == list(json.loads(path.read_text())["outputs"])
    wrong = {output: found for output, found in fractions.items() if found[0] is None or found[0] > 1}
    assert not wrong


def copied(assets, folder, name, change=None, arrays=None):
    """A copy of a case with a changed JSON and changed arrays."""
    spec = json.loads((assets / "parity" / f"{name}.json").read_text())
    with np.load(assets / "parity" / f"{name}.npz") as file:
        stored = dict(file)
    if change:
        change(spec)
    if arrays:
        arrays(stored)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(spec))
    np.savez(path.with_suffix(".npz"), **stored)
    return path


def test_command_line(assets):
    command = [sys.executable, "-m", "tests.parity", str(assets / "parity" / "losses_speech.json"), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report) == ["losses_speech"]
    assert max(report["losses_speech"].values()) <= 1


def test_a_wrong_value_fails(assets, tmp_path, capsys):
    def bump(arrays):
        arrays["semihardneg_I2A"] = arrays["semihardneg_I2A"] + np.float32(1e-4)

    path = copied(assets, tmp_path, "losses_speech", arrays=bump)
    assert parity.main([str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["losses_speech"]
    assert found["semihardneg_I2A"] == pytest.approx(1e-4 / (1e-6 + 1e-5 * 0.2), rel=0.9)
    assert parity.main([str(path)]) == 1
    printed = capsys.readouterr().out
    assert "FAIL semihardneg_I2A " in printed
    count = len(found)
    assert printed.splitlines()[-1] == f"{count - 1} of {count} outputs in 1 case are within tolerance"


def test_a_missing_output_fails(assets, tmp_path, capsys):
    def change(spec):
        spec["outputs"]["something_new"] = "float32 ()"

    def arrays(stored):
        stored["something_new"] = np.float32(1)

    path = copied(assets, tmp_path, "logmel", change, arrays)
    assert parity.main([str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["logmel"]["something_new"] is None


def test_an_unknown_kind_is_2(assets, tmp_path, capsys):
    path = copied(assets, tmp_path, "logmel", lambda spec: spec.update(kind="phrenology"))
    assert parity.main([str(path), str(assets / "parity" / "losses_speech.json")]) == 2
    assert "unknown kind 'phrenology'; known are davenet," in capsys.readouterr().err


MALFORMED = {
    "no_files": ('{"kind": "davenet", "outputs": ["image_out"], "rtol": 1, "atol": 1}', 1, "lacks files, expected"),
    "only_kind": ('{"kind": "davenet"}', 1, "lacks outputs, rtol, atol, expected"),
    "no_kind": ('{"no": 1}', 2, "no kind; known are davenet,"),
    "strange_kind": ('{"kind": ["logmel"]}', 2, "unknown kind ['logmel']; known are"),
    "list": ("[1]", 1, "the case is a JSON list, expected a mapping"),
    "text": ("garbage", 1, "JSONDecodeError: "),
    "binary": ("\udcff", 1, "UnicodeDecodeError: "),
    "no_npz": ('{"kind": "logmel", "outputs": [], "rtol": 1, "atol": 1}', 1, "no_npz.npz"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_case_is_one_line_and_the_others_run(assets, tmp_path, capsys, name):
    content, status, message = MALFORMED[name]
    path = tmp_path / f"{name}.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    if name != "no_npz":
        np.savez(path.with_suffix(".npz"), image_out=np.zeros(1))
    assert parity.main([str(path), str(assets / "parity" / "losses_speech.json"), "--json"]) == status
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert name in printed.err
    report = json.loads(printed.out)
    assert all(value is None for value in report[name].values())
    assert max(report["losses_speech"].values()) <= 1


def test_a_group_that_fails_leaves_the_others(assets, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise ArithmeticError("out of\nsteam")

    monkeypatch.setattr(losses, "semi_hard_triplet", fail)
    path = copied(assets, tmp_path, "losses_speech", lambda spec: spec["hyper"].pop("margin_cos"))
    assert parity.main([str(path), "--json"]) == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)["losses_speech"]
    missing = {name for name, value in report.items() if value is None}
    assert missing == {name for name in report if "semihardneg" in name or "_cos" in name}
    assert max(value for value in report.values() if value is not None) <= 1
    lines = printed.err.splitlines()
    assert "losses_speech, semihardneg_I2A: ArithmeticError: out of steam" in lines
    assert "losses_speech, surisdi_hard_negative_cos: KeyError: 'margin_cos'" in lines
    assert len(lines) == 2 + 6


@pytest.mark.parametrize("lost", ["mel", "image"])
def test_an_encoder_without_input_leaves_the_other(assets, tmp_path, capsys, lost):
    def change(spec):
        spec.setdefault("input_exprs", {}).pop(lost, None)

    path = copied(assets, tmp_path, "davenet_small", change, lambda stored: stored.pop(lost, None))
    missing = {"mel": "audio_out", "image": "image_out"}[lost]
    assert {name for name, (value, _) in parity.run_case(path).items() if value is None} == {missing}
    assert f"the case has no input {lost!r}" in capsys.readouterr().err


def test_silence_is_computed_as_published(assets, tmp_path):
    def change(spec):
        spec["hyper"]["waveforms"] = [{"name": "still", "sample_rate": 16000, "samples": 1600}]
        spec["outputs"] = ["logmel_wnhsu_still"]

    def arrays(stored):
        stored |= {"pcm_still": np.zeros(1600, np.int16), "logmel_wnhsu_still": np.zeros((40, 11), np.float32)}

    assert parity.run_case(copied(assets, tmp_path, "logmel", change, arrays)) == {"logmel_wnhsu_still": (0.0, "")}


def test_a_case_without_outputs_is_not_right(assets, tmp_path, capsys):
    case = copied(assets, tmp_path, "logmel", lambda spec: spec.update(outputs=[]))
    assert parity.main([str(case)]) == 1
    assert "lists no outputs" in capsys.readouterr().err


def test_expected_nans_must_be_where_they_are():
    expected = np.array([1.0, np.nan, np.inf])
    assert fraction(expected.copy(), expected, 1e-3, 0.0) == (0.0, "")
    for wrong in ([1.0, 2.0, np.inf], [1.0, np.nan, -np.inf], [np.nan, np.nan, np.inf]):
        assert fraction(np.array(wrong), expected, 1e-3, 0.0)[0] is None


def test_no_such_case(tmp_path, capsys):
    assert parity.main([str(tmp_path / "none.json")]) == 1
    printed = capsys.readouterr()
    assert "none.json" in printed.err
    assert printed.out == "0 of 0 outputs in 1 case are within tolerance; 1 case could not be run\n"


def test_fractions():
    expected = np.array([1.0, 0.0], dtype=np.float32)
    assert fraction(expected + np.array([0.01, 0]), expected, rtol=0.1, atol=0.1)[0] == pytest.approx(0.05)
    assert fraction(None, expected, 0.1, 0.1) == (None, "missing")
    assert fraction(expected[:1], expected, 0.1, 0.1) == (None, "shape (1,), expected (2,)")
    assert fraction(expected * np.nan, expected, 0.1, 0.1) == (None, "not finite")
    codes = np.array([1, 2, 3])
    assert fraction(codes, codes, 9, 9) == (0.0, "equal")
    assert fraction(codes + np.array([0, 1, 1]), codes, 9, 9) == (3.0, "2 entries differ")
    assert fraction(codes + np.array([0, 0, 1]), codes, 0, 0, may_differ=0.5) == (
        pytest.approx(2 / 3),
        "1 entries differ",
    )


def test_filled_state(assets, tmp_path):
    """Prefixes seed the fill; post_fill multiplies in float32."""
    case = read_case(assets / "parity" / "resdavenet_vq.json", tmp_path)
    names = ("module.quant2._embedding.weight", "module.layer1.0.conv1.weight")
    file = case.spec["files"]["models/best_audio_model.pth"]
    file["entries"] = [entry for entry in file["entries"] if entry[0] in names]
    state = case.state("models/best_audio_model.pth")
    assert state["module.quant2._embedding.weight"].std() == pytest.approx(1, abs=0.01)
    assert state["module.layer1.0.conv1.weight"].std() == pytest.approx((128 * 9) ** -0.5, rel=0.02)


def test_logmel_at_other_rates_and_lengths(assets, tmp_path):
    """The runner takes names, rates and lengths from the case: the 16 kHz signal under another name still fits."""

    def change(spec):
        spec["hyper"]["waveforms"] = [{"name": "again", "sample_rate": 16000, "samples": 20800}]
        spec["outputs"] = {"logmel_wnhsu_again": "", "n_frames_truncated_again": ""}
        spec["hyper"]["truncate_to"] = 50

    def arrays(stored):
        stored["pcm_again"] = stored["pcm_a16k"]
        stored["logmel_wnhsu_again"] = stored["logmel_wnhsu_a16k"]
        stored["n_frames_truncated_again"] = np.int64(50)

    fractions = parity.run_case(copied(assets, tmp_path, "logmel", change, arrays))
    assert all(value <= 1 for value, _ in fractions.values())


def test_results_in_the_json_are_compared_entry_by_entry(assets, tmp_path, capsys):
    def change(spec):
        spec["results"]["code_to_wordf1"]["0"][0][1] += 1e-8

    path = copied(assets, tmp_path, "unit_analysis", change)
    assert parity.main([str(path)]) == 1
    assert re.search(r"FAIL results .* /code_to_wordf1/0/0/1\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("result", "remark"),
    [
        (None, "missing"),
        ({"a": [1, 2.0]}, ": keys ['b'] are on one side only"),
        ({"a": [1], "b": "x"}, "/a: 1 entries, expected 2"),
        ({"a": [2, 2.0], "b": "x"}, "/a/0: 2, expected 1"),
        ({"a": [1, float("nan")], "b": "x"}, "/a/1: nan, expected 2.0"),
        ({"a": [1, 2.0], "b": "y"}, "/b: 'y', expected 'x'"),
        ({"a": {"0": 1}, "b": "x"}, "/a: {'0': 1}, expected [1, 2.0]"),
    ],
)
def test_nested_results_that_cannot_be_compared(result, remark):
    assert nested_fraction(result, {"a": [1, 2.0], "b": "x"}, 0.1, 0.0) == (None, remark)


def test_nested_results_are_as_far_as_their_worst_number():
    found = nested_fraction({"a": [1, 2.1], "b": 0}, {"a": [1.01, 2.0], "b": 0}, 0.1, 0.0)
    assert found == (pytest.approx(0.5), "/a/1")

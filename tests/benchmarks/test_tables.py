import io
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

from benchmarks import __main__ as everything
from benchmarks import (
    loading,
    logmel,
    manifest,
    retrieval,
    serve,
    similarity,
    table,
    training,
    triplet,
    word_detection,
    word_regions,
)
from tasks.attngan.sampling.text_to_image import TextToImage
from tasks.attngan.trained import TextImageSource

SMALL = ["--channels", "8", "--resolution", "2", "--frames", "3", "--repeats", "1"]


@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        (similarity, ["--images", "6", "--captions", "5", "--loop-pairs", "4", *SMALL], "MISA float32, cpu"),
        (triplet, ["--batch", "6", *SMALL], "hard_negative, cpu"),
        (word_detection, ["--utterances", "30", "--codes", "40", "--vocabulary", "50"], "codes and words, cpu"),
        (
            word_regions,
            ["--batch", "4", "--channels", "6", "--resolution", "3", "--repeats", "1"],
            "words against regions, cpu",
        ),
        (retrieval, ["--n", "40", "--pooled", "48", "--repeats", "1"], "recalls of 48 pooled maps, cpu"),
        (loading, ["--rows", "4", "--batch-size", "2", "--seconds", "0.5"], "kept in memory, speech alone"),
        (manifest, ["--rows", "50", "--repeats", "1"], "50 rows, every check"),
    ],
)
def test_a_benchmark_prints_its_table(module, arguments, expected, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module.__name__, "--threads", "1", *arguments])
    monkeypatch.setattr(similarity, "matmul_rate", lambda *_: 1e12)  # takes seconds on a busy machine
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    module.main()
    printed = capsys.readouterr().out
    assert expected in printed
    assert "speed-up" in printed


@pytest.mark.parametrize(
    "module", [loading, logmel, manifest, retrieval, serve, similarity, training, triplet, word_detection, word_regions]
)
def test_help_says_what_is_measured_and_every_default(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module.__name__, "--help"])
    monkeypatch.setattr(logmel, "librosa", None)
    with pytest.raises(SystemExit, match="0"):
        module.main()
    printed = capsys.readouterr().out
    assert module.__doc__.splitlines()[0] in printed
    assert f"python -m {module.__name__}" in printed
    assert printed.count("(default:") == printed.count("\n  --") >= 3


def test_the_public_codes_way_makes_the_sheets_once_for_each_stage(tmp_path):
    export = serve.write_model(tmp_path, width=2, stages=2, first_resolution=8)
    model = TextToImage.of(TextImageSource(run=export))
    sizes = [Image.open(io.BytesIO(file)).size for file in serve.published_way(model)]
    assert sizes == [(8, 8), (5 * 256, 256), (16, 16), (5 * 256, 256)]


def test_a_missing_baseline_is_reported(monkeypatch):
    monkeypatch.setattr(logmel, "librosa", None)
    monkeypatch.setattr(sys, "argv", ["logmel", "--threads", "1"])
    with pytest.raises(SystemExit, match=r"librosa.* is not installed: pip install -r benchmarks/requirements\.txt"):
        logmel.main()


def test_baselines_compute_the_same():
    image, speech = torch.randn(4, 5, 2, 3), torch.randn(4, 5, 6)
    expected = similarity.similarity(image, speech)
    torch.testing.assert_close(similarity.loop(image, speech), expected)
    torch.testing.assert_close(triplet.loop_matrix(image, speech), expected)


def test_ways_take_turns_and_the_best_of_each_counts(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(table, "_clock", lambda _device: clock[0])

    def way(name, durations):
        def call():
            calls.append(name)
            clock[0] += durations[calls.count(name) - 1]

        return call

    found = table.best_times(way("a", [0.1, 0.5, 0.25, 1]), way("b", [9, 8, 16]), repeats=3)
    assert found == pytest.approx([0.25, 8])
    assert calls == [*"ab" * 3, "a"]  # the first call warms up; a long one counts and saves the last
    assert table.best_times(way("c", [4]), repeats=1) == pytest.approx([4])


def test_cpu_time_is_counted_and_not_the_time_that_passes():
    """Sleeping is free; work is not, in this process and in those that it waited for."""
    work = "import time\nwhile time.process_time() < 0.3: pass"
    assert table.timed(lambda: time.sleep(0.5))[1] < 0.4
    assert table.timed(lambda: subprocess.run([sys.executable, "-c", work], check=True))[1] >= 0.25
    assert table.timed(lambda: exec(work.replace("0.3", str(time.process_time() + 0.2))))[1] >= 0.15


def test_a_row_shows_gain_and_limit(capsys):
    table.print_table("Title", [table.Row("fast", 0.5, 2.0, 0.75, "why"), table.Row("alone", 2.0)])
    printed = capsys.readouterr().out
    for text in ("Title", "500.00 ms", "2.00 s", "4.0x", "75%", "why"):
        assert text in printed


def test_all_rows_come_in_one_table(monkeypatch, capsys):
    def run(command, env, **_):
        name = command[-1].removeprefix("benchmarks.")
        if name == "triplet":
            return subprocess.CompletedProcess(command, 1)
        with monkeypatch.context() as process:
            process.setenv(table.ROWS_FILE, env[table.ROWS_FILE])
            table.print_table(name, [table.Row(f"{name} row", 0.5, 1.0)])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(everything.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "retrieval", "triplet", "similarity"])
    assert everything.main() == 1
    printed, errors = capsys.readouterr()
    last = printed[printed.index("All of them") :]
    assert "retrieval row" in last
    assert "similarity row" in last
    assert errors == "failed: triplet\n"


def test_a_benchmark_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "retreival"])
    with pytest.raises(SystemExit, match="2"):
        everything.main()
    assert "no benchmark retreival; choose among first_answer, logmel" in capsys.readouterr().err

"""run.py as users run it: real processes on the four pairs of the published sample."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import run as program
from common import distributed
from engine import checkpoint, exit_codes

ROOT = Path(__file__).resolve().parent.parent
VERBS = ("Build", "Compare", "Evaluate", "Generate", "Make", "Measure", "Rank", "Search", "Serve", "Train", "Write")
SPLITS = (("train", "train"), ("validation", "val"), ("test", "test"))
TINY = str(ROOT / "tests" / "assets" / "configs" / "tiny.yaml")
ENDLESS = ("trainer.epochs=100000", "task.optimization.optimizer.lr=1.0e-9")  # a run that has learned ends by itself


def command(tmp_path, *arguments):
    return [sys.executable, str(ROOT / "run.py"), "-f", TINY, f"run.folder={tmp_path}", *arguments]


def run(tmp_path, *arguments, **keywords):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(tmp_path, *arguments), capture_output=True, text=True, env=environment, timeout=300, **keywords
    )


def test_a_run_leaves_everything_and_a_second_one_is_harmless(tmp_path):
    first = run(tmp_path)
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "tiny"
    for name in ("config.yaml", "info.jsonl", "metrics.json", "queries.csv", "report.html", "checkpoints/best.pt"):
        assert (folder / name).exists(), name
    assert "recall@10" in first.stderr
    assert "  gradient_norm/encoders " in first.stderr  # as metrics.jsonl, TensorBoard and the dry run call it
    info = json.loads((folder / "info.jsonl").read_text().splitlines()[0])
    assert info["packages"]["torch"].startswith("2.11")
    assert info["seed"] == 1
    before = (folder / "checkpoints" / "last.pt").read_bytes()
    second = run(tmp_path)
    assert second.returncode == 0
    assert "nothing was trained" in second.stderr
    assert (folder / "checkpoints" / "last.pt").read_bytes() == before
    written = (folder / "log.txt").read_text().splitlines()
    message = [line for line in (first.stderr + second.stderr).splitlines() if line.strip()]
    assert all(any(line.strip() in other for other in written) for line in message), message
    assert sum(" INFO command: run.py -f " in line for line in written) == 2
    other = run(tmp_path, "seed=2")
    assert other.returncode == 2
    assert "holds a run of another config" in other.stderr
    assert "seed: 1 there, 2 now" in other.stderr


def test_dry_run_writes_nothing(tmp_path):
    result = run(tmp_path, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "dry run: fine" in result.stderr
    losses = ("(image→speech/speech→image)", "sampled_triplet ", "gradient_norm/encoders ")
    for message in (*losses, "median rank", "recall@10"):
        assert message in result.stderr  # nowhere else to be read
    assert "more" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["quickstart.yaml", "trainer.epochs=1"],
            "'quickstart.yaml' is no key=value; to run that config, write -f quic",
        ),
        (["--dry-run", "my own.yaml"], "write -f 'my own.yaml'"),
        (["trainer.epochs=1"], "give a config with -f, or --list to see them"),
        ([], "give a config with -f, or --list to see them"),
    ],
)
def test_a_config_without_its_option_is_recognised(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        program.parse_arguments(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def many_pairs(path, copies):
    """Write a manifest that lists the sample's four pairs ``copies`` times."""
    sample = ROOT / "tests" / "assets" / "formats" / "places"
    content = json.loads((sample / "metadata.json").read_text())
    for base in ("image_base_path", "audio_base_path"):
        content[base] = f"{sample / content[base]}/"
    pairs = content["data"]
    content["data"] = [pair | {"uttid": f"{pair['uttid']}-{copy}"} for copy in range(copies) for pair in pairs]
    path.write_text(json.dumps(content))
    return f"data.train.manifest={path}"


def leaves(value, name=""):
    """Yield the name and value of everything in a checkpoint."""
    if isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, f"{name}.{key}")
    else:
        yield name, value


def test_kill_in_the_middle_of_epoch_two_and_resume_is_bit_exact(tmp_path):
    arguments = [many_pairs(tmp_path / "pairs.json", 16), "trainer.epochs=2", "trainer.ema={decay: 0.9}"]
    assert run(tmp_path, *arguments, "run.name=whole").returncode == 0
    arguments += ["trainer.checkpoint.every_steps=1", "run.name=killed"]
    last = tmp_path / "killed" / "checkpoints" / "last.pt"
    process = subprocess.Popen(
        command(tmp_path, *arguments), env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if last.exists() and checkpoint.read(last)["step"] >= 34:  # 32 steps an epoch
                break
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    state = checkpoint.read(last)
    assert state["epoch"] == 1
    assert 2 <= state["batch"] < 32
    resumed = run(tmp_path, *arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed from {last}: step {state['step']}, within epoch 2, after batch {state['batch']}" in resumed.stderr
    whole, parts = (checkpoint.read(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "killed"))
    for kind in ("step", "epoch", "batch", "best", "modules", "averages", "optimizers", "schedulers", "random"):
        expected, found = dict(leaves(whole[kind], kind)), dict(leaves(parts[kind], kind))
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            same = torch.equal(value, found[name]) if isinstance(value, torch.Tensor) else value == found[name]
            assert same, name


def test_two_processes_learn_what_one_learns(tmp_path):
    """gloo on the CPU, started by run.py itself. SGD, since Adam turns rounding of tiny gradients into whole steps."""
    optimizer = "task.optimization.optimizer={type: torch.optim.SGD, lr: 0.05}"
    arguments = ["trainer.epochs=2", "data.batch_size=4", optimizer]
    assert run(tmp_path, *arguments, "run.name=one").returncode == 0
    two = run(tmp_path, *arguments, "run.name=two", "launch.processes=2")
    assert two.returncode == 0, two.stderr
    assert two.stderr.count("2 processes") == 1  # rank 0 alone speaks
    assert two.stderr.index("starting 2 ranks") < two.stderr.index("2 processes")
    one, both = (checkpoint.read(tmp_path / name / "checkpoints" / "last.pt")["modules"] for name in ("one", "two"))
    expected, found = dict(leaves(one)), dict(leaves(both))
    assert expected.keys() == found.keys()
    for name, value in expected.items():  # 1e-5 of each tensor's largest value, nothing absolute
        scale = value.abs().max()
        if name.endswith("running_mean"):  # values of this spread cancelled to a mean near zero
            scale = scale.maximum(expected[name.replace("running_mean", "running_var")].sqrt().max())
        assert (value - found[name]).abs().max() <= 1e-5 * scale, name
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")]
    assert metrics[0]["n"] == metrics[1]["n"] == 4


def test_a_stop_is_reported_once_and_an_error_of_one_rank_too(monkeypatch, capsys):
    monkeypatch.setattr(exit_codes, "SECOND_RANK_WAITS", 0.0)
    monkeypatch.setattr(distributed, "launched_by_torchrun", lambda: True)
    former = signal.getsignal(signal.SIGTERM)
    try:
        for rank, message in (("0", "stopped\nerror\n"), ("1", "error\n")):
            monkeypatch.setenv("RANK", rank)
            exit_codes.say_last("stopped", stopped=True)
            exit_codes.say_last("error")
            assert capsys.readouterr().err == message
    finally:
        signal.signal(signal.SIGTERM, former)


def test_sigterm_saves_and_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, *ENDLESS),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "step 2" in line:
            break
    second = run(tmp_path, *ENDLESS)
    assert second.returncode == 2
    assert f"{tmp_path}/tiny is being written by process {process.pid} on " in second.stderr
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert "the same command goes on from" in rest
    assert "Traceback" not in rest
    assert checkpoint.read(tmp_path / "tiny" / "checkpoints" / "last.pt")["step"] >= 2


def processes_of(folder):
    """The command lines that name a folder, of the run and of all that it started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if f"run.folder={folder}".encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def signalled(tmp_path, text, *signals, arguments=()):
    """The exit code and what was said when signals come after a line with a text; nothing may be left running."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    everything = command(tmp_path, "data.workers=2", *arguments)
    listens = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # the suite may run under nohup
    with subprocess.Popen(
        everything, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=listens
    ) as process:
        found = any(text in line for line in process.stderr)
        if not found or len(processes_of(tmp_path)) < 3:  # with the workers
            process.kill()  # it would never end
            pytest.fail(f"no line with {text!r}, or no loading processes when it came")
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        rest = process.stderr.read()
    deadline = time.monotonic() + 5
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(tmp_path) == []
    assert "Traceback" not in rest
    return process.returncode, rest


needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")


@needs_proc
def test_a_second_signal_and_a_kill_leave_no_process(tmp_path):
    code, rest = signalled(tmp_path, "step 2 ", signal.SIGTERM, signal.SIGTERM, arguments=ENDLESS)
    assert code == 128 + signal.SIGTERM
    assert "stopping" in rest
    code, _ = signalled(tmp_path, "  loss ", signal.SIGKILL, arguments=ENDLESS)
    assert code == -signal.SIGKILL


@needs_proc
def test_a_hangup_saves_a_checkpoint_and_leaves_no_process(tmp_path):
    code, rest = signalled(tmp_path, "step 2 ", signal.SIGHUP, arguments=ENDLESS)
    assert code == 128 + signal.SIGHUP
    assert "the same command goes on from" in rest
    assert checkpoint.read(tmp_path / "tiny" / "checkpoints" / "last.pt")["step"] >= 2


@needs_proc
def test_a_stop_within_the_report_is_one_sentence_and_the_same_command_finishes(tmp_path):
    code, rest = signalled(tmp_path, "the report is about", signal.SIGTERM, arguments=["trainer.epochs=1"])
    assert code == 128 + signal.SIGTERM
    assert rest.splitlines()[-1].startswith("stopped; the same command goes on from ")
    assert not (tmp_path / "tiny" / "metrics.json").exists()
    assert run(tmp_path, "data.workers=2", "trainer.epochs=1").returncode == 0
    assert json.loads((tmp_path / "tiny" / "metrics.json").read_text())["n"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.epoch=3"], "did you mean 'epochs'"),
        (["data.train.manifest=nowhere.json"], "nowhere.json"),
        (["trainer.precision=fp16"], "fp16 needs a GPU"),
        (["init_from={path: nowhere}"], "nowhere"),
        (["data.batch_size=1"], "expected at least 2: pairs are ranked"),
        (["data.batch_size=0"], "expected int, greater than 0, less than or equal to 100,000"),
        (["seed=-1"], "found -1 (int), expected int, greater than or equal to 0"),
        (["data.train.manifest=tests"], "tests"),
        (["data.validation.image=null"], "this task looks at images"),
    ],
)
def test_errors_end_in_one_message(tmp_path, arguments, message):
    if torch.cuda.is_available() and "fp16" in message:
        pytest.skip("this machine has a GPU")
    result = run(tmp_path, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.rglob("*.pt")) == []


def test_errors_of_several_processes_end_in_one_message(tmp_path):
    result = run(tmp_path, "launch.processes=2", "data.train.manifest=nowhere.json")
    assert result.returncode == 2
    assert result.stderr.count("nowhere.json does not exist") == 1
    assert "Traceback" not in result.stderr


def test_evaluation_of_a_run_leaves_it_alone(tmp_path):
    assert run(tmp_path, "trainer.epochs=1").returncode == 0
    best = tmp_path / "tiny" / "checkpoints" / "best.pt"
    arguments = ["entry=main.evaluate", f"init_from.path={tmp_path}/tiny"]
    refused = run(tmp_path, *arguments)
    assert refused.returncode == 2
    assert "holds a training run; give the evaluation another run.name" in refused.stderr
    done = run(tmp_path, *arguments, "run.name=again", "task.optimization.schedule.warmup_steps=1000")
    assert done.returncode == 0, done.stderr
    assert best.exists()
    trained, evaluated = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("tiny", "again"))
    assert trained == evaluated


def test_dry_run_of_the_quick_start_in_a_fresh_clone(tmp_path):
    """The world is not there yet: a small stand-in is made, and taken away again."""
    data = [f"data.{split}.manifest={tmp_path}/w/places/{name}.json" for split, name in SPLITS]
    arguments = ["-f", "quickstart", "--dry-run", f"prepare.world.folder={tmp_path}/w", f"run.folder={tmp_path}", *data]
    result = subprocess.run([sys.executable, "run.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "dry run: fine" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_list_and_print_config():
    listed = subprocess.run([sys.executable, "run.py", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert "quickstart.yaml" in listed.stdout
    descriptions = [line.split("  ")[-1].strip() for line in listed.stdout.splitlines()]
    for text in descriptions:  # one style: what the command does
        assert text[0].isupper(), text
        assert not text.endswith("."), text
        assert len(text) < 110, text
        assert text.split()[0] in VERBS, text
    assert len({line.index(text) for line, text in zip(listed.stdout.splitlines(), descriptions, strict=True)}) == 1
    arguments = [sys.executable, "run.py", "-f", TINY, "--print-config", "seed=5"]
    printed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert "seed: 5" in printed.stdout
    assert "evaluate_every_epochs: 1" in printed.stdout


def test_a_run_with_workers_ends(tmp_path):
    """Workers outlive a SIGTERM to the group, but must not keep a finished program from ending."""
    result = run(tmp_path, "data.workers=1", "trainer.epochs=1")
    assert result.returncode == 0, result.stderr


def test_what_runs_as_one_process_is_not_run_by_several(monkeypatch, capsys):
    arguments = ["-f", "words_by_drawing/evaluate"]
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    assert program.main(arguments) == 2
    assert "evaluate.evaluate runs as one process, but torchrun started 2 of them" in capsys.readouterr().err
    assert program.main([*arguments, "launch.processes=2"]) == 2
    assert "launch [command line]: unknown key" in capsys.readouterr().err

"""The comparison runs what is missing, in order and once, says what was run, and ends what it started."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import config
from common.errors import UserError
from engine import checkpoint
from engine.context import Context
from gan import shipped
from gan.progan.generator import ProganGenerator
from tasks.comparison import provenance as made_from
from tasks.comparison import runs
from tasks.comparison.budgets import as_footer, budget
from tasks.comparison.compare import compare
from tasks.comparison.plan import Check, Plan, Step, Training
from tasks.comparison.summary import Column, read_csv
from tasks.comparison.tables import write_tables

EVALUATE = Check("words_by_drawing/evaluate.yaml", [], {"recall": Column("A_r1", 0.5)})
ARGUMENTS = {
    "seeds": [0, 3],
    "trainings": {
        "warm_up": Training("words_by_drawing/warm_up.yaml"),
        "regular": Training("words_by_drawing/train_regular.yaml", ["trainer.epochs=2"], "warm_up"),
    },
    "tests": {"recall": EVALUATE},
}


def context(dry_run=False):
    return Context("words_by_drawing/compare", {"entry": "tested"}, ["run.py"], dry_run)


def write_training(folder, values):
    """Leave what a training leaves: two logged rows, and a checkpoint after 9 steps and 7 seconds."""
    rows = [{"step": 4, "train/negatives/change": 0.5, "train/negatives/reached": 0.25}]
    rows += [{"step": 8, "train/negatives/change": 0.7, "train/negatives/reached": 0.75}]
    if "warm_up" in folder.parts:
        rows = [{"step": 8}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checkpoint.write(folder / "checkpoints" / "last.pt", {"step": 9, "seconds": 7.0, "seed": values["seed"]})


@pytest.fixture
def calls(monkeypatch):
    """Commands instead of runs: each leaves what a finished run leaves, with the value of its seed."""
    made = []

    def call(command):
        file, settings = command[command.index("-f") + 1], command[command.index("-f") + 2 :]
        values = config.check(config.load(file, settings))
        folder = config.resolve_path(values["run"]["folder"]) / values["run"]["name"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(config.dump(values))
        if "negatives" in folder.parts:
            (folder / "metrics.json").write_text("{}")
            Path(values["output"]).write_text(f"{values['attempts']} attempts")
            made.append((folder, values))
            return 0
        if "tests" not in folder.parts:
            write_training(folder, values)
        seed = next(int(part.removeprefix("seed_")) for part in folder.parts if part.startswith("seed_"))
        (folder / "metrics.json").write_text(json.dumps({"A_r1": 0.5 + seed / 10}))
        made.append((folder, values))
        return 0

    monkeypatch.setattr(runs, "call", call)
    monkeypatch.setattr(runs.Job, "rehearse", lambda _: None)  # takes seconds
    return made


def test_settings_may_name_the_seed(tmp_path):
    trained = {"regular": Training("words_by_drawing/train_regular.yaml", ["data.folder=x/seed_{seed}"])}
    plan = Plan(tmp_path, trained, {"one": Check("words_by_drawing/evaluate.yaml", ["a={seed}"])})
    assert [job.settings[0] for job in plan.jobs([0, 3])] == [
        "data.folder=x/seed_0",
        "data.folder=x/seed_3",
        "a=0",
        "a=3",
    ]


def test_every_run_once_in_order_and_a_table(calls, tmp_path):
    compare(**ARGUMENTS, context=context(), folder=tmp_path)
    names = ["warm_up/seed_{0}", "regular/seed_{0}", "warm_up/seed_{0}/tests/recall", "regular/seed_{0}/tests/recall"]
    expected = [tmp_path / name.format(seed) for seed in (0, 3) for name in names]
    assert [folder for folder, _ in calls] == expected
    regular = calls[1][1]
    assert regular["seed"] == 0
    assert regular["trainer"]["epochs"] == 2
    assert regular["init_from"]["path"] == str(tmp_path / "warm_up" / "seed_0")
    assert calls[3][1]["model"]["run"] == str(tmp_path / "regular" / "seed_0")
    table = (tmp_path / "comparison.md").read_text()
    assert "| recall | **0.650 ± 0.212** | **0.650 ± 0.212** | 0.500 |" in table
    assert "trainer.epochs=2" in table
    assert json.loads((tmp_path / "comparison.json").read_text())["table"]["regular"]["recall"]["values"] == {
        "0": 0.5,
        "3": 0.8,
    }
    assert (tmp_path / "comparison.csv").read_text().count("regular,") == 2


def test_finished_runs_are_passed_over_and_seeds_can_be_shared_out(calls, tmp_path):
    compare(**ARGUMENTS | {"seeds": [3]}, context=context(), folder=tmp_path)
    assert "seeds 3." in (tmp_path / "comparison.md").read_text()
    compare(**ARGUMENTS | {"seeds": [0]}, context=context(), folder=tmp_path)
    assert "seeds 0, 3." in (tmp_path / "comparison.md").read_text()
    before = len(calls)
    compare(**ARGUMENTS, context=context(), folder=tmp_path)
    assert len(calls) == before == 8


def test_what_a_later_training_refuses_is_reported_before_the_first_makes_data(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "call", lambda _: pytest.fail("a training was begun"))
    folder = f"{tmp_path}/captions"
    sets = [f"data.{split}.folder={folder}" for split in ("train", "validation", "test")]
    settings = [f"prepare.captions.folder={folder}", *sets]
    later = Training("words_by_drawing/train_random.yaml", ["task.objective.negatives.layers=[layer99]"], "warm_up")
    trainings = {"warm_up": ARGUMENTS["trainings"]["warm_up"], "random": later}
    with pytest.raises(UserError, match=r"(?s)-f words_by_drawing/train_random\.yaml .*no layer 'layer99'") as error:
        compare(
            **ARGUMENTS | {"trainings": trainings}, train_settings=settings, context=context(), folder=tmp_path / "runs"
        )
    assert len(str(error.value).splitlines()) == 2  # the command and what it would say
    assert list(tmp_path.iterdir()) == []


def test_a_page_of_the_documentation_has_the_same_table_and_the_commands_of_one_seed(calls, tmp_path):
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nWhy it was asked.\n")
    compare(**ARGUMENTS, context=context(), folder=tmp_path / "runs", page=page)
    table, commands = (tmp_path / "runs" / "comparison.md").read_text().partition("\n\n")[2].split("What was run:")
    text = page.read_text()
    assert text.startswith("# Results\n\nWhy it was asked.\n\n<!-- written by")
    assert table.strip() in text
    assert "What was run with seed 0; the other seeds alike:" in text
    of_the_first = [line for line in commands.splitlines() if "seed_0" in line]
    assert [line.strip() for line in text.splitlines() if "python run.py" in line] == [
        one.strip() for one in of_the_first
    ]


def test_seeds_of_another_machine_join_the_table(calls, tmp_path):
    compare(**ARGUMENTS | {"seeds": [0]}, context=context(), folder=tmp_path / "there")
    others = [tmp_path / "there" / "comparison.csv"]
    compare(**ARGUMENTS | {"seeds": [3]}, context=context(), folder=tmp_path / "here", others=others)
    compare(**ARGUMENTS | {"seeds": [0, 3]}, context=context(), folder=tmp_path / "alone")
    table, expected = (
        [line for line in (tmp_path / name / "comparison.md").read_text().splitlines() if line.startswith("|")]
        for name in ("here", "alone")
    )
    rows = len(expected) // 2
    assert table[:rows] == expected[:rows]
    assert f"Measured elsewhere: the seeds 0 ({others[0]})." in (tmp_path / "here" / "comparison.md").read_text()


@pytest.mark.parametrize(("row", "message"), [("a,b", "line 2: found 'a,b', expected"), ("a,1,c,x", "found 'a,1,c,x'")])
def test_a_table_of_another_machine_that_is_none_is_reported(tmp_path, row, message):
    path = tmp_path / "comparison.csv"
    path.write_text(f"training,seed,column,value\n{row}\n")
    with pytest.raises(UserError, match=message):
        read_csv(path)
    with pytest.raises(UserError, match="is not there"):
        read_csv(tmp_path / "other.csv")


def test_commands_name_what_lies_in_the_project_from_its_folder():
    folder = config.PROJECT_ROOT / "runs" / "compared"
    command = Plan(folder, ARGUMENTS["trainings"], ARGUMENTS["tests"]).test("recall", "regular", 3).command
    assert command == (
        "python run.py -f words_by_drawing/evaluate.yaml model.run=runs/compared/regular/seed_3 "
        "run.folder=runs/compared/regular/seed_3/tests run.name=recall"
    )


def test_an_unfinished_comparison_says_what_it_lacks(calls, monkeypatch, tmp_path):
    """Another process has trained seed 3's warm-up and tested it, and is at its regular training."""
    compare(**ARGUMENTS | {"seeds": [0]}, context=context(), folder=tmp_path)
    assert "not finished" not in (tmp_path / "comparison.md").read_text()
    plan = Plan(tmp_path, ARGUMENTS["trainings"], ARGUMENTS["tests"])
    plan.training("warm_up", 3).run()
    plan.test("recall", "warm_up", 3).run()
    (tmp_path / "regular" / "seed_3").mkdir()
    calls.clear()
    compare(**ARGUMENTS | {"seeds": [0]}, context=context(), folder=tmp_path)
    assert calls == []
    text = (tmp_path / "comparison.md").read_text()
    assert text.startswith("# Comparison, not finished")
    assert "- regular with seed 3: recall" in text
    assert "| recall | 0.650 ± 0.212 | 0.500 (1 of 2 seeds) | 0.500 |" in text
    assert "| regular | 9 | 7 | 0.600 | 0.500 |" in text  # as for one seed: nothing of the run that is not there
    commands = text.partition("What was run:")[2]
    assert (commands.count("seed=3"), commands.count("seed=0")) == (1, 2)
    assert "regular/seed_3" not in commands
    assert list(json.loads((tmp_path / "comparison.json").read_text())["trainings"]["regular"]) == ["0"]


def test_tests_of_some_trainings_figures_of_trainings_and_chains_of_starts(calls, tmp_path):
    again = Training("words_by_drawing/train_regular.yaml", [], "regular")
    arguments = ARGUMENTS | {
        "seeds": [3],
        "trainings": ARGUMENTS["trainings"] | {"again": again, "alone": Training("words_by_drawing/warm_up.yaml")},
        "tests": {"recall": Check(EVALUATE.file, [], EVALUATE.columns, ["again"]), "other": None},
        "measures": {"own recall": Column("A_r1", 0.25)},
    }
    compare(**arguments, context=context(), folder=tmp_path)
    made = {str(folder.relative_to(tmp_path)): values for folder, values in calls}
    assert list(made)[4:] == ["again/seed_3/tests/recall"]
    assert made["again/seed_3"]["init_from"]["path"] == str(tmp_path / "regular" / "seed_3")
    assert made["alone/seed_3"]["init_from"] is None
    table = (tmp_path / "comparison.md").read_text()
    assert "From the warm_up of the same seed: regular.\nFrom the regular of the same seed: again.\n" in table
    assert "| own recall | **0.800** | **0.800** | **0.800** | **0.800** | 0.250 |" in table
    assert "| recall |  |  | 0.800 |  | 0.500 |" in table
    (tmp_path / "alone" / "seed_3" / "metrics.json").unlink()
    write_tables(Plan(tmp_path, arguments["trainings"], {}, arguments["measures"]), tmp_path)
    assert "- alone with seed 3: the training itself" in (tmp_path / "comparison.md").read_text()


def test_a_figure_that_there_is_not_is_left_empty_and_named(calls, tmp_path):
    columns = {"other": Column("A_r7"), "of regular alone": Column("A_r1", of=["regular"])}
    check = Check(EVALUATE.file, [], EVALUATE.columns | columns)
    compare(**ARGUMENTS | {"seeds": [0], "tests": {"recall": check}}, context=context(), folder=tmp_path)
    text = (tmp_path / "comparison.md").read_text()
    assert text.startswith("# Comparison\n")
    assert "| other |  |  |  |" in text
    assert "| of regular alone |  | 0.500 |  |" in text
    assert "metrics.json has no such figure:\n\n- warm_up with seed 0: recall has no A_r7\n- regular with" in text


def test_what_no_training_has_is_no_column_of_the_footer():
    assert as_footer({"a": [{"steps": 9.0}], "b": [{"seconds": 7.0}]}) == (
        "|  | steps | seconds |\n| --- | --- | --- |\n| a | 9 |  |\n| b |  | 7 |\n"
    )


def test_a_run_that_is_not_there_took_nothing(tmp_path):
    assert budget(tmp_path / "nowhere") == {}


def test_changed_settings_are_not_taken_for_finished(calls, tmp_path):
    compare(**ARGUMENTS | {"seeds": [0]}, context=context(), folder=tmp_path)
    changed = Training("words_by_drawing/train_regular.yaml", ["trainer.epochs=3"], "warm_up")
    trainings = ARGUMENTS["trainings"] | {"regular": changed}
    calls.clear()
    compare(**ARGUMENTS | {"trainings": trainings, "seeds": [0]}, context=context(), folder=tmp_path)
    (folder, values), *_ = calls
    assert folder == tmp_path / "regular" / "seed_0"
    assert values["trainer"]["epochs"] == 3
    assert values["run"]["resume"] == "auto"  # run.py refuses to write over a training with other settings


def with_own_data(folder):
    """Settings for a generator and a data set of the test's own, which it can change."""
    torch.manual_seed(1)
    shipped.save(ProganGenerator(8, [4, 4]), "mine", {}, folder)
    (folder / "built.json").write_text("{}")
    generator = f"generator={{type: gan.shipped.load, name: mine, folder: {folder}}}"
    data = [f"data.{part}.folder={folder}" for part in ("train", "validation", "test")]
    return {
        "seeds": [0],
        "train_settings": ["prepare=null", f"task.images.{generator}", *data],
        "test_settings": [generator, f"data.folder={folder}"],
    }


ALL = ["warm_up/seed_0", "regular/seed_0", "warm_up/seed_0/tests/recall", "regular/seed_0/tests/recall"]


@pytest.mark.parametrize("what", ["generator", "data"])
def test_what_was_made_from_something_else_is_made_again_from_the_beginning(calls, tmp_path, what):
    own = tmp_path / "own"
    arguments = ARGUMENTS | with_own_data(own)
    compare(**arguments, context=context(), folder=tmp_path)
    compare(**arguments, context=context(), folder=tmp_path)
    assert len(calls) == 4
    if what == "data":
        (own / "built.json").write_text('{"captions": 3}')
    else:
        torch.manual_seed(2)
        shipped.save(ProganGenerator(8, [4, 4]), "mine", {}, own)
    calls.clear()
    compare(**arguments, context=context(), folder=tmp_path)
    assert [folder for folder, _ in calls] == [tmp_path / name for name in ALL]
    assert all(values["run"]["resume"] == "overwrite" for _, values in calls)
    compare(**arguments, context=context(), folder=tmp_path)
    assert len(calls) == 4


def test_runs_without_digests_and_with_younger_options_count_as_finished_with_a_warning(calls, tmp_path, caplog):
    arguments = ARGUMENTS | with_own_data(tmp_path / "own")
    compare(**arguments, context=context(), folder=tmp_path)
    assert (tmp_path / "regular" / "seed_0" / made_from.FILE).is_file()
    for path in tmp_path.rglob(made_from.FILE):
        path.unlink()
    written = tmp_path / "regular" / "seed_0" / "config.yaml"
    values = config.parse_yaml(written.read_text(), "former")
    del values["task"]["same_image"]
    written.write_text(config.dump(values))
    os.utime(tmp_path / "warm_up" / "seed_0" / "metrics.json")  # a copied folder has times in any order
    compare(**arguments, context=context(), folder=tmp_path)
    assert len(calls) == 4
    assert "seed_0 does not say which networks and data it was made from; taken for finished" in caplog.text
    values["task"]["objective"]["margin"] = 0.5
    written.write_text(config.dump(values))
    compare(**arguments, context=context(), folder=tmp_path)
    assert calls[4][0] == written.parent


def test_runs_made_before_modules_moved_count_as_finished(calls, tmp_path):
    arguments = ARGUMENTS | with_own_data(tmp_path / "own")
    compare(**arguments, context=context(), folder=tmp_path)
    done = len(calls)
    for written in tmp_path.glob("*/seed_*/config.yaml"):
        text = written.read_text()
        former = text.replace("datasets.spoken_captions.SpeechImageData", "datasets.speech_image.SpeechImageData")
        assert former != text
        written.write_text(former)
    compare(**arguments, context=context(), folder=tmp_path)
    assert len(calls) == done


def test_data_that_another_process_was_making_do_not_count_as_changed(calls, monkeypatch, tmp_path):
    folder = tmp_path / "captions"
    sets = [f"data.{split}.folder={folder}" for split in ("train", "validation", "test")]
    settings = [f"prepare.captions.folder={folder}", *sets]
    folder.mkdir()
    (folder / "name_list_train.txt").write_text("half of it")
    begun = runs.call

    def meanwhile(command):
        (folder / "name_list_train.txt").write_text("all of it")
        return begun(command)

    monkeypatch.setattr(runs, "call", meanwhile)
    arguments = ARGUMENTS | {"train_settings": settings, "seeds": [0], "tests": {}}
    compare(**arguments, context=context(), folder=tmp_path / "runs")
    done = len(calls)
    assert done == 2  # the warm-up was not trained again for the training that starts from it
    compare(**arguments, context=context(), folder=tmp_path / "runs")
    assert len(calls) == done


def test_an_interrupted_run_goes_on_only_from_what_it_was_begun_with(calls, tmp_path):
    arguments = ARGUMENTS | with_own_data(tmp_path / "own")
    compare(**arguments, context=context(), folder=tmp_path)
    folder = tmp_path / "regular" / "seed_0"
    record = made_from.read(folder)
    for changed, resume in (({}, "auto"), ({"task.images.generator": "another"}, "overwrite")):
        made_from.write(folder, record["digests"] | changed, complete=False)
        calls.clear()
        compare(**arguments, context=context(), folder=tmp_path)
        assert (calls[0][0], calls[0][1]["run"]["resume"]) == (folder, resume)


def test_negatives_are_made_again_when_their_settings_change_and_tests_follow(calls, tmp_path, caplog):
    arguments = ARGUMENTS | with_own_data(tmp_path / "own")
    path = tmp_path / "negatives.pth.tar"
    selected = Check("words_by_drawing/recall_selected.yaml", [f"negatives={path}"], {"selected": Column("A_r1")})
    arguments |= {"tests": {"selected": selected}}

    def made(attempts):
        calls.clear()
        step = Step("words_by_drawing/make_negatives.yaml", [f"output={path}", f"attempts={attempts}"])
        compare(**arguments, negatives=step, context=context(), folder=tmp_path)
        return [str(folder.relative_to(tmp_path)) for folder, _ in calls]

    path.write_text("somebody's")
    tests = ["warm_up/seed_0/tests/selected", "regular/seed_0/tests/selected"]
    assert made(32) == [*ALL[:2], *tests]
    assert "negatives.pth.tar was not made here and is taken as it is" in caplog.text
    path.unlink()
    assert made(32) == ["negatives", *tests]
    assert made(32) == []
    assert made(64) == ["negatives", *tests]
    assert path.read_text() == "64 attempts"


def test_the_footer_says_what_each_training_took(calls, tmp_path):
    compare(**ARGUMENTS | with_own_data(tmp_path / "own"), context=context(), folder=tmp_path)
    table = (tmp_path / "comparison.md").read_text()
    assert "| warm_up | 9 | 7 |  |  |" in table
    assert "| regular | 9 | 7 | 0.600 | 0.500 |" in table
    found = json.loads((tmp_path / "comparison.json").read_text())["trainings"]["regular"]["0"]
    assert found == {"steps": 9, "seconds": 7, "change": pytest.approx(0.6), "reached": 0.5}


def test_a_failed_run_ends_it_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "call", lambda _command: 2)
    with pytest.raises(UserError, match=r"seed_0 ended with exit code 2 .* alone: python run.py -f words_by"):
        compare(**ARGUMENTS, context=context(), folder=tmp_path)


def test_errors_are_reported_before_anything_runs(calls, tmp_path):
    wrong = {"tests": {"recall": Check("words_by_drawing/evaluate.yaml", ["pairs=none"])}}
    with pytest.raises(config.ConfigError, match="pairs"):
        compare(**ARGUMENTS | wrong, context=context(), folder=tmp_path)
    lonely = {"regular": ARGUMENTS["trainings"]["regular"]}
    with pytest.raises(UserError, match=r"regular.start: found 'warm_up'; expected a training named before it"):
        compare(**ARGUMENTS | {"trainings": lonely}, context=context(), folder=tmp_path)
    with pytest.raises(UserError, match=r"found the names .'a/b'. of trainings or tests; expected letters"):
        compare(**ARGUMENTS | {"trainings": {"a/b": Training("a.yaml")}}, context=context(), folder=tmp_path)
    unknown = {"recall": Check("words_by_drawing/evaluate.yaml", of=["warmup"])}
    with pytest.raises(UserError, match=r"tests.recall.of: found .'warmup'.; the trainings are warm_up, regular"):
        compare(**ARGUMENTS | {"tests": unknown}, context=context(), folder=tmp_path)
    compare(**ARGUMENTS, context=context(dry_run=True), folder=tmp_path)
    assert calls == []


def test_a_command_is_reported_to_stop_once_and_waited_for(tmp_path):
    message = tmp_path / "message"
    (tmp_path / "child.py").write_text(
        "import pathlib, signal, sys, time\n"
        f"reported = pathlib.Path({str(message)!r})\n"
        "def stop(*_):\n    time.sleep(0.3); reported.write_text('saved'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )

    def interrupt():
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            runs.call([sys.executable, str(tmp_path / "child.py")])
    finally:
        signal.signal(signal.SIGINT, former)
    assert message.read_text() == "saved"


def test_chance_is_what_the_runs_found_among_their_own_images(calls, monkeypatch, tmp_path):
    """20 images with 5 captions each: chance is not what the config says of pairs."""
    plain = runs.call

    def call(command):
        code = plain(command)
        folder = calls[-1][0]
        if "tests" in folder.parts:
            figures = {"A_r1": 0.7, "I_r1": 0.6, "chance_A_r1": 0.05, "chance_recall@1": 0.04, "chance_other": 0.5}
            (folder / "metrics.json").write_text(json.dumps(figures))
        return code

    monkeypatch.setattr(runs, "call", call)
    columns = {"A": Column("A_r1", 0.002), "I": Column("I_r1"), "none": Column("beats size", 0.5)}
    tests = {"recall": Check("words_by_drawing/evaluate.yaml", [], columns)}
    compare(**ARGUMENTS | {"seeds": [0], "tests": tests}, context=context(), folder=tmp_path)
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert found["chance"] == {"A": 0.05, "I": 0.04, "none": 0.5}
    assert "| A | 0.700 | 0.700 | 0.050 |" in (tmp_path / "comparison.md").read_text().replace("**", "")

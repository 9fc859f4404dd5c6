"""Errors of task and data are reported on a small stand-in before the real data are made, and nothing else changes."""

import json
import logging
import random

import numpy as np
import pytest
import torch

import config
import main
from common.errors import TooFewRowsError, UserError
from config import Factory
from datasets.world import build, renders
from engine import stand_in
from engine.context import Context

SPLITS = {"train": "train", "validation": "val", "test": "test"}
SMALL = ("data.batch_size=8", "data.workers=0", "trainer.max_steps=2", "trainer.epochs=1", "prepare.world.workers=1")


@pytest.fixture(autouse=True)
def same_random_state():
    """Runs in this process seed everything; what comes after must not notice."""
    with torch.random.fork_rng():
        yield


def overrides(tmp_path, *more):
    world = tmp_path / "world"
    manifests = (f"data.{split}.manifest={world}/places/{name}.json" for split, name in SPLITS.items())
    place = [f"prepare.world.folder={world}", f"run.folder={tmp_path}/runs", "prepare.world.scenes=30"]
    return [*place, "prepare.world.splits=[0.6,0.2,0.2]", *manifests, *SMALL, *more]


def call(tmp_path, *more, dry_run=False):
    """Do what ``run.py -f quickstart.yaml`` does."""
    loaded = config.load("quickstart", overrides(tmp_path, *more))
    values = config.check(loaded)
    config.call_entry(values, context=Context(loaded.name, values, ["run.py"], dry_run=dry_run))


def nodes(tmp_path, *more):
    """The nodes of a config, by name, and its context."""
    loaded = config.load("quickstart", overrides(tmp_path, *more))
    values = config.check(loaded)
    found = (Factory.of(values[name], name) for name in ("prepare", "data", "task"))
    return *found, Context(loaded.name, values, ["run.py"])


@pytest.fixture
def no_data(monkeypatch):
    """Count the scenes of the worlds that are begun; a real one ends the test."""
    begun, make = [], build._make

    def made(world):
        begun.append(world.scenes)
        assert world.folder.name != "world", "the real data are made before the error is reported"
        return make(world)

    monkeypatch.setattr(build, "_make", made)
    return begun


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.test.manifest={world}/places/tset.json"], r"{world}/places/tset\.json does not exist; did you mean"),
        (["init_from.path={weights}", "init_from.modules=[imagine]"], "init_from.modules names 'imagine'; the modules"),
        (["init_from.path={weights}", "task.image_encoder.width=16"], "weights.pt does not fit this model"),
        (["entry=main.evaluate", "init_from.path={weights}", "init_from.modules=[imagine]"], "names 'imagine'"),
    ],
)
def test_what_constructors_refuse_is_reported_before_data_are_made(tmp_path, no_data, weights, arguments, message):
    places = {"{world}": str(tmp_path / "world"), "{weights}": str(weights)}
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
        message = message.replace(name, place)
    with pytest.raises(UserError, match=message):
        call(tmp_path, *arguments)
    assert no_data == [30]
    assert not (tmp_path / "world").exists()
    with pytest.raises(UserError, match=message):
        call(tmp_path, *arguments, dry_run=True)


def test_a_task_that_does_not_fit_the_data_is_reported_before(tmp_path, monkeypatch):
    def rendered(kept, _):
        assert kept.images == renders.SMALL, "the real renders are made before the error is reported"
        for split in renders.SPLITS:
            np.save(kept.folder / f"{split}.npy", np.zeros((renders.SMALL, kept.size, kept.size, 3), np.uint8))

    monkeypatch.setattr(renders, "_render_split", rendered)
    folder = [f"prepare.renders.folder={tmp_path}/renders", f"data.folder={tmp_path}/renders"]
    loaded = config.load("gan/progan_world_cpu", [*folder, "prepare.renders.size=32", f"run.folder={tmp_path}/runs"])
    values = config.check(loaded)
    with pytest.raises(UserError, match=f"{tmp_path}/renders holds images of 32 pixels, the last phase is at 64"):
        config.call_entry(values, context=Context(loaded.name, values, ["run.py"]))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint of the quick start's networks."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        call(folder, "trainer.max_steps=1")
    return (folder / "runs" / "quickstart" / "checkpoints" / "last.pt").rename(folder / "weights.pt")


def test_a_run_is_the_same_with_and_without_the_trial(tmp_path, monkeypatch):
    def trained(name):
        call(tmp_path / name)
        folder = tmp_path / name / "runs" / "quickstart"
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for row in rows:
            for key in [key for key in row if key.startswith("speed/") or key == "time"]:
                del row[key]
        return rows, torch.load(folder / "checkpoints" / "last.pt", weights_only=True)

    rows, state = trained("tried")
    monkeypatch.setattr(main, "rehearse", lambda *_: None)
    other_rows, other = trained("plain")
    assert rows == other_rows
    for name, entries in state["modules"].items():
        for key, value in entries.items():
            assert torch.equal(value, other["modules"][name][key]), key
    assert all(
        torch.equal(one["torch"], two["torch"]) for one, two in zip(state["random"], other["random"], strict=True)
    )


def drawn():
    """The next random numbers of every generator that a run uses."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_random_state_and_the_context_stay(tmp_path):
    prepare, data, _, context = nodes(tmp_path)
    values, level = context.values, logging.root.manager.disable
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = drawn()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)

    def attempt(found):
        assert found.small
        drawn()
        assert found.data.arguments["train"]["manifest"] != data.arguments["train"]["manifest"]
        assert all(path.exists() for _, path in found.data.paths())
        raise UserError("stop")

    with pytest.raises(UserError, match="stop"):
        stand_in.rehearse(prepare, data, context, attempt)
    assert drawn() == expected
    assert context.values is values
    assert logging.root.manager.disable == level


def test_data_that_are_there_are_not_tried(tmp_path):
    prepare, data, task, context = nodes(tmp_path)
    for _, path in data.paths():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    stand_in.rehearse(prepare, data, context, lambda _: pytest.fail("tried"))
    with stand_in.dry_nodes(prepare, data, task, context) as found:
        assert found == (data, task, False)
    path.unlink()  # a preparation that was interrupted
    tried = []
    stand_in.rehearse(prepare, data, context, tried.append)
    assert len(tried) == 1


def test_weights_of_a_network_for_all_words_are_not_tried_on_a_few_captions(tmp_path, no_data, weights):
    encoder = "{type: models.text_encoders.DavenetText, embedding_dim: 128}"
    arguments = ["task.speech_encoder=null", f"task.text_encoder={encoder}", f"init_from.path={weights}"]
    with pytest.raises(UserError, match=r"init_from\.modules names 'text'; the modules"):
        call(tmp_path, *arguments, "init_from.modules=[text]")
    assert no_data == [30]
    with pytest.raises(AssertionError, match="the real data are made"):  # whose words decide what fits
        call(tmp_path, *arguments)
    call(tmp_path, *arguments[:2], dry_run=True)


def test_few_rows_of_a_stand_in_are_no_error(tmp_path):
    shares = ("prepare.world.scenes=1000", "prepare.world.splits=[0.98,0.01,0.01]")  # 0.4 of 40 scenes
    prepare, data, _, context = nodes(tmp_path, *shares)
    message = []

    def attempt(found):
        try:
            found.data(seed=1, rank=0, world_size=1, pin_memory=False)
        except TooFewRowsError as error:
            message.append(str(error))
            raise

    stand_in.rehearse(prepare, data, context, attempt)
    assert "expected a list of rows" in message[0]


@pytest.mark.parametrize("error", [UserError("fetches nothing"), OSError(28, "No space left on device")])
def test_where_there_can_be_no_stand_in_nothing_is_tried(tmp_path, error):
    _, data, _, context = nodes(tmp_path)

    def refusing(world, dry_folder):
        raise error

    prepare = Factory(refusing, {"world": {"folder": str(tmp_path / "world")}}, "prepare")
    stand_in.rehearse(prepare, data, context, lambda _: pytest.fail("tried"))

"""The Progressive GAN's training: phases, exact resume, two ranks, what it writes, and the export of its generator."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import config
from common.errors import UserError
from config import Factory
from datasets.world.renders import Renders, RenderSet, ensure_renders
from engine import checkpoint
from engine.context import Context
from engine.run_folder import RunFolder
from engine.settings import EmaSettings, TrainerSettings
from evaluation.frechet import RandomFeatures
from gan import shipped
from gan.objectives import RelativisticR1R2, WassersteinPenalty
from gan.progan.growing import GrowingGenerator, ProganDiscriminator
from gan.progan.schedule import Phase
from tasks.gan.progan import Measure, Progan
from tasks.gan.progan_export import export
from tests.conftest import ASSETS
from tests.ranks import on_two_ranks
from trainer import Trainer

ROOT = Path(__file__).parents[3]
CONFIG = ASSETS / "configs" / "progan_tiny.yaml"
PHASES = [Phase(8, 8, 4), Phase(16, 8, 4, fade_images=8)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def renders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders")
    ensure_renders(RenderSet(folder=folder, images=24, validation=12, size=16, seed=1, workers=1))
    return folder


def make(folder, objective=None, rank=0, world=1, phases=PHASES, **changes):
    torch.manual_seed(0)
    adam = Factory(torch.optim.Adam, {"lr": 2e-3, "betas": (0.0, 0.99)}, "optimizer")
    parts = {
        "generator": GrowingGenerator(6, [8, 8, 4]),
        "discriminator": ProganDiscriminator([8, 8, 4], group=2),
        "objective": objective or RelativisticR1R2(gamma_per_pixel=1e-3, every=2),
        "generator_optimizer": adam,
        "discriminator_optimizer": adam,
        "phases": phases,
        "measure": Measure(RandomFeatures(width=8, size=16), images=10, batch_size=5),
        "steps_per_epoch": 3,
        "data": Renders(folder, rank=rank, world_size=world),
        "device": CPU,
    }
    return Progan(**(parts | changes))


def loop_of(task, folder=None):
    settings = TrainerSettings(epochs=2, precision="fp32", ema=EmaSettings(0.9, ["generator"]))
    return Trainer(task, settings, 3, CPU, folder)


def steps(loop, number):
    """Train so many steps from where the loop is."""
    values = []
    for _ in range(number):
        epoch, place = divmod(loop.at.step, loop.task.steps_per_epoch)
        values.append(loop.train_step(next(iter(loop.task.batches(epoch, place)))))
    return values


def weights(loop):
    modules = [*loop.task.modules.values(), *loop.averages.values()]
    return torch.cat([p.detach().flatten() for module in modules for p in module.parameters()])


@pytest.mark.parametrize("objective", [WassersteinPenalty(), RelativisticR1R2(1e-3, every=2)])
def test_every_objective_moves_both_networks_through_the_phases(renders, objective):
    loop = loop_of(make(renders, objective))
    assert tuple(loop.task.modules) == Progan.module_names
    before = weights(loop)
    values = steps(loop, 6)
    assert [(v["resolution"], v["alpha"], v["images"]) for v in values] == [
        (8, 1, 0), (8, 1, 4), (16, 0.5, 8), (16, 1, 12), (16, 1, 16), (16, 1, 20)
    ]  # fmt: skip
    assert all(np.isfinite([float(value) for value in row.values()]).all() for row in values)
    assert loop.task.generator.reached.tolist() == [2, 1]
    assert (weights(loop) != before).float().mean() > 0.8


def test_images_come_to_look_like_the_real_ones(renders):
    phases = [Phase(16, 10000, 8)]
    loop = loop_of(make(renders, RelativisticR1R2(1e-2, every=4), phases=phases))
    steps(loop, 1)
    before = loop.evaluate()["frechet_distance"]
    steps(loop, 50)
    assert loop.evaluate()["frechet_distance"] < 0.7 * before


def test_real_images_are_halved_and_faded_like_generated_ones(renders):
    task = make(renders)
    batch = task.data.batch(0, 4)
    full = batch.float() / 127.5 - 1
    half = F.avg_pool2d(full, 2)
    torch.testing.assert_close(task._real(batch, task.growth.at(0)), half)
    faded = 0.5 * F.interpolate(half, scale_factor=2) + 0.5 * full
    torch.testing.assert_close(task._real(batch, task.growth.at(2)), faded)
    torch.testing.assert_close(task._real(batch, task.growth.at(5)), full)


def test_a_resumed_run_is_the_uninterrupted_one(renders, tmp_path):
    whole = loop_of(make(renders))
    steps(whole, 5)
    first = loop_of(make(renders), RunFolder(tmp_path))
    steps(first, 2)
    first.saver.save()
    second = loop_of(make(renders), RunFolder(tmp_path))
    assert second.saver.resume()
    assert second.at.step == 2
    steps(second, 3)
    assert torch.equal(weights(second), weights(whole))


def learn(rank, world, folder):
    torch.set_num_threads(1)
    loop = loop_of(make(Path(folder), WassersteinPenalty(), rank, world))
    values = steps(loop, 4)
    return {"weights": weights(loop), "drawn": torch.tensor([float(v["images"]) for v in values])}


def test_two_processes_equal_one(renders, tmp_path):
    alone = learn(0, 1, str(renders))
    for together in on_two_ranks(learn, tmp_path, str(renders)):
        torch.testing.assert_close(together["weights"], alone["weights"], rtol=1e-3, atol=2e-4)
        assert torch.equal(together["drawn"], alone["drawn"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": GrowingGenerator(6, [8, 8])}, r"generator\.widths has 2 entries, .* needs 3"),
        ({"discriminator": ProganDiscriminator([8])}, r"discriminator\.widths has 1 entries"),
        ({"phases": [Phase(8, 8, 4)]}, "needs 2"),
    ],
)
def test_networks_that_do_not_fit_the_phases(renders, changes, message):
    with pytest.raises(UserError, match=message):
        make(renders, **changes)


def test_images_that_do_not_fit_the_phases(renders):
    networks = {"generator": GrowingGenerator(6, [8, 8]), "discriminator": ProganDiscriminator([8, 8])}
    with pytest.raises(UserError, match="holds images of 16 pixels, the last phase is at 8"):
        make(renders, phases=[Phase(8, 8, 4)], **networks)
    with pytest.raises(UserError, match="the batch at 8 pixels: found 3 for 2 processes, which share"):
        make(renders, world=2, phases=[Phase(8, 8, 3), Phase(16, 8, 4)])


def test_evaluation_leaves_samples_where_asked_for(renders, tmp_path):
    folder = tmp_path / "samples"
    task = make(renders, measure=Measure(RandomFeatures(width=8, size=16), 10, 5, samples=folder))
    loop = loop_of(task)
    loop.evaluate(limit=1)
    assert not folder.exists()
    metrics = loop.evaluate()
    assert metrics["negative_frechet_distance"] == -metrics["frechet_distance"] < 0
    assert Image.open(folder / "samples_0000.png").size == (10 * 16, 7 * 16)


@pytest.fixture(scope="module")
def trained(renders, tmp_path_factory):
    """The run folder of a training through the command line."""
    runs = tmp_path_factory.mktemp("runs")
    folder = runs / "data"
    shutil.copytree(renders, folder)
    overrides = [f"prepare.renders.folder={folder}", f"data.folder={folder}", f"run.folder={runs}", "run.name=tiny"]
    command = [sys.executable, "run.py", "-f", str(CONFIG), *overrides]
    dry = subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert dry.returncode == 0, dry.stderr
    assert not (runs / "tiny").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return runs / "tiny"


def test_a_training_through_the_command_line(trained):
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["resolution"] == 16
    assert metrics["frechet_distance"] > 0
    assert Image.open(trained / "samples.png").size == (10 * 16, 7 * 16)


def run_export(trained, renders, folder, **changes):
    context = Context("export", {}, [])
    network = RandomFeatures(width=8, size=16)
    arguments = {
        "run_folder": trained / "checkpoints" / "last.pt",
        "data": renders,
        "features": [network],
        "images": 24,
    }
    export(**(arguments | {"context": context, "name": "tiny", "folder": folder} | changes))


def test_the_averaged_generator_is_exported_and_loads(trained, renders, tmp_path):
    run_export(trained, renders, tmp_path, samples=tmp_path / "grid.png")
    assert shipped.names(tmp_path) == ["tiny"]
    model = shipped.load("tiny", tmp_path)
    assert (model.resolution, model.latent_dim, model.widths) == (16, 6, [8, 8, 4])
    state = torch.load(trained / "checkpoints" / "last.pt", weights_only=True)
    averaged = state["averages"]["generator"]["module.grown.layer3.conv.weight"]
    assert torch.equal(model.layer3.conv.weight, averaged)
    assert not torch.equal(averaged, state["modules"]["generator"]["grown.layer3.conv.weight"])
    card = shipped.card("tiny", tmp_path)
    assert card["images_seen"] == 24
    (training,) = card["trainings"]
    assert (training["images_seen"], training["seed"]) == (24, 0)
    (distance,) = card["frechet_distances"]
    assert (distance["generated"], distance["real"], distance["resolution"]) == (24, 12, 16)
    assert training["config"]["task"]["generator"]["widths"] == [8, 8, 4]
    assert Image.open(tmp_path / "grid.png").size == (12 * 16, 2 * 16)


def test_the_card_tells_of_the_training_that_another_started_from(trained, renders, tmp_path):
    state = torch.load(trained / "checkpoints" / "last.pt", weights_only=True)
    values = config.parse_yaml(state["config"], "a test")
    values["init_from"] = {"path": str(trained / "checkpoints" / "last.pt"), "allow_partial": True}
    checkpoint.write(tmp_path / "second.pt", state | {"config": config.dump(values), "step": 2})
    run_export(trained, renders, tmp_path, run_folder=tmp_path / "second.pt")
    card = shipped.card("tiny", tmp_path)
    first, second = card["trainings"]
    assert first["images_seen"] == 24 > second["images_seen"] > 0
    assert card["images_seen"] == first["images_seen"] + second["images_seen"]
    assert "init_from" not in first["config"]


def test_a_dry_export_writes_nothing(trained, renders, tmp_path):
    run_export(trained, renders, tmp_path, context=Context("export", {}, [], dry_run=True))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_task_is_refused(trained, renders, tmp_path):
    state = torch.load(trained / "checkpoints" / "last.pt", weights_only=True)
    torch.save(state | {"config": config.dump({"task": {"type": "another"}})}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt is no checkpoint of tasks\.gan\.progan\.Progan"):
        run_export(trained, renders, tmp_path, run_folder=tmp_path / "other.pt")


def test_a_generator_that_was_not_shipped(tmp_path):
    with pytest.raises(shipped.ShippedError, match=r"no generator 'other' in .* \(there: none\)"):
        shipped.load("other", tmp_path)
    model = GrowingGenerator(6, [8, 4]).export()
    shipped.save(model, "mine", {"kind": "progan"}, tmp_path)
    latents = torch.randn(2, 6)
    assert torch.equal(shipped.load("mine", tmp_path)(latents), model(latents))
    with pytest.raises(shipped.ShippedError, match="there: mine"):
        shipped.load("other", tmp_path)
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(UserError, match=r"mine\.json is not JSON"):
        shipped.load("mine", tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps({"latent_dim": 6, "widths": [8, 5]}))
    with pytest.raises(UserError, match="of another shape"):
        shipped.load("mine", tmp_path)
    (tmp_path / "mine.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="not a complete safetensors file"):
        shipped.load("mine", tmp_path)

"""Training of LatteGAN on coloured squares: it goes on after a stop, two processes are one, errors say what to do."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.errors import UserError
from datasets.dialogue.dataset import Dialogues, Turns
from datasets.dialogue.generated_folder import read_scenes
from datasets.dialogue.splits import DialogueData
from engine.settings import EmaSettings, TrainerSettings
from gan.lattegan.discriminators import LatteganDiscriminator, UnetDiscriminator
from gan.lattegan.fusion import Concat
from gan.lattegan.generator import ImageEncoder, LatteganGenerator
from models.object_localizer import ObjectLocalizer, SmallTrunk
from run import main
from tasks.lattegan.task import Lattegan
from tests.ranks import on_two_ranks
from tests.steps import FakeStep
from tests.tasks.lattegan.drawers import write_embedded
from tests.tasks.lattegan.worlds import write_squares
from trainer import Trainer

CPU = torch.device("cpu")
SPLITS = {"train": "train", "validation": "val", "test": "test"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    for seed, (split, count) in enumerate((("train", 4), ("val", 3), ("test", 2))):
        write_squares(folder, split, count, seed)
        write_embedded(folder, split)
    return folder


def splits(folder, rank=0, world=1, resolution=64, batch_size=4, train=Turns, embedded=True):
    def node(kind, split, **given):
        name = {"val": "valid"}.get(split, split)
        path = folder / f"iclevr_{name}_embeddings_x.h5" if embedded else None
        return kind(path=folder / f"clevr_{split}.h5", embeddings=path, resolution=resolution, **given)

    return DialogueData(
        partial(node, train, "train"), partial(node, Dialogues, "val"), batch_size, seed=5, rank=rank, world_size=world
    )


def task(data, **changed):
    torch.manual_seed(3)
    generator = partial(
        LatteganGenerator, fusion=Concat, image_dim=8, width=2, condition_dim=3, noise_dim=4, resolution=64
    )
    parts = {
        "image_encoder": ImageEncoder(image_dim=8, width=2),
        "generator": generator,
        "discriminator": partial(UnetDiscriminator, width=2, resolution=64),
        "generator_optimizer": partial(torch.optim.SGD, lr=0.01),
        "discriminator_optimizer": partial(torch.optim.SGD, lr=0.01),
    }
    return Lattegan(**(parts | changed), data=data, device=CPU)


def learn(rank, world, folder):
    torch.manual_seed(7)
    made = task(splits(folder, rank, world))
    trainer = Trainer(made, TrainerSettings(epochs=1, precision="fp32", ema=EmaSettings(0.5)), 1, CPU, None)
    metrics = trainer.fit()
    found = {f"{n}.{k}": v.clone() for n, m in made.modules.items() for k, v in m.state_dict().items()}
    return found | {"image_distance": torch.tensor(metrics["image_distance"])}


def test_two_processes_train_the_same_networks(data, tmp_path):
    alone = learn(0, 1, data)
    for together in on_two_ranks(learn, tmp_path, data):
        assert together.keys() == alone.keys()
        for name, value in alone.items():
            scale = value.abs().max().clamp(min=1e-3)
            assert (together[name] - value).abs().max() <= 2e-4 * scale, name


# -- the command ------------------------------------------------------------------------------------------------------


def run(folder, data, *arguments):
    paths = [
        f"data.{split}.{key}={value}"
        for split, name in SPLITS.items()
        for key, value in (
            ("path", data / f"clevr_{name}.h5"),
            ("embeddings", data / f"iclevr_{ {'val': 'valid'}.get(name, name) }_embeddings_x.h5"),
            ("resolution", 64),
        )
    ]
    small = [
        "task.image_encoder.image_dim=8", "task.image_encoder.width=2", "task.generator.image_dim=8",
        "task.generator.width=2", "task.generator.condition_dim=3", "task.generator.noise_dim=4",
        "task.generator.resolution=64", "task.generator.fusion.heads=2", "task.generator.fusion.hidden=8",
        "task.discriminator.width=2", "task.discriminator.resolution=64", "task.localizer=null",
        "task.rollouts.candidates=2", "data.batch_size=4", "data.workers=0", "cpu_threads=1",
        "trainer.log_every_steps=1", f"run.folder={folder}",
    ]  # fmt: skip
    assert main(["-f", "lattegan/exp170.yaml", *paths, *small, *arguments]) == 0
    return folder / "lattegan" / "exp170"


def test_a_run_goes_on_bit_for_bit_and_leaves_what_it_draws(data, tmp_path):
    whole = run(tmp_path / "whole", data, "trainer.max_steps=4")
    run(tmp_path / "begun", data, "trainer.max_steps=2")
    begun = run(tmp_path / "begun", data, "trainer.max_steps=4")
    one, other = (
        torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["modules"] for folder in (whole, begun)
    )
    assert one.keys() == {"image_encoder", "generator", "discriminator"}
    for name, state in one.items():
        for key, value in state.items():
            assert torch.equal(value, other[name][key]), f"{name}.{key}"
    metrics = json.loads((begun / "metrics.json").read_text())
    assert metrics["negative_image_distance"] == -metrics["image_distance"] < 0
    assert (begun / "report.html").is_file()
    assert (begun / "samples" / "samples_0000.png").is_file()
    scenes = list(read_scenes(begun / "images_test"))
    assert [scene.turns for scene in scenes] == [[0, 1, 2]] * 2
    again = list(read_scenes(whole / "images_test"))
    assert all(np.array_equal(a.images, b.images) for a, b in zip(scenes, again, strict=True))


# -- what TensorBoard shows, measures and errors ----------------------------------------------------------------------


def test_showing_a_step_changes_nothing(data):
    shown, plain = FakeStep(wants_images=True), FakeStep()
    states = []
    for step in (shown, plain):
        made = task(splits(data))
        for network in made.networks:
            network.train()
        values = made.train_step(next(iter(made.batches(0, 0))), step)
        states.append({name: value.clone() for name, value in made.networks.discriminator.state_dict().items()})
        assert made.networks.discriminator.training
        assert "gradient_norm/image_encoder" in values
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert {name: len(values) for name, values in shown.values.items()} == {"D(x)": 4, "D(G(z))": 4}
    pairs, sheet = shown.shown.values()
    assert pairs.shape == (3 * 64, 4 * 64, 3)
    assert sheet.shape[1] > 4 * 128
    assert plain.shown == plain.values == {}


def test_scores_by_objects_do_not_depend_on_the_batches(data):
    localizer = ObjectLocalizer(24, 2, SmallTrunk(16, 4, 8), hidden=(8, 8))
    made = task(splits(data), localizer=localizer)
    found = made.evaluate()
    assert made.metric == "f1_all_labels"
    assert set(made.metrics) <= set(found)
    other = task(splits(data, batch_size=2), localizer=localizer).evaluate()
    assert found == pytest.approx(other, rel=1e-4)


def test_the_distance_by_hand(data):
    made = task(splits(data))
    rows = list(made.draw("validation"))
    each = [F.l1_loss(image, true) for one in rows for image, true in zip(one.drawn.images, one.truth, strict=True)]
    assert made.measure(iter(rows))["image_distance"] == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)


def test_errors(data):
    with pytest.raises(UserError, match=r"task\.generator is for images of 64 pixels, data\.train has 32"):
        task(splits(data, resolution=32))
    with pytest.raises(UserError, match=r"data\.train is Dialogues, expected Turns"):
        task(splits(data, train=Dialogues))
    with pytest.raises(UserError, match=r"data\.train has no embeddings"):
        task(splits(data, embedded=False))
    with pytest.raises(UserError, match=r"makes maps of 4 channels, task\.generator takes 8"):
        task(splits(data), image_encoder=ImageEncoder(image_dim=4, width=2))
    with pytest.raises(UserError, match=r"knows 58 classes with 3 coordinates, the data have 24 with 2"):
        task(splits(data), localizer=ObjectLocalizer(58, 3, SmallTrunk(16, 4, 8), hidden=(8, 8)))
    problems = list(Lattegan.validate_with_siblings({"batch_size": 1}))
    assert problems[0][0] == "data.batch_size"


def test_a_discriminator_without_pixels(data):
    made = task(splits(data), discriminator=partial(LatteganDiscriminator, width=2, resolution=64))
    metrics = Trainer(made, TrainerSettings(epochs=1, precision="fp32"), 1, CPU, None).fit()
    assert np.isfinite(metrics["image_distance"])

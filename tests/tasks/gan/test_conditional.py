"""Training of generators of classes: every option moves, exact resume, two ranks, accumulation, and what it writes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from config import Factory
from datasets.class_images.build import ensure
from datasets.class_images.dataset import ClassImages
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.settings import EmaSettings, TrainerSettings
from evaluation.frechet import RandomFeatures
from gan.augment import DiffAugment
from gan.biggan.discriminator import BigganDiscriminator
from gan.biggan.generator import BigganGenerator
from gan.objectives import Hinge, RelativisticR1R2
from gan.r3gan.discriminator import R3ganDiscriminator
from gan.r3gan.generator import R3ganGenerator
from tasks.gan.conditional import Accumulation, BetaRise, ConditionalGan, Measure
from tests.ranks import on_two_ranks
from trainer import Trainer

CPU = torch.device("cpu")
R3GAN = {
    "generator": Factory(R3ganGenerator, {"widths": [8, 8], "latent_dim": 6, "class_dim": 4, "group_width": 8}, "g"),
    "discriminator": Factory(R3ganDiscriminator, {"widths": [8, 8], "class_dim": 4, "group_width": 8}, "d"),
    "objective": RelativisticR1R2(gamma_per_pixel=1e-3, every=2),
}
BIGGAN = {
    "generator": Factory(BigganGenerator, {"widths": [8, 8], "latent_dim": 6, "class_dim": 4}, "g"),
    "discriminator": Factory(BigganDiscriminator, {"resolution": 8, "widths": [8, 8]}, "d"),
    "objective": Hinge(),
}


def colours(split, rows):
    """Images of class 0 are reddish, of class 1 bluish."""
    draws = np.random.default_rng(len(split))
    images = draws.integers(0, 60, (100, 8, 8, 3), dtype=np.uint8)
    classes = np.arange(100) % 2
    images[classes == 0, ..., 0] += 180
    images[classes == 1, ..., 2] += 180
    return images[rows.start : rows.stop], classes[rows.start : rows.stop]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return ensure(folder, {}, ["red", "blue"], {"train": 24, "validation": 12}, colours, workers=1)


def adam(lr=2e-3, **schedule):
    return Optimization(Factory(torch.optim.Adam, {"lr": lr, "betas": (0.0, 0.9)}, "o"), **schedule)


def make(folder, networks=R3GAN, rank=0, world=1, batch=8, **changes):
    torch.manual_seed(0)
    parts = {
        "generator_optimization": adam(),
        "discriminator_optimization": adam(),
        "measure": Measure(RandomFeatures(width=8, size=8), images=10, batch_size=5, standing=2),
        "data": ClassImages(folder, batch, seed=1, rank=rank, world_size=world),
        "device": CPU,
        "length": Length(2),
    }
    return ConditionalGan(**(networks | parts | changes))


def loop_of(task, folder=None, **ema):
    settings = TrainerSettings(epochs=2, precision="fp32", ema=EmaSettings(0.9, ["generator"], **ema))
    return Trainer(task, settings, 3, CPU, folder)


def steps(loop, number):
    values = []
    for _ in range(number):
        epoch, place = divmod(loop.at.step, loop.task.steps_per_epoch)
        loop._train_mode(True)
        values.append(loop.train_step(next(iter(loop.task.batches(epoch, place)))))
    return values


def weights(loop):
    modules = [*loop.task.modules.values(), *loop.averages.values()]
    return torch.cat([p.detach().flatten() for module in modules for p in module.parameters()])


OPTIONS = {
    "r3gan": (R3GAN, {"beta2": BetaRise(4), "spectra_every": 2}),
    "biggan": (BIGGAN, {"generator_orthogonal": 1e-4, "discriminator_orthogonal": 1e-4}),
    "accumulated": (BIGGAN, {"accumulation": Accumulation(2, 2, 2), "batch": 4}),
    "augmented": (R3GAN, {"augment": DiffAugment(), "accumulation": Accumulation(fresh_latents=True)}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_moves_both_networks(images, name):
    networks, changes = OPTIONS[name]
    loop = loop_of(make(images, networks, **changes))
    before = weights(loop)
    values = steps(loop, 3)
    assert all(np.isfinite([float(value) for value in row.values()]).all() for row in values)
    assert (weights(loop) != before).float().mean() > 0.8
    assert values[1]["images"] == 2 * loop.task.batch_size


def test_generated_images_take_the_colour_of_their_class(images):
    fast = {"generator_optimization": adam(1e-2), "discriminator_optimization": adam(1e-2)}
    loop = loop_of(make(images, R3GAN | {"objective": RelativisticR1R2(1e-2, every=4)}, batch=12, **fast))
    steps(loop, 40)
    loop.task.generator.eval()
    red, blue = torch.cat(list(loop.task.generate(torch.tensor([0] * 8 + [1] * 8)))).float().mean(dim=(2, 3)).split(8)
    assert (red[:, 0] - red[:, 2]).mean() > 30 < (blue[:, 2] - blue[:, 0]).mean()


def test_accumulated_gradients_are_those_of_the_whole_batch(images):
    """Two batches of 4, hinge, the discriminator's first update: as one batch of 8 with the same images and latents."""
    sgd = Optimization(Factory(torch.optim.SGD, {"lr": 0.1}, "o"))
    found = []
    for batch, count in ((8, 1), (4, 2)):
        plain = make(images, BIGGAN, batch=batch, accumulation=Accumulation(1, count), discriminator_optimization=sgd)
        drawn = iter(torch.randn(8, 6, generator=torch.Generator().manual_seed(5)).split(batch))
        draw = plain._drawn
        plain._drawn = lambda n, shape, *rest, drawn=drawn, draw=draw: next(drawn) if shape else draw(n, shape, *rest)
        # batch norm of a part is another one, and a second pass moves the vectors of spectral norms
        loop = loop_of(plain)
        for module in plain.modules.values():
            module.eval()
        batches = next(iter(plain.batches(0, 0)))
        loop.train_step(batches)
        found.append(torch.cat([p.detach().flatten() for p in plain.discriminator.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_beta2_rises_by_a_cosine(images):
    loop = loop_of(make(images, beta2=BetaRise(steps=4, first=0.8, last=1 - 0.1)))
    seen = []
    for _ in range(6):
        steps(loop, 1)
        seen.append(loop.task.optimizers["generator"].param_groups[0]["betas"][1])
    assert seen == pytest.approx([0.8, 0.9 - 0.05 * (1 + 0.5**0.5), 0.85, 0.9 - 0.05 * (1 - 0.5**0.5), 0.9, 0.9])


def test_averages_may_begin_later(images):
    loop = loop_of(make(images), start_step=2)
    steps(loop, 2)
    average, live = loop.averages["generator"].module, loop.task.generator
    assert all(torch.equal(a, b) for a, b in zip(average.parameters(), live.parameters(), strict=True))
    before = average.output.conv.weight.detach().clone()
    steps(loop, 1)
    expected = 0.9 * before + 0.1 * live.output.conv.weight
    torch.testing.assert_close(average.output.conv.weight, expected)


def test_spectra_are_logged_when_due(images):
    rows = steps(loop_of(make(images, spectra_every=2)), 3)
    named = [{name for name in row if name.startswith("spectrum/")} for row in rows]
    assert "spectrum/generator.layer1.blocks.0.conv" in named[0] == named[2]
    assert not named[1]


def test_evaluation_with_standing_statistics_leaves_those_of_training(images):
    task = make(images, BIGGAN)
    loop = loop_of(task)
    steps(loop, 2)
    norm = task.generator.output.norm
    before = norm.running_mean.clone()
    with task.settled():
        task.generator.eval()
        assert not torch.equal(norm.running_mean, before)
    assert torch.equal(norm.running_mean, before)
    first, second = loop.evaluate(), loop.evaluate()
    assert first == second
    assert first["negative_kernel_distance"] == -first["kernel_distance"]
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("name", ["r3gan", "biggan", "accumulated"])
def test_a_resumed_run_is_the_uninterrupted_one(images, tmp_path, name):
    networks, changes = OPTIONS[name]
    changes = changes | {"augment": DiffAugment()}
    whole = loop_of(make(images, networks, **changes))
    steps(whole, 4)
    first = loop_of(make(images, networks, **changes), RunFolder(tmp_path))
    steps(first, 2)
    first.saver.save()
    second = loop_of(make(images, networks, **changes), RunFolder(tmp_path))
    assert second.saver.resume()
    steps(second, 2)
    assert torch.equal(weights(second), weights(whole))


def learn(rank, world, folder):
    torch.set_num_threads(1)
    sgd = Optimization(Factory(torch.optim.SGD, {"lr": 0.02}, "o"))
    changes = {"generator_optimization": sgd, "discriminator_optimization": sgd, "augment": DiffAugment()}
    loop = loop_of(make(Path(folder), R3GAN, rank, world, **changes))
    steps(loop, 3)
    return {"weights": weights(loop)} | {name: torch.tensor(value) for name, value in loop.evaluate().items()}


def test_two_processes_equal_one(images, tmp_path):
    alone = learn(0, 1, str(images))
    for together in on_two_ranks(learn, tmp_path, str(images)):
        torch.testing.assert_close(together["weights"], alone["weights"], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(together["frechet_distance"], alone["frechet_distance"], rtol=1e-2, atol=1e-4)


def test_networks_of_another_resolution_are_refused(images):
    other = Factory(BigganDiscriminator, {"resolution": 16, "widths": [8, 8]}, "d")
    with pytest.raises(UserError, match=r"task\.discriminator is for images of 16 pixels, .* holds 8"):
        make(images, discriminator=other)


def test_sheets_of_more_classes_than_rows_show_some():
    from tasks.gan.sheets import shown_classes

    assert shown_classes(3).tolist() == [0, 1, 2]
    assert len(shown_classes(1000)) == 24
    assert shown_classes(1000)[-1] == 999


def test_a_training_through_the_command_line(class_runs):
    trained = class_runs / "generator"
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["frechet_distance"] > 0
    assert Image.open(trained / "samples.png").size == (9 * 16, 3 * 16)
    assert Image.open(trained / "samples" / "samples_0000.png").size == (9 * 16, 3 * 16)

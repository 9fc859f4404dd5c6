"""The generator that comes with the project: what it draws, what the shipped segmenter sees in it, how it was made."""

import pytest
import torch
import torch.nn.functional as F

import config
from gan import shipped
from gan.latents import latents
from models.segmenter.file import load_segmenter
from tasks.words_by_drawing.experiments.scene_changes import things

# Latents 0 to 3, each channel's means over the quarters of the image, from the weights of 453,952 images seen.
QUARTERS = [
    [0.073, 0.032, 0.078, 0.156, 0.146, 0.033, 0.223, 0.157, 0.145, 0.033, 0.223, 0.156],
    [0.237, 0.150, 0.290, 0.123, 0.230, 0.126, 0.282, 0.122, -0.008, -0.252, 0.073, 0.096],
    [0.264, 0.055, 0.294, 0.092, 0.279, 0.056, 0.276, 0.090, -0.024, 0.008, 0.020, 0.072],
    [0.128, 0.046, 0.223, 0.080, 0.043, -0.128, 0.229, 0.073, 0.033, -0.127, 0.226, 0.072],
]
TOLERANCE = 2e-3  # half a unit of the last digit, and what float32 convolutions differ by between processors
KINDS = ("size", "colour", "material", "shape")
SEEN = [
    ["small cyan rubber cube"],
    ["large yellow rubber cube"],
    ["large yellow metal cube"],
    ["large cyan metal sphere", "large red metal sphere"],
]


@pytest.fixture(scope="module")
def images():
    """(4, 3, 64, 64): those of latents 0 to 3."""
    generator = shipped.load()
    assert (generator.latent_dim, generator.resolution) == (128, 64)
    with torch.no_grad():
        return generator(latents(4, generator.latent_dim))


def test_it_draws_the_images_that_it_was_shipped_with(images):
    assert images.shape == (4, 3, 64, 64)
    found = F.adaptive_avg_pool2d(images, 2).flatten(1)
    torch.testing.assert_close(found, torch.tensor(QUARTERS), rtol=0, atol=TOLERANCE)


def test_the_shipped_segmenter_finds_things_in_them(images):
    found = [things(labels) for labels in load_segmenter().segment(images)]
    message = [[" ".join(thing.attributes[kind] for kind in KINDS) for thing in seen] for seen in found]
    assert message == SEEN


def within(former, now):
    """Whether all that ``former`` says stands in ``now`` too."""
    if isinstance(former, dict) and isinstance(now, dict):
        return all(key in now and within(value, now[key]) for key, value in former.items())
    return former == now


@pytest.mark.parametrize(("number", "file"), [(0, "gan/progan_world_cpu.yaml"), (1, "gan/progan_world_projected.yaml")])
def test_the_configs_are_those_of_its_card(number, file):
    """What came into being later than the card, and how long a training was allowed, may differ."""
    training = shipped.card("progan_world")["trainings"][number]
    values = config.parse_yaml(config.dump(config.check(config.load(file, []))), file)
    assert values["seed"] == training["seed"]
    assert values["trainer"]["max_steps"] == training["steps"]
    asked, done = values["trainer"], training["config"]["trainer"]
    differing = {key for key in done if not within(done[key], asked[key])}
    assert differing == {"max_steps", "max_minutes"}
    assert within(config.translated(training["config"]["task"]), values["task"])
    assert within(training["config"]["prepare"], values["prepare"])


def test_the_export_is_that_of_its_card():
    figures = shipped.card("progan_world")["frechet_distances"]
    values = config.check(config.load("gan/export.yaml", []))
    assert [figure["generated"] for figure in figures] == [values["images"]] * 2
    start = config.check(config.load("gan/progan_world_projected.yaml", []))["init_from"]["path"]
    assert config.resolve_path(start) == config.resolve_path("runs/gan/progan_world_cpu")

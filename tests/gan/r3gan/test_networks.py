import math

import pytest
import torch

from gan.class_generators import ClassInLatent
from gan.directions.closed_form import Sefa
from gan.hooks import Edit, edited, recorded
from gan.latents import latents
from gan.r3gan.discriminator import R3ganDiscriminator
from gan.r3gan.generator import R3ganGenerator
from gan.r3gan.layers import GAIN, R3ganError, ResidualBlock

SIZES = {"widths": [16, 16, 8], "class_dim": 4, "group_width": 8}


def generator(**changes):
    torch.manual_seed(0)
    return R3ganGenerator(**SIZES | {"num_classes": 3, "latent_dim": 5} | changes)


def discriminator(**changes):
    torch.manual_seed(0)
    return R3ganDiscriminator(**SIZES | {"num_classes": 3} | changes)


@pytest.mark.parametrize(("patch", "resolution"), [(1, 16), (2, 32)])
def test_shapes_and_gradients(patch, resolution):
    made, critic = generator(patch=patch), discriminator(patch=patch, blocks=[2, 1, 1])
    assert made.resolution == critic.resolution == resolution
    for network in (made, critic):  # the last layer of a block begins at 0, which hides those before it
        for block in network.modules():
            if isinstance(block, ResidualBlock):
                torch.nn.init.normal_(block.narrow.weight, std=0.1)
    classes = torch.tensor([0, 2])
    images = made(torch.randn(2, 5), classes)
    assert images.shape == (2, 3, resolution, resolution)
    logits = critic(images, classes)
    assert logits.shape == (2,)
    logits.sum().backward()
    for network in (made, critic):
        assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in network.parameters())


def test_the_pixels_of_a_cell_begin_alike():
    images = generator(patch=2)(torch.randn(2, 5), torch.tensor([0, 1])).detach()
    coarse = images[..., ::2, ::2]
    assert torch.equal(images, coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    assert coarse.std() > 0.1


def test_a_block_begins_as_identity_and_its_weights_fit_the_depth():
    """Fix-up: three layers in a branch and L blocks scale the weights by L^(-1/4); the last are 0."""
    torch.manual_seed(0)
    block = ResidualBlock(64, expansion=2, group_width=32, blocks=16)
    maps = torch.randn(2, 64, 4, 4)
    assert torch.equal(block(maps), maps)
    assert block.widen.weight.std().item() == pytest.approx(GAIN / 2 / math.sqrt(64), rel=0.05)
    assert block.conv.weight.std().item() == pytest.approx(GAIN / 2 / math.sqrt(32 * 9), rel=0.05)


def test_scores_depend_on_the_class_by_a_projection():
    critic = discriminator()
    images = torch.randn(2, 3, 16, 16)
    by_class = torch.stack([critic(images, torch.full((2,), number)) for number in range(3)])
    maps = critic.stages(critic.input(images))
    features = critic.features(critic.basis(maps).flatten(1))
    torch.testing.assert_close(by_class, (critic.classes.weight @ features.T) / 2)


def test_the_latent_counts_more_than_the_class_at_first():
    """As published: embeddings begin at 1 / sqrt(classes); at 1, images of a class came out alike."""
    torch.manual_seed(0)
    many = {"num_classes": 100, "class_dim": 64}
    drawing = R3ganGenerator([16, 16], **many)
    judging = R3ganDiscriminator([16, 16], **many)
    for network in (drawing, judging):
        assert network.classes.weight.std().item() == pytest.approx(0.1, rel=0.05)


def test_layers_are_recorded_edited_and_seen_by_directions():
    made = generator().eval()
    whole = ClassInLatent(made)
    table = latents(3, whole.latent_dim)
    with torch.no_grad(), recorded(whole, [*whole.layer_names, "output"]) as record:
        images = whole(table)
    assert [tuple(maps.shape[1:]) for maps in record.values()] == [(16, 4, 4), (16, 8, 8), (8, 16, 16), (3, 16, 16)]
    with torch.no_grad(), edited(whole, {"layer2": Edit(torch.ones(8, dtype=torch.bool))}):
        assert not torch.equal(whole(table), images)
    found = Sefa(2).find(whole, table)
    assert found.vectors.shape == (1, 2, whole.latent_dim)
    assert found.vectors[..., made.latent_dim :].abs().max() == 0  # what chooses the class is left alone


def test_embeddings_may_stand_for_classes():
    made, drawn, classes = generator(), torch.randn(2, 5), torch.tensor([1, 2])
    with torch.no_grad():
        assert torch.equal(made(drawn, classes), made(drawn, made.classes(classes)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generator()(torch.zeros(2, 4), torch.zeros(2).long()), r"found latents \(2, 4\), expected \(B, 5\)"),
        (lambda: generator()(torch.zeros(2, 5), torch.tensor([0, 3])), "found class 3, expected 0 to 2"),
        (lambda: generator()(torch.zeros(2, 5), torch.tensor([0])), r"found classes \(1,\), expected \(2,\)"),
        (lambda: generator()(torch.zeros(2, 5), torch.zeros(2, 3)), r"found embeddings \(2, 3\), expected \(2, 4\)"),
        (lambda: generator(blocks=[1, 1]), r"found blocks \[1, 1\] for widths \[16, 16, 8\]"),
        (lambda: generator(widths=[16, 6]), "6 channels times 2 are not divisible by group_width 8"),
        (lambda: discriminator()(torch.zeros(1, 3, 8, 8), torch.tensor([0])), r"expected \(B, 3, 16, 16\)"),
        (lambda: discriminator()(torch.zeros(1, 3, 16, 16), torch.tensor([-1])), "found class -1, expected 0 to 2"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(R3ganError, match=message):
        call()

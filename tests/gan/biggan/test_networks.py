import copy

import pytest
import torch

from gan.biggan import discriminator as critics
from gan.biggan import generator as makers
from gan.biggan.discriminator import BigganDiscriminator
from gan.biggan.generator import BigganGenerator
from gan.biggan.latents import draw
from gan.biggan.layers import BigganError, SpectralLinear
from gan.biggan.standing_statistics import StatisticsError, standing_statistics
from gan.class_generators import OfClass
from gan.hooks import Edit, edited, recorded


def small(**changes):
    torch.manual_seed(0)
    settings = {"widths": [16, 8, 8], "latent_dim": 13, "num_classes": 3, "class_dim": 5, "attention": [16]}
    return BigganGenerator(**settings | changes)


@pytest.fixture(scope="module")
def generator():
    return small().eval()


def test_a_latent_is_cut_into_slots_of_one_size():
    """7 layers share 120 numbers: 17 each, 119 in all, the length of every published direction."""
    generator = BigganGenerator([8] * 7, latent_dim=120, num_classes=2, class_dim=4)
    assert (generator.latent_dim, generator.slot, generator.resolution) == (119, 17, 256)
    assert small(hierarchical=False).latent_dim == 13


@pytest.mark.parametrize(("resolution", "layers"), [(64, 5), (128, 6), (256, 7), (512, 8)])
def test_published_widths_reach_their_resolution(resolution, layers):
    widths = makers.published_widths(resolution, width=96)
    assert len(widths) == layers
    assert 4 * 2 ** (layers - 1) == resolution
    assert widths[0] == 1536
    critic = critics.published_widths(resolution, width=96)
    assert critic[-1] == 1536


def test_every_layer_can_be_recorded_and_doubles_the_resolution(generator):
    drawn = draw(generator, 2, seed=0)
    with torch.no_grad(), recorded(generator, [*generator.layer_names, "output"]) as record:
        images = generator(*drawn)
    assert [tuple(maps.shape[1:]) for maps in record.values()] == [(16, 4, 4), (8, 8, 8), (8, 16, 16), (3, 16, 16)]
    assert torch.equal(images, record["output"])
    assert images.abs().max() <= 1


def test_embeddings_may_stand_for_classes(generator):
    latents, classes = draw(generator, 3, seed=1)
    with torch.no_grad():
        assert torch.equal(generator(latents, classes), generator(latents, generator.classes(classes)))


def test_one_class_is_called_without_classes_and_shares_its_layers(generator):
    latents = draw(generator, 3, seed=1).latents
    of_class = OfClass(generator, 2)
    alternating = OfClass(generator, [0, 2])
    with torch.no_grad():
        expected = generator(latents, torch.tensor([2, 2, 2]))
        assert torch.equal(of_class(latents), expected)
        assert torch.equal(alternating(latents), generator(latents, torch.tensor([0, 2, 0])))
        edits = {"layer1": Edit(torch.ones(8, dtype=torch.bool))}
        with edited(of_class, edits):
            silenced = of_class(latents)
        assert not torch.equal(silenced, expected)
    assert of_class.state_dict().keys() == generator.state_dict().keys()
    assert not of_class.training
    copied = copy.deepcopy(of_class).double()
    assert copied(latents.double()).dtype == torch.float64


def test_weights_begin_orthogonal():
    weight = small().layer1.conv1.weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-5, rtol=0)


def test_spectral_norm_of_evaluation_takes_one_iteration_and_keeps_nothing():
    torch.manual_seed(0)
    layer = SpectralLinear(6, 4).eval()
    before = layer.u.clone()
    v = torch.nn.functional.normalize(before @ layer.weight, dim=1)
    sigma = (v @ layer.weight.T).norm()  # u is v W^T, normalised
    torch.testing.assert_close(layer.normalised(), layer.weight / sigma)
    assert torch.equal(layer.u, before)
    layer.train()
    for _ in range(100):
        layer.normalised()
    torch.testing.assert_close(layer.sigma[0], torch.linalg.svdvals(layer.weight)[0])
    assert torch.linalg.svdvals(layer.normalised().detach())[0] == pytest.approx(1, abs=1e-4)


def test_every_parameter_gets_a_gradient():
    generator = small().train()
    critic = BigganDiscriminator(16, [8, 8, 8], num_classes=3, attention=[8], spectral_eps=1e-6).train()
    for network in (generator.layer2, critic.blocks[0]):
        torch.nn.init.ones_(network.attention.gamma)
    drawn = draw(generator, 4, seed=0)
    critic(generator(*drawn), drawn.classes).square().sum().backward()
    for network in (generator, critic):
        flat = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
        # a bias before a batch norm is subtracted again, so that its gradient is 0 but for rounding
        assert not [name for name in flat if not name.endswith("conv1.bias")]


def test_a_narrow_discriminator_and_the_table_of_32_pixels():
    critic = BigganDiscriminator(32, critics.published_widths(32, 2), num_classes=2, downsamples=2, wide=False)
    assert critic.blocks[0].conv1.weight.shape[:2] == (3, 3)
    assert critic.blocks(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 8, 8)
    assert critic(torch.zeros(2, 3, 32, 32), torch.tensor([0, 1])).shape == (2,)


def test_latent_weights_are_what_latents_are_multiplied_by(generator):
    step = torch.randn(1, generator.latent_dim)
    weights = generator.latent_weights()
    latents, classes = draw(generator, 1, seed=0)
    with torch.no_grad(), recorded(generator, ["layer0", "layer2.norm1.gain"]) as record:
        generator(latents, classes)
        before = dict(record)
        generator(latents + step, classes)
        change = record["layer0"] - before["layer0"]
        torch.testing.assert_close(change.flatten(1), step @ weights["layer0"].T, atol=1e-5, rtol=1e-4)
        change = record["layer2.norm1.gain"] - before["layer2.norm1.gain"]
        torch.testing.assert_close(change, (step @ weights["layer2"].T)[:, :8], atol=1e-5, rtol=1e-4)


def test_latents_are_truncated_and_scaled(generator):
    latents, classes = draw(generator, 500, seed=0, truncation=0.5, std=2.0)
    assert 0.9 < latents.abs().max() <= 1
    assert set(classes.tolist()) == {0, 1, 2}
    again = draw(generator, 500, seed=0, classes=1)
    assert set(again.classes.tolist()) == {1}
    assert again.latents.std() == pytest.approx(1, abs=0.05)
    assert not torch.equal(again.latents, draw(generator, 500, seed=1).latents)


def test_standing_statistics_are_the_mean_over_batches():
    generator = small().eval()
    batches = [draw(generator, 8, seed) for seed in range(3)]
    vectors = generator.layer0.linear.u.clone()
    count = standing_statistics(generator, iter(batches))
    assert count == 3
    maps = [generator.layer0(latents[:, : generator.slot]).detach().movedim(1, 0).flatten(1) for latents, _ in batches]
    norm = generator.layer1.norm1.norm
    torch.testing.assert_close(norm.running_mean, torch.stack([one.mean(1) for one in maps]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([one.var(1) for one in maps]).mean(0))
    assert torch.equal(generator.layer0.linear.u, vectors)
    assert not any(module.training for module in generator.modules())
    assert norm.momentum == 0.1
    with pytest.raises(StatisticsError, match="found no batches, expected at least one"):
        standing_statistics(generator, [])
    torch.testing.assert_close(norm.running_mean, torch.stack([one.mean(1) for one in maps]).mean(0))
    with pytest.raises(StatisticsError, match="Linear has no batch norm"):
        standing_statistics(torch.nn.Linear(1, 1), [])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda made: made(torch.zeros(2, 11), torch.zeros(2).long()), r"found latents \(2, 11\), expected \(B, 12\)"),
        (lambda made: made(torch.zeros(2, 12), torch.tensor([0, 3])), r"found class 3, expected 0 to 2"),
        (lambda made: made(torch.zeros(2, 12), torch.tensor([0])), r"found classes \(1,\), expected \(2,\)"),
        (lambda made: made(torch.zeros(2, 12), torch.zeros(2, 4)), r"found embeddings \(2, 4\), expected \(2, 5\)"),
        (lambda made: draw(made, 1, 0, classes=-1), "found class -1, expected 0 to 2"),
        (lambda made: draw(made, 1, 0, truncation=0), "truncation=0, expected values above 0"),
        (lambda _: small(latent_dim=2), "found latent_dim 2, expected at least 3"),
        (lambda _: small(attention=[32]), r"attention was asked at 32 pixels, but layers have \[8, 16\]"),
        (lambda _: small(widths=[8, 8, 4]), "attention was asked of 4 channels; expected at least 8"),
        (lambda _: small(widths=[8]), r"found widths \[8\]"),
        (lambda _: makers.published_widths(48), "found resolution 48, expected one of 32, 64"),
        (lambda _: critics.published_widths(48), r"found resolution 48, expected one of \[32, 64"),
        (lambda _: BigganDiscriminator(20, [8] * 4), "images of 20 pixels cannot be halved 3 times in 4 blocks"),
        (lambda _: BigganDiscriminator(16, [8, 8], attention=[16]), "but blocks end with"),
        (
            lambda _: BigganDiscriminator(16, [8, 8], 2)(torch.zeros(1, 3, 8, 8), torch.zeros(1).long()),
            r"found images \(1, 3, 8, 8\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(generator, call, message):
    with pytest.raises(BigganError, match=message):
        call(generator)

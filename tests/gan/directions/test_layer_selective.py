import pytest
import torch
from torch import nn

from gan.biggan.generator import BigganGenerator
from gan.biggan.latents import draw
from gan.class_generators import OfClass
from gan.directions.activations import Batches, layer_output
from gan.directions.directions import DirectionError, RandomDirections, numbers_of, orthonormal, shifted
from gan.directions.layer_selective import LayerSelective, Objective
from gan.hooks import LayerNameError
from gan.progan.generator import ProganGenerator


@pytest.fixture(scope="module")
def biggan():
    torch.manual_seed(0)
    generator = BigganGenerator([8, 8, 4], latent_dim=24, num_classes=3, class_dim=4, attention=[8])
    with torch.no_grad():
        generator.layer1.attention.gamma.fill_(1)
    return generator.eval()


@pytest.fixture(scope="module")
def progan():
    torch.manual_seed(0)
    return ProganGenerator(latent_dim=12, widths=[8, 4]).eval()


def overlaps(vectors):
    return (vectors @ vectors.mT).abs() - torch.eye(vectors.shape[-2])


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_objective_falls_and_layers_are_orthogonal(biggan, norm):
    latents, classes = draw(biggan, 2, seed=0)
    settings = {"per_layer": 2, "lr": 0.1, "norm": norm, "batch_size": 3}
    start = LayerSelective(steps=0, **settings).find(biggan, latents, classes)
    found = LayerSelective(steps=15, **settings).find(biggan, latents, classes)
    assert found.layers == ["layer2", "layer2", "layer1", "layer1", "layer0", "layer0"]
    assert found.vectors.shape == (2, 6, 24)
    assert (found.scores[:, :2] < 0.9 * start.scores[:, :2]).all()  # from the same starts
    assert found.scores[:, 2:].mean() < 0.9 * start.scores[:, 2:].mean()
    assert (found.vectors.norm(dim=-1) - 1).abs().max() < 1e-4
    between = overlaps(found.vectors)
    for layer in range(3):
        between[:, 2 * layer : 2 * layer + 2, 2 * layer : 2 * layer + 2] = 0
    assert between.max() < 1e-4
    last = Objective(biggan, "layer1", norm=norm).of(latents, found.vectors[:, 2], classes)
    torch.testing.assert_close(last.detach(), found.scores[:, 2])


def test_all_at_once_is_as_one_after_the_other(biggan):
    """A slow loop as oracle: one latent and one direction at a time, written as the published code means it."""
    latents, classes = draw(biggan, 2, seed=1)
    method = LayerSelective("layer1", "layer0", per_layer=2, steps=5, lr=0.05)
    found = method.find(biggan, latents, classes, seed=3)
    source = numbers_of(3)
    starts = [torch.randn(2, 2, 24, generator=source) for _ in range(2)]
    for z in range(2):
        expected = torch.zeros(0, 24)
        for layer, start in zip(("layer1", "layer0"), starts, strict=True):
            basis = torch.linalg.qr(expected.T)[0].T if len(expected) else expected
            made = []
            for one in start[z]:
                d = nn.Parameter(one.clone())
                optimizer = torch.optim.Adam([d], lr=0.05)
                for step in range(6):
                    free = d - (d @ basis.T) @ basis
                    unit = free / free.norm()
                    if step == 5:
                        made.append(unit.detach())
                        break
                    change = layer_output(biggan, layer, latents[z : z + 1] + 10 * unit, classes[z : z + 1])
                    change = change - layer_output(biggan, layer, latents[z : z + 1], classes[z : z + 1])
                    optimizer.zero_grad()
                    (0.02 * change.square().mean()).backward()
                    optimizer.step()
            expected = torch.cat((expected, torch.stack(made)))
        torch.testing.assert_close(found.of(z), expected, atol=1e-3, rtol=1e-3)


def test_within_a_layer_all_can_be_orthogonal_and_latents_can_share(progan):
    latents = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    settings = {"start_layer": "layer3", "end_layer": "layer1", "per_layer": 3, "within_layer": True, "shared": True}
    settings |= {"lr": 0.05, "image_weight": 0.1, "step": 2.0}
    start = LayerSelective(steps=0, **settings).find(progan, latents)
    found = LayerSelective(steps=20, **settings).find(progan, latents)
    assert found.vectors.shape == (1, 9, 12)
    assert found.scores.shape == (1, 9)
    assert overlaps(found.vectors).abs().max() < 1e-4
    assert found.scores.mean() < start.scores.mean()
    assert torch.equal(found.of(3), found.vectors[0])
    value = Objective(progan, "layer3", 2.0, image_weight=0.1).of(latents, found.vectors[:, 0].expand(4, -1))
    torch.testing.assert_close(value.mean(), found.scores[0, 0])


def test_shared_directions_of_one_latent_are_its_own(biggan):
    latents, classes = draw(biggan, 1, seed=2)
    settings = {"start_layer": "layer1", "end_layer": "layer1", "per_layer": 2, "steps": 4}
    alone = LayerSelective(**settings).find(biggan, latents, classes)
    twice = LayerSelective(**settings, shared=True).find(biggan, latents.repeat(2, 1), classes.repeat(2))
    torch.testing.assert_close(alone.vectors, twice.vectors, atol=1e-5, rtol=1e-4)


def test_generators_of_one_class_and_any_named_layers(biggan):
    latents, classes = draw(biggan, 2, seed=0, classes=1)
    method = LayerSelective("layer1", "layer0", per_layer=1, steps=2)
    expected = method.find(biggan, latents, classes)
    torch.testing.assert_close(method.find(OfClass(biggan, 1), latents).vectors, expected.vectors)

    plain = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3 * 4), nn.Unflatten(1, (3, 2, 2))).eval()
    plain.latent_dim = 5
    found = LayerSelective("2", "0", per_layer=1, steps=2).find(plain, torch.randn(2, 5))
    assert found.layers == ["2", "1", "0"]


def test_a_layer_runs_without_what_follows(progan):
    ran = []
    handle = progan.layer3.register_forward_hook(lambda *_: ran.append("layer3"))
    latents = torch.randn(2, 12)
    output = layer_output(progan, "layer2", latents)
    handle.remove()
    torch.testing.assert_close(output, progan.layer2(progan.layer1(progan.as_maps(latents))))
    assert not ran
    assert not progan.layer2._forward_hooks


def test_batches_halve_where_memory_ends(caplog):
    sizes = []

    def hungry(rows):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return (rows * 2,)

    batches = Batches(10)
    (made,) = batches.map(hungry, torch.arange(7))
    assert made.tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert sizes == [7, 5, 2, 2, 2, 1]
    assert batches.size == 2
    assert "going on with 2 latents at a time" in caplog.text

    def starved(_rows):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    with pytest.raises(DirectionError, match="memory is lacking for a single latent"):
        Batches(4).map(starved, torch.arange(7))

    def wrong(_rows):
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        Batches(4).map(wrong, torch.arange(7))


def test_random_directions_and_their_lengths(progan):
    latents = torch.randn(2, 12)
    found = RandomDirections(5).find(progan, latents, seed=1)
    assert found.vectors.shape == (1, 5, 12)
    assert overlaps(RandomDirections(12, orthogonal=True).find(progan, latents).vectors).abs().max() < 1e-4
    moved = shifted(latents, 7 * found.vectors[0, 0], alpha=6)
    torch.testing.assert_close((moved - latents).norm(dim=1), torch.full((2,), 6.0))
    torch.testing.assert_close(shifted(latents, torch.ones(12), 2, normalise=False), latents + 2)


def test_orthonormal_is_gram_schmidt():
    vectors = torch.tensor([[0.0, -2.0, 0.0], [1.0, 1.0, 0.0]])
    torch.testing.assert_close(orthonormal(vectors), torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda made: LayerSelective("layer9").find(made, torch.zeros(1, 12)), DirectionError, "no layer 'layer9'"),
        (
            lambda made: LayerSelective("layer1", "layer2").find(made, torch.zeros(1, 12)),
            DirectionError,
            "'layer2' comes after 'layer1'",
        ),
        (
            lambda made: LayerSelective("layer2", "layer2").find(made, torch.zeros(1, 13)),
            DirectionError,
            r"found latents \(1, 13\), expected \(Z, 12\)",
        ),
        (
            lambda made: RandomDirections().find(made, torch.zeros(2, 12), torch.zeros(1)),
            DirectionError,
            r"found classes \(1,\), expected \(2,\)",
        ),
        (
            lambda made: LayerSelective("layer2", "layer1", per_layer=12).find(made, torch.zeros(1, 12)),
            DirectionError,
            "13 orthogonal directions do not fit a latent of 12",
        ),
        (
            lambda _: LayerSelective("layer1", "layer1").find(ProganGenerator(12, [4]).train(), torch.zeros(1, 12)),
            DirectionError,
            "in training mode",
        ),
        (lambda _: shifted(torch.zeros(1, 12), torch.zeros(119), 6), DirectionError, "directions have 119 numbers"),
        (lambda made: layer_output(made, "layer9", torch.zeros(1, 12)), LayerNameError, "no layer 'layer9'"),
    ],
)
def test_what_does_not_fit_is_named(progan, call, error, message):
    with pytest.raises(error, match=message):
        call(progan)

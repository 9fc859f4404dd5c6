import pytest
import torch
from torch import nn

from gan.biggan.generator import BigganGenerator
from gan.biggan.latents import draw
from gan.class_generators import OfClass
from gan.directions.activations import layer_output
from gan.directions.closed_form import GanSpace, Sefa
from gan.directions.contrastive import Contrastive, contrast
from gan.directions.directions import DirectionError, RandomDirections
from gan.progan.generator import ProganGenerator


class Plane(nn.Module):
    """Draws images that are linear in the latent: twice its first number, once its second, the third not at all."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.paint = nn.Linear(3, 6, bias=False)
        with torch.no_grad():
            self.paint.weight.copy_(torch.tensor([[2.0, 0, 0], [0, 1, 0]] + [[0.0, 0, 0]] * 4))

    def forward(self, latents):
        return self.paint(latents).view(-1, 3, 1, 2)

    def latent_weights(self):
        return {"paint": self.paint.weight.detach()}


@pytest.fixture(scope="module")
def biggan():
    torch.manual_seed(0)
    return BigganGenerator([8, 8, 4], latent_dim=24, num_classes=3, class_dim=4).eval()


def test_sefa_and_ganspace_know_a_linear_generator():
    generator = Plane().eval()
    latents = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    latents = (latents - latents.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(latents.T.cov())).T  # exactly white
    sefa = Sefa(2).find(generator, latents)
    torch.testing.assert_close(sefa.vectors[0], torch.eye(3)[:2])
    torch.testing.assert_close(sefa.scores, torch.tensor([[2.0, 1.0]]))
    space = GanSpace("paint", 2, batch_size=100).find(generator, latents)
    torch.testing.assert_close(space.vectors[0], torch.eye(3)[:2], atol=0.02, rtol=0)
    torch.testing.assert_close(space.scores, torch.tensor([[0.8, 0.2]]), atol=1e-3, rtol=0)  # 4 and 1 of 5
    assert (sefa.layers, space.layers) == (["paint"] * 2, ["paint"] * 2)
    with pytest.raises(DirectionError, match="layer 'paint' has fewer than 3 components"):
        GanSpace("paint", 3).find(generator, latents)


def test_sefa_of_a_slot_stays_in_it(biggan):
    latents, classes = draw(biggan, 1, seed=0)
    found = Sefa(8, ["layer1"]).find(biggan, latents, classes).vectors[0]
    assert found[:, :8].abs().max() < 1e-6
    assert found[:, 16:].abs().max() < 1e-6
    everything = Sefa(12).find(OfClass(biggan, 0), latents)
    assert everything.layers[0] == "layer0+layer1+layer2"
    overlap = everything.vectors[0] @ everything.vectors[0].T
    torch.testing.assert_close(overlap, torch.eye(12), atol=1e-5, rtol=0)


def test_the_weights_of_a_progressive_gan_make_its_first_layer():
    torch.manual_seed(0)
    generator = ProganGenerator(6, [4]).eval()
    latents = nn.functional.normalize(torch.randn(1, 6), dim=1) * 6**0.5  # which pixel norm leaves as they are
    (weight,) = generator.latent_weights().values()
    maps = layer_output(generator, "layer1", latents)
    expected = nn.functional.leaky_relu((latents @ weight.T).view(4, 4, 4), 0.2).flip(1, 2)
    torch.testing.assert_close(maps[0], expected, atol=1e-5, rtol=1e-4)
    assert Sefa(3).find(generator, latents).vectors.shape == (1, 3, 6)


def test_contrast_is_the_published_loss():
    """A slow loop as oracle."""
    effects = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2)
    cosine = nn.functional.cosine_similarity
    for k in range(2):
        for z in range(3):
            alike = sum((cosine(effects[z, k], effects[o, k], 0) / 0.5).exp() for o in range(3) if o != z)
            unlike = sum((cosine(effects[z, k], effects[o, 1 - k], 0) / 0.5).exp() for o in range(3))
            expected[k] -= (alike / unlike).log() / 3
    torch.testing.assert_close(contrast(effects), expected)


def test_contrastive_directions_become_distinct(biggan):
    latents, classes = draw(biggan, 6, seed=0)
    settings = {"layer": "layer1", "number": 3, "lr": 0.05}
    start = Contrastive(**settings, steps=1).find(biggan, latents, classes)
    found = Contrastive(**settings, steps=40).find(biggan, latents, classes)
    assert found.scores.mean() < start.scores.mean() - 0.2
    torch.testing.assert_close(found.vectors.norm(dim=-1), torch.ones(1, 3))
    assert all(parameter.grad is None for parameter in biggan.parameters())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Sefa(4, ["layer9"]), "the latent does not enter layer 'layer9'; choose among layer0, layer1"),
        (Sefa(25), "25 orthogonal directions do not fit a latent of 24"),
        (GanSpace("layer0", 6), "6 latents have fewer than 6 components"),
        (Contrastive("layer0", number=1), "found 1 directions and 4 of 6 latents"),
        (Contrastive("layer0", latents_per_step=7), "7 of 6 latents a step"),
    ],
)
def test_what_does_not_fit_is_named(biggan, method, message):
    with pytest.raises(DirectionError, match=message):
        method.find(biggan, *draw(biggan, 6, seed=0))


def test_a_generator_that_tells_no_weights():
    plain = nn.Linear(5, 6).eval()
    plain.latent_dim = 5
    with pytest.raises(DirectionError, match="Linear does not say by which weights"):
        Sefa(1).find(plain, torch.zeros(1, 5))


def test_directions_are_not_the_latents_of_the_same_seed(biggan):
    latents, classes = draw(biggan, 3, seed=0)
    found = RandomDirections(3).find(biggan, latents, classes, seed=0).vectors[0]
    cosines = torch.nn.functional.cosine_similarity(found[:, None], latents[None], dim=2)
    assert cosines.abs().max() < 0.9

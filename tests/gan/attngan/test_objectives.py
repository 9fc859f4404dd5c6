"""Losses of text-conditional images as objects, by hand on a discriminator whose logits are known."""

import math

import pytest
import torch
from torch.nn import functional as F

import losses
from gan.attngan.discriminators import AttnganDiscriminator, Logits
from gan.attngan.objectives import MatchingAware, Published, RelativisticMatching, Seen
from gan.attngan.residual_discriminator import ResidualDiscriminator

RESOLUTION, DIM = 8, 2


class Products:
    """Scores an image by the product of its mean with the first number of a sentence: logits known by hand."""

    resolution = RESOLUTION

    def __call__(self, images):
        return images.mean((1, 2, 3))

    def logits(self, features, sentences):
        return Logits(features * sentences[:, 0], None)


def flat(*values):
    return torch.stack([torch.full((3, RESOLUTION, RESOLUTION), float(value)) for value in values])


SEEN = Seen(
    real=flat(2, 1), fake=flat(1, 0.5), sentences=torch.tensor([[1.0, 0.0], [3.0, 0.0]]), wrong=torch.tensor([1, -1])
)


def softplus(value):
    return math.log1p(math.exp(value))


def test_pairs_are_compared_with_the_generated_and_with_the_mismatched():
    parts = RelativisticMatching(gamma_per_pixel=0.0, mismatched=0.5, every=2).discriminator(Products(), SEEN, step=1)
    assert set(parts) == {"pairs", "mismatched"}
    assert parts["pairs"].item() == pytest.approx((softplus(1 - 2) + softplus(1.5 - 3)) / 2)
    assert parts["mismatched"].item() == pytest.approx(0.5 * softplus(2 * 3 - 2 * 1))  # image 0 with sentence 1
    loss = RelativisticMatching().generator(Products(), SEEN)
    assert loss.item() == pytest.approx((softplus(2 - 1) + softplus(3 - 1.5)) / 2)


def test_penalties_are_those_of_both_images_when_they_are_due():
    objective = RelativisticMatching(gamma_per_pixel=0.5, every=2)
    parts = objective.discriminator(Products(), SEEN, step=4)
    pixels = 3 * RESOLUTION**2
    norms = [(1 / pixels) ** 2 * pixels, (3 / pixels) ** 2 * pixels]  # gradient: sentence / pixels at each
    expected = 0.5 * 0.5 * RESOLUTION**2 * 2 * sum(norms) / 2
    assert parts["r1"].item() == pytest.approx(expected)
    assert parts["r2"].item() == pytest.approx(expected)


def test_the_hinge_counts_mismatched_and_generated_half_each():
    parts = MatchingAware(every=2).discriminator(Products(), SEEN, step=1)
    fitting, made, wrong = 0.0, ((1 + 1) + (1 + 1.5)) / 2, 1 + 2 * 3  # fitting logits 2 and 3 are above 1
    assert parts["hinge"].item() == pytest.approx(fitting + (made + wrong) / 2)
    assert MatchingAware().generator(Products(), SEEN).item() == pytest.approx(-(1 + 1.5) / 2)


def test_the_matching_penalty_is_by_image_and_sentence():
    parts = MatchingAware(penalty=3.0, power=4.0, every=5).discriminator(Products(), SEEN, step=5)
    pixels = 3 * RESOLUTION**2
    squared = [1 / pixels + 2**2, 9 / pixels + 1**2]  # by the image: sentence^2 / pixels, by the sentence: mean^2
    assert parts["gradient_penalty"].item() == pytest.approx(3 * 5 * sum(value**2 for value in squared) / 2, rel=1e-5)


def test_the_published_losses_are_those_of_the_public_code():
    network = AttnganDiscriminator(64, width=2, embedding_dim=DIM).eval()
    torch.manual_seed(0)
    images = [torch.randn(3, 3, 64, 64) for _ in range(2)]
    sentences = torch.randn(3, DIM)
    seen = Seen(*images, sentences, losses.wrong_captions(torch.arange(3), "published"))
    parts = Published().discriminator(network, seen, 0)

    def mean_loss(logits, target):
        return F.binary_cross_entropy(logits.sigmoid(), torch.full_like(logits, target))

    real, fake = network(images[0]), network(images[1])
    own, made = network.logits(real, sentences), network.logits(fake, sentences)
    wrong = network.with_sentence(real[:2], sentences[1:])  # the next caption
    expected = (mean_loss(own.alone, 1.0) + mean_loss(own.fitting, 1.0)) / 2 + (
        mean_loss(made.alone, 0.0) + mean_loss(made.fitting, 0.0) + mean_loss(wrong, 0.0)
    ) / 3
    torch.testing.assert_close(parts["cross_entropy"], expected)


def test_wrong_captions_are_of_another_class():
    classes = torch.tensor([7, 7, 5, 7])
    assert losses.wrong_captions(classes).tolist() == [2, 2, 3, 2]
    assert losses.wrong_captions(classes, "published").tolist() == [1, 2, 3, -1]
    assert losses.wrong_captions(torch.tensor([1, 1])).tolist() == [-1, -1]


def test_a_batch_of_one_class_has_no_mismatched_pairs():
    seen = SEEN._replace(wrong=torch.tensor([-1, -1]))
    assert set(RelativisticMatching(every=2).discriminator(Products(), seen, 1)) == {"pairs"}
    hinge = MatchingAware(every=2).discriminator(Products(), seen, 1)["hinge"]
    assert hinge.item() == pytest.approx(((1 + 1) + (1 + 1.5)) / 2 / 2)


def test_a_residual_discriminator_takes_every_objective_but_the_published():
    network = ResidualDiscriminator(RESOLUTION, width=2, embedding_dim=DIM)
    seen = Seen(torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), torch.randn(2, DIM), torch.tensor([1, 0]))
    for objective in (RelativisticMatching(), MatchingAware()):
        total = sum(objective.discriminator(network, seen, 0).values())
        total.backward()
        assert all(p.grad is not None for p in network.parameters())

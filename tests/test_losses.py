import inspect
import math

import pytest
import torch

import losses
from losses import LossError, draw_impostors
from models.matchmap import aligned_similarity, similarity

MEASURES = {"dot": ("dot", 0.2), "cos": ("cosine", 0.05)}


def test_the_table_at_the_head_names_every_loss():
    own = [name for name, value in vars(losses).items() if inspect.isfunction(value) and value.__module__ == "losses"]
    words = losses.__doc__.replace(",", " ").split()
    assert [name for name in own if not name.startswith("_") and name not in words] == []


def matrix(n=6, seed=0):
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positive_part(value):
    return max(0.0, float(value))


def assert_near(actual, expected):
    torch.testing.assert_close(actual.detach().reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["I2A", "A2I"])
@pytest.mark.parametrize("name", ["sampled_triplet", "semihardneg"])
def test_published_losses_of_a_matrix(published, name, way):
    scores = published["S_loss"].requires_grad_()
    rows = scores if way == "I2A" else scores.T
    if name == "sampled_triplet":
        loss = losses.sampled_triplet(rows, published[f"impostors_{way}"], 0.2)
    else:
        loss = losses.semi_hard_triplet(rows, 0.2)
    loss.backward()
    assert_near(loss, published[f"{name}_{way}"])
    assert_near(scores.grad, published[f"{name}_{way}.grad_S"])


@pytest.mark.parametrize("kind", ["MISA", "SISA", "SIMA"])
def test_published_sampled_margin_rank(published, kind):
    image, speech = published["image_outputs"].requires_grad_(), published["audio_outputs"].requires_grad_()
    scores = similarity(image, speech.squeeze(2), published["nframes"], kind)
    loss = losses.sampled_margin_rank(scores, published["impostor_image"], published["impostor_audio"], 0.2)
    loss.backward()
    name = f"wnhsu_sampled_margin_rank_{kind}"
    assert_near(loss, published[name])
    assert_near(image.grad, published[f"{name}.grad_image"])
    assert_near(speech.grad, published[f"{name}.grad_audio"])


def drawing_losses(published, image, speech, edited_image, measure, margin):
    """System 1's losses on the case's maps, in the case's names."""
    frames = published["nframes"]
    scores = similarity(image, speech, frames, measure=measure)
    edited = aligned_similarity(edited_image, speech, frames, measure=measure)
    mining = similarity(image, speech, frames).detach()
    sampled = (published["impostor_image"], published["impostor_audio"])
    return {
        "sampled_margin_rank": lambda: losses.sampled_margin_rank(scores, *sampled, margin),
        "hard_negative": lambda: losses.hard_negative(scores, margin, mining),
        "negatives": lambda: losses.edited_negatives(scores, edited, margin),
        "combined_random_hard_negative": lambda: losses.edited_and_hard(scores, edited, margin, mining),
        "combined_random_sampled_margin_rank": lambda: losses.edited_and_sampled(scores, edited, *sampled, margin),
    }


@pytest.mark.parametrize("measure", ["dot", "cos"])
@pytest.mark.parametrize(
    "name",
    [
        "sampled_margin_rank",
        "hard_negative",
        "negatives",
        "combined_random_hard_negative",
        "combined_random_sampled_margin_rank",
    ],
)
def test_published_drawing_losses(published, name, measure):
    image = published["image_outputs"].requires_grad_()
    speech = published["audio_outputs"].requires_grad_()
    edited_image = published["negative_outputs"].requires_grad_()
    loss = drawing_losses(published, image, speech.squeeze(2), edited_image, *MEASURES[measure])[name]()
    loss.backward()
    name = f"surisdi_{name}_{measure}"
    assert_near(loss, published[name])
    assert_near(image.grad, published[f"{name}.grad_image"])
    assert_near(speech.grad, published[f"{name}.grad_audio"])
    if f"{name}.grad_negative" in published:
        assert_near(edited_image.grad, published[f"{name}.grad_negative"])
    else:
        assert edited_image.grad is None


@pytest.mark.parametrize("measure", ["dot", "cos"])
def test_published_vectorized_negatives(published, measure):
    kind, margin = MEASURES[measure]
    speech, frames = published["audio_outputs"].squeeze(2), published["nframes"]
    positives = aligned_similarity(published["image_outputs"], speech, frames, measure=kind)
    edited = aligned_similarity(published["negative_outputs"], speech, frames, measure=kind)
    assert_near(losses.edited_negatives_each(positives, edited, margin), published[f"vectorized_negatives_{measure}"])


def test_losses_against_loops():
    scores, margin = matrix(), 0.7
    n = len(scores)
    others = [[scores[i, j] for j in range(n) if j != i] for i in range(n)]
    hard = sum(positive_part(max(others[i]) - scores[i, i] + margin) for i in range(n)) / n
    every = sum(positive_part(s - scores[i, i] + margin) for i in range(n) for s in others[i]) / (n * (n - 1))
    proper = sum(
        positive_part(max([s for s in others[i] if s < scores[i, i]], default=-torch.inf) - scores[i, i] + margin)
        for i in range(n)
    )
    columns = [max(scores[j, i] for j in range(n) if j != i) for i in range(n)]
    back = sum(positive_part(columns[i] - scores[i, i] + margin) for i in range(n)) / n
    assert losses.hard_triplet(scores, margin).item() == pytest.approx(hard)
    assert losses.margin_triplet(scores, margin).item() == pytest.approx(every)
    assert losses.semi_hard_triplet(scores, margin, "proper").item() == pytest.approx(proper / n)
    assert losses.hard_negative(scores, margin).item() == pytest.approx(hard + back)


def test_semi_hard_maskings_by_hand():
    scores = torch.tensor([[-1.0, -2.0, 5.0], [3.0, 2.0, 1.5], [4.0, 4.0, 4.0]], requires_grad=True)
    # Row 0: only -2 is worse than -1; masked entries count as 0 as published. Row 2 has no eligible impostor.
    published = ((0 + 1 + 1) + (1.5 - 2 + 1) + 0) / 3
    proper = (0 + (1.5 - 2 + 1) + 0) / 3
    assert losses.semi_hard_triplet(scores, 1.0).item() == pytest.approx(published)
    assert losses.semi_hard_triplet(scores, 1.0, "proper").item() == pytest.approx(proper)
    losses.semi_hard_triplet(scores, 1.5, "proper").backward()
    third = 1 / 3
    expected = torch.tensor([[-third, third, 0], [0, -third, third], [0, 0, 0]])
    torch.testing.assert_close(scores.grad, expected)


def test_two_pairs_are_enough():
    scores = torch.tensor([[1.0, 0.8], [0.1, 0.3]])
    assert losses.hard_negative(scores, 0.5).item() == pytest.approx((0.3 + 0.3) / 2 + (0.0 + 1.0) / 2)
    assert torch.equal(draw_impostors(2), torch.tensor([1, 0]))
    assert torch.equal(losses.hardest(scores), torch.tensor([1, 0]))


def test_mining_matrix_chooses_but_does_not_score():
    scores, mining = matrix(5, 1).requires_grad_(), matrix(5, 2).requires_grad_()
    loss = losses.hard_negative(scores, 10.0, mining)
    chosen = losses.sampled_margin_rank(scores, losses.hardest(mining.T), losses.hardest(mining), 10.0)
    assert torch.equal(loss, chosen)
    assert loss != losses.hard_negative(scores, 10.0)
    loss.backward()
    assert mining.grad is None


def test_among_ties_the_first_other_column_is_hardest():
    assert losses.hardest(torch.ones(4, 4)).tolist() == [1, 0, 0, 0]


def test_impostors_are_uniform_over_the_others():
    generator = torch.Generator().manual_seed(5)
    draws = torch.stack([draw_impostors(5, generator) for _ in range(4000)])
    counts = torch.stack([(draws == value).double().mean(0) for value in range(5)], 1)  # (row, column)
    assert not counts.diagonal().any()
    assert (counts[~torch.eye(5, dtype=torch.bool)] - 0.25).abs().max() < 0.03
    again = draw_impostors(5, torch.Generator().manual_seed(5))
    assert torch.equal(again, draws[0])


def test_masked_margin_softmax_by_hand():
    scores = torch.tensor([[2.0, 0.0], [1.0, 3.0]], dtype=torch.float64)
    rows = [-math.log(math.exp(1.5) / (math.exp(1.5) + 1)), -math.log(math.exp(2.5) / (math.exp(2.5) + math.exp(1)))]
    assert losses.masked_margin_softmax(scores, margin=0.5).item() == pytest.approx(sum(rows) / 2)
    assert losses.masked_margin_softmax(10 * scores, 5.0, temperature=10).item() == pytest.approx(sum(rows) / 2)
    with pytest.raises(LossError, match="temperature is 0"):
        losses.masked_margin_softmax(scores, temperature=0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: losses.sampled_triplet(s, torch.tensor([1, 2, 3, 4, 0]), 0.5),
        lambda s: losses.semi_hard_triplet(s, 0.5),
        lambda s: losses.semi_hard_triplet(s, 0.5, "proper"),
        lambda s: losses.hard_triplet(s, 0.5),
        lambda s: losses.margin_triplet(s, 0.5),
        lambda s: losses.hard_negative(s, 0.5),
        lambda s: losses.edited_and_hard(s, s.new_ones(5) * s[0, 0], 0.5),
    ],
)
def test_gradients_against_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, (matrix(5, 4).requires_grad_(),))


def test_a_single_pair_has_no_impostor_but_may_have_an_edited_image():
    one = torch.tensor([[0.4]])
    for loss in (losses.semi_hard_triplet, losses.hard_triplet, losses.margin_triplet, losses.hard_negative):
        with pytest.raises(LossError, match="at least 2 pairs, got 1"):
            loss(one)
    with pytest.raises(LossError, match="at least 2 pairs, got 1"):
        draw_impostors(1)
    assert losses.edited_negatives(one, torch.tensor([0.3]), 0.2).item() == pytest.approx(0.1)


def test_errors_say_what_is_wrong():
    with pytest.raises(LossError, match=r"square similarity matrix \(B, B\), got \(2, 3\)"):
        losses.hard_triplet(torch.ones(2, 3))
    with pytest.raises(LossError, match=r"one impostor per row, \(3,\), got \(2,\)"):
        losses.sampled_triplet(torch.ones(3, 3), torch.tensor([1, 0]))
    with pytest.raises(LossError, match="Unknown masking 'none'"):
        losses.semi_hard_triplet(torch.ones(3, 3), 1.0, "none")
    with pytest.raises(LossError, match="one similarity per pair"):
        losses.edited_negatives(torch.ones(3, 3), torch.ones(2))


def test_the_visual_pivot_by_hand():
    features = torch.tensor([[3.0, 0.0], [5.0, 0.0], [1.0, 1.0]], requires_grad=True)
    pivots = torch.tensor([[1.0, 4.0], [7.0, 7.0], [1.0, 1.0]])
    loss = losses.visual_pivot(features, torch.tensor([0, 0, 2]), pivots)
    assert loss.item() == pytest.approx((math.hypot(4 - 1, 0 - 4) + 0) / 3)  # class 1 is not in the batch
    loss.backward()
    row = torch.tensor([3.0, -4.0]) / 5 / 2 / 3
    torch.testing.assert_close(features.grad, torch.stack([row, row, torch.zeros(2)]))  # 0 where the mean is the pivot


def test_the_gradient_penalty_of_features():
    real, fake = torch.randn(4, 3), torch.randn(4, 3)
    slope = torch.tensor([2.0, 2.0, 1.0])
    found = losses.gradient_penalty(lambda features: features @ slope, real, fake, torch.rand(4))
    assert found.item() == pytest.approx(4)
    squared = losses.gradient_penalty(
        lambda features: features.square().sum(1) / 2, real, fake, torch.tensor([0.25] * 4)
    )
    points = 0.75 * real + 0.25 * fake
    assert_near(squared, (points.norm(dim=1) - 1).square().mean())


def test_hinge_losses_of_adversarial_networks():
    """By hand: real 2 and 0 cost 0 and 1; fake -2, 0 and 1 cost 0, 1 and 2."""
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-2.0, 0.0, 1.0])
    assert losses.hinge_discriminator(real, fake).item() == pytest.approx(0.5 + 1)
    assert losses.hinge_generator(fake).item() == pytest.approx(1 / 3)
    two = torch.stack((fake, fake), dim=1)  # of two discriminators: the sum
    assert losses.hinge_discriminator(two, two).item() == pytest.approx(2 * (4 / 3 + 1))


def test_orthogonal_regularisation_has_the_published_gradient():
    """The public code adds 2 (W W^T o (1 - I)) W to the gradient; orthogonal rows of any norm cost nothing."""
    kernel = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    other = torch.diag(torch.tensor([3.0, 0.5]))
    losses.orthogonal_regularisation([kernel, other]).backward()
    rows = kernel.detach().flatten(1)
    expected = 2 * (rows @ rows.T * (1 - torch.eye(4))) @ rows
    torch.testing.assert_close(kernel.grad.flatten(1), expected)
    assert losses.orthogonal_regularisation([other]) == 0

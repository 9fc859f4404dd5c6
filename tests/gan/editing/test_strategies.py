"""Edited negatives of a batch: against the published loop over images, retries, bounds, randomness, errors."""

import pytest
import torch

from gan.editing import strategies as editing
from gan.editing.regenerate import EditingError, generate, regenerate, relative_change
from gan.editing.regions import at_peaks, heat, region, resized_region
from gan.editing.strategies import Share, cluster_edits, cluster_similarities, random_edits, units_off
from gan.hooks import Edit, LayerNameError, MaskError, edited
from gan.images import encoder_input
from gan.progan.generator import ProganGenerator

BATCH, CLUSTERS = 6, 3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ProganGenerator(12, [16, 16, 8]).eval().requires_grad_(False)  # layers 1-2 4 px, 3-4 8 px, 5-6 16 px


@pytest.fixture(scope="module")
def pairs(model):
    """Positives with two layers, heat maps of 8 x 8 cells, similarities to clusters, and unit rankings."""
    source = torch.Generator().manual_seed(1)
    positives = generate(model, torch.randn(BATCH, 12, generator=source), ["layer3", "layer4"])
    found = heat(torch.rand(BATCH, 8, 8, 5, generator=source))
    similarities = torch.randn(BATCH, CLUSTERS, generator=source)
    units = {
        name: torch.stack([torch.randperm(16, generator=source) for _ in range(CLUSTERS)])
        for name in ("layer3", "layer4")
    }
    return positives, found, similarities, units


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def loop_over_images(model, positives, found, rankings, first_units):
    """The published rule for one cluster, one image at a time: images, retries and whether the change threshold was
    reached.
    """
    images, retries = [], []
    for i in range(len(positives.latents)):
        one = heat(found.values[i : i + 1, :, :, None])
        inside = resized_region(region(one, 0.95), 16)[:, None].float()
        positive = encoder_input(positives.images[i : i + 1])
        change, needed, threshold, count, tries = 0.0, 0.95, 0.95, dict(first_units), 0
        while change < needed:
            mask = region(one, threshold).float()
            edits = {}
            for name, (channels, *_) in positives.shapes.items():
                ablated = torch.zeros(channels)
                ablated[rankings[name][0][: count[name]]] = 1
                edits[name] = Edit(ablated[:, None, None] * mask)
                count[name] += 2
            with edited(model, edits):
                image = model(positives.latents[i : i + 1])
            difference = (encoder_input(image) - positive) * inside
            change = float(difference.norm() / (positive * inside).norm())
            threshold, needed, tries = threshold - 0.1, needed - 0.05, tries + 1
        images.append(image)
        retries.append(tries - 1)
    return torch.cat(images), retries


def test_cluster_edits_equal_the_published_loop(model, pairs, monkeypatch):
    positives, found, _, units = pairs
    monkeypatch.setattr(editing, "UNITS_STEP", 2)
    first = {"layer3": 1, "layer4": 2}
    one = {name: ranking[:1] for name, ranking in units.items()}
    result = cluster_edits(model, positives, found, torch.ones(BATCH, 1), one, seeded(), first_units=first)
    images, retries = loop_over_images(model, positives, found, one, first)
    assert len(set(retries)) > 1, "the images of this test should need different numbers of retries"
    assert result.retries.tolist() == retries
    assert result.reached.all()
    torch.testing.assert_close(result.images, images)


def test_the_result_tells_how_each_image_was_made(model, pairs):
    positives, found, similarities, units = pairs
    for result in (
        random_edits(model, positives, found, seeded(), max_retries=3),
        cluster_edits(model, positives, found, similarities, units, seeded(), max_retries=3),
    ):
        again = regenerate(model, positives, result.masks, result.units)
        torch.testing.assert_close(result.images, again)
        inside = resized_region(result.measured, 16)
        torch.testing.assert_close(relative_change(positives.images, again, inside), result.change)
        assert (result.measured & ~result.masks).sum() == 0


def test_the_first_attempt_takes_the_nearest_cluster_and_retries_draw_near_ones(model, pairs):
    positives, found, _, units = pairs
    similarities = torch.tensor([[-1.0, 3.0, 1.0]]).repeat(BATCH, 1)
    first = cluster_edits(model, positives, found, similarities, units, seeded(), max_retries=0)
    assert first.clusters.tolist() == [1] * BATCH
    for name, shape in positives.shapes.items():
        number = editing.FIRST_UNITS[name]
        assert torch.equal(first.units[name], units_off(units[name][1:2, :number], shape[0]).expand(BATCH, -1))
    weights = editing._weights(
        torch.tensor([[-1.0, 3.0, 1.0], [9.0, 4.0, -2.0], [-3.0, -1.0, -2.0]]), torch.tensor([1, 0, 1])
    )
    numbers = torch.rand(3000, 3, 1, generator=seeded())
    drawn = torch.stack([editing._drawn(weights, uniform) for uniform in numbers])
    shares = torch.nn.functional.one_hot(drawn, 3).double().mean(0)
    expected = torch.tensor([[0, 0.75, 0.25], [0.5, 0.5, 0], [0, 1, 0]], dtype=torch.float64)
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)


def test_only_images_that_have_not_changed_enough_are_drawn_again(model, pairs):
    positives, found, similarities, units = pairs
    drawn, first = [], {"layer3": 1, "layer4": 1}
    handle = model.register_forward_pre_hook(lambda _module, inputs: drawn.append(len(inputs[0])))
    try:
        result = cluster_edits(model, positives, found, similarities, units, seeded(), first_units=first)
    finally:
        handle.remove()
    tries = (result.retries + 1).tolist()
    assert drawn == [sum(number > attempt for number in tries) for attempt in range(max(tries))]
    assert sum(drawn) < BATCH * len(drawn)


def test_retries_are_bounded_and_the_most_changed_attempt_is_kept(model, pairs, monkeypatch):
    positives, found, *_ = pairs
    monkeypatch.setattr(editing, "CHANGE_THRESHOLD", 1e9)
    few = random_edits(model, positives, found, seeded(), max_retries=0)
    more = random_edits(model, positives, found, seeded(), max_retries=6)
    assert not few.reached.any()
    assert not more.reached.any()
    assert more.retries.tolist() == [6] * BATCH
    assert (more.change >= few.change - 1e-6).all()  # the first attempts are the same
    assert (more.change > few.change + 0.01).any()
    assert (few.change > 0).all()


def test_the_change_threshold_of_random_edits_falls_sometimes(model, pairs, monkeypatch):
    positives, found, *_ = pairs
    seen = []
    original = editing.regenerate_until

    def spy(model, positives, found, propose, *rest):
        rows = torch.arange(BATCH)
        seen.extend(propose(attempt, rows).threshold.clone() for attempt in range(200))
        return original(model, positives, found, propose, *rest)

    monkeypatch.setattr(editing, "regenerate_until", spy)
    random_edits(model, positives, found, seeded(), max_retries=199)
    thresholds = torch.stack(seen)
    assert (thresholds.diff(dim=0) <= 0).all()
    assert sorted({round(needed, 2) for needed in thresholds[0].tolist()}) == [
        0.94,
        0.95,
    ]  # fallen before it is compared
    # 200 attempts, a step of 0.01 with probability 0.2: a fall of 0.4 in the mean of six images, deviation 0.023.
    assert float(0.95 - thresholds[-1].mean()) == pytest.approx(0.4, abs=0.1)


def test_half_of_the_units_are_switched_off(model, pairs):
    positives, found, *_ = pairs
    result = random_edits(model, positives, found, seeded(), max_retries=0)
    share = torch.cat(list(result.units.values()), dim=1).float().mean()
    assert float(share) == pytest.approx(0.5, abs=0.12)
    assert result.clusters.tolist() == [-1] * BATCH
    everything = random_edits(model, positives, found, seeded(), max_retries=0, probability=1.0)
    assert all(chosen.all() for chosen in everything.units.values())


def test_the_same_generator_state_gives_the_same_images(model, pairs):
    positives, found, similarities, units = pairs
    a = cluster_edits(model, positives, found, similarities, units, seeded(5))
    b = cluster_edits(model, positives, found, similarities, units, seeded(5))
    assert torch.equal(a.images, b.images)
    one, other = random_edits(model, positives, found, seeded(5)), random_edits(model, positives, found, seeded(6))
    assert not torch.equal(one.images, other.images)
    # What is taken from the generator does not depend on what the images needed.
    left, right = seeded(5), seeded(5)
    random_edits(model, positives, found, left, max_retries=4)
    cluster_edits(model, positives, found, similarities, units, right, max_retries=4)
    assert torch.equal(left.get_state(), right.get_state())


@pytest.mark.parametrize("kind", ["random", "cluster"])
def test_two_ranks_edit_as_one_does(model, pairs, kind):
    positives, found, similarities, units = pairs

    def edit(rows, share):
        part = generate(model, positives.latents[rows], ["layer3", "layer4"])
        cells = heat(found.values[rows][..., None])
        if kind == "random":
            return random_edits(model, part, cells, seeded(2), max_retries=5, share=share)
        return cluster_edits(model, part, cells, similarities[rows], units, seeded(2), max_retries=5, share=share)

    whole = edit(slice(0, 6), None)
    for first in (0, 2, 4):
        part = edit(slice(first, first + 2), Share(first, 6))
        torch.testing.assert_close(part.images, whole.images[first : first + 2])
        assert torch.equal(part.retries, whole.retries[first : first + 2])
        assert torch.equal(part.clusters, whole.clusters[first : first + 2])


def test_at_the_last_layer_nothing_outside_the_region_changes(model, pairs):
    positives, found, *_ = pairs
    last = generate(model, positives.latents, ["layer6"])
    result = random_edits(model, last, found, seeded(), max_retries=0)
    outside = ~resized_region(result.masks, 16)
    same = (result.images == last.images).all(1)
    assert same[outside].all()
    assert not same[~outside].all()


def test_no_hook_is_left_behind(model, pairs):
    positives, found, similarities, units = pairs

    def hooks():
        return sum(len(layer._forward_hooks) for layer in model.modules())

    cluster_edits(model, positives, found, similarities, units, seeded())
    assert hooks() == 0
    with pytest.raises(MaskError):
        regenerate(model, positives, found.values > 0, {"layer3": torch.ones(BATCH, 4, dtype=torch.bool)})
    assert hooks() == 0
    torch.testing.assert_close(model(positives.latents), positives.images)


def test_features_are_normalised_before_they_are_compared(pairs):
    _, found, *_ = pairs
    features = torch.randn(BATCH, 4, 8, 8, generator=seeded())
    centroids, mean, std = torch.rand(2, 4), torch.rand(4), torch.rand(4)
    picked = at_peaks(features, found.peaks)
    for i, (row, column, _) in enumerate(found.peaks.tolist()):
        assert torch.equal(picked[i], features[i, :, row, column])
    expected = torch.stack([((f - mean) / (std + 1e-8) * centroids).sum(1) for f in picked])
    torch.testing.assert_close(cluster_similarities(picked, centroids, mean, std), expected)


def test_errors_are_named(model, pairs):
    positives, found, similarities, units = pairs
    with pytest.raises(LayerNameError, match=r"layer9.*layer1, layer2, layer3, layer4, layer5, layer6"):
        generate(model, positives.latents, ["layer9"])
    with pytest.raises(EditingError, match=r"no layer to edit.*layers: \[layer4\]"):
        random_edits(model, generate(model, positives.latents), found, seeded())
    with pytest.raises(EditingError, match="max_retries is -1"):
        random_edits(model, positives, found, seeded(), max_retries=-1)
    with pytest.raises(EditingError, match="one heat map for each of 6 latents, got 6 and 2"):
        random_edits(model, positives, heat(torch.rand(2, 8, 8, 5)), seeded())
    with pytest.raises(EditingError, match=r"no unit rankings of \['layer4'\], only of \['layer3'\]"):
        cluster_edits(model, positives, found, similarities, {"layer3": units["layer3"]}, seeded())
    with pytest.raises(EditingError, match=r"shape \(3, 16\), expected a row of units for each of 5 clusters"):
        cluster_edits(model, positives, found, torch.rand(BATCH, 5), units, seeded())
    with pytest.raises(EditingError, match="name unit 99, but the layer has 16 units"):
        cluster_edits(model, positives, found, similarities, units | {"layer4": units["layer4"] * 0 + 99}, seeded())
    with pytest.raises(EditingError, match=r"have 8 feature units .* features 4: they are another model's"):
        cluster_similarities(torch.rand(2, 4), torch.rand(3, 8), torch.rand(8), torch.rand(8))


def test_the_probability_of_units_rises_where_the_bar_does_not_fall(model, pairs, monkeypatch):
    """surisdi/learning-by-drawing experiments.py: p = 0.4; after each attempt p += 0.05, or the change threshold falls
    by 0.01.
    """
    positives, found, *_ = pairs
    seen, falls = [], torch.rand(9, BATCH, 1, generator=seeded(3))

    class Drawn:
        """Units with the numbers 0.41, 0.46, ... and the falls above."""

        def __init__(self, *_):
            pass

        def attempt(self, number):
            return lambda n: falls[number] if n == 1 else (0.41 + 0.05 * torch.arange(n)).expand(BATCH, n)

    def spy(model, positives, found, propose, *_):
        seen.extend(propose(attempt, torch.arange(BATCH)) for attempt in range(9))

    monkeypatch.setattr(editing, "_Draws", Drawn)
    monkeypatch.setattr(editing, "regenerate_until", spy)
    random_edits(model, positives, found, seeded(), probability=0.4, probability_step=0.05)
    for row in range(BATCH):
        p, needed = 0.4, 0.95
        for attempt, proposal in enumerate(seen):
            for units in proposal.units.values():
                assert int(units[row].sum()) == min(round((p - 0.4) / 0.05), units.shape[1])
            if float(falls[attempt, row]) >= 0.2:
                p += 0.05
            else:
                needed -= 0.01
            assert float(proposal.threshold[row]) == pytest.approx(needed, abs=1e-5)

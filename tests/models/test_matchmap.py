import pytest
import torch

from models import maxdot
from models.matchmap import MatchmapError, aligned_similarity, matchmaps, max_of_mean, similarity

KINDS = ("MISA", "SISA", "SIMA", "pooled")
PUBLISHED = {"MISA": "S_MISA", "SISA": "S_SISA", "SIMA": "S_SIMA", "pooled": "S_pooldot"}


def maps(images=4, captions=5, channels=6, height=3, width=2, frames=7, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(images, channels, height, width, generator=generator, dtype=dtype)
    speech = torch.randn(captions, channels, frames, generator=generator, dtype=dtype)
    return image, speech


def slow_similarity(image, speech, nframes, kind, measure):
    """One pair and one position at a time, straight from the definitions."""
    result = torch.zeros(len(image), len(speech), dtype=image.dtype)
    for i, one_map in enumerate(image):
        for j, sequence in enumerate(speech):
            frames = int(nframes[j])
            points = [one_map[:, h, w] for h in range(one_map.shape[1]) for w in range(one_map.shape[2])]
            steps = [sequence[:, t] for t in range(frames)]
            if kind == "pooled":
                a, b = sum(points) / len(points), sum(steps) / len(steps)
                result[i, j] = a @ b / (a.norm() * b.norm() if measure == "cosine" else 1)
                continue
            if measure == "cosine":
                points, steps = [p / p.norm() for p in points], [s / s.norm() for s in steps]
            table = [[float(p @ s) for s in steps] for p in points]
            if kind == "MISA":
                values = [max(row[t] for row in table) for t in range(frames)]
            elif kind == "SIMA":
                values = [max(row) for row in table]
            else:
                values = [value for row in table for value in row]
            result[i, j] = sum(values) / len(values)
    return result


@pytest.mark.parametrize("measure", ["dot", "cosine"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_pairs_match_the_definition(kind, measure):
    image, speech = maps()
    nframes = torch.tensor([7, 1, 3, 5, 2])
    expected = slow_similarity(image, speech, nframes, kind, measure)
    torch.testing.assert_close(similarity(image, speech, nframes, kind, measure), expected)
    diagonal = aligned_similarity(image, speech[:4], nframes[:4], kind, measure)
    torch.testing.assert_close(diagonal, expected[:, :4].diagonal())


def test_matchmap_by_hand():
    image = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])  # position 0 is (1, 0), position 1 is (0, 2)
    speech = torch.tensor([[[3.0, 1.0, 0.0], [1.0, 1.0, 5.0]]])  # frames (3, 1), (1, 1), (0, 5)
    table = torch.tensor([[[[3.0, 1.0, 0.0], [2.0, 2.0, 10.0]]]])
    assert torch.equal(matchmaps(image, speech), table)
    assert similarity(image, speech).item() == pytest.approx((3 + 2 + 10) / 3)
    assert similarity(image, speech, torch.tensor([2])).item() == pytest.approx((3 + 2) / 2)
    assert similarity(image, speech, torch.tensor([2]), "SIMA").item() == pytest.approx((3 + 2) / 2)
    assert similarity(image, speech, kind="SIMA").item() == pytest.approx((3 + 10) / 2)
    assert similarity(image, speech, kind="SISA").item() == pytest.approx(18 / 6)
    assert similarity(image, speech, kind="pooled").item() == pytest.approx(18 / 6)


@pytest.mark.parametrize("budget_mb", [512, 1e-4])
@pytest.mark.parametrize("kind", KINDS)
def test_published_similarities_and_gradients(published, kind, budget_mb):
    image = published["image_outputs"].requires_grad_()
    speech = published["audio_outputs"].requires_grad_()
    result = similarity(image, speech.squeeze(2), published["nframes"], kind, budget_mb=budget_mb)
    (result * published["grad_S"]).sum().backward()
    name = PUBLISHED[kind]
    for actual, expected in (
        (result.detach(), published[name]),
        (image.grad, published[f"{name}.grad_image"]),
        (speech.grad, published[f"{name}.grad_audio"]),
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("measure", ["dot", "cosine"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_against_finite_differences(kind, measure):
    image, speech = (tensor.requires_grad_() for tensor in maps(3, 3, 4, 2, 2, 4))
    nframes = torch.tensor([4, 1, 3])

    def both(image, speech):
        everything = similarity(image, speech, nframes, kind, measure)
        return everything, aligned_similarity(image, speech, nframes, kind, measure)

    assert torch.autograd.gradcheck(both, (image, speech))


@pytest.mark.parametrize("kind", ["MISA", "SIMA"])
def test_the_budget_changes_nothing_but_memory(kind, monkeypatch):
    sizes = []
    products = maxdot._products
    monkeypatch.setattr(
        maxdot, "_products", lambda r, p, b: sizes.append(len(r) * p[..., 0].numel()) or products(r, p, b)
    )
    outcomes = []
    for budget_mb in (512, 0.02, 1e-6):
        image, speech = (tensor.requires_grad_() for tensor in maps(9, 11, seed=3))
        nframes = torch.arange(11) % 7 + 1
        result = similarity(image, speech, nframes, kind, budget_mb=budget_mb)
        (result**2).sum().backward()
        outcomes.append((len(sizes), max(sizes), result.detach(), image.grad, speech.grad))
        sizes.clear()
    counts, largest, *_ = zip(*outcomes, strict=True)
    assert counts[0] < counts[1] < counts[2]
    assert largest[0] > largest[1] > largest[2]
    assert largest[1] * 8 < 0.02 * 2**20
    for other in outcomes[1:]:
        for expected, actual in zip(outcomes[0][2:], other[2:], strict=True):
            torch.testing.assert_close(actual, expected)


def test_padding_has_no_influence():
    image, speech = maps()
    nframes = torch.tensor([2, 3, 1, 7, 4])
    loud = speech.clone()
    for row, frames in enumerate(nframes.tolist()):
        loud[row, :, frames:] = 1e6
    for kind in KINDS:
        expected = similarity(image, speech, nframes, kind)
        loud.requires_grad_()
        actual = similarity(image, loud, nframes, kind)
        assert torch.equal(actual.detach(), expected)
        (grad,) = torch.autograd.grad(actual.sum(), loud)
        assert all(not grad[row, :, frames:].any() for row, frames in enumerate(nframes.tolist()))


@pytest.mark.parametrize("kind", KINDS)
def test_captions_without_frames(kind):
    image, speech = maps()
    empty, one = torch.tensor([0, 2, 0, 3, 7]), torch.tensor([1, 2, 1, 3, 7])
    assert torch.equal(similarity(image, speech, empty, kind), similarity(image, speech, one, kind))
    result = similarity(image, speech, empty, kind, min_frames=0)
    assert result[:, [0, 2]].isnan().all()
    assert torch.equal(result[:, [1, 3, 4]], similarity(image, speech, one, kind)[:, [1, 3, 4]])
    aligned = aligned_similarity(image, speech[:4], empty[:4], kind, min_frames=0)
    assert aligned.isnan().tolist() == [True, False, True, False]
    many = torch.full((5,), 99)
    assert torch.equal(similarity(image, speech, many, kind), similarity(image, speech, None, kind))


def test_among_equal_maxima_the_published_position_gets_the_gradient():
    image = torch.ones(1, 2, 2, 3, requires_grad=True)  # all six positions are equal
    speech = torch.ones(1, 2, 4)
    for function in (similarity, aligned_similarity):
        (grad,) = torch.autograd.grad(function(image, speech).sum(), image)
        assert torch.equal(grad.sum(1)[0], torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    # Rows 1 and columns 1, 2 tie with row 0, column 2: the published code takes the first column.
    with torch.no_grad():
        image[:, :, 0, :2] = 0
        image[:, :, 1, 0] = 0
    (grad,) = torch.autograd.grad(similarity(image, speech).sum(), image)
    assert torch.equal(grad.sum(1)[0], torch.tensor([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))


def test_half_precision_products_keep_exact_sums():
    image, speech = maps(6, 6, 32, dtype=torch.float32)
    exact = similarity(image, speech)
    for result in (
        similarity(image, speech, dtype=torch.bfloat16),
        similarity(image.bfloat16(), speech.bfloat16()),
        similarity(image.bfloat16(), speech.bfloat16(), kind="SISA") - similarity(image, speech, kind="SISA") + exact,
    ):
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, exact, rtol=0.05, atol=0.1)
    half = image.bfloat16().requires_grad_()
    similarity(half, speech.bfloat16()).sum().backward()
    assert half.grad.dtype == torch.bfloat16
    assert half.grad.isfinite().all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(similarity(image, speech), exact)


def test_one_pair_and_no_pair():
    image, speech = maps(1, 1)
    assert similarity(image, speech).shape == (1, 1)
    image, speech = maps(0, 3)
    image.requires_grad_()
    result = similarity(image, speech)
    assert result.shape == (0, 3)
    result.sum().backward()
    assert image.grad.shape == image.shape


@pytest.mark.parametrize(
    ("image", "speech", "options", "message"),
    [
        ((2, 4, 3), (2, 4, 5), {}, "Expected image maps"),
        ((2, 4, 3, 3), (2, 4, 1, 5), {}, "Expected image maps"),
        ((2, 4, 3, 3), (2, 5, 5), {}, "4 channels, speech maps 5"),
        ((2, 4, 0, 3), (2, 4, 5), {}, "at least one channel, position and frame"),
        ((2, 4, 3, 3), (2, 4, 5), {"nframes": torch.ones(3)}, "one value per spoken caption"),
        ((2, 4, 3, 3), (2, 4, 5), {"kind": "MIMA"}, "Unknown similarity 'MIMA'"),
        ((2, 4, 3, 3), (2, 4, 5), {"measure": "l2"}, "Unknown similarity 'MISA' with 'l2'"),
    ],
)
def test_errors_say_what_is_wrong(image, speech, options, message):
    for function in (similarity, aligned_similarity):
        with pytest.raises(MatchmapError, match=message):
            function(torch.ones(image), torch.ones(speech), **options)


def test_aligned_pairs_must_be_pairs():
    for function in (matchmaps, aligned_similarity):
        with pytest.raises(MatchmapError, match="got 2 and 3"):
            function(*maps(2, 3))


@pytest.mark.parametrize("nframes", [[1, 3, 7, 128, 2], None])
def test_maximum_over_the_image_of_the_mean_over_time(nframes):
    """As surisdi/learning-by-drawing experiments.py, whose slices end with the map where a caption has more frames."""
    image, speech = maps()
    found = max_of_mean(image, speech, None if nframes is None else torch.tensor(nframes))
    for column, sequence in enumerate(speech):
        frames = 7 if nframes is None else nframes[column]
        matchmap = torch.matmul(image.permute(0, 2, 3, 1), sequence)
        values = matchmap[..., 0:frames].mean(3).max(2).values.max(1).values
        torch.testing.assert_close(found[:, column], values)
    with pytest.raises(MatchmapError, match="they must agree"):
        max_of_mean(image[:, :2], speech)

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from gan.directions.distillation import DistillationError, distil, distil_by_class, ridge, words_of

TEXTS = [["more red", "Red, and a tree"], ["less sky"], [], ["tree", "a red sky"], ["tree-like  don't"], ["sky"]]


@pytest.fixture
def directions():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def test_the_published_closed_form(directions):
    """E = (W^T W + penalty I)^-1 W^T D with a row for each annotation, written out here."""
    found = distil(directions, TEXTS, penalty=3.0)
    assert found.words == ["red", "sky", "a", "tree"]  # by count, then alphabet; words of one annotation are left out
    assert found.counts == [3, 3, 2, 2]
    rows = [0, 0, 1, 3, 3, 4, 5]
    W = np.array(
        [[1, 0, 0, 0], [1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=float
    )
    D = directions.double().numpy()[rows]
    expected = np.linalg.inv(W.T @ W + 3 * np.eye(4)) @ W.T @ D
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.vectors, Ridge(3.0, fit_intercept=False).fit(W, D).coef_.T, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.direction("sky"), found.vectors[1])
    assert (found.penalty, found.errors) == (3.0, {})


def test_cross_validation_holds_out_whole_directions(directions):
    """A slow loop over folds as oracle."""
    found = distil(directions, TEXTS, penalty=(0.5, 5.0), min_count=1, folds=5, seed=2)
    assert list(found.errors) == [0.5, 5.0]
    texts = [(owner, words_of(text)) for owner, every in enumerate(TEXTS) for text in every]
    W = torch.tensor([[float(word in words) for word in found.words] for _, words in texts], dtype=torch.float64)
    D = directions.double()[[owner for owner, _ in texts]]
    for penalty, error in found.errors.items():
        total = 0.0
        for held in (0, 1, 3, 4, 5):  # five directions in five folds, whichever is in which
            rest = torch.tensor([owner != held for owner, _ in texts])
            total += (W[~rest] @ ridge(W[rest], D[rest], penalty) - D[~rest]).square().sum().item()
        assert error == pytest.approx(total / D.numel())
    assert found.penalty == min(found.errors, key=found.errors.get)


def test_words_that_moved_the_latent_are_found_again():
    source = torch.Generator().manual_seed(0)
    truth = torch.randn(3, 8, generator=source)
    names = ["red", "big", "far"]
    used = torch.rand(60, 3, generator=source) < 0.5
    texts = [[" ".join(name for name, on in zip(names, row, strict=True) if on)] for row in used]
    noise = 0.1 * torch.randn(60, 8, generator=source)
    found = distil(used.float() @ truth + noise, texts)
    assert found.penalty == 0.1  # the smallest
    for name, vector in zip(names, truth, strict=True):
        assert torch.cosine_similarity(found.direction(name), vector, dim=0) > 0.99


def test_each_class_and_all(directions):
    classes = ["lake", "lake", "lake", "cottage", "cottage", "cottage"]
    found = distil_by_class(directions, TEXTS, classes, penalty=1.0, min_count=1)
    assert list(found) == ["all", "cottage", "lake"]
    torch.testing.assert_close(found["lake"].vectors, distil(directions[:3], TEXTS[:3], 1.0, min_count=1).vectors)
    with pytest.raises(DistillationError, match="class 'cottage': no word appears in 3 of 4 annotations"):
        distil_by_class(directions, TEXTS, classes, penalty=1.0, min_count=3)


def test_words_are_split():
    assert words_of("Tree-like, DON'T 3 x_y über!") == ["tree-like", "don't", "x", "y", "über"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ds: distil(ds, TEXTS[:5]), "found 6 directions and 5 lists of annotations"),
        (lambda ds: distil(ds, [[]] * 6), "no word appears in 2 of 0 annotations; lower min_count"),
        (lambda ds: distil(ds, TEXTS, penalty=0), "found penalties .*, expected values above 0"),
        (lambda ds: distil(ds, TEXTS, folds=6), "5 annotated directions cannot be parted into 6 folds"),
        (lambda ds: distil(ds, TEXTS, 1.0).direction("sea"), "there is no direction of 'sea' among 4 words; try "),
        (lambda ds: distil_by_class(ds, TEXTS, ["a"]), "found 6 directions and 1 classes"),
        (lambda ds: distil_by_class(ds, TEXTS, ["all"] * 6), "a class is called 'all'"),
    ],
)
def test_what_cannot_be_distilled(directions, call, message):
    with pytest.raises(DistillationError, match=message):
        call(directions)

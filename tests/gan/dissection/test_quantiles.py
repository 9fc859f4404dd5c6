import numpy as np
import pytest
import torch

from gan.dissection.quantiles import (
    ABSOLUTE_ERROR,
    RELATIVE_ERROR,
    QuantileError,
    StreamingQuantiles,
    sorted_positions,
    sorted_quantiles,
)

FRACTIONS = [0.0, 0.001, 0.01, 0.1, 0.37, 0.5, 0.9, 0.995, 0.999, 1.0]


def positions_of(n):
    """Positions and where the values stand, with both extremes once more: the published rule written out."""
    return np.concatenate([[0], (np.arange(n) + 0.5) / n, [1]])


def oracle(values, fractions):
    order = np.sort(values, kind="stable")
    return np.interp(fractions, positions_of(len(order)), np.concatenate([order[:1], order, order[-1:]]))


def inverse(values, wanted):
    order = np.sort(values, kind="stable")
    return np.interp(wanted, np.concatenate([order[:1], order, order[-1:]]), positions_of(len(order)))


def pieces(units=3, n=1000, seed=0):
    """Values of leaky units, many of them equal or zero, in pieces of other sizes."""
    values = torch.randn(n, units, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 30.0, 1e-3])
    values[:, 0] = torch.where(values[:, 0] < 0, 0.2 * values[:, 0], values[:, 0])
    values[: n // 4, 1] = 0
    return values, values.split([n // 7, n // 3, n - n // 7 - n // 3])


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_exact_while_values_fit(device):
    values, parts = pieces()
    stream = StreamingQuantiles(3, capacity=1000, device=device)
    for part in parts:
        stream.add(part)
    assert stream.exact
    found = stream.quantiles(FRACTIONS).cpu()
    for unit in range(3):
        np.testing.assert_allclose(found[unit], oracle(values[:, unit].double().numpy(), FRACTIONS), rtol=1e-6)
    wanted = torch.stack([values[:50, unit] + (0.01 if unit else 0) for unit in range(3)])
    wanted[:, -2:] = torch.tensor([-1e6, 1e6])
    for unit in range(3):
        expected = inverse(values[:, unit].double().numpy(), wanted[unit].double().numpy())
        np.testing.assert_allclose(stream.positions(wanted).cpu()[unit], expected, atol=1e-9)


def test_within_the_stated_bound_beyond_the_capacity():
    values, parts = pieces(n=60_000)
    stream = StreamingQuantiles(3, capacity=1000)
    for part in parts:
        stream.add(part)
    assert not stream.exact
    found = stream.quantiles(FRACTIONS).double().numpy()
    for unit in range(3):
        expected = oracle(values[:, unit].double().numpy(), FRACTIONS)
        # neighbouring samples stand up to one place apart, so the bound holds for the values around the exact place
        near = [
            oracle(values[:, unit].double().numpy(), np.clip(np.array(FRACTIONS) + d / 60_000, 0, 1)) for d in (-1, 1)
        ]
        bound = np.maximum(RELATIVE_ERROR * np.abs(expected), ABSOLUTE_ERROR) + np.abs(near[1] - near[0])
        assert (np.abs(found[unit] - expected) <= bound).all()
        assert found[unit, 0] == np.float32(values[:, unit].min())
        assert found[unit, -1] == np.float32(values[:, unit].max())
    back = stream.positions(torch.from_numpy(found).float())
    assert (back[1:2] - torch.tensor(FRACTIONS)).abs().max() < 0.3  # a quarter of the unit's values are zero
    assert (back[0] - torch.tensor(FRACTIONS)).abs().max() < 2e-3


def test_pieces_do_not_matter_and_axes_after_the_units_are_values():
    values, parts = pieces(n=5000)
    for capacity in (100, 10_000):
        whole, split = StreamingQuantiles(3, capacity), StreamingQuantiles(3, capacity)
        whole.add(values.T.reshape(1, 3, 50, 100))
        for part in parts:
            split.add(part)
            split.add(part[:0])
        assert whole.count == split.count == 5000
        assert torch.equal(whole.quantiles(FRACTIONS), split.quantiles(FRACTIONS))


def test_values_beyond_the_bins_stay_between_the_extremes():
    stream = StreamingQuantiles(1, capacity=1)
    stream.add(torch.tensor([-1e9, -1e-9, 0.0, 1e-9, 1e9])[:, None])
    found = stream.quantiles([0, 0.5, 1])[0]
    assert found[0] == -1e9
    assert abs(found[1]) <= ABSOLUTE_ERROR
    assert found[2] == 1e9


def test_one_value_and_equal_values():
    ordered = torch.full((1, 4), 2.0)
    assert sorted_quantiles(ordered, torch.tensor([0.0, 0.3, 1.0])).tolist() == [[2.0, 2.0, 2.0]]
    assert sorted_positions(ordered, torch.tensor([[1.9, 2.0, 2.1]])).tolist() == [[0.0, 1.0, 1.0]]
    assert sorted_positions(ordered[:, :1], torch.tensor([[1.9, 2.0, 2.1]])).tolist() == [[0.0, 1.0, 1.0]]


def test_bad_input():
    stream = StreamingQuantiles(2)
    with pytest.raises(QuantileError, match="no values were added"):
        stream.quantiles([0.5])
    with pytest.raises(QuantileError, match=r"shape \(4, 3\); expected \(N, 2"):
        stream.add(torch.zeros(4, 3))
    with pytest.raises(QuantileError, match=r"units \[1\] are not finite"):
        stream.add(torch.tensor([[0.0, float("nan")]]))
    stream.add(torch.zeros(4, 2))
    with pytest.raises(QuantileError, match="expected numbers from 0 to 1"):
        stream.quantiles([1.5])
    with pytest.raises(QuantileError, match="at least 1"):
        StreamingQuantiles(0)

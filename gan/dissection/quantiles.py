"""Quantiles of many units at once: exact while they fit, then with a fixed bound, in memory that does not grow.

Positions are those of the published code (``netdissect/runningstats.py`` of CSAILVision/gandissect): of n sorted values
the i-th (from 0) stands at (i + 1/2) / n, the extremes at 0 and 1, straight lines between them. Unlike its randomised
sketch, whose thresholds change from run to run, nothing here is random. Shape letters: U units, N values, Q quantiles.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from common.errors import UserError

BITS = 9  # of the mantissa that a bin keeps
EXPONENT = 14  # bins reach from 2^-14 to 2^14 on either side of zero
BINS_PER_SIGN = 2 * EXPONENT << BITS
BINS = 2 * BINS_PER_SIGN + 1
RELATIVE_ERROR = 2.0**-BITS
ABSOLUTE_ERROR = 2.0**-EXPONENT


class QuantileError(UserError):
    """Values of which no quantiles can be taken."""


def sorted_quantiles(ordered: Tensor, fractions: Tensor) -> Tensor:
    """Return quantiles (U, Q) of values (U, N) in ascending order, at fractions (Q,) in 0-1."""
    n = ordered.shape[1]
    at = (fractions.to(ordered.device, torch.float64) * n - 0.5).clamp(0, n - 1)
    below = at.floor().long()
    low, high = ordered[:, below].double(), ordered[:, (below + 1).clamp(max=n - 1)].double()
    return (low + (high - low) * (at - below)).to(ordered.dtype)


def sorted_positions(ordered: Tensor, values: Tensor) -> Tensor:
    """Return the fraction (U, Q) float64 in 0-1 at which values (U, Q) stand: the inverse of :func:`sorted_quantiles`.

    Of equal values the last counts.
    """
    n = ordered.shape[1]
    count = torch.searchsorted(ordered.contiguous(), values.contiguous(), right=True)
    low = ordered.gather(1, (count - 1).clamp(min=0)).double()
    high = ordered.gather(1, count.clamp(max=n - 1)).double()
    inside = (values.double() - low) / (high - low)
    position = (count - 0.5 + inside) / n
    return torch.where(count == 0, 0.0, torch.where(count == n, 1.0, position))


class StreamingQuantiles:
    """Take quantiles of the values of U units that arrive in pieces.

    Up to ``capacity`` values of each unit are kept and everything is exact. Beyond, they are counted in bins of the
    floating point numbers themselves (sign, exponent and nine bits): a quantile is then off by at most 2^-9 (0.2 %) of
    its value or by 2^-14, whichever is more, for values below 2^14; counts, smallest and largest stay exact. Memory for
    each unit: at most 4 * capacity bytes, then 112 KiB. Raises QuantileError where ``units`` or ``capacity`` is below
    1.
    """

    def __init__(self, units: int, capacity: int = 2**16, device: torch.device | str = "cpu") -> None:
        if units < 1 or capacity < 1:
            raise QuantileError(f"{units} units and a capacity of {capacity}; expected at least 1 of each")
        self.units, self.capacity, self.device = units, capacity, torch.device(device)
        self.count = 0
        self._kept: list[Tensor] = []
        self._bins: Tensor | None = None
        self._low = torch.full((units,), float("inf"), device=self.device)
        self._high = torch.full((units,), -float("inf"), device=self.device)

    @property
    def exact(self) -> bool:
        """Return whether results are exact so far."""
        return self._bins is None

    def add(self, values: Tensor) -> None:
        """Take in values (N, U), or (N, U, ...) where all further axes count as values.

        Raises QuantileError for another number of units, or values that are not finite.
        """
        if values.dim() < 2 or values.shape[1] != self.units:
            raise QuantileError(f"values of shape {tuple(values.shape)}; expected (N, {self.units}, ...), units second")
        flat = values.detach().to(self.device, torch.float32).transpose(0, 1).reshape(self.units, -1)
        if not torch.isfinite(flat).all():
            units = (~torch.isfinite(flat)).any(1).nonzero().flatten().tolist()
            raise QuantileError(f"values of units {units[:5]} are not finite; expected numbers (check the network)")
        if flat.shape[1] == 0:
            return
        self.count += flat.shape[1]
        self._low = torch.minimum(self._low, flat.amin(1))
        self._high = torch.maximum(self._high, flat.amax(1))
        if self._bins is None and self.count <= self.capacity:
            self._kept.append(flat.clone())
            return
        if self._bins is None:
            self._bins = torch.zeros(self.units, BINS, dtype=torch.int32, device=self.device)
            for kept in self._kept:
                self._tally(kept)
            self._kept.clear()
        self._tally(flat)

    def quantiles(self, fractions: Tensor | Sequence[float]) -> Tensor:
        """Return values (U, Q) float32 below which these fractions (Q,) in 0-1 lie.

        Raises QuantileError where nothing was added, or for fractions outside 0-1.
        """
        self._check()
        wanted = torch.as_tensor(fractions, dtype=torch.float64, device=self.device)
        if ((wanted < 0) | (wanted > 1)).any():
            raise QuantileError(f"fractions {wanted.tolist()}; expected numbers from 0 to 1")
        if self._bins is None:
            return sorted_quantiles(self._sorted(), wanted)
        rank = (wanted * self.count).expand(self.units, -1).contiguous()
        upto = self._bins.cumsum(1).double()  # summed as integers: exact, and repeatable on GPUs
        bins = torch.searchsorted(upto, rank).clamp(max=BINS - 1)
        held = self._bins.gather(1, bins).double()
        inside = (rank - (upto.gather(1, bins) - held)) / held.clamp(min=1)
        low, high = _edges(bins)
        value = low + (high - low) * inside.clamp(0, 1)
        least, most = self._low[:, None].double(), self._high[:, None].double()
        value = torch.where(wanted <= 0, least, torch.where(wanted >= 1, most, value))
        return value.clamp(least, most).float()

    def positions(self, values: Tensor) -> Tensor:
        """Return the fraction (U, Q) float64 in 0-1 at which values (U, Q) stand.

        Raises QuantileError where nothing was added.
        """
        self._check()
        values = values.to(self.device, torch.float32)
        if self._bins is None:
            return sorted_positions(self._sorted(), values)
        bins = _bins(values)
        held = self._bins.gather(1, bins).double()
        low, high = _edges(bins)
        inside = ((values.double() - low) / (high - low)).clamp(0, 1)
        position = (self._bins.cumsum(1).gather(1, bins) - held * (1 - inside)) / self.count
        position = torch.where(values >= self._high[:, None], 1.0, position)
        return torch.where(values < self._low[:, None], 0.0, position)

    def _check(self) -> None:
        if not self.count:
            raise QuantileError("no values were added, so that there are no quantiles; add some first")

    def _sorted(self) -> Tensor:
        self._kept = [torch.cat(self._kept, 1).sort(1).values]
        return self._kept[0]

    def _tally(self, flat: Tensor) -> None:
        rows = torch.arange(self.units, device=self.device)[:, None] * BINS
        for part in flat.split(max(1, 2**22 // self.units), 1):
            index = (_bins(part) + rows).flatten()
            self._bins.view(-1).index_add_(0, index, torch.ones_like(index, dtype=torch.int32))


def _bins(values: Tensor) -> Tensor:
    """Return the number of each value's bin, which rises with the values.

    The middle one holds zero, each next one 2^-9 more.
    """
    magnitude = values.contiguous().view(torch.int32) & 0x7FFFFFFF
    first = (127 - EXPONENT) << BITS
    step = ((magnitude >> (23 - BITS)) - first + 1).clamp(0, BINS_PER_SIGN).long()
    return BINS_PER_SIGN + torch.where(values < 0, -step, step)


def _edges(bins: Tensor) -> tuple[Tensor, Tensor]:
    """Return lower and upper edge of bins, float64."""
    number = bins - BINS_PER_SIGN

    def edge(step: Tensor) -> Tensor:  # where the step-th bin away from zero begins
        whole = torch.div(step - 1, 1 << BITS, rounding_mode="floor")
        size = torch.exp2((whole - EXPONENT).double()) * (1 + ((step - 1) - (whole << BITS)).double() / (1 << BITS))
        return size.where(step > 0, torch.zeros_like(size))

    near, far = edge(number.abs()), edge(number.abs() + 1)
    low = torch.where(number < 0, -far, near.where(number > 0, -far))
    return low, torch.where(number < 0, -near, far)

"""Findings: means and spread over seeds, when a word counts as a cause, and what is kept in a file."""

import json
import math

import pytest

from tasks.concepts.finding import Finding, Fit, finding_of, plain

NAN = float("nan")


def finding(effect, control):
    return Finding("code 3 of quant2", Fit(0.8, NAN), effect, control, 12)


def test_means_and_spread_leave_out_seeds_without_cases():
    one = finding([0.2, NAN, 0.6], [0.1, NAN, 0.1])
    assert one.mean == pytest.approx(0.4)
    assert one.spread == pytest.approx(0.2 * math.sqrt(2))
    assert (one.control_mean, one.control_spread) == (pytest.approx(0.1), pytest.approx(0))
    assert math.isnan(finding([NAN], [NAN]).mean)
    assert math.isnan(finding([0.5], [0.5]).spread)


@pytest.mark.parametrize(
    ("effect", "control", "causes"),
    [
        ([0.5, 0.6], [0.1, 0.2], True),
        ([0.5, 0.1], [0.1, 0.2], False),  # not in every seed
        ([0.5, 0.5], [0.3, 0.3], False),  # not twice
        ([0.5, NAN], [0.1, NAN], True),
        ([NAN], [NAN], False),
    ],
)
def test_a_cause_is_above_its_control_in_every_seed_and_twice_as_large(effect, control, causes):
    assert finding(effect, control).causes is causes


def test_what_is_kept_is_read_again():
    kept = json.loads(json.dumps(plain(finding([0.5, NAN], [0.25, 0.0])), allow_nan=False))
    again = finding_of(kept)
    assert (again.what, again.fit.value, again.cases) == ("code 3 of quant2", 0.8, 12)
    assert math.isnan(again.fit.chance)
    assert again.mean == 0.5
    assert list(again.control) == [0.25, 0.0]

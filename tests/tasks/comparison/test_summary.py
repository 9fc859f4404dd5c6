"""Tables of a comparison: means and spreads by hand, the best in bold, nothing made up for what is missing."""

import math

import pytest

from tasks.comparison.summary import Column, Measured, as_csv, as_markdown, summarise

VALUES = [
    Measured("plain", 0, "recall", 0.5),
    Measured("plain", 2, "recall", 0.7),
    Measured("drawn", 0, "recall", 0.9),
    Measured("plain", 0, "colour", 0.25),
]


def test_mean_and_spread_over_seeds():
    summaries = summarise(VALUES)
    assert list(summaries) == ["plain", "drawn"]
    found = summaries["plain"]["recall"]
    assert found.mean == pytest.approx(0.6)
    assert found.spread == pytest.approx(math.sqrt(0.02))
    assert found.values == {0: 0.5, 2: 0.7}
    assert math.isnan(summaries["drawn"]["recall"].spread)


def test_a_later_value_of_the_same_run_counts():
    assert summarise([*VALUES, Measured("plain", 2, "recall", 0.9)])["plain"]["recall"].mean == pytest.approx(0.7)


def test_markdown():
    text = as_markdown(summarise(VALUES), {"recall": Column("r", 0.02), "colour": Column("c")})
    assert text.splitlines() == [
        "|  | plain | drawn | chance |",
        "| --- | --- | --- | --- |",
        "| recall | 0.600 ± 0.141 | 0.900 (1 of 2 seeds) | 0.020 |",
        "| colour | 0.250 (1 of 2 seeds) |  |  |",
    ]


def test_the_best_of_those_that_have_all_seeds():
    summaries = summarise([*VALUES, Measured("drawn", 2, "recall", 0.8)])
    for best, row in (
        ("highest", "| 0.600 ± 0.141 | **0.850 ± 0.071** |"),
        ("lowest", "| **0.600 ± 0.141** | 0.850 ± 0.071 |"),
        ("none", "| 0.600 ± 0.141 | 0.850 ± 0.071 |"),
    ):
        text = as_markdown(summaries, {"recall": Column("r", best=best)})
        assert text.splitlines()[2] == f"| recall {row}  |"


def test_csv_has_every_value():
    assert as_csv(VALUES).splitlines() == [
        "training,seed,column,value",
        "plain,0,recall,0.5",
        "plain,2,recall,0.7",
        "drawn,0,recall,0.9",
        "plain,0,colour,0.25",
    ]


def test_small_and_large_values_have_digits_that_tell_something():
    values = [Measured("a", 0, "error", 0.00374), Measured("a", 0, "bits", 346.2), Measured("a", 0, "share", 0.9)]
    text = as_markdown(summarise(values), {name: Column(name) for name in ("error", "bits", "share")})
    assert "| error | 0.0037 |" in text
    assert "| bits | 346 |" in text
    assert "| share | 0.900 |" in text

"""The page of the table of concepts, by its text."""

from evaluation.report.concepts import Cell, concepts_html

NAN = float("nan")


def test_each_cell_says_what_it_is_and_what_it_causes():
    parts = [("code", "F1", "lead lost", "How it was done & counted."), ("units", "IoU", "vanishes", "Otherwise.")]
    red = Cell("code <5>", 0.9, NAN, (1.2, 0.1), (-0.05, NAN), 7, True)
    html = concepts_html(parts, {"red": ("colour", [red, None])}, 3)
    assert "over 3 seeds" in html
    assert "code &lt;5&gt; <span" in html  # with its mark
    assert "F1 0.90 (chance –); 7 cases" in html
    assert "120 ± 10 %" in html
    assert "<b>-5 %</b>" in html
    assert html.count("width:100%") == 1  # bars end at 0 and 1
    assert html.count("width:0%") == 1
    assert "<td>–</td>" in html
    assert "How it was done &amp; counted." in html

"""Figures of similarities: what is drawn is what was given."""

import numpy as np

from evaluation.report.similarity_plots import confusions, densities, figure_html, joint, png


def test_densities_integrate_to_one_and_lie_where_the_values_are():
    draws = np.random.default_rng(0)
    (axes,) = densities({"right": draws.normal(0.8, 0.05, 300), "wrong": draws.normal(0.1, 0.1, 300)}, "cosine").axes
    for line, centre in zip(axes.lines, (0.8, 0.1), strict=True):
        x, y = line.get_data()
        assert abs(np.trapezoid(y, x) - 1) < 0.02
        assert abs(x[np.argmax(y)] - centre) < 0.05
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["right", "wrong"]


def test_one_value_is_a_line():
    (axes,) = densities({"same": np.full(5, 0.3), "one": np.array([0.5])}, "cosine").axes
    assert [line.get_xdata()[0] for line in axes.lines] == [0.3, 0.5]


def test_two_measures_with_a_diagonal():
    middle, above, beside = joint(np.array([1.0, 2.0]), np.array([0.5, 4.0]), ("before", "after"), equal=True).axes
    assert middle.get_xlim() == middle.get_ylim() == (0, 4.2)
    assert middle.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 4]]
    assert sum(patch.get_height() for patch in above.patches) == 2
    assert sum(patch.get_width() for patch in beside.patches) == 2


def test_a_square_for_each_class():
    cells = np.arange(40).reshape(10, 2, 2)
    axes = confusions([f"class {number}" for number in range(10)], cells).axes
    assert len(axes) == 16
    assert [text.get_text() for text in axes[9].texts] == ["36", "37", "38", "39"]
    assert axes[9].get_title() == "class 9"
    assert not axes[10].axison


def test_html_has_an_image_and_its_text():
    figure = joint(np.zeros(1), np.zeros(1), ("a", "b"))
    assert png(figure).startswith(b"\x89PNG")
    assert "&lt;text&gt;" in figure_html(figure, "<text>")

import re

import numpy as np
import pytest

from evaluation.report import dissection as dissection_report
from evaluation.report.dissection import (
    DIM,
    EDGE,
    LABEL_LINE,
    UNIT_LINE,
    ExampleImage,
    LabelView,
    LayerView,
    UnitView,
    thumbnail,
    write_dissection_report,
)


def square(first, last, edge=8):
    mask = np.zeros((edge, edge), bool)
    mask[first:last, first:last] = True
    return mask


@pytest.fixture
def sample():
    return ExampleImage(np.full((32, 32, 3), 200, np.uint8), square(2, 6), square(4, 8))


@pytest.fixture
def layer(sample):
    units = [UnitView(7, 0.5, 0.25, [sample, sample], own=True), UnitView(3, 0.125, 1.0, [sample])]
    labels = [LabelView("red", "colour", 0.1, 1, units), LabelView("<b>", "shape", 0.0, 0, [])]
    return LayerView("layer4", 8, 1, labels)


def test_a_thumbnail_is_dim_where_the_unit_is_off(sample):
    shown = thumbnail(sample)
    cell = EDGE // 8
    assert shown.shape == (EDGE, EDGE, 3)
    assert tuple(shown[3 * cell, 3 * cell]) == (200, 200, 200)
    assert tuple(shown[cell // 2, cell // 2]) == (int(200 * DIM),) * 3
    assert tuple(shown[2 * cell, 4 * cell]) == UNIT_LINE
    assert tuple(shown[6 * cell + 2, 4 * cell]) == LABEL_LINE
    assert not (shown[-1, 6 * cell :] == LABEL_LINE).all(1).any()  # the image's border is no outline


def test_the_page_shows_layers_labels_and_units(layer, tmp_path):
    path = write_dissection_report(tmp_path / "new" / "report.html", "A & B", [layer], {"drawings": "9"}, "seed: 1\n")
    page = path.read_text(encoding="utf-8")
    assert "A &amp; B" in page
    assert "&lt;b&gt;" in page
    assert "<b></b>" not in page
    assert page.count("data:image/jpeg") == 3
    assert "unit 7: red, IoU 0.50" in page
    assert "1 of 2" in page
    assert page.count("makes another label better") == 1
    assert "seed: 1" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.index("red</strong>") < page.index("&lt;b&gt;</strong>")


def test_labels_that_do_not_fit_are_left_out_and_reported(layer, tmp_path, monkeypatch):
    whole = write_dissection_report(tmp_path / "a.html", "t", [layer]).stat().st_size
    monkeypatch.setattr(dissection_report, "LIMIT_MB", (200_000 + 2000) / 1e6)
    path = write_dissection_report(tmp_path / "b.html", "t", [layer])
    assert "Units of 1 labels left out" in path.read_text(encoding="utf-8")
    assert path.stat().st_size < whole


def test_a_layer_in_which_nothing_was_found(tmp_path):
    page = write_dissection_report(tmp_path / "c.html", "t", [LayerView("layer1", 4, 0)]).read_text(encoding="utf-8")
    assert "No unit of this layer makes a label" in page

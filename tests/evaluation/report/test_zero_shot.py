import numpy as np

from evaluation.report.zero_shot import write_zero_shot_report
from evaluation.zero_shot import SeenUnseen


def test_the_page_shows_metrics_curve_and_words(tmp_path):
    curve = SeenUnseen(np.array([-1.0, 0.0, 1.0]), np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.5, 0.9]))
    path = write_zero_shot_report(
        tmp_path / "new" / "report.html",
        title="Classes <new>",
        metrics={"accuracy": 0.625, "area_under_curve": curve.area},
        curve=curve,
        kept={"red": 1.0, "<b>": 0.5},
        silenced={"the": 0.001},
        config_yaml="entry: main.train",
    )
    page = path.read_text(encoding="utf-8")
    assert "Classes &lt;new&gt;" in page
    assert "<th>accuracy</th><td>0.625</td>" in page
    assert "curve is 0.470" in page
    assert "2 words let pass" in page
    assert "1 words silenced" not in page
    assert "1 word silenced" in page
    assert "<th>&lt;b&gt;</th><td>0.5</td>" in page
    assert "entry: main.train" in page


def test_a_generator_without_a_reducing_layer_has_no_words(tmp_path):
    curve = SeenUnseen(np.zeros(2), np.zeros(2), np.zeros(2))
    page = write_zero_shot_report(tmp_path / "report.html", "t", {}, curve, {}, {}).read_text(encoding="utf-8")
    assert "<h2>Words</h2>" not in page

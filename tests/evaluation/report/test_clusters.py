import numpy as np

from evaluation.report import clusters as clusters_report
from evaluation.report.clusters import ClusterCard, Region, Snippet, lit, write_clusters_report


def card(name="red"):
    image = np.full((64, 64, 3), 200, np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True
    snippet = Snippet(np.sin(np.arange(1600) / 5).astype(np.float32), 16000, "red", "a red <cube>")
    return ClusterCard(name, 5, [("red", 12, 3.4)], [Region(image, mask, "a red <cube>")], [snippet])


def test_the_page_holds_everything(tmp_path):
    path = write_clusters_report(tmp_path / "deep" / "clusters.html", "clusters", [card(), card("a <b>")], "50 of 60")
    page = path.read_text()
    assert page.count("data:audio/flac") == page.count("data:image/jpeg") == 2
    assert "a &lt;b&gt;" in page
    assert "red (12, 3.4×)" in page
    assert "a red &lt;cube&gt;" in page
    assert "<script" not in page
    assert "media-src data:" in page


def test_sounds_beyond_the_limit_are_left_out(tmp_path, monkeypatch):
    one = len(clusters_report.snippets_html(card().snippets))
    monkeypatch.setattr(clusters_report, "LIMIT_BYTES", one)
    page = write_clusters_report(tmp_path / "clusters.html", "clusters", [card(), card()]).read_text()
    assert page.count("<audio") == 1
    assert page.count("sounds left out") == 1


def test_no_clusters(tmp_path):
    assert "No clusters." in write_clusters_report(tmp_path / "clusters.html", "clusters", []).read_text()


def test_what_does_not_answer_is_dark():
    shown = card().regions[0]
    result = lit(shown.image_u8, shown.mask)
    assert result.shape == (120, 120, 3)
    assert (result[50, 50] == 200).all()
    assert (result[2, 2] == 84).all()
    assert (result == (255, 170, 20)).all(-1).any()

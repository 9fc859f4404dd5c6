"""The image of the README: what it shows of a matchmap, and that it can be made from any run."""

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from app.api import Matchmap
from datasets.spoken_captions.places_manifest import read_places
from scripts.readme_image import at_word, content_words, drawn, overlaid
from tests.tasks.resdavenet_vq.conftest import SMALL, write_run


def test_the_heat_of_a_word_is_its_best_frame_as_a_share_of_the_caption():
    values = np.full((1, 2, 10), -3.0, np.float32)
    values[0, 0, 4], values[0, 1, 8] = 2.0, 8.0  # frames of 0.1 s
    found = Matchmap(values, 0.1)
    assert at_word(found, (0.35, 0.5, "RED")).tolist() == [[0.25, 0.0]]
    assert at_word(found, (0.8, 0.85, "CUBE")).tolist() == [[0.0, 1.0]]
    assert at_word(found, (0.0, 0.3, "THE")).tolist() == [[0.0, 0.0]]


def test_content_words_are_shown_once():
    words = [(0.0, 0.1, "A"), (0.1, 0.2, "RED"), (0.2, 0.3, "CUBE"), (0.3, 0.4, "with"), (0.4, 0.5, "RED")]
    assert content_words(words) == [words[1], words[2]]


def test_an_image_is_darkened_where_it_is_less_similar(tmp_path):
    Image.new("RGB", (64, 64), (200, 200, 200)).save(tmp_path / "image.png")
    shown = overlaid(tmp_path / "image.png", np.array([[1.0, 0.0]]))
    assert shown.shape == (256, 256, 3)
    assert shown[128, 0, 0] == 200
    assert shown[128, 255, 0] == 50


def test_it_is_drawn_from_any_run(tmp_path, assets):
    record = read_places(assets / "formats" / "places" / "metadata.json", need="files").records[0]
    figure = drawn(write_run(tmp_path / "small", SMALL), record)
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles[1] == f"Where a test image responds to words of “{record.text}”"
    assert len(figure.subfigs[0].axes) == 8
    assert len(figure.subfigs[2].axes) == 4
    pyplot.close(figure)


@pytest.mark.parametrize("words", [[], [(0.0, 0.1, "A")]])
def test_captions_without_content_words_have_none(words):
    assert content_words(words) == []

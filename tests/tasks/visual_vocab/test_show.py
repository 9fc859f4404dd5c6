"""A concept shown, classes of images, units switched off, guidance; errors in one sentence."""

import json

import pytest
import torch
from PIL import Image

from gan.directions.directions import DirectionError
from gan.directions.files import load_vocabularies
from gan.directions.subjects import draw_images
from gan.hooks import LayerNameError
from models.segmenter.file import load_segmenter
from tasks.visual_vocab.mover import Ablation, Mover, read_units
from tests.tasks.visual_vocab.conftest import run_config


def show(folder, generator_node, vocabulary_file, *overrides, **values):
    asked = {"generator": generator_node, "vocabulary": str(vocabulary_file), "images": 3, "segmenter": None}
    return run_config(folder, "show", asked | values, *overrides)


def test_a_concept_is_shown_before_and_after(generator_node, vocabulary_file, tmp_path):
    assert show(tmp_path, generator_node, vocabulary_file) == 0
    folder = tmp_path / "show"
    assert Image.open(folder / "before_after.png").size == (3 * 16 + 2 * 2, 2 * 16 + 2)
    assert Image.open(folder / "pictures" / "concept.gif").n_frames > 1
    assert show(tmp_path, generator_node, vocabulary_file, "concept=[red, cube]", "alpha=-3", "animation=mp4") == 0
    assert (folder / "pictures" / "concept.mp4").stat().st_size > 0
    assert "red + cube" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("concept=rod", "there is no direction of 'rod' among 4 words; try red"),
        ("class=cube", "ProganGenerator has no classes; leave out the class, found 'cube'"),
        ("concept=[]", "concept"),
        ("alpha=1000", "alpha"),
    ],
)
def test_errors_are_one_sentence(override, message, generator_node, vocabulary_file, tmp_path, capsys):
    assert show(tmp_path, generator_node, vocabulary_file, override) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.fixture
def mover(small_generator, vocabulary_file):
    return Mover(small_generator, load_vocabularies(vocabulary_file)[0])


def test_words_of_a_class_go_before_those_of_all(mover):
    own, every = (mover.vocabularies[name].direction("red") for name in ("cube", "all"))
    torch.testing.assert_close(mover.direction(["red"], "cube"), own / own.norm())
    torch.testing.assert_close(mover.direction(["red"]), every / every.norm())
    blue = mover.vocabularies["all"].direction("blue")
    torch.testing.assert_close(mover.direction(["red", "blue"], "cube"), own / own.norm() + blue / blue.norm())


def test_classes_of_a_generator_without_any_are_what_the_segmenter_sees(vocabulary_file):
    from gan import shipped
    from gan.directions.distillation import Vocabulary
    from models.segmenter.objects import describe

    words = {"all": Vocabulary(["red"], torch.randn(1, 128), [1], 1.0)}
    mover = Mover(shipped.load(), words, load_segmenter())
    assert {"red", "cube", "metal", "small"} <= set(mover.classes)
    subjects = mover.subjects(2, 0, "sphere")
    for objects in describe(mover.segmenter, draw_images(mover.generator, subjects)):
        assert max(objects, key=lambda item: item.share).shape == "sphere"
    assert mover.subjects(2, 0, "sphere") is subjects  # is not searched twice
    with pytest.raises(
        DirectionError, match="there is no class 'tree'; the generator has none, and the segmenter knows"
    ):
        mover.subjects(1, 0, "tree")


def test_units_are_off_where_the_region_is(mover):
    """With every unit of the last layer off in the left half, that half no longer depends on the latent."""
    subjects = mover.subjects(2, 0)
    region = torch.zeros(16, 16, dtype=torch.bool)
    region[:, :8] = True
    before, after = mover.images(subjects, {}, Ablation("layer6", list(range(6)), region))
    torch.testing.assert_close(after[..., 8:], before[..., 8:])
    torch.testing.assert_close(after[0, ..., :8], after[1, ..., :8])
    assert (before[0, ..., :8] - before[1, ..., :8]).abs().max() > 1e-3
    again, moved = mover.images(subjects, {"red": 6.0})
    torch.testing.assert_close(again, before)  # nothing is left of the edit
    assert (moved - again).abs().max() > 1e-3
    with pytest.raises(DirectionError, match="layer 'layer6' has 6 units, 0 to 5; found 9"):
        mover.images(subjects, {}, Ablation("layer6", [9], region))


def test_units_of_a_dissection_are_read(small_generator, tmp_path):
    path = tmp_path / "units.json"
    path.write_text(json.dumps({"layer3": {"red": [3, 1]}}))
    assert read_units(path, small_generator)["layer3"]["red"] == [3, 1]
    for content, error, message in (
        ({"layer9": {"red": [1]}}, LayerNameError, "no layer 'layer9'"),
        ({"layer3": {"red": ["a"]}}, DirectionError, "holds something else than units of each label by layer"),
        ([], DirectionError, "holds something else"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(error, match=message):
            read_units(path, small_generator)
    path.write_text("{")
    with pytest.raises(DirectionError, match="is not JSON"):
        read_units(path, small_generator)
    with pytest.raises(DirectionError, match=r"run words_by_drawing/dissect\.yaml, or set units to null"):
        read_units(tmp_path / "none.json", small_generator)


def test_guidance_needs_a_generator_of_dropped_conditions(generator_node, tmp_path, capsys):
    assert run_config(tmp_path, "guided", {"generator": generator_node}) == 2
    assert "ProganGenerator has no null_class: guidance needs a generator that was trained" in capsys.readouterr().err


def test_guidance_writes_a_sheet_of_every_pair_of_scales(tmp_path):
    from engine.context import Context
    from engine.run_folder import RunSettings
    from gan.biggan.generator import BigganGenerator
    from tasks.visual_vocab.guided import guide

    generator = BigganGenerator([4, 4], latent_dim=4, num_classes=3, class_dim=2)
    generator.null_class = 2
    values = {"entry": "tasks.visual_vocab.guided.guide"}
    context = Context("visual_vocab/guided", values, ["run.py"])
    guide(generator, 1, context, None, [0.0, 1.0], [0.0, 1.0, 2.0], 2, run=RunSettings(tmp_path, "guided"))
    assert Image.open(tmp_path / "guided" / "guided_1.png").size == (3 * 8 + 2 * 2, 2 * 8 + 2)

"""Dialogues of the published layouts, of the world's own, and files that do not fit."""

import pickle
import shutil

import h5py
import numpy as np
import pytest
import torch

from datasets.dialogue.iclevr_release import CLASSES
from datasets.dialogue.records import DialogueFile, in_range, scaled, to_bytes
from datasets.loading.rows import ManifestError, NoRowsError
from datasets.world.export.records import KINDS


@pytest.fixture
def formats(assets):
    return assets / "formats"


def test_codraw_as_published(formats):
    path = formats / "codraw" / "codraw_train.h5"
    file = DialogueFile(path)
    assert (file.corpus, file.num_objects, file.num_coords) == ("codraw", 58, 3)
    assert file.classes[:3] == ["helicopter", "hotairballoon", "cloud"]
    with h5py.File(path) as stored:
        assert file.names == sorted((name for name in stored if name.isdigit()), key=int)
        group = stored["0"]
        found = file.dialogue(0)
        assert np.array_equal(found.images, group["images"][:][..., ::-1])
        assert np.array_equal(file.background, stored["background"][:][..., ::-1])
        assert found.texts == [text.decode() for text in group["utterences"]]
        assert found.scene_id == str(group["scene_id"][()])
        assert np.array_equal(found.objects, group["objects"][:] == 1)
        expected = group["coords"][:] / (128, 128, 2) * group["objects"][:][..., None]
        np.testing.assert_allclose(found.locations, expected, rtol=1e-6)
    assert file.lengths.tolist() == [len(file.dialogue(row).images) for row in range(len(file))]
    assert file.history([]) == "<drawer> ready"
    assert file.history(found.texts[:2]) == " ".join(found.texts[:2])


def test_iclevr_as_published(formats):
    path = formats / "iclevr" / "clevr_train.h5"
    file = DialogueFile(path)
    assert (file.corpus, file.num_objects, file.num_coords) == ("iclevr", 24, 2)
    assert file.classes == list(CLASSES) == list(KINDS)
    assert file.background.shape == (128, 128, 3)
    assert (file.lengths == 5).all()
    found = file.dialogue(0)
    with h5py.File(path) as stored:
        group = stored[file.names[0]]
        assert found.scene_id == group["scene_id"][()].decode() == file.names[0]
        np.testing.assert_allclose(found.locations, group["coords"][..., :2] / 128, rtol=1e-6)
    assert len(found.texts) == 5
    assert file.history([]) == "ready"


@pytest.mark.parametrize("name", ["codraw/codraw_train.h5", "iclevr/clevr_train.h5"])
def test_a_turn_is_part_of_its_dialogue(formats, name):
    file = DialogueFile(formats / name)
    last = len(file) - 1
    whole = file.dialogue(last)
    now, before = file.turn(last, 0)
    assert before is None
    assert np.array_equal(now.images[0], whole.images[0])
    assert now.texts == whole.texts[:1]
    now, before = file.turn(last, 1)
    assert np.array_equal(now.images[0], whole.images[1])
    assert np.array_equal(before.images[0], whole.images[0])
    assert np.array_equal(now.objects[0], whole.objects[1])
    assert np.array_equal(now.locations[0], whole.locations[1])
    assert now.texts == whole.texts[:2]


@pytest.mark.parametrize(
    ("name", "corpus"), [("codraw/codraw_obj_val.h5", "codraw"), ("iclevr/clevr_obj_val.h5", "iclevr")]
)
def test_single_images_read_as_dialogues_of_one_turn(formats, name, corpus):
    file = DialogueFile(formats / name)
    assert file.corpus == corpus
    assert not file.has_words
    assert (file.lengths == 1).all()
    found = file.dialogue(2)
    with h5py.File(formats / name) as stored:
        assert np.array_equal(found.images[0], stored["2"]["image"][:][..., ::-1])
    assert found.texts == []


def test_a_file_goes_to_other_processes_closed(formats):
    file = DialogueFile(formats / "codraw" / "codraw_train.h5")
    before = file.dialogue(0)
    again = pickle.loads(pickle.dumps(file))
    assert np.array_equal(again.dialogue(0).images, before.images)


def test_pixels_come_back():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    values = in_range(images)
    assert values.shape == (1, 3, 16, 16)
    assert values.min() == -1
    assert values.max() == pytest.approx(0.9921875)
    assert np.array_equal(to_bytes(values), images)
    assert to_bytes(torch.full((3, 1, 1), 1.0)).max() == 255  # not 0: uint8 does not wrap


def test_scaled_by_areas_and_bilinear():
    rows = np.arange(4, dtype=np.uint8).reshape(1, 4, 1, 1) * 10
    images = np.broadcast_to(rows, (1, 4, 4, 3))
    assert scaled(images, 4) is images
    assert scaled(images, 2)[0, :, 0, 0].tolist() == [5, 25]
    assert scaled(images, 8)[0, :, 0, 0].tolist() == [0, 2, 8, 12, 18, 22, 28, 30]  # cv2.resize's, 2.5 and 7.5 to even


def changed(formats, tmp_path, change, name="codraw/codraw_train.h5"):
    path = tmp_path / "dialogues.h5"
    shutil.copy(formats / name, path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(group, name, value):
    del group[name]
    group[name] = value


OPENING = {
    "no background": (lambda file: file.__delitem__("background"), "holds no background"),
    "no coords": (lambda file: file["0"].__delitem__("coords"), "group 0 holds images, objects, scene_id, utterences"),
    "grey background": (lambda file: replace(file, "background", np.zeros((8, 8), np.uint8)), "background is uint8"),
}
READING = {
    "a text missing": (lambda file: replace(file["0"], "utterences", ["a"]), "has 1 texts for [0-9]+ turns"),
    "other classes": (
        lambda file: replace(file["0"], "objects", np.zeros((3, 24))),
        r"has objects \(3, 24\), expected",
    ),
    "two coordinates": (lambda file: replace(file["0"], "coords", np.zeros((1, 58, 2))), r"has coords \(1, 58, 2\)"),
    "floats": (lambda file: replace(file["0"], "images", np.zeros((3, 8, 8, 3))), "has images float64"),
    "no turn": (lambda file: replace(file["0"], "images", np.zeros((0, 8, 8, 3), np.uint8)), "has no turn"),
    "no images": (lambda file: file["0"].__delitem__("images"), "dialogue 0 cannot be read"),
}


@pytest.mark.parametrize("what", OPENING)
def test_files_that_cannot_be_opened(formats, tmp_path, what):
    change, message = OPENING[what]
    with pytest.raises(ManifestError, match=message):
        DialogueFile(changed(formats, tmp_path, change))


@pytest.mark.parametrize("what", READING)
def test_dialogues_that_cannot_be_read(formats, tmp_path, what):
    change, message = READING[what]

    def later(file):  # the first group says what layout it is
        file.move("0", "9")
        change({"0": file["9"]})

    path = changed(formats, tmp_path, later)
    file = DialogueFile(path)
    with pytest.raises(ManifestError, match=message.replace("dialogue 0", "dialogue 9")):
        file.dialogue(file.names.index("9"))


def test_other_files(tmp_path, formats):
    with pytest.raises(ManifestError, match="there is no file"):
        DialogueFile(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ManifestError, match="cannot be read as HDF5 of CoDraw or i-CLEVR"):
        DialogueFile(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["background"] = np.zeros((1, 1, 3), np.uint8)
    with pytest.raises(NoRowsError, match="holds no dialogue"):
        DialogueFile(tmp_path / "empty.h5")
    shutil.copy(formats / "codraw" / "codraw_val.h5", tmp_path)
    (tmp_path / "objects.txt").write_text("sun\n")
    with pytest.raises(ManifestError, match="1 classes are named, but objects have 58 columns"):
        DialogueFile(tmp_path / "codraw_val.h5")


HEAD = {"background", "entities"}


def without_turns(file, name):
    for key in ("images", "utterences", "objects", "coords"):
        replace(file[name], key, file[name][key][:0])


def test_dialogues_of_no_turn(formats, tmp_path, caplog):
    path = changed(formats, tmp_path, lambda file: without_turns(file, "1"))
    file = DialogueFile(path)
    assert f"1 of {len(file)} dialogues have no turn, 1 first" in caplog.text
    with pytest.raises(ManifestError, match="dialogue 1 has no turn; make the file again"):
        file.dialogue(1)
    (tmp_path / "all").mkdir()
    path = changed(formats, tmp_path / "all", lambda file: [without_turns(file, name) for name in file.keys() - HEAD])
    with pytest.raises(NoRowsError, match=rf"none of its {len(file)} dialogues has a turn"):
        DialogueFile(path)

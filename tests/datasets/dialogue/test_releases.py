"""Raw releases, made up in their layouts, become the published HDF5; rules of words and merging by hand."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from datasets.dialogue import codraw_release, iclevr_release
from datasets.dialogue.codraw_release import CodrawRelease, Scene, corrected, turns_of
from datasets.dialogue.iclevr_release import CLASSES, IclevrRelease
from datasets.dialogue.records import DialogueFile, scaled
from datasets.dialogue.release_files import GroupWriter, ReleaseError
from datasets.dialogue.words import words_of

SPLITS = ("train", "val", "test")


def picture(path, seed, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def iclevr(tmp_path):
    root = tmp_path / "raw"
    picture(root / "background.png", 0, (320, 240))
    for number, split in enumerate(SPLITS):
        name = f"CLEVR_{split}_{number:06d}"
        kinds = (("cube", "red"), ("sphere", "gray"), ("cube", "red"))
        objects = [
            {"shape": shape, "color": colour, "pixel_coords": [160 + place, 60.0, 9.5 + place]}
            for place, (shape, colour) in enumerate(kinds)
        ]
        (root / "scenes").mkdir(exist_ok=True)
        (root / "text").mkdir(exist_ok=True)
        (root / "scenes" / f"{name}.json").write_text(json.dumps({"objects": objects}))
        (root / "text" / f"{name}.txt").write_text("Add a cube\nAdd a ball\nAdd another\n")
        for turn in range(3):
            picture(root / "images" / f"{name}_{turn}.png", 10 * number + turn, (320, 240))
    return IclevrRelease(root, tmp_path / "out")


def test_iclevr(iclevr):
    iclevr_release.convert(iclevr)
    file = DialogueFile(iclevr.folder / "clevr_val.h5")
    assert (file.names, file.classes) == (["000001"], list(CLASSES))
    found = file.dialogue(0)
    pixels = np.asarray(Image.open(iclevr.release / "images" / "CLEVR_val_000001_2.png"))
    assert np.array_equal(found.images[2], scaled(pixels[None])[0])
    assert found.texts == ["Add a cube", "Add a ball", "Add another"]
    red, ball = CLASSES.index("cube red"), CLASSES.index("sphere gray")
    assert [np.flatnonzero(row).tolist() for row in found.objects] == [[red], sorted((red, ball)), sorted((red, ball))]
    np.testing.assert_allclose(found.locations[2, red], [162 / 320, 60 / 240], rtol=1e-6)  # the later of the two
    with h5py.File(iclevr.folder / "clevr_val.h5") as stored:
        assert stored["000001"]["coords"][0, red].tolist() == [64.0, 32.0, 9.5]
        assert stored["background"].shape == (240, 320, 3)
        assert (
            stored["background"][0, 0].tolist()
            == np.asarray(Image.open(iclevr.release / "background.png"))[0, 0, ::-1].tolist()
        )
    single = DialogueFile(iclevr.folder / "clevr_obj_test.h5")
    assert len(single) == 3
    assert np.array_equal(
        single.dialogue(1).objects[0], DialogueFile(iclevr.folder / "clevr_test.h5").dialogue(0).objects[1]
    )
    assert (iclevr.folder / "objects.txt").read_text().split("\n")[:2] == ["cube gray", "cube red"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / "images" / "CLEVR_val_000001_1.png").unlink(),
            "2 images of CLEVR_val_000001, expected 3",
        ),
        (lambda root: (root / "images" / "CLEVR_val_000001_1.png").write_bytes(b"x"), "CLEVR_val_000001_1.png"),
        (lambda root: (root / "text" / "CLEVR_val_000001.txt").write_text("one"), "has 1 lines, expected 3"),
        (lambda root: (root / "scenes" / "CLEVR_val_000001.json").write_text("{}"), "is no scene of i-CLEVR"),
        (lambda root: (root / "scenes" / "CLEVR_val_000001.json").write_text("{"), "is no JSON"),
        (lambda root: (root / "scenes" / "CLEVR_val_000001.json").unlink(), "holds no CLEVR_val_"),
    ],
)
def test_iclevr_mended_goes_on(iclevr, tmp_path, damage, message):
    """What stops a conversion leaves no half file; after mending, it goes on."""
    whole = {path: path.read_bytes() for path in iclevr.release.rglob("*") if path.is_file()}
    damage(iclevr.release)
    with pytest.raises(ReleaseError, match=message):
        iclevr_release.convert(iclevr)
    assert (iclevr.folder / "clevr_train.h5").is_file()
    assert not (iclevr.folder / "clevr_val.h5").exists()
    for path, content in whole.items():
        path.write_bytes(content)
    iclevr_release.convert(iclevr)
    assert sorted(path.name for path in iclevr.folder.iterdir()) == sorted(
        ["objects.txt", *(f"clevr_{kind}{split}.h5" for kind in ("", "obj_") for split in SPLITS)]
    )


def test_groups_of_an_earlier_run_stay(tmp_path):
    made = []

    def values(name):
        made.append(name)
        return {"x": np.zeros(2)}

    path = tmp_path / "a.h5"
    with pytest.raises(KeyboardInterrupt), GroupWriter(path, {"text": "é"}) as writer:
        writer.add("0", lambda: values("0"))
        raise KeyboardInterrupt
    assert not path.exists()
    with GroupWriter(path, {"text": "é"}) as writer:
        for name in ("0", "1"):
            writer.add(name, lambda name=name: values(name))
    assert made == ["0", "1"]
    with GroupWriter(path, {}) as writer:
        writer.add("2", lambda: values("2"))
    assert made == ["0", "1"]
    with h5py.File(path) as file:
        assert sorted(file) == ["0", "1", "text"]
        assert file["text"][()].decode() == "é"


@pytest.fixture
def codraw(tmp_path):
    root = tmp_path / "raw"
    picture(root / "background.png", 0, (500, 400))
    names = [f"Thing{number}" for number in range(58)]
    (root / codraw_release.NAMES).write_text("".join(f"{name}\t{number}\n" for number, name in enumerate(names)))
    (tmp_path / "png_to_object.txt").write_text("".join(f"pic_{number}\tthing{number}\n" for number in range(58)))
    (root / "output").mkdir()
    for number, split in enumerate(SPLITS):
        dialog = [
            {"msg_t": "Hi", "msg_d": "ready.", "abs_t": "", "abs_d": ""},
            {"msg_t": "A sun, top left", "msg_d": "ok", "abs_t": "", "abs_d": drawn((3, 250, 100, 1))},
            {"msg_t": "and a tree", "msg_d": "", "abs_t": "", "abs_d": drawn((3, 250, 100, 1))},
            {
                "msg_t": "don't move",
                "msg_d": "done",
                "abs_t": "",
                "abs_d": drawn((3, 250, 100, 1), (4, 5000, 0, 0), (7, 499, 399, 2)),
            },
        ]
        content = {"image_id": 40 + number, "dialog": dialog}
        (root / "output" / f"{split}_{40 + number:05d}.json").write_text(json.dumps(content))
        for turn in range(3):
            picture(root / "images" / f"Scene{40 + number}_{turn}.png", turn, (500, 400))
    return CodrawRelease(root, tmp_path / "png_to_object.txt", tmp_path / "out")


def drawn(*objects):
    """The text of a drawn scene: class, x, y, depth of each."""
    return f"{len(objects)}," + "".join(f"pic_{kind}.png,0,{kind},0,{x},{y},{z},0," for kind, x, y, z in objects)


def test_codraw(codraw):
    codraw_release.convert(codraw)
    file = DialogueFile(codraw.folder / "codraw_train.h5")
    assert file.corpus == "codraw"
    found = file.dialogue(0)
    assert found.scene_id == "40"
    assert found.texts == ["<drawer> ready <teller> a sun top left", "<teller> and a tree <teller> do n't move"]
    assert [np.flatnonzero(row).tolist() for row in found.objects] == [[3], [3, 7]]
    pixels = np.asarray(Image.open(codraw.release / "images" / "Scene40_2.png"))
    assert np.array_equal(found.images[1], scaled(pixels[None])[0])
    with h5py.File(codraw.folder / "codraw_train.h5") as stored:
        assert stored["background"].shape == (128, 128, 3)
        assert stored["0"]["coords"][1, [3, 7]].tolist() == [[64, 32, 1], [127, 127, 2]]
        assert stored["0"]["objects"].dtype == np.int64
    single = DialogueFile(codraw.folder / "codraw_obj_train.h5")
    assert len(single) == 3
    assert np.flatnonzero(single.dialogue(2).objects[0]).tolist() == [3, 7]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: (data.release / codraw_release.NAMES).write_text("sun\t1\n"), "names 1 objects, expected 58"),
        (lambda data: data.pictures.write_text("a\tmoon\n"), "names object 'moon'"),
        (lambda data: data.pictures.write_text("a\tthing0\n"), "is no dialogue of CoDraw"),
        (lambda data: (data.release / "background.png").unlink(), "there is no image"),
        (lambda data: (data.release / "output" / "test_00042.json").unlink(), r"holds no test_\*.json"),
        (lambda data: (data.release / "output" / "test_00042.json").write_text("[]"), "is no dialogue of CoDraw"),
    ],
)
def test_codraw_that_does_not_fit(codraw, damage, message):
    damage(codraw)
    with pytest.raises(ReleaseError, match=message):
        codraw_release.convert(codraw)


def scene(*kinds):
    objects = np.zeros(58, np.int64)
    objects[list(kinds)] = 1
    return Scene(objects, np.zeros((58, 3), np.int64))


def told(*turns):
    return [{"msg_t": text, "msg_d": "", "abs_d": "0," if image else ""} for text, image in turns]


def test_an_object_that_comes_while_another_goes():
    dialog, scenes = told(("a sun", True), ("a moon instead", True)), [scene(1), scene(2)]
    assert [turn.text for turn in turns_of(dialog, scenes, {})] == ["<teller> a sun", "<teller> a moon instead"]
    assert [turn.text for turn in turns_of(dialog, scenes, {}, "signed_sum")] == ["<teller> a sun"]


def test_turns_without_change_are_told_with_the_next():
    dialog = told(("a sun", False), ("big", True), ("bigger", True), ("ok", True), ("and a dog", True))
    scenes = [scene(1), scene(1), scene(1), scene(1, 2)]
    found = list(turns_of(dialog, scenes, {}))
    assert [(turn.image, turn.text) for turn in found] == [
        (0, "<teller> a sun <teller> big"),
        (3, "<teller> bigger <teller> and a dog"),
    ]


def test_a_turn_without_words_does_not_shift_the_images():
    found = list(turns_of(told(("hello", True), ("a dog", True)), [scene(1), scene(1, 2)], {}))
    assert [(turn.image, turn.text) for turn in found] == [(1, "<teller> a dog")]


def test_spelling_by_offsets():
    table = {"teh teh sun": {"flaggedTokens": [{"token": "teh", "offset": 4, "suggestions": [{"suggestion": "the"}]}]}}
    assert corrected("teh teh sun", table) == "teh the sun"
    assert corrected("teh sun", table) == "teh sun"
    dialog = [{"msg_t": "Teh teh sun", "msg_d": "", "abs_d": "0,"}]
    assert next(turns_of(dialog, [scene(1)], table)).text == "<teller> teh the sun"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a sun, top left. medium size", "a sun , top left . medium size"),
        ("it's there, don't move it", "it 's there , do n't move it"),
        ("is it 2.5 inch? (yes)", "is it 2.5 inch ? ( yes )"),
        ("i cannot see; we'll go...", "i can not see ; we 'll go ..."),
        ('the "big" one', "the `` big '' one"),
        ("mike's hat--red", "mike 's hat -- red"),
        ("gonna be: ok!", "gon na be : ok !"),
        ("", ""),
    ],
)
def test_words_as_nltk_cuts_them(text, words):
    assert words_of(text) == words.split()

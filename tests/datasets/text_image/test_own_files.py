"""Own images with captions: lists, folders with texts, the vocabulary that is kept, and what cannot be used."""

import contextlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from datasets.loading.rows import ManifestError, NoRowsError, SampleError
from datasets.text_image import vocabulary as vocabulary_module
from datasets.text_image.dataset import CaptionedImages
from datasets.text_image.files import read_split, read_vocabulary
from datasets.text_image.splits import CaptionedData
from datasets.text_image.vocabulary import VocabularyError

ROWS = [
    {"image": "a/one.png", "captions": ["A red cube.", "the cube is red"], "class": "red cube"},
    {"image": "a/two.png", "captions": ["a blue ball"], "class": "blue ball"},
    {"image": "b/three.png", "captions": ["one red cube", "a cube", "it is RED"], "class": "red cube"},
    {"image": "b/four.png", "captions": ["a ball and a cube"]},
]
WORDS = ["a", "red", "cube", "the", "is", "blue", "ball", "one", "it", "and"]


def draw(path, size=(20, 16), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write(folder, split, rows):
    (folder / f"{split}.json").write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture
def listed(tmp_path):
    """A folder with a list of four images."""
    for number, row in enumerate(ROWS):
        draw(tmp_path / row["image"], seed=number)
    write(tmp_path, "train", ROWS)
    return tmp_path


@pytest.fixture
def beside(tmp_path):
    """A folder of images with texts beside them: those of the list, and their classes as folders."""
    for number, row in enumerate(ROWS):
        file = tmp_path / "train" / row.get("class", "") / f"{number}.png"
        draw(file, seed=number)
        file.with_suffix(".txt").write_text("\n".join([*row["captions"], "", ""]), encoding="utf-8")
    return tmp_path


images = partial(CaptionedImages, resolutions=(8, 16), max_words=4)


def words_of(data, index):
    return [data.vocabulary.decode(caption) for caption in data.captions_of(index)]


def test_a_list(listed):
    data = images(listed, "train", train=False)
    assert len(data) == 4
    assert data.vocabulary.words == ["<end>", *WORDS]
    assert [words_of(data, row) for row in range(4)] == [
        ["a red cube", "the cube is red"],
        ["a blue ball"],
        ["one red cube", "a cube", "it is red"],
        ["a ball and a cube"],
    ]
    assert data.text(2, 2) == "it is RED"
    sample = data[3]
    assert sorted(sample) == ["class", "image_16", "image_8", "index", "ntokens", "tokens"]
    assert sample["tokens"].tolist() == [1, 7, 10, 1]  # the first four words
    assert sample["ntokens"] == 4
    tokens, count = data.padded(0)
    assert (tokens.tolist(), count) == ([1, 2, 3, 0], 3)
    for index, number in ((1, 1), (0, -1)):
        with pytest.raises(IndexError):
            data.caption(index, number)


def test_classes_have_the_same_number_in_every_split(listed):
    write(listed, "val", [ROWS[1], {**ROWS[0], "class": 7}, {**ROWS[0], "class": ""}])
    train, val = (images(listed, split, train=False) for split in ("train", "val"))
    classes = [int(train[row]["class"]) for row in range(4)]
    assert classes[0] == classes[2] != classes[1]
    assert classes[3] not in classes[:3]  # an image without a class is a class of its own
    assert [val[0]["class"], val[1]["class"]] == [classes[1], 7]
    assert [train.class_name(row) for row in range(4)] == ["red cube", "blue ball", "red cube", "b/four.png"]
    assert torch.tensor(classes).dtype == torch.int64


def test_a_folder_of_images_with_texts_reads_as_the_list_does(listed, beside, caplog):
    (listed / "train.json").unlink()
    (beside / "train" / "README.txt").write_text("no caption", encoding="utf-8")
    (beside / "train" / ".hidden.png").write_bytes(b"")
    data = images(beside, "train", train=False)
    assert sorted(data.class_name(row) for row in range(4)) == ["3.png", "blue ball", "red cube", "red cube"]
    assert sorted(words_of(data, row) for row in range(4)) == sorted(
        [[" ".join(vocabulary_module.words(text)) for text in row["captions"]] for row in ROWS]
    )
    assert data.content.names == ["3.png", "blue ball/1.png", "red cube/0.png", "red cube/2.png"]
    assert ".txt files without an image beside them are not read, 1 such as README.txt" in caplog.text


def test_endings_of_images_and_links_to_folders(tmp_path):
    for ending in ("jpg", "JPEG", "webp", "bmp", "tiff", "gif"):
        draw(tmp_path / "elsewhere" / f"of_{ending}.{ending}")
        (tmp_path / "elsewhere" / f"of_{ending}.txt").write_text("noise", encoding="utf-8")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "noisy").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "train")
    data = images(tmp_path, "train", train=False)
    assert len(data) == 6
    assert {data.class_name(row) for row in range(6)} == {"noisy"}
    assert all(data[row]["image_16"].shape == (3, 16, 16) for row in range(6))


def test_training_draws_among_the_captions_that_an_image_has(listed):
    data = images(listed, "train", train=True)
    torch.manual_seed(0)
    drawn = [{tuple(data[row]["tokens"].tolist()) for _ in range(60)} for row in range(3)]
    assert [len(found) for found in drawn] == [2, 1, 3]
    assert {data.vocabulary.decode(one) for one in drawn[2]} == set(words_of(data, 2))


@pytest.mark.parametrize(("choice", "expected"), [("first", "one red cube"), (None, "one red cube"), (2, "it is red")])
def test_the_choice_of_a_caption(listed, choice, expected):
    write(listed, "val", ROWS[2:3])
    data = images(listed, "val", train=False, caption_choice=choice)
    assert data.vocabulary.decode(data[0]["tokens"].tolist()) == expected


def test_evaluation_may_draw_one_caption_each_by_its_seed(listed):
    write(listed, "val", ROWS[2:3] * 20)
    node = partial(partial, CaptionedImages, listed, resolutions=(8,), max_words=4)

    def drawn(seed):
        train, validation = node(split="train"), node(split="val", caption_choice="drawn")
        data = CaptionedData(train, validation, batch_size=4, seed=seed)
        return [batch["tokens"].tolist() for batch in data.loaders["validation"].batches(0)]

    assert drawn(0) == drawn(0) != drawn(1)


def test_a_choice_that_an_image_does_not_have(listed):
    with pytest.raises(ManifestError, match=r"caption_choice is 1, but a/two.png in .* has captions from 0 to 0"):
        images(listed, "train", train=False, caption_choice=1)


def test_the_first_captions_count(listed):
    data = images(listed, "train", train=False, captions_per_image=2)
    assert [len(data.captions_of(row)) for row in range(4)] == [2, 1, 2, 1]
    assert data.vocabulary.words == ["<end>", *WORDS]  # of all captions, whatever counts


def test_the_margin_and_the_mirror(listed):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(listed / "a" / "one.png")
    data = images(listed, "train", train=True, margin=1.0, mirror=False)
    expected = torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1
    assert all(torch.equal(data[0]["image_16"], expected) for _ in range(8))
    mirrored = images(listed, "train", train=True, margin=1.0)
    torch.manual_seed(0)
    found = [torch.equal(mirrored[0]["image_16"], expected.flip(2)) for _ in range(20)]
    assert 0 < sum(found) < 20


def test_images_are_kept_in_memory(listed):
    data = images(listed, "train", train=False, keep_mb=1)
    before = data[0]["image_16"]
    (listed / "a" / "one.png").unlink()
    assert torch.equal(data[0]["image_16"], before)
    with pytest.raises(SampleError, match="no such image file"):
        (listed / "a" / "two.png").unlink() or data[1]


# the vocabulary


def test_the_vocabulary_is_made_once(listed, caplog):
    write(listed, "val", [{"image": "a/one.png", "captions": ["a green cube", "a green red pyramid"]}])
    val = images(listed, "val", train=False)  # made of the training captions, whichever split is read first
    assert json.loads((listed / "vocabulary.json").read_text(encoding="utf-8")) == WORDS
    assert words_of(val, 0) == ["a cube", "a red"]
    assert val.text(0, 1) == "a green red pyramid"
    message = "3 of 7 words are left out, 2 different ones that the training captions lack, such as green, pyramid"
    assert message in caplog.text
    write(listed, "train", ROWS[:1])  # fewer words than before: a network that knows more still reads them
    assert images(listed, "train", train=False).vocabulary.words == ["<end>", *WORDS]
    (listed / "train.json").unlink()
    assert images(listed, "val", train=False).vocabulary.words == ["<end>", *WORDS]


def test_the_vocabulary_alone(listed, assets):
    images(listed, "train", train=False)
    for source in (listed, listed / "vocabulary.json"):
        assert read_vocabulary(source).words == ["<end>", *WORDS]
    birds = assets / "formats" / "birds"
    published = read_split(birds, "train").vocabulary.words
    assert read_vocabulary(birds).words == read_vocabulary(birds / "captions.pickle").words == published


def test_a_vocabulary_of_other_captions(listed):
    images(listed, "train", train=False)
    write(listed, "train", [*ROWS, {"image": "a/one.png", "captions": ["a purple cone", "purple"]}])
    with pytest.raises(
        VocabularyError,
        match=r"vocabulary.json has 10 words, and the training .*train.json have 2 more, such as purple",
    ):
        images(listed, "train", train=False)


def test_several_processes_make_one_vocabulary(listed, monkeypatch):
    made = []
    write_file = vocabulary_module.write_vocabulary_file
    monkeypatch.setattr(vocabulary_module, "write_vocabulary_file", lambda *given: made.append(1) or write_file(*given))
    with ThreadPoolExecutor(4) as pool:  # each opens the lock anew, as processes do
        found = list(pool.map(lambda _: read_split(listed, "train").vocabulary.words, range(8)))
    assert found == [["<end>", *WORDS]] * 8
    assert len(made) == 1


def test_a_folder_that_cannot_be_written(listed, monkeypatch, caplog):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(vocabulary_module, "locked", refuse)
    assert images(listed, "train", train=False).vocabulary.words == ["<end>", *WORDS]
    assert "vocabulary.json cannot be written (Permission denied): its words are numbered anew" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", r"vocabulary.json holds no list of words but a dict; correct it, or delete it"),
        (b'["a", 3]', "holds '3', expected single words in lower case"),
        (b'["a", "Red"]', "holds 'Red', expected single words in lower case"),
        (b'["a", "two words"]', "holds 'two words', expected single words"),
        (b'["a", "a"]', "found 2 words, 1 of them different; expected each once"),
        (b"[]", "found 0 words, 0 of them different"),
        (b"[", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        ('["\u00e0"]'.encode("latin-1"), "is no text in UTF-8"),
    ],
)
def test_a_malformed_vocabulary(listed, content, message):
    (listed / "vocabulary.json").write_bytes(content)
    with pytest.raises(VocabularyError, match=message):
        images(listed, "train", train=False)


# what cannot be used


def test_splits_of_a_folder(listed):
    write(listed, "val", ROWS)
    (listed / "world.json").write_text("{}")
    with pytest.raises(ManifestError, match=r"has no split test: its splits are train, val; expected test.json"):
        images(listed, "test", train=False)
    with pytest.raises(ManifestError, match=r"'../val' has no plain name; expected one such as train"):
        read_split(listed, "../val")
    (listed / "train.json").rename(listed / "training.json")
    with pytest.raises(ManifestError, match=r"has neither vocabulary.json nor a split train"):
        images(listed, "training", train=False)


BAD_ROWS = {
    "no mapping": ("a/one.png", r"row 0 is 'a/one.png', expected a mapping with image and captions"),
    "no captions": ({"image": "a/one.png", "caption": "x"}, r"row 0 has no captions, only image, caption"),
    "nothing": ({}, r"row 0 has no image and no captions, only nothing"),
    "a number": ({"image": 3, "captions": ["a"]}, r"row 0 has image = 3, expected a path relative to the list"),
    "zero": ({"image": "a\0b", "captions": ["a"]}, r"row 0 has image = 'a\\x00b', expected a path"),
    "missing": ({"image": "a/five.png", "captions": ["a"]}, r"row 0: .*a/five.png does not exist"),
    "a folder": ({"image": "a", "captions": ["a"]}, r"row 0: .*/a does not exist"),
    "absolute": ({"image": "/etc/passwd", "captions": ["a"]}, r"has image = '/etc/passwd', which lies outside"),
    "above": ({"image": "a/../../x.png", "captions": ["a"]}, r"which lies outside; expected a path below the folder"),
    "drive": ({"image": "C:\\x.png", "captions": ["a"]}, r"which lies outside"),
    "half a character": ({"image": "\ud800.png", "captions": ["a"]}, r"does not exist"),
    "text": ({"image": "a/one.png", "captions": "a cube"}, r"captions = 'a cube', expected a list of one text or more"),
    "empty": ({"image": "a/one.png", "captions": []}, r"has captions = \[\], expected a list of one text or more"),
    "numbers": ({"image": "a/one.png", "captions": [1]}, r"has captions = \[1\], expected a list"),
    "no word": ({"image": "a/one.png", "captions": ["a", " - "]}, r"a caption 1, ' - ', without a word of the letters"),
    "other letters": ({"image": "a/one.png", "captions": ["куб"]}, r"a caption 0, 'куб', without a word"),
    "huge": ({"image": "a/one.png", "captions": ["a " * 9000]}, r"a caption 0 of 18000 characters, expected at most"),
    "list of classes": ({"image": "a/one.png", "captions": ["a"], "class": ["x"]}, r"has class = \['x'\], expected a"),
    "flag": ({"image": "a/one.png", "captions": ["a"], "class": True}, r"has class = True, expected a name, a number"),
    "negative": ({"image": "a/one.png", "captions": ["a"], "class": -1}, r"has class = -1, expected a name, a number"),
    "large": ({"image": "a/one.png", "captions": ["a"], "class": 10**30}, r"has class = 10+, expected a name"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_rows_that_cannot_be_used(listed, case):
    row, message = BAD_ROWS[case]
    write(listed, "train", [row, *ROWS])
    with pytest.raises(ManifestError, match=message) as error:
        images(listed, "train", train=False)
    assert "1 problem; correct the list" in str(error.value)


LISTS = {
    "a mapping": (b"{}", ManifestError, r"train.json holds {}, expected a list of mappings with image, captions"),
    "empty": (b"[]", NoRowsError, r"train.json lists no image; expected a list of mappings"),
    "no JSON": (b"[{]", ManifestError, r"train.json is not JSON \(.*line 1 column 3"),
    "nothing": (b"", ManifestError, r"train.json is not JSON"),
    "deep": (b"[" * 100_000, ManifestError, r"train.json (holds lists nested too deeply|is not JSON)"),
    "twice": (b'[{"image": "a", "image": "b"}]', ManifestError, r"the key 'image' stands twice in"),
    "digits": (b"[" + b"9" * 5000 + b"]", ManifestError, r"train.json is not JSON"),
    "packed": (b"\x1f\x8b\0\0", ManifestError, r"train.json is compressed \(gzip\)"),
    "latin-1": ('[{"image": "\u00e0"}]'.encode("latin-1"), ManifestError, r"line 1 holds the byte 0xe0"),
}


@pytest.mark.parametrize("case", LISTS)
def test_files_that_are_no_lists(listed, case):
    content, kind, message = LISTS[case]
    (listed / "train.json").write_bytes(content)
    with pytest.raises(kind, match=message):
        images(listed, "train", train=False)


def test_a_list_that_is_too_large(listed, monkeypatch):
    monkeypatch.setattr("datasets.text_image.own_files.LARGEST", 100)
    with pytest.raises(ManifestError, match=r"bytes, expected at most 100; make two splits of it"):
        images(listed, "train", train=False)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_and_texts_in_other_encodings(listed, encoding):
    (listed / "train.json").write_bytes(json.dumps(ROWS).encode(encoding))
    (listed / "val" / "x").mkdir(parents=True)
    draw(listed / "val" / "x" / "one.png")
    (listed / "val" / "x" / "one.txt").write_bytes("a red cube\r\nthe ball\r\n".encode(encoding))
    assert images(listed, "train", train=False).vocabulary.words == ["<end>", *WORDS]
    assert words_of(images(listed, "val", train=False), 0) == ["a red cube", "the ball"]


def test_names_of_windows_and_of_macos(listed):
    draw(listed / "cafe\u0301" / "five.png")
    write(listed, "val", [{"image": "caf\u00e9\\five.png", "captions": ["a cube"]}])
    data = images(listed, "val", train=False)
    assert data.content.names == ["cafe\u0301/five.png"]
    assert data[0]["image_8"].shape == (3, 8, 8)


def test_a_list_in_the_working_folder(listed, monkeypatch):
    monkeypatch.chdir(listed)
    relative = read_split(type(listed)(), "train")
    assert relative.names == [row["image"] for row in ROWS]


def test_captions_of_which_no_word_is_known(listed):
    write(listed, "val", [ROWS[0], {"image": "a/two.png", "captions": ["a cube", "some green pyramid"]}])
    with pytest.raises(
        ManifestError,
        match=r"1 problem; describe the images in words of the training captions\n  a/two.png: no word of",
    ):
        images(listed, "val", train=False)


TEXTS = {
    "no text": (lambda at: (at / "3.txt").unlink(), r"3.png: there is no 3.txt with its captions beside it"),
    "two images": (lambda at: draw(at / "3.jpg"), r"3.jpg: 3.txt stands beside 2 images of that name"),
    "empty": (lambda at: (at / "3.txt").write_text("\n \n"), r"3.txt holds no caption"),
    "no word": (lambda at: (at / "3.txt").write_text("a\n...\n"), r"3.txt has a caption 1, '...', without a word"),
    "latin-1": (lambda at: (at / "3.txt").write_bytes(b"caf\xe9 a\n"), r"3.txt is no text in UTF-8: line 1 holds"),
    "a folder": (lambda at: (at / "3.txt").unlink() or (at / "3.txt").mkdir(), r"3.png: there is no 3.txt"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts_that_cannot_be_used(beside, case):
    change, message = TEXTS[case]
    change(beside / "train")
    with pytest.raises(ManifestError, match=message):
        images(beside, "train", train=False)


def test_a_folder_without_images(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(NoRowsError, match=r"train holds no image with a text beside it; expected such as x.jpg"):
        images(tmp_path, "train", train=False)


def test_tiny_images_are_counted(listed, caplog):
    draw(listed / "a" / "one.png", size=(3, 40))
    draw(listed / "a" / "two.png", size=(4, 4))
    (listed / "b" / "three.png").write_bytes(b"no image")  # its row says so
    with caplog.at_level(logging.WARNING):
        data = images(listed, "train", train=False)
    assert "of 4 images that were looked at, 1 have a shorter edge below a quarter of the 16 pixels" in caplog.text
    assert data[0]["image_16"].shape == (3, 16, 16)
    with pytest.raises(SampleError, match=r"row 2 \(b/three.png\).*cannot be decoded"):
        data[2]


def test_errors_are_for_users(listed):
    """Every mutation of a list ends in a UserError or is read."""
    whole = (listed / "train.json").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(0, 256)
        (listed / "train.json").write_bytes(content[: rng.integers(1, len(content) + 1)])
        (listed / "vocabulary.json").unlink(missing_ok=True)
        with contextlib.suppress(UserError):
            read_split(listed, "train")

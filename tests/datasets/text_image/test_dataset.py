"""AttnGAN's data: words, lists, boxes, samples; and lists that do not fit."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from common.safe_load import UnsafePickleError
from datasets.loading.rows import ManifestError, SampleError
from datasets.text_image.dataset import CaptionedImages, around
from datasets.text_image.files import read_split
from datasets.text_image.published_files import read_published_vocabulary
from datasets.text_image.vocabulary import Vocabulary, VocabularyError, words


@pytest.fixture
def birds(assets, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(assets / "formats" / "birds", tmp_path / "birds")


def dumped(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A small, yellow bird with a black beak.", "a small yellow bird with a black beak"),
        ("it's\ufffd\ufffdblue-grey", "it s blue grey"),
        ("a caf\u00e9 \u00e9 bird", "a caf bird"),
        ("...", ""),
    ],
)
def test_words_as_published(caption, expected):
    assert " ".join(words(caption)) == expected


def test_a_vocabulary_drops_unknown_words():
    vocabulary = Vocabulary.of(["the red bird", "the blue one"])
    assert vocabulary.words == ["<end>", "the", "red", "bird", "blue", "one"]
    assert vocabulary.encode("The green bird!") == [1, 3]
    assert vocabulary.decode([1, 3, 0, 0]) == "the bird"
    with pytest.raises(
        VocabularyError, match="no word of 'Ein Vogel' is among the 5 that the model knows, such as the"
    ):
        vocabulary.encode("Ein Vogel")
    with pytest.raises(VocabularyError, match="found 2 words, 1 of them different"):
        Vocabulary(["a", "a"])


@pytest.mark.parametrize(("name", "each", "boxes"), [("birds", 10, True), ("coco", 5, False)])
def test_texts_give_the_published_numbers(assets, tmp_path, name, each, boxes):
    folder = shutil.copytree(assets / "formats" / name, tmp_path / name)
    published = {split: read_split(folder, split, each) for split in ("train", "test")}
    (folder / "captions.pickle").unlink()
    assert sorted(read_published_vocabulary(folder, each).words) == sorted(published["train"].vocabulary.words)
    for split, expected in published.items():
        found = read_split(folder, split, each)
        assert found.names == expected.names
        assert (found.boxes is not None) == boxes
        decoded = [found.vocabulary.decode(found.captions[row]) for row in range(len(found.captions))]
        assert decoded == [expected.vocabulary.decode(expected.captions[row]) for row in range(len(expected.captions))]


def test_a_split_that_captions_pickle_does_not_have(birds):
    """As val of the world's birds: its names have a list, its captions are texts, its words those of the pickle."""
    expected = read_split(birds, "test", 10)
    shutil.copytree(birds / "test", birds / "val")
    found = read_split(birds, "val")
    assert found.names == expected.names
    assert found.classes.tolist() == expected.classes.tolist()
    assert [row.tolist() for row in found.captions] == [row.tolist() for row in expected.captions]
    shutil.rmtree(birds / "val")
    with pytest.raises(ManifestError, match=r"has no split val: its splits are CUB_200_2011, .*; expected val.json"):
        read_split(birds, "val")


def test_captions_of_a_published_image(assets):
    data = CaptionedImages(assets / "formats" / "birds", "train", train=False)
    assert [len(data.captions_of(row)) for row in range(len(data))] == [10] * len(data)
    assert data.captions_of(1)[3].tolist() == data.content.captions[13].tolist()
    assert data.text(1, 3) == data.vocabulary.decode(data.content.captions[13])
    assert data.class_name(2) == "2"


def test_the_files_of_the_rows_are_the_images(birds):
    rows = CaptionedImages(birds, "train", train=True)
    assert [*rows.files()] == [str(rows.content.path(row)) for row in range(len(rows))]
    assert all(path.startswith(str(birds)) and path.endswith(".jpg") for path in rows.files())


def test_classes(assets):
    assert read_split(assets / "formats" / "birds", "train", 10).classes.tolist()[:3] == [1, 1, 2]
    coco = read_split(assets / "formats" / "coco", "train", 5)
    assert coco.classes.tolist() == list(range(len(coco.names)))


def test_samples_in_evaluation(assets):
    data = CaptionedImages(assets / "formats" / "birds", "test", train=False, resolutions=(16, 32), max_words=5)
    sample = data[0]
    for resolution in (16, 32):
        image = sample[f"image_{resolution}"]
        assert tuple(image.shape) == (3, resolution, resolution)
        assert -1 <= image.min() < image.max() <= 1
    assert sample["tokens"].tolist() == data.caption(0)[:5].tolist()
    assert sample["ntokens"] == 5
    assert torch.equal(data[0]["image_16"], sample["image_16"])


def test_training_draws_caption_words_square_and_mirror(assets):
    data = CaptionedImages(assets / "formats" / "birds", "train", train=True, resolutions=(32,), max_words=6)
    torch.manual_seed(0)
    samples = [data[1] for _ in range(12)]
    own = [data.caption(1, number).tolist() for number in range(10)]
    for sample in samples:
        kept = sample["tokens"][: sample["ntokens"]].tolist()
        assert any(len(kept) == min(6, len(row)) and in_order(kept, row) for row in own)
    assert len({tuple(sample["tokens"].tolist()) for sample in samples}) > 1
    assert len({float(sample["image_32"].sum()) for sample in samples}) > 1


def in_order(kept, row):
    rest = iter(row)
    return all(number in rest for number in kept)


def test_the_square_around_a_box():
    assert around(np.array([11, 28, 29, 24]), (100, 90)) == (4, 19, 46, 61)
    assert around(np.array([0, 0, 40, 10]), (50, 30)) == (0, 0, 50, 30)


def test_a_box_outside_its_image(birds):
    boxes = birds / "CUB_200_2011" / "bounding_boxes.txt"
    lines = boxes.read_text().splitlines()
    boxes.write_text("\n".join(["1 5000.0 28.0 29.0 24.0", *lines[1:]]))
    data = CaptionedImages(birds, "train", train=False)
    with pytest.raises(SampleError, match=r"row 0 .* its box \[5000, 28, 29, 24\] lies outside its"):
        data[0]


def test_a_box_that_leaves_a_strip_of_its_image(birds):
    first = CaptionedImages(birds, "train", train=False)
    Image.linear_gradient("L").resize((90, 400)).save(first.content.images / f"{first.content.names[0]}.jpg")
    boxes = birds / "CUB_200_2011" / "bounding_boxes.txt"
    lines = boxes.read_text().splitlines()
    boxes.write_text("\n".join(["1 -299.0 28.0 300.0 400.0", *lines[1:]]))
    data = CaptionedImages(birds, "train", train=False)
    assert data.stored_image(0).size[1] > 90
    boxes.write_text("\n".join(["1 -448.0 28.0 300.0 400.0", *lines[1:]]))
    data = CaptionedImages(birds, "train", train=False)
    left, top, right, bottom = around(data.content.boxes[0], (90, 400))
    assert right - left == 2, (left, top, right, bottom)
    with pytest.raises(SampleError, match=r"row 0 .*: cut out around its box it is 2x\d+ pixels, expected a longer"):
        data[0]


def test_a_blank_image_is_a_bad_sample(birds):
    first = CaptionedImages(birds, "train", train=False, resolutions=[32])
    Image.new("RGB", (90, 70), "white").save(first.content.images / f"{first.content.names[0]}.jpg")
    with pytest.raises(SampleError, match=r"row 0 .*\.jpg: shows nothing, all 90x70 pixels are equal"):
        first[0]


def without(birds, place, index):
    path = birds / place
    content = pickle.loads(path.read_bytes(), encoding="latin1")
    del content[index]
    dumped(path, content)


ERRORS = {
    "no list": (lambda birds: (birds / "train" / "filenames.pickle").unlink(), "There is no file .*filenames.pickle"),
    "no names": (lambda birds: dumped(birds / "train" / "filenames.pickle", []), "holds no names; expected a list"),
    "names outside": (
        lambda birds: dumped(birds / "train" / "filenames.pickle", ["../../secret"]),
        "names '../../secret', which lies outside",
    ),
    "too few names": (
        lambda birds: without(birds, "train/filenames.pickle", 0),
        "60 captions of the train split and 5 images; expected 10 of each",
    ),
    "too few classes": (
        lambda birds: without(birds, "train/class_info.pickle", 0),
        "does not hold the class of each of 6 images",
    ),
    "other captions": (
        lambda birds: dumped(birds / "captions.pickle", [[1, 2], [3], {}, {}]),
        "captions.pickle is of another form; expected train captions",
    ),
    "gaps": (
        lambda birds: dumped(birds / "captions.pickle", [[[1]], [[1]], {0: "<end>", 2: "bird"}, {}]),
        "2 words are not numbered 0 .* without gaps",
    ),
    "numbers without words": (
        lambda birds: dumped(birds / "captions.pickle", [[[7]], [[1]], {0: "<end>", 1: "bird"}, {}]),
        "has word numbers from 7 to 7, expected 1 to 1",
    ),
    "no image": (
        lambda birds: next((birds / "CUB_200_2011" / "images").rglob("*0001*.jpg")).unlink(),
        r"1 problem; put the images there\n.*there is no .*jpg",
    ),
    "no box": (
        lambda birds: (birds / "CUB_200_2011" / "bounding_boxes.txt").write_text("1 1.0 2.0 3.0 4.0\n"),
        "bounding_boxes.txt: 5 problems; add their lines",
    ),
    "a box of words": (
        lambda birds: (birds / "CUB_200_2011" / "bounding_boxes.txt").write_text(
            "".join(f"{number} a b c d\n" for number in range(1, 11))
        ),
        "expected numbers: id left top width height",
    ),
    "columns": (
        lambda birds: (birds / "CUB_200_2011" / "images.txt").write_text("1\n"),
        "line 1 has 1 columns, expected 2",
    ),
}


@pytest.mark.parametrize("error", ERRORS)
def test_lists_that_do_not_fit(birds, error):
    change, message = ERRORS[error]
    change(birds)
    with pytest.raises(UserError, match=message):
        read_split(birds, "train", 10)


def test_captions_without_words(birds):
    content = pickle.loads((birds / "captions.pickle").read_bytes(), encoding="latin1")
    content[0][13] = []
    dumped(birds / "captions.pickle", content)
    with pytest.raises(ManifestError, match=r"1 captions hold no word, the first is number 3 of 001.Test_Albatross/"):
        read_split(birds, "train", 10)


def test_texts_with_too_few_captions(birds):
    (birds / "captions.pickle").unlink()
    text = next((birds / "text").rglob("*0001*.txt"))
    text.write_text("one bird\n")
    with pytest.raises(ManifestError, match=r"1 captions with words in .*txt"):
        read_split(birds, "train", 10)


def test_a_pickle_that_runs_code(birds):
    (birds / "train" / "filenames.pickle").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UnsafePickleError, match=r"wants to load os\.system"):
        read_split(birds, "train", 10)


@pytest.mark.parametrize("resolutions", [(), (64, 32), (64, 64)])
def test_resolutions_that_do_not_rise(assets, resolutions):
    with pytest.raises(ValueError, match="expected rising resolutions in pixels"):
        CaptionedImages(assets / "formats" / "birds", "test", train=False, resolutions=resolutions)


def test_a_folder_without_lists(tmp_path):
    with pytest.raises(ManifestError, match=r"has neither captions\.pickle nor train/filenames\.pickle"):
        read_published_vocabulary(tmp_path, 10)


def test_names_of_windows_and_of_macos(assets, tmp_path):
    """Backslashes in the lists, and decomposed accents on the disk."""
    coco = shutil.copytree(assets / "formats" / "coco", tmp_path / "coco")
    (coco / "captions.pickle").unlink()
    for split in ("train", "test"):
        source = coco / split / "filenames.pickle"
        names = pickle.loads(source.read_bytes(), encoding="latin1")
        for name in names:
            for folder, ending in (("images", "jpg"), ("text", "txt")):
                (coco / folder / "cafe\u0301").mkdir(exist_ok=True)
                (coco / folder / f"{name}.{ending}").rename(coco / folder / "cafe\u0301" / f"{name}.{ending}")
        dumped(source, [f"caf\u00e9\\{name}" for name in names])
    before = CaptionedImages(assets / "formats" / "coco", "train", False, resolutions=[32], captions_per_image=5)
    after = CaptionedImages(coco, "train", False, resolutions=[32], captions_per_image=5)
    assert after.content.names == [f"cafe\u0301/{name}" for name in before.content.names]
    assert torch.equal(after[0]["image_32"], before[0]["image_32"])
    for row in range(len(before)):
        words = [data.vocabulary.words[number] for data in (before, after) for number in data.caption(row)]
        assert words[: len(words) // 2] == words[len(words) // 2 :]
    dumped(coco / "train" / "filenames.pickle", ["..\\secret"])
    with pytest.raises(ManifestError, match="lies outside; expected names below the folder"):
        read_split(coco, "train", 5)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_captions_in_other_encodings(birds, encoding):
    (birds / "captions.pickle").unlink()
    before = read_split(birds, "train", 10)
    file = birds / "text" / f"{before.names[0]}.txt"
    text = file.read_text(encoding="utf-8")
    file.write_bytes(text.encode(encoding))
    after = read_split(birds, "train", 10)
    assert after.vocabulary.words == before.vocabulary.words
    assert [row.tolist() for row in after.captions] == [row.tolist() for row in before.captions]
    file.write_bytes(text.replace("a ", "\u00e0 ", 1).encode("latin-1"))
    with pytest.raises(
        ManifestError, match=r"line 1 holds the byte 0xe0 after .*, which is '\u00e0' .*expected captions, one a line"
    ):
        read_split(birds, "train", 10)

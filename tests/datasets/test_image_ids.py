"""Rows that show the same image: one path in several spellings, copies under other names, HDF5 rows without paths."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from datasets.images import ImageTransform
from datasets.loading.rows import SampleError
from datasets.spoken_captions.readers import GanClevr, PlacesFiles, PlacesHDF5
from datasets.text_image.dataset import CaptionedImages

IMAGE = ImageTransform(size=32, resize=32, random_crop=False)


def same(ids):
    """Which earlier row each row is the same as: the position of its number's first appearance."""
    return [ids.tolist().index(one) for one in ids.tolist()]


@pytest.fixture
def places(assets, tmp_path):
    """A copy of the published layout, and a way to write other rows into its manifest."""
    folder = shutil.copytree(assets / "formats" / "places", tmp_path / "places")
    content = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))

    def write(images):
        rows = [content["data"][0] | {"uttid": f"u{row}", "image": image} for row, image in enumerate(images)]
        (folder / "m.json").write_text(json.dumps(content | {"data": rows}), encoding="utf-8")
        return PlacesFiles(folder / "m.json", IMAGE, train=False)

    write.folder = folder
    return write


def test_paths_and_bytes(places):
    one, other = "a/class_0/gsun_00000000.jpg", "b/class_1/gsun_00000001.jpg"
    images = places.folder / "images"
    shutil.copy(images / one, images / "copy.jpg")
    (images / "link.jpg").symlink_to(images / other)
    dataset = places([one, other, f"./a/../{one}", "copy.jpg", "link.jpg", "c/class_2/gsun_00000002.jpg"])
    assert same(dataset.image_ids(range(6))) == [0, 1, 0, 0, 1, 5]
    assert same(dataset.image_ids([5, 2, 0])) == [0, 1, 1]
    assert places([other]).image_ids([0]) == dataset.image_ids([1])  # another set: the same image, the same number


def test_an_image_that_is_gone_is_named(places):
    dataset = places(["a/class_0/gsun_00000000.jpg"])
    dataset.record(0).image_path.unlink()
    with pytest.raises(SampleError, match=r"row 0 \(u0\) of .*gsun_00000000.jpg: there is no such image"):
        dataset.image_ids([0])


def test_an_image_file_of_terabytes_is_named(places, assets, tmp_path):
    """A sparse one; every reader of the bytes of an image says the same."""
    message = "jpg: has 4398046511104 bytes, expected at most 2147483648 of an image; replace or remove it"
    dataset = places(["a/class_0/gsun_00000000.jpg"])
    os.truncate(dataset.record(0).image_path, 4 << 40)
    for read in (lambda: dataset.image_ids([0]), lambda: dataset[0]):
        with pytest.raises(SampleError, match=rf"row 0 \(u0\) of .*gsun_00000000\.{message}"):
            read()
    captioned = CaptionedImages(shutil.copytree(assets / "formats" / "birds", tmp_path / "birds"), "train", train=False)
    os.truncate(captioned.content.path(0), 4 << 40)
    with pytest.raises(SampleError, match=rf"row 0 .*\.{message}"):
        captioned.image_ids([0])


def write_pair(folder, images):
    """An HDF5 pair of the published layout and a JSON that names only the pair."""
    rng = np.random.default_rng(0)
    with h5py.File(folder / "audio.h5", "w") as file:
        file["melspec"] = rng.uniform(-60, 0, (len(images), 40, 64)).astype(np.float32)
        file["melspec_len"] = np.full(len(images), 64)
    with h5py.File(folder / "image.h5", "w") as file:
        stored = file.create_dataset("image", (len(images),), h5py.vlen_dtype(np.uint8))
        for row, path in enumerate(images):
            stored[row] = np.frombuffer(path.read_bytes(), np.uint8)
    (folder / "pair.json").write_text(json.dumps({"audio_hdf5_path": "audio.h5", "image_hdf5_path": "image.h5"}))
    return folder / "pair.json"


def test_rows_of_an_hdf5_pair_that_nothing_describes(places, tmp_path):
    files = sorted((places.folder / "images").rglob("*.jpg"))
    pair = write_pair(tmp_path, [files[0], files[1], files[0], files[2]])
    dataset = PlacesHDF5(pair, IMAGE, train=False)
    assert same(dataset.image_ids(range(4))) == [0, 1, 0, 3]
    from_files = places([str(files[0])])
    assert from_files.image_ids([0]) == dataset.image_ids([2])


def test_images_with_written_captions(assets, tmp_path):
    folder = shutil.copytree(assets / "formats" / "birds", tmp_path / "birds")
    dataset = CaptionedImages(folder, "train", train=False)
    paths = [dataset.content.images / f"{name}.jpg" for name in dataset.content.names]
    shutil.copy(paths[0], paths[2])
    assert same(dataset.image_ids(range(3))) == [0, 1, 0]


def test_a_part_of_a_list(assets):
    """The public code evaluates on the last 500 of the first 504 pairs; here the last 2 of the first 3."""
    folder = assets / "formats" / "clevrgan"
    names = (folder / "name_list_train.txt").read_text().split()
    assert len(names) >= 4

    def listed(**more):
        dataset = GanClevr(folder, "train", None, train=False, **more)
        return [dataset.record(row).uttid for row in range(len(dataset))]

    assert listed() == names
    assert listed(first=3, last=2) == names[1:3]
    assert listed(first=504, last=500) == names
    assert listed(last=2) == names[-2:]
    assert listed(first=2) == names[:2]

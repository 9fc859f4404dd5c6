import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from datasets.class_images.build import ClassImagesError
from datasets.class_images.dataset import ClassImages
from datasets.class_images.folder import ClassFolder, ensure_class_folder

COLOURS = {"blue ones": (10, 20, 250), "red ones": (250, 20, 10)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Ten images of two classes, 12 x 8 pixels, whose middle square has the class's colour."""
    folder = tmp_path_factory.mktemp("own")
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(5):
            pixels = np.full((8, 12, 3), 90, dtype=np.uint8)
            pixels[:, 2:10] = colour
            pixels[0, 2] = number
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def data(source, tmp_path):
    ensure_class_folder(ClassFolder(source, tmp_path / "arrays", size=4, validation=0.2, workers=1))
    return ClassImages(tmp_path / "arrays", batch_size=4, seed=3)


def test_middle_squares_of_every_image_with_its_class(data):
    assert data.class_names == list(COLOURS)
    assert (len(data.train), len(data.validation), data.size) == (8, 2, 4)
    for images, classes in ((data.train, data.train_classes), (data.validation, data.validation_classes)):
        for image, number in zip(images, classes, strict=True):
            assert np.abs(image[2:].mean(axis=(0, 1)) - COLOURS[data.class_names[number]]).max() < 12


def test_every_pass_sees_every_image_once_and_ranks_share_a_batch(data):
    seen = torch.cat([data.batch(number).images for number in (0, 1)]).flatten(1)
    assert len(seen.unique(dim=0)) == len(torch.from_numpy(np.array(data.train)).flatten(1).unique(dim=0))
    whole = data.batch(5)
    parts = [ClassImages(data.folder, 4, seed=3, rank=rank, world_size=2).batch(5) for rank in (0, 1)]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.classes for part in parts]), whole.classes)


def test_mirroring_is_a_function_of_the_position(data):
    mirrored = [ClassImages(data.folder, 4, mirror=True, seed=3, rank=rank, world_size=2) for rank in (0, 1)]
    whole = ClassImages(data.folder, 4, mirror=True, seed=3)
    flipped = 0
    for number in range(8):
        plain, batch = data.batch(number).images, whole.batch(number).images
        assert torch.equal(torch.cat([one.batch(number).images for one in mirrored]), batch)
        for a, b in zip(plain, batch, strict=True):
            assert torch.equal(a, b) or torch.equal(a.flip(-1), b)
            flipped += not torch.equal(a, b)
    assert 4 < flipped < 28


def test_held_out_images_may_have_a_folder_of_their_own(source, tmp_path):
    ensure_class_folder(ClassFolder(source, tmp_path, size=4, validation_source=source, workers=1))
    data = ClassImages(tmp_path, 2)
    assert len(data.train) == len(data.validation) == 10
    assert data.digests().keys() == {"training set", "validation set"}


def test_what_cannot_be_read(source, tmp_path):
    def ensure(**changes):
        ensure_class_folder(ClassFolder(**{"source": source, "folder": tmp_path / "x", "size": 4} | changes))

    with pytest.raises(ClassImagesError, match=r"images\.source: there is no folder .*nowhere"):
        ensure(source=tmp_path / "nowhere")
    (tmp_path / "bare" / "one").mkdir(parents=True)
    with pytest.raises(ClassImagesError, match="has no folders with images"):
        ensure(source=tmp_path / "bare")
    with pytest.raises(ClassImagesError, match="holds 10 images, 10 held out; leave some to train on"):
        ensure(validation=1.0)
    (tmp_path / "other" / "blue ones").mkdir(parents=True)
    Image.new("RGB", (4, 4), "red").save(tmp_path / "other" / "blue ones" / "a.png")
    with pytest.raises(ClassImagesError, match=r"do not have the same classes \(red ones"):
        ensure(validation_source=tmp_path / "other")
    (tmp_path / "other" / "blue ones" / "b.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"b\.png: cannot be decoded"):
        ensure(source=tmp_path / "other", folder=tmp_path / "y", workers=1, validation=0.5)
    ensure(workers=1)
    with pytest.raises(ClassImagesError, match="size is 4 there, 8 asked for"):
        ensure(size=8, workers=1)
    with pytest.raises(ClassImagesError, match=r"expected at least data\.batch_size, 64"):
        ClassImages(tmp_path / "x", 64)
    with pytest.raises(ClassImagesError, match=r"data\.batch_size: found 3 for 2 processes"):
        ClassImages(tmp_path / "x", 3, world_size=2)
    with pytest.raises(ClassImagesError, match="make the images with prepare"):
        ClassImages(tmp_path / "bare", 1)


def test_a_file_replaced_by_another_of_its_name_is_refused(source, tmp_path):
    """Arrays that are there already do not have it."""
    shutil.copytree(source, tmp_path / "own")
    images = ClassFolder(tmp_path / "own", tmp_path / "arrays", size=4, validation=0.2, workers=1)
    ensure_class_folder(images)
    state = tmp_path / "arrays" / "class_images.json"
    shutil.copy(tmp_path / "own" / "red ones" / "0.png", tmp_path / "own" / "blue ones" / "0.png")
    with pytest.raises(ClassImagesError, match=r"contents is 10 files of .* asked for; give another images\.folder"):
        ensure_class_folder(images)
    former = json.loads(state.read_text())
    del former["settings"]["contents"]  # an earlier version made it
    state.write_text(json.dumps(former))
    ensure_class_folder(images)

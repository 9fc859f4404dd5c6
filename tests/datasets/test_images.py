"""Pictures: every mode becomes RGB, the published cuts, and errors that name the file."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as first_api

from datasets.images import ImageError, ImageTransform, read_image


def picture(width=60, height=50):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "LA", "RGBA", "I;16", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    grey = Image.fromarray(np.tile(np.linspace(0, 255, 50, dtype=np.uint8), (40, 1)))
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "I;16") else "a.png")
    if mode == "I;16":
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(path)
    else:
        saved = grey.convert("RGB").quantize(64) if mode == "P" else grey.convert("RGB").convert(mode)
        saved.save(path)
    rgb = read_image(path)
    assert rgb.mode == "RGB"
    assert rgb.size == (50, 40)
    expected = grey.convert("1").convert("L") if mode == "1" else grey
    assert np.abs(np.asarray(rgb).astype(int) - np.asarray(expected)[..., None]).max() <= 3


def test_transparent_parts_lie_on_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (10, 20, 30, 255)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    rgb = np.asarray(read_image(tmp_path / "a.png"))
    assert (rgb[:2] == (10, 20, 30)).all()
    assert (rgb[2:] == 255).all()


def test_bytes_and_file_are_the_same(tmp_path):
    picture().save(tmp_path / "a.jpg")
    content = np.frombuffer((tmp_path / "a.jpg").read_bytes(), np.uint8)
    np.testing.assert_array_equal(read_image(content), read_image(tmp_path / "a.jpg"))


def test_unusable_pictures_are_named(tmp_path):
    picture().save(tmp_path / "a.jpg", quality=95)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"cut\.jpg: cannot be decoded as a picture \(.*truncated"):
        read_image(tmp_path / "cut.jpg")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"text\.png: cannot be decoded"):
        read_image(tmp_path / "text.png")
    with pytest.raises(ImageError, match=r"absent\.png: no such picture"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match=r"image\[3\]: cannot be decoded"):
        read_image(b"", "image[3]")
    for size in ((1, 1), (1, 40), (40, 1)):
        picture(*size).save(tmp_path / "one.png")
        with pytest.raises(ImageError, match=rf"one\.png: is {size[0]}x{size[1]} pixels, expected at least 2"):
            read_image(tmp_path / "one.png")


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (128, 128)])
def test_evaluation_cut_is_the_published_one(size, resize):
    """Resize, centre crop, tensor, normalise in torchvision's first API, as both originals call it."""
    published = first_api.Compose(
        [
            first_api.Resize(resize),
            first_api.CenterCrop((size, size)),
            first_api.ToTensor(),
            first_api.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    for image in (picture(300, 260), picture(90, 141)):
        ours = ImageTransform(size, resize, random_crop=True)(image, train=False)
        torch.testing.assert_close(ours, published(image), rtol=0, atol=1e-5)


def test_training_cut_is_the_published_one():
    published = first_api.Compose([first_api.RandomResizedCrop(64), first_api.ToTensor()])
    torch.manual_seed(3)
    theirs = published(picture(300, 260))
    torch.manual_seed(3)
    ours = ImageTransform(64, 80, random_crop=True).crop(picture(300, 260), train=True)
    torch.testing.assert_close(first_api.ToTensor()(ours), theirs)


def test_flip_is_for_training_only():
    transform = ImageTransform(8, 8, random_crop=False, flip=True)
    image = picture(8, 8)
    mirrored = np.asarray(image)[:, ::-1]
    seen = [np.asarray(transform.crop(image, train=True)) for _ in range(20)]
    assert any((s == mirrored).all() for s in seen)
    assert any((s == np.asarray(image)).all() for s in seen)
    assert all((np.asarray(transform.crop(image, train=False)) == np.asarray(image)).all() for _ in range(20))


def test_impossible_sizes():
    with pytest.raises(ValueError, match="size: found 224, expected at most resize, 200"):
        ImageTransform(224, 200, random_crop=False)

"""Batches of captioned images through the common loader: shapes, order, skipping, splits that do not fit."""

import shutil
from functools import partial

import pytest
import torch

from datasets.loading.rows import SampleError
from datasets.text_image.dataset import CaptionedImages
from datasets.text_image.splits import CaptionedData
from datasets.text_image.vocabulary import VocabularyError


@pytest.fixture
def birds(assets, tmp_path):
    return shutil.copytree(assets / "formats" / "birds", tmp_path / "birds")


def node(folder, split, each=10):
    return partial(CaptionedImages, folder, split, resolutions=(8, 16), captions_per_image=each, max_words=7)


def data(birds, **settings):
    return CaptionedData(node(birds, "train"), node(birds, "test"), batch_size=2, **settings)


def test_batches(birds):
    found = data(birds)
    batches = list(found.train_loader.batches(0))
    assert len(batches) == found.train_loader.steps_per_epoch == 3
    assert sorted(int(row) for batch in batches for row in batch["index"]) == list(range(6))
    for batch in batches:
        assert tuple(batch["image_16"].shape) == (2, 3, 16, 16)
        assert tuple(batch["tokens"].shape) == (2, 7)
        assert torch.equal((batch["tokens"] > 0).sum(dim=1), batch["ntokens"])
    again = list(data(birds).train_loader.batches(0))
    assert all(torch.equal(one["image_8"], other["image_8"]) for one, other in zip(batches, again, strict=True))
    later = list(data(birds).train_loader.batches(1))
    assert not all(torch.equal(one["tokens"], other["tokens"]) for one, other in zip(batches, later, strict=True))


def test_evaluation_is_in_order(birds):
    found = data(birds, evaluation_batch_size=3)
    assert [batch["index"].tolist() for batch in found.loaders["validation"].batches(0)] == [[0, 1, 2], [3]]


@pytest.mark.parametrize("on_error", ["error", "skip"])
def test_a_image_that_cannot_be_decoded(birds, on_error):
    broken = next((birds / "CUB_200_2011" / "images").rglob("*_121.jpg"))
    broken.write_bytes(broken.read_bytes()[:40])
    found = data(birds, on_error=on_error)
    if on_error == "error":
        with pytest.raises(
            SampleError,
            match=r"row 0 \(.*_121\) of the validation split, .*filenames.pickle: .*_121.jpg.*on_error=skip",
        ):
            list(found.loaders["validation"].batches(0))
    else:
        rows = [row for batch in found.loaders["validation"].batches(0) for row in batch["index"].tolist()]
        assert rows == [1, 2, 3]
        assert [(split, row) for split, row, _ in found.skipped] == [("validation", 0)]


def test_splits_of_two_folders(birds, assets):
    coco = node(assets / "formats" / "coco", "test", each=5)
    with pytest.raises(VocabularyError, match=r"validation split, .* numbers its .* words otherwise"):
        CaptionedData(node(birds, "train"), coco, batch_size=2)

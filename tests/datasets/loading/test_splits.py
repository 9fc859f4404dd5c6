"""Files that are evaluated are looked at before a training."""

from functools import partial
from pathlib import Path

import pytest

from datasets.loading.rows import SampleError, unusable_row
from datasets.loading.splits import SplitLoaders


class Numbers:
    """Twenty rows, of which one may be broken."""

    source = Path("numbers.txt")
    listed = None

    def __init__(self, train, on_error, broken=None):
        self.train, self.on_error, self.broken = train, on_error, broken
        self.split, self.skipped, self.read = "", {}, []

    def __len__(self):
        return 20

    def __getitem__(self, index):
        self.read.append(index)
        if index == self.broken:
            raise unusable_row(self, index, "n.jpg", "n.jpg: the image breaks off")
        return {"index": index}

    def digest(self):
        return "20 rows"

    def files(self):
        return self.listed


def splits(on_error="error", validation=None, test=None, rank=0, world=1):
    nodes = (partial(Numbers, broken=broken) for broken in (3, validation, test))
    return SplitLoaders(*nodes, 4, None, on_error, 0, rank=rank, world=world)


def read(data):
    return {split: sorted(loader.dataset.read) for split, loader in data.loaders.items()}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_broken_file_is_named(split):
    message = rf"row 17 \(n\.jpg\) of the {split} split, numbers\.txt: n\.jpg: the image breaks off \(or leave such"
    with pytest.raises(SampleError, match=message):
        splits(**{split: 17}).look_at_held_out()


def test_every_row_is_read_once_and_none_of_training():
    data = splits()
    data.look_at_held_out()
    assert read(data) == {"validation": list(range(20)), "test": list(range(20))}
    assert not data.train_loader.dataset.read


def test_ranks_share_the_rows():
    both = [splits(rank=rank, world=2) for rank in (0, 1)]
    for data in both:
        data.look_at_held_out()
    first, second = (read(data)["test"] for data in both)
    assert len(first) == len(second) == 10
    assert sorted(first + second) == list(range(20))


def test_rows_that_may_be_left_out_are_not_looked_for():
    data = splits(on_error="skip", test=17)
    data.look_at_held_out()
    assert read(data) == {"validation": [], "test": []}


def test_what_the_time_does_not_allow_is_said(caplog):
    caplog.set_level("INFO")
    data = splits(test=17)
    data.look_at_held_out(seconds=-1)
    assert read(data) == {"validation": [], "test": []}
    assert "test: of 20 rows 0 were looked at; a file of the others that cannot be read is found when" in caplog.text


def test_what_is_learned_from_is_the_rows_and_their_files(tmp_path):
    data = splits()
    rows = dict.fromkeys(["training set", "validation set", "test set"], "20 rows")
    assert data.digests() == rows
    (tmp_path / "a.jpg").write_bytes(b"12345")
    data.train_loader.dataset.listed = [str(tmp_path / "a.jpg")]
    found = data.digests()
    assert found.pop("files of the training set").startswith("1 file of 5 bytes with digest ")
    assert found == rows

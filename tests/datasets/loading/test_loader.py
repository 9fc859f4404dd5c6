"""The loader: batches depend on seed, epoch and row alone, whatever the workers, ranks and interruptions."""

import resource
import signal
from pathlib import Path

import pytest
import torch

from common.errors import UserError
from datasets.audio.spec_augment import SpecAugment
from datasets.audio.windows import device_features
from datasets.loading import loader as loading
from datasets.loading.collate import Items
from datasets.loading.loader import Loader
from datasets.loading.rows import SampleError
from datasets.spoken_captions.readers import PlacesFiles
from tests.datasets.conftest import write_corpus


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A corpus that no test changes."""
    return write_corpus(tmp_path_factory.mktemp("shared") / "places", 11)


@pytest.fixture
def dataset(shared, small):
    return PlacesFiles(shared, small, True, max_frames=60, window="random", spec_augment=SpecAugment(1, 8, 1, 20))


def equal(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(left[name], right[name]) for name in left)


def test_batches_hold_what_the_contract_says(dataset):
    loader = Loader(dataset, batch_size=4, seed=0, train=True)
    assert loader.steps_per_epoch == 2
    batches = list(loader.batches(0))
    assert len(batches) == 2
    for batch in batches:
        assert batch["image"].shape == (4, 3, 16, 16)
        assert batch["mel"].shape == (4, 40, 64)
        assert batch["nframes"].dtype == batch["index"].dtype == torch.int64
        for mel, nframes in zip(batch["mel"], batch["nframes"], strict=True):
            assert (mel[:, nframes:] == 0).all()
            assert (mel[:, :nframes].amin(0) < 0).all()
    assert len({int(i) for b in batches for i in b["index"]}) == 8


def test_epochs_and_seeds_differ_but_repeat(dataset):
    def orders(seed):
        return [Loader(dataset, 4, seed, True).order(epoch) for epoch in range(3)]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    assert orders(1)[0] != orders(1)[1]


def test_augmentation_differs_from_epoch_to_epoch(dataset):
    loader = Loader(dataset, 11, 0, True)
    first, second = next(loader.batches(0)), next(loader.batches(1))
    row = first["index"][0]
    again = int((second["index"] == row).nonzero())
    assert not torch.equal(first["image"][0], second["image"][again])


def test_worker_count_changes_nothing_and_torchs_generator_is_left_alone(dataset):
    before = torch.get_rng_state()
    alone = [batch for epoch in (0, 1) for batch in Loader(dataset, 4, 7, True).batches(epoch)]
    assert torch.equal(torch.get_rng_state(), before)
    loader = Loader(dataset, 4, 7, True, workers=2)
    several = [batch for epoch in (0, 1) for batch in loader.batches(epoch)]
    assert len(alone) == len(several) == 4
    assert all(equal(a, b) for a, b in zip(alone, several, strict=True))


def test_resumes_within_an_epoch_after_breaking_off(dataset):
    loader = Loader(dataset, 2, 7, True, workers=1)
    whole = list(loader.batches(3))
    for _ in loader.batches(4):  # left early: persistent workers must not mix epochs
        break
    rest = list(loader.batches(3, start=2))
    assert len(whole) == 5
    assert len(rest) == 3
    assert all(equal(a, b) for a, b in zip(whole[2:], rest, strict=True))
    assert list(loader.batches(3, start=5)) == []


@pytest.mark.parametrize("bucket", [False, True])
def test_ranks_together_see_what_one_process_sees(dataset, bucket):
    one = list(Loader(dataset, 4, 5, True, bucket=bucket, target_length=64).batches(1))
    two = [
        list(Loader(dataset, 4, 5, True, bucket=bucket, target_length=64, rank=r, world=2).batches(1)) for r in (0, 1)
    ]
    for whole, left, right in zip(one, *two, strict=True):
        assert equal(whole, {name: torch.cat([left[name], right[name]]) for name in whole})


def test_evaluation_keeps_order_and_rows(dataset):
    for world in (1, 2, 3):
        seen = []
        for rank in range(world):
            loader = Loader(dataset, 5, 0, False, rank=rank, world=world)
            assert loader.steps_per_epoch == 3
            seen += [int(i) for batch in loader.batches(0) for i in batch["index"]]
        assert sorted(seen) == list(range(11))
    assert Loader(dataset, 5, 0, False).order(0) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10]]


def test_training_sets_smaller_than_a_batch(dataset):
    assert Loader(dataset, 64, 0, True).steps_per_epoch == 1
    assert len(next(Loader(dataset, 64, 0, True).batches(0))["index"]) == 11
    shares = [next(Loader(dataset, 64, 0, True, rank=r, world=2).batches(0))["index"] for r in (0, 1)]
    assert [len(share) for share in shares] == [5, 5]


def test_a_training_set_smaller_than_a_batch_is_reported_with_a_way_out(dataset, shared, caplog):
    Loader(dataset, 11, 0, True).note_small_set()
    Loader(dataset, 64, 0, True, rank=1, world=2).note_small_set()
    assert caplog.messages == []
    Loader(dataset, 64, 0, True, world=2).note_small_set()
    (message,) = caplog.messages
    assert message == (
        f"{shared} lists 11 pairs to train on, expected at least data.batch_size=64: every epoch is one step with a "
        "batch of 10, so there is little training; give data.batch_size=2 (5 steps an epoch) or more pairs"
    )
    Loader(dataset, 64, 0, True, world=8).note_small_set()
    assert caplog.messages[1].endswith("with a batch of 8, so there is little training; give more pairs")


def test_buckets_hold_like_lengths(dataset):
    lengths = torch.from_numpy(dataset.lengths())

    def spread(bucket):
        batches = Loader(dataset, 2, 0, True, bucket=bucket).order(0)
        assert len({row for batch in batches for row in batch}) == 10
        return sum(int(lengths[batch].max() - lengths[batch].min()) for batch in batches)

    assert spread(True) < 0.8 * spread(False)
    orders = [Loader(dataset, 2, 0, True, bucket=True).order(epoch) for epoch in range(2)]
    assert orders[0] != orders[1]
    assert orders[0] == Loader(dataset, 2, 0, True, bucket=True).order(0)


def test_captions_meet_impostors_of_other_lengths_in_buckets(dataset):
    """Sorted over the whole epoch, the shortest captions would share their batch with the next ones every time."""
    order = torch.from_numpy(dataset.lengths()).argsort().tolist()
    near = set(order[:4])
    met = set()
    for epoch in range(20):
        for batch in Loader(dataset, 2, 0, True, bucket=True).order(epoch):
            met |= set(batch) - near if order[0] in batch else set()
    assert met


def test_padding(shared, small):
    free = PlacesFiles(shared, small, train=False)
    batch = next(Loader(free, 11, 0, False, pad_multiple=10).batches(0))
    assert batch["mel"].shape[2] == 100  # 91 frames
    fixed = PlacesFiles(shared, small, train=False, max_frames=50)
    assert next(Loader(fixed, 11, 0, False, target_length=200).batches(0))["mel"].shape[2] == 200
    device = PlacesFiles(shared, small, train=False, features="device")
    values = device_features(next(Loader(device, 11, 0, False, pad_multiple=10).batches(0))).values
    torch.testing.assert_close(values, batch["mel"], rtol=0, atol=2e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_rows_stop_or_are_skipped_and_listed(corpus, small, workers, caplog):
    (corpus.parent / "wavs" / "2.wav").write_bytes(b"RIFF")
    (corpus.parent / "images" / "5.png").write_text("no image")
    dataset = PlacesFiles(corpus, small, train=False)
    with pytest.raises(SampleError, match=r"^row 2 \(utt2\) of .*: .*2\.wav: cannot be decoded"):
        list(Loader(dataset, 4, 0, False, workers=workers).batches(0))
    dataset.split = "validation"
    place = rf"^row 2 \(utt2\) of the validation split, {corpus}: .*2\.wav: .*data.on_error=skip\)$"
    with pytest.raises(SampleError, match=place):
        list(Loader(dataset, 4, 0, False, workers=workers).batches(0))
    loader = Loader(PlacesFiles(corpus, small, train=False, on_error="skip"), 4, 0, False, workers=workers)
    for epoch in (0, 1):
        seen = [int(i) for batch in loader.batches(epoch) for i in batch["index"]]
        assert seen == [0, 1, 3, 4, 6, 7, 8, 9, 10]
    assert sorted(loader.skipped) == [2, 5]
    assert "5.png" in loader.skipped[5]
    assert sum("skipped row" in message for message in caplog.messages) == 2


def spoil(corpus, rows):
    """Leaves nothing of some rows' sounds."""
    for row in rows:
        (corpus.parent / "wavs" / f"{row}.wav").write_bytes(b"RIFF")


def rows_of(dataset, size, world, workers=0, epoch=0):
    """Rows of every global batch, put together from all ranks."""
    ranks = [Loader(dataset, size, 0, True, rank=rank, world=world, workers=workers) for rank in range(world)]
    shares = [[batch["index"].tolist() for batch in loader.batches(epoch)] for loader in ranks]
    assert all(len(share) == size // world for rank in shares for share in rank)
    return [[row for part in parts for row in part] for parts in zip(*shares, strict=True)]


@pytest.mark.parametrize(
    ("size", "bad"), [(2, (2, 3)), (4, (2, 3, 7)), (4, (0, 1, 2, 3, 4, 5, 6)), (8, (2, 5, 9)), (10, (4,))]
)
def test_other_rows_take_the_place_of_bad_ones_and_none_is_twice_in_a_batch(corpus, small, size, bad):
    """Also where hardly any are left, and the same for 1 and 2 processes; evaluation (above) leaves a gap."""
    spoil(corpus, bad)
    dataset = PlacesFiles(corpus, small, train=True, on_error="skip")
    replaced = 0
    for epoch in range(4):
        one, two = (rows_of(dataset, size, world, epoch=epoch) for world in (1, 2))
        planned = Loader(dataset, size, 0, True).order(epoch)
        assert one == two
        assert len(one) == len(planned) == 11 // size
        for found, rows in zip(one, planned, strict=True):
            assert len(set(found)) == size
            assert not set(found) & set(bad)
            assert [new for new, row in zip(found, rows, strict=True) if row not in bad] == [
                row for row in rows if row not in bad
            ]
            replaced += found != rows
    assert replaced
    assert rows_of(dataset, size, 1, workers=2, epoch=3) == one


def test_no_row_is_used_twice_where_none_is_left(corpus, small):
    spoil(corpus, (2, 3))
    dataset = PlacesFiles(corpus, small, train=True, on_error="skip")
    for size, world in ((11, 1), (10, 1), (10, 2), (64, 1)):
        with pytest.raises(UserError, match=r"no row .* instead of \d of a batch, .* smaller data\.batch_size"):
            rows_of(dataset, size, world)


def test_bad_sounds_are_replaced_by_world_1_and_2_alike(corpus, small):
    (corpus.parent / "wavs" / "2.wav").write_bytes(b"RIFF")
    dataset = PlacesFiles(corpus, small, train=True, max_frames=60, on_error="skip")
    one = list(Loader(dataset, 4, 5, True, target_length=64).batches(1))
    two = [list(Loader(dataset, 4, 5, True, target_length=64, rank=r, world=2).batches(1)) for r in (0, 1)]
    for whole, left, right in zip(one, *two, strict=True):
        assert equal(whole, {name: torch.cat([left[name], right[name]]) for name in whole})


def test_a_row_that_stands_in_is_decoded_once(corpus, small, monkeypatch):
    spoil(corpus, (2,))
    dataset = PlacesFiles(corpus, small, train=True, on_error="skip")
    read, load = [], PlacesFiles.__getitem__
    monkeypatch.setattr(PlacesFiles, "__getitem__", lambda self, row: read.append(row) or load(self, row))
    sample, failures = Items(dataset, 0, refill=True)[0, 1, (0, 2, 5)]
    assert [failure.index for failure in failures] == [2]
    assert read == [2, sample["index"]]
    assert sample["index"] not in (0, 2, 5)


def test_a_batch_of_bad_rows_is_an_error(corpus, small):
    for file in (corpus.parent / "wavs").iterdir():
        file.write_bytes(b"RIFF")
    loader = Loader(PlacesFiles(corpus, small, train=True, on_error="skip"), 4, 0, True)
    with pytest.raises(UserError, match=r"no row could be used instead of 4 of a batch(.|\n)*the last: row \d+"):
        list(loader.batches(0))


def test_impossible_sizes(dataset, shared, small):
    with pytest.raises(ValueError, match=r"batch_size: found 3 for 2 processes, which share .* a multiple of 2"):
        Loader(dataset, 3, 0, True, world=2)
    with pytest.raises(ValueError, match="batch_size 0"):
        Loader(dataset, 0, 0, True)
    with pytest.raises(ValueError, match="target_length is 50 frames while the dataset's max_frames is 60"):
        Loader(dataset, 4, 0, True, target_length=50)
    with pytest.raises(UserError, match=r"11 training rows for 12 processes; .* fewer processes with launch.processes"):
        Loader(dataset, 12, 0, True, world=12)


def test_more_workers_than_cores_are_reported_once_in_our_words(dataset, caplog, recwarn):
    Loader(dataset, 2, 0, True, workers=997)
    Loader(dataset, 2, 0, False, workers=997)
    assert caplog.text.count("workers is 997 for") == 1
    assert [warning for warning in recwarn if "worker processes" in str(warning.message)] == []


def limit(resource_name, more):
    """What a worker does at its start: as usual, then a limit takes its room away."""
    start = loading._start_worker

    def start_limited(worker):
        start(worker)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does; the write then fails with an error
        used = len(list(Path("/proc/self/fd").iterdir())) if resource_name == "RLIMIT_NOFILE" else 0
        resource.setrlimit(getattr(resource, resource_name), (used + more,) * 2)

    return start_limited


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
@pytest.mark.parametrize(
    ("resource_name", "more", "message"),
    [
        ("RLIMIT_FSIZE", 1000, "could not hand its batch on .*File too large"),  # shared memory without room
        ("RLIMIT_NOFILE", 5, "could not hand its batch on .*exited unexpectedly"),  # so does what passes files on
    ],
)
def test_a_worker_that_cannot_hand_its_batch_on_is_an_error(dataset, monkeypatch, resource_name, more, message):
    monkeypatch.setattr(loading, "_start_worker", limit(resource_name, more))
    loader = Loader(dataset, batch_size=4, seed=0, train=True, workers=1)
    with pytest.raises(UserError, match=message):
        list(loader.batches(0))

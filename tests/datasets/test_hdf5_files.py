"""HDF5 on file systems without locks: files are written without one, and an error about locks says what to do."""

import h5py
import numpy as np
import pytest

from common.disk_space import NoRoomError
from common.errors import UserError
from common.files import written_whole
from datasets.hdf5.write import HDF5Pair, preprocess
from datasets.hdf5_files import continued, created, flush
from datasets.loading.rows import ManifestError
from datasets.spoken_captions.hdf5_pair import opened
from datasets.world.export.iclevr import iclevr_finish
from datasets.world.export.records import SPLITS, WORK
from tests.disk import file_limit

NO_LOCKS = "unable to lock file, errno = 37, error message = 'No locks available'"
REMEDY = (
    r"\(.*unable to lock file, errno = 37.*\).*; set HDF5_USE_FILE_LOCKING=FALSE where the file system has no locks$"
)


@pytest.fixture
def lockless(monkeypatch):
    """HDF5 as it is on NFS without its lock daemon: whoever asks for a lock is refused, or ``always``."""
    file = h5py.File

    def replace(always=False):
        def opened_there(path, mode="r", locking=None, **more):
            if always or locking is not False:
                raise OSError(37, f"Unable to synchronously {'open' if mode == 'r' else 'create'} file ({NO_LOCKS})")
            return file(path, mode, locking=locking, **more)

        monkeypatch.setattr(h5py, "File", opened_there)

    return replace


def test_a_file_is_written_without_a_lock(lockless, tmp_path):
    lockless()
    with created(tmp_path / "a.h5") as file:
        file["x"] = np.arange(3)
    lockless(always=True)
    with pytest.raises(UserError, match=rf"a\.h5: cannot be written as HDF5 {REMEDY}"), created(tmp_path / "a.h5"):
        pass


def test_an_error_that_is_not_of_locks_has_another_remedy(tmp_path, monkeypatch):
    message = r"a\.h5: cannot be written as HDF5 \(.*No such file .*folder that can be written to$"
    with pytest.raises(UserError, match=message), created(tmp_path / "gone" / "a.h5"):
        pass

    def full(*_args, **_more):
        raise OSError(
            "Unable to create file (file write failed, errno = 28, error message = 'No space left on device')"
        )

    monkeypatch.setattr(h5py, "File", full)
    draft = written_whole(tmp_path / "a.h5")
    with pytest.raises(NoRoomError, match="no room in"), draft as temporary, created(temporary):
        pass


def test_everything_that_writes_hdf5_says_so(lockless, corpus, tmp_path):
    pair = HDF5Pair(manifest=corpus, max_frames=64, workers=1)
    lockless(always=True)
    with pytest.raises(UserError, match=rf"train_audio\.h5\.tmp: cannot be written as HDF5 {REMEDY}"):
        preprocess(pair)
    (tmp_path / WORK).mkdir()
    with pytest.raises(UserError, match=rf"clevr_{SPLITS[0]}\.h5\.tmp: cannot be written as HDF5 {REMEDY}"):
        iclevr_finish(tmp_path, lambda: iter(()))
    lockless()
    preprocess(pair)
    iclevr_finish(tmp_path, lambda: iter(()))
    with pytest.raises(ManifestError, match=rf"train_audio\.h5: cannot be opened as HDF5 {REMEDY}"):
        opened(pair.audio, (), pair.json)


def test_rows_are_put_in_without_locks_or_with_the_remedy(lockless, corpus):
    sound = corpus.parent / "wavs" / "2.wav"
    content = sound.read_bytes()
    sound.write_bytes(content[:-100])
    pair = HDF5Pair(manifest=corpus, max_frames=64, workers=1, on_error="skip")
    preprocess(pair)
    sound.write_bytes(content)
    lockless()
    with pytest.raises(ManifestError, match=rf"train_audio\.h5: cannot be opened as HDF5 {REMEDY}"):
        preprocess(pair)


@pytest.mark.parametrize("limit", [0, 100, 2048, 8000, 20_000, 60_000])
def test_a_file_without_room_is_one_sentence_whenever_room_ends(tmp_path, limit):
    """HDF5 itself crashes there: data in one piece, in chunks and of variable length, kept and written at the end."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 2000), np.uint8)
    refused = pytest.raises(NoRoomError, match=r"no room in .* \(File too large\)")
    with file_limit(limit), refused, written_whole(tmp_path / "a.h5") as temporary, created(temporary) as file:
        file.attrs["pair"] = "x" * 32
        file["whole"] = noise[0]
        pieces = file.create_dataset("pieces", noise.shape, np.uint8, chunks=(1, 2000), compression="gzip")
        images = file.create_dataset("images", (60,), h5py.vlen_dtype(np.uint8))
        for row, values in enumerate(noise):
            pieces[row] = images[row] = values
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, 2048, 8000, 20_000, 60_000, None])
def test_a_draft_is_written_on_until_room_ends(tmp_path, limit):
    """HDF5 itself crashes there; a draft that may be torn is not gone on with."""
    noise, draft = np.random.default_rng(0).integers(0, 256, (60, 2000), np.uint8), tmp_path / "draft"

    def go_on(rows):
        with continued(draft) as file:
            for row in rows:
                if str(row) not in file:
                    file[str(row)] = noise[row]
                    flush(file)
            return sorted(map(int, file)), file["1"][:]

    assert go_on(range(2))[0] == [0, 1]
    if limit is not None:
        with file_limit(limit), pytest.raises(NoRoomError, match=r"no room in .* \(File too large\)"):
            go_on(range(60))
        assert not draft.exists()
    keys, first = go_on(range(1, 3))
    assert keys == ([0, 1, 2] if limit is None else [1, 2])
    assert np.array_equal(first, noise[1])


def test_a_draft_that_is_no_hdf5_begins_anew(tmp_path):
    (tmp_path / "draft").write_bytes(b"nothing")
    with continued(tmp_path / "draft") as file:
        assert list(file) == []
        file["a"] = 1
    with pytest.raises(KeyError), continued(tmp_path / "draft") as file:  # what is not of the disk keeps it
        file["b"]
    with continued(tmp_path / "draft") as file:
        assert list(file) == ["a"]

"""Malformed HDF5 pairs: each is one sentence that names the file and the dataset, none a traceback."""

import json
import re
import time

import h5py
import numpy as np
import pytest
import torch

from common.errors import UserError
from datasets.images import ImageTransform
from datasets.loading.loader import Loader
from datasets.spoken_captions.hdf5_pair import manifest_of
from datasets.spoken_captions.readers import PlacesHDF5
from tests.datasets.spoken_captions.malformed_pairs import BYTES, LENGTHS, MALFORMED, ROWS, write_pair

IMAGES = ImageTransform(size=4, resize=4, random_crop=False)


def load(manifest, on_error="error", train=False):
    """Open a pair, ask for its lengths and load every row."""
    dataset = PlacesHDF5(manifest, IMAGES, train=train, on_error=on_error)
    loader = Loader(dataset, 2, 0, train, bucket=True)
    return dataset, [row for batch in loader.batches(0) for row in batch["index"].tolist()]


def sentence(manifest):
    """The one sentence that a pair is refused with."""
    with pytest.raises(UserError) as found:
        load(manifest)
    message = str(found.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_the_good_pair_is_read(tmp_path):
    manifest, _, _ = write_pair(tmp_path)
    dataset, rows = load(manifest)
    assert rows == list(range(ROWS))
    assert tuple(dataset.lengths()) == tuple(dataset[row]["nframes"] for row in rows) == LENGTHS


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_pair_is_one_sentence(name, tmp_path):
    which, spoil, dataset, expected = MALFORMED[name]
    manifest, audio, image = write_pair(tmp_path)
    path = {"audio": audio, "image": image}[which]
    with h5py.File(path, "r+") as file:
        spoil(file)
    message = sentence(manifest)
    assert str(path) in message
    assert dataset in message.replace(path.name, "")
    assert re.search(expected, message), message


@pytest.mark.parametrize("name", BYTES)
def test_a_file_that_is_no_hdf5_is_one_sentence(name, tmp_path):
    which, spoil, expected = BYTES[name]
    manifest, audio, image = write_pair(tmp_path)
    path = {"audio": audio, "image": image}[which]
    spoil(path)
    message = sentence(manifest)
    assert str(path) in message
    assert re.search(expected, message), message


@pytest.mark.parametrize("kind", ["a length", "a chunk", "an image"])
def test_a_malformed_row_is_left_out_where_rows_may_be(kind, tmp_path):
    name = {
        "a length": "a length is NaN",
        "a chunk": "a chunk that cannot be unpacked",
        "an image": "an image that is none",
    }
    which, spoil, *_ = MALFORMED[name[kind]]
    manifest, audio, image = write_pair(tmp_path)
    with h5py.File({"audio": audio, "image": image}[which], "r+") as file:
        spoil(file)
    dataset, rows = load(manifest, on_error="skip")
    assert rows == [0, 2]
    assert list(dataset.skipped) == [1]
    if kind == "a length":
        assert dataset.lengths().tolist() == [LENGTHS[0], 0, LENGTHS[2]]


def test_other_good_forms_are_read(tmp_path):
    """Doubles, halves, big-endian numbers, lengths as floats, compression, and a link within the file."""
    manifest, audio, _ = write_pair(tmp_path)
    expected = [sample["mel"].numpy() for sample in PlacesHDF5(manifest, None, train=False)]
    with h5py.File(audio, "r+") as file:
        mel = file["melspec"][:]
        for dtype, settings in (("f8", {}), (">f4", {"compression": "gzip"}), ("f4", {"compression": "lzf"})):
            del file["melspec"], file["melspec_len"]
            file.create_dataset("melspec", data=mel.astype(dtype), **settings)
            file["melspec_len"] = np.array(LENGTHS, {"f8": "f8", "f4": "f4"}.get(dtype, ">i2"))
            file.flush()
            for sample, values in zip(PlacesHDF5(manifest, None, train=False), expected, strict=True):
                assert sample["mel"].dtype == torch.float32
                np.testing.assert_array_equal(sample["mel"], values)
        file.move("melspec", "features/mel")
        file["melspec"] = h5py.SoftLink("/features/mel")
        file.flush()
        np.testing.assert_array_equal(PlacesHDF5(manifest, None, train=False)[2]["mel"], expected[2])


def test_a_broken_length_counts_as_none(tmp_path):
    manifest, audio, _ = write_pair(tmp_path)
    with h5py.File(audio, "r+") as file:
        del file["melspec_len"]
        file["melspec_len"] = np.array([*LENGTHS[:2], 7.5], np.float32)
    assert PlacesHDF5(manifest, None, train=False).lengths().tolist() == [*LENGTHS[:2], 0]


def damaged(content, draws):
    """The bytes of a file with some of them changed, zeroed, left out, or cut off."""
    content, at = bytearray(content), int(draws.integers(len(content)))
    match int(draws.integers(5)):
        case 0:
            del content[at:]
        case 1:
            content[at : at + int(draws.integers(1, 64))] = bytes(int(draws.integers(1, 64)))
        case 2:
            content[at : at + 8] = draws.choice([b"\xff" * 8, b"\x00" * 8, b"\x00" * 7 + b"\x7f"])
        case _:
            for place in draws.integers(min(len(content), int(draws.choice([512, 4096, 1 << 30]))), size=4):
                content[place] ^= 1 << int(draws.integers(8))
    return bytes(content)


def test_damaged_files_never_end_in_a_traceback(tmp_path):
    """What can be read of files with damaged bytes is read, else it is one sentence with the file's name.

    Only the log-mels: in the heap that HDF5 keeps images of several lengths in, a damaged size can make the library
    itself run without end.
    """
    whole = {path.name: path.read_bytes() for path in write_pair(tmp_path)}
    draws, end = np.random.default_rng(1), time.monotonic() + 4
    refused = tried = 0
    while tried < 100 and time.monotonic() < end:
        folder = tmp_path / str(tried)  # HDF5 takes a file that is written over while it is open for the old one
        folder.mkdir()
        for name, content in whole.items():
            (folder / name).write_bytes(damaged(content, draws) if name == "pair_audio.h5" else content)
        try:
            load(folder / "pair.json")
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
            assert str(folder / "pair_audio.h5") in str(error)
        tried += 1
    assert tried >= 10
    assert 0 < refused < tried


def test_the_json_of_a_pair_names_the_folders_where_the_files_were_found(tmp_path):
    """Its paths as of the folder where the public script ran, above the list; the pair's are absolute."""
    (tmp_path / "wavs").mkdir()
    (tmp_path / "lists").mkdir()
    (tmp_path / "wavs" / "a.wav").touch()
    (tmp_path / "a.png").touch()
    rows = [{"wav": "a.wav", "image": "a.png"}]
    manifest = tmp_path / "lists" / "train.json"
    manifest.write_text(json.dumps({"audio_base_path": "./wavs", "image_base_path": "", "data": rows}))
    made = json.loads(manifest_of(manifest, "a.h5", "i.h5", {}, {}))
    assert (made["audio_base_path"], made["image_base_path"]) == (str(tmp_path / "wavs"), str(tmp_path))

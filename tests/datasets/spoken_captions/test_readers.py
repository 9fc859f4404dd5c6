"""The three datasets: the published formats, the same sample from files and HDF5, and errors that name file and row."""

import json
import pickle
import shutil

import h5py
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from datasets.audio import log_mel as features_module
from datasets.audio.spec_augment import SpecAugment
from datasets.audio.windows import device_features
from datasets.hdf5.write import HDF5Pair, preprocess
from datasets.images import ImageTransform
from datasets.loading.rows import ManifestError, SampleError
from datasets.spoken_captions import readers as captions_module
from datasets.spoken_captions.readers import GanClevr, PlacesFiles, PlacesHDF5


@pytest.fixture
def pair(corpus):
    """The JSON of the corpus's HDF5 pair."""
    data = HDF5Pair(manifest=corpus, max_frames=256, workers=1)
    preprocess(data)
    return data.json


def test_published_places_files_and_hdf5_agree(assets):
    folder = assets / "formats" / "places"
    image = ImageTransform(64, 72, random_crop=True)
    files = PlacesFiles(folder / "metadata.json", image, train=True)
    stored = PlacesHDF5(folder / "metadata_hdf5.json", image, train=True, texts=folder / "metadata.json")
    assert len(files) == len(stored) == 4
    for row in range(4):
        torch.manual_seed(row)
        ours = files[row]
        torch.manual_seed(row)
        theirs = stored[row]
        assert torch.equal(ours["image"], theirs["image"])
        assert ours["nframes"] == theirs["nframes"] == files.lengths()[row] == stored.lengths()[row]
        torch.testing.assert_close(ours["mel"], theirs["mel"], rtol=1e-4, atol=2e-3)
        assert files.record(row) == stored.record(row)
    assert PlacesHDF5(folder / "metadata_hdf5.json", image, train=False).record(2).uttid == "2"


def test_same_sample_from_files_and_from_our_pair(corpus, pair, small):
    augment = SpecAugment(1, 8, 1, 20)
    arguments = {"image": small, "train": True, "max_frames": 40, "window": "random", "spec_augment": augment}
    files, stored = PlacesFiles(corpus, **arguments), PlacesHDF5(pair, **arguments)
    for row in range(len(files)):
        torch.manual_seed(row)
        ours = files[row]
        torch.manual_seed(row)
        theirs = stored[row]
        assert ours.keys() == theirs.keys() == {"index", "image", "mel", "nframes"}
        assert torch.equal(ours["image"], theirs["image"])
        assert torch.equal(ours["mel"], theirs["mel"])
        assert ours["nframes"] == theirs["nframes"] == ours["mel"].shape[1] <= 40
        np.testing.assert_array_equal(files.waveform(row), stored.waveform(row))
        np.testing.assert_array_equal(files.image_u8(row), stored.image_u8(row))
    np.testing.assert_array_equal(files.lengths(), stored.lengths())


def test_training_randomness_stays_in_training(corpus, small):
    dataset = PlacesFiles(
        corpus, small, train=False, max_frames=20, window="random", spec_augment=SpecAugment(1, 8, 1, 20)
    )
    first, second = dataset[3], dataset[3]
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(first["mel"], second["mel"])
    assert (first["mel"].amax(0) > -80).any()


def test_device_features_equal_the_workers(corpus, small):
    worker = PlacesFiles(corpus, small, train=True, max_frames=30, window="random")
    device = PlacesFiles(corpus, small, train=True, max_frames=30, window="random", features="device")
    for row in (0, 7):
        torch.manual_seed(row)
        ours = worker[row]
        torch.manual_seed(row)
        sample = device[row]
        batch = {name: torch.as_tensor(sample[name])[None] for name in ("waveform", "nsamples", "start", "nframes")}
        values, nframes = device_features(batch, 30)
        assert nframes.item() == ours["nframes"]
        torch.testing.assert_close(values[0, :, :nframes], ours["mel"], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="spec_augment masks features in the worker"):
        PlacesFiles(corpus, small, train=True, spec_augment=SpecAugment(1, 8, 1, 20), features="device")


def test_gan_clevr(assets):
    folder = assets / "formats" / "clevrgan"
    dataset = GanClevr(folder, "train", ImageTransform(128, 128, random_crop=False), train=True, max_frames=1024)
    sample = dataset[2]
    assert sample["latent"] == 103
    assert sample["image"].shape == (3, 128, 128)
    assert sample["mel"].shape == (40, sample["nframes"])
    blind = GanClevr(folder, "test", None, train=False)
    assert "image" not in blind[0]
    with pytest.raises(ValueError, match="without images"):
        blind.image_u8(0)


def test_kept_spectrograms_are_read_once_and_the_same(assets, monkeypatch):
    folder = assets / "formats" / "clevrgan"
    options = {"train": True, "max_frames": 20, "spec_augment": SpecAugment(1, 8, 1, 5)}
    fresh, kept = GanClevr(folder, "train", None, **options), GanClevr(folder, "train", None, **options, keep=True)
    reads = []
    read = features_module.read_audio
    monkeypatch.setattr(features_module, "read_audio", lambda path: reads.append(path) or read(path))
    for seed in range(3):  # windows and masks are drawn anew, and leave what is kept alone
        torch.manual_seed(seed)
        expected = fresh[1]
        torch.manual_seed(seed)
        assert torch.equal(kept[1]["mel"], expected["mel"])
    assert len(reads) == 3 + 1
    with pytest.raises(ValueError, match="log-mels are kept with features: worker"):
        GanClevr(folder, "train", None, train=True, features="device", keep=True)


def seeded(dataset, seed):
    """Every sample of a dataset as the random state of a seed makes it, and what is seen of its image."""
    samples = []
    for row in range(len(dataset)):
        torch.manual_seed(seed)
        samples.append((dataset[row], dataset.image_u8(row)))
    return samples


def test_kept_files_are_read_once_and_the_samples_are_the_same(corpus, small, monkeypatch):
    """Of the very same random crops, windows and masks; without a file being read again."""
    options = {"train": True, "max_frames": 20, "window": "random", "spec_augment": SpecAugment(1, 8, 1, 5)}
    fresh, kept = PlacesFiles(corpus, small, **options), PlacesFiles(corpus, small, **options, keep_mb=1)
    expected = [seeded(fresh, seed) for seed in range(3)]
    for seed in range(3):
        for (ours, shown), (theirs, image) in zip(seeded(kept, seed), expected[seed], strict=True):
            assert ours.keys() == theirs.keys()
            assert torch.equal(ours["mel"], theirs["mel"])
            assert torch.equal(ours["image"], theirs["image"])
            np.testing.assert_array_equal(shown, image)
        for reader in ("read_image", "read_log_mel"):
            monkeypatch.setattr(captions_module, reader, lambda path: pytest.fail(f"{path} is read again"))
    with pytest.raises(ValueError, match="log-mels are kept with features: worker, found device"):
        PlacesFiles(corpus, small, train=True, features="device", keep_mb=1)


def test_what_is_kept_stays_within_its_budget(corpus, small):
    dataset = PlacesFiles(corpus, small, train=False, keep_mb=1)
    mels = [160 * int(frames) for frames in dataset.lengths()]  # 40 bands, 4 bytes
    dataset._kept.left = 8000 + mels[0] + 8000 + mels[1] + 8000 + 10  # images of 50 x 40 pixels, 4 bytes
    for row in (0, 1, 0, 2, 3):
        dataset[row]
    assert list(dataset._kept._values) == [("image", 0), ("mel", 0), ("image", 1), ("mel", 1), ("image", 2)]
    assert dataset._kept.left == 10


def test_a_row_that_memory_has_no_room_for_is_named(corpus, small, monkeypatch):
    dataset = PlacesFiles(corpus, small, train=False)

    def speech(_row):
        raise MemoryError

    monkeypatch.setattr(dataset, "_speech", speech)
    with pytest.raises(SampleError, match=r"row 2 \(utt2\) of .*: takes more memory than there is; shorten its sound"):
        dataset[2]


def test_a_file_that_cannot_be_read_is_reported_each_time_and_not_kept(corpus, small):
    (corpus.parent / "wavs" / "2.wav").write_bytes(b"")
    dataset = PlacesFiles(corpus, small, train=False, keep_mb=1)
    for _ in range(2):
        with pytest.raises(SampleError, match=r"row 2 \(utt2\)"):
            dataset[2]
    assert len(dataset._kept) == 1  # its image


def test_gan_clevr_ids_are_numbers(assets, tmp_path):
    (tmp_path / "audio").mkdir()
    source = assets / "formats" / "clevrgan" / "audio" / "7.wav"
    (tmp_path / "audio" / "x7.wav").write_bytes(source.read_bytes())
    (tmp_path / "name_list_val.txt").write_text("x7\n")
    with pytest.raises(ManifestError, match=r"ids \['x7'\] are no numbers"):
        GanClevr(tmp_path, "val", None, train=False)


def test_silence_is_a_bad_sample(assets, corpus, small, tmp_path):
    soundfile.write(corpus.parent / "wavs" / "2.wav", np.zeros(4000), 16000)
    for features in ("worker", "device"):
        with pytest.raises(SampleError, match=r"row 2 \(utt2\) of .*: .*2\.wav: holds only silence"):
            PlacesFiles(corpus, small, train=False, features=features)[2]
    (tmp_path / "clevr" / "audio").mkdir(parents=True)
    (tmp_path / "clevr" / "name_list_val.txt").write_text("7\n")
    soundfile.write(tmp_path / "clevr" / "audio" / "7.wav", np.zeros(4000), 16000)
    with pytest.raises(SampleError, match=r"row 0 \(7\) of .*: .*7\.wav: holds only silence"):
        GanClevr(tmp_path / "clevr", "val", None, train=False)[0]


def test_a_blank_image_is_a_bad_sample(assets, corpus, pair, small, tmp_path):
    blank = Image.new("RGB", (50, 40), "white")
    blank.save(corpus.parent / "images" / "2.png")
    with pytest.raises(SampleError, match=r"row 2 \(utt2\) of .*: .*2\.png: shows nothing, all 50x40 pixels are equal"):
        PlacesFiles(corpus, small, train=False)[2]
    with h5py.File(pair.with_name("train_image.h5"), "r+") as file:
        file["image"][3] = np.frombuffer((corpus.parent / "images" / "2.png").read_bytes(), np.uint8)
    with pytest.raises(SampleError, match=r"row 3 \(utt3\) of .*: .*image\[3\]: shows nothing, all 50x40"):
        PlacesHDF5(pair, small, train=False)[3]
    folder = shutil.copytree(assets / "formats" / "clevrgan", tmp_path / "clevr")
    blank.save(folder / "images" / "7.jpg")
    with pytest.raises(SampleError, match=r"row 1 \(7\) of .*: .*7\.jpg: shows nothing, all 50x40"):
        GanClevr(folder, "train", small, train=False)[1]


def test_photographs_are_upright_from_files_and_from_our_pair(corpus, small):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = corpus.parent / "images" / "3.png"
    with Image.open(path) as image:
        stored = image.copy()
    upright = PlacesFiles(corpus, small, train=False)[3]["image"]
    stored.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    data = HDF5Pair(manifest=corpus, max_frames=256, workers=1)
    preprocess(data)
    for dataset in (PlacesFiles(corpus, small, train=False), PlacesHDF5(data.json, small, train=False)):
        assert torch.equal(dataset[3]["image"], upright)


def test_bad_samples_name_file_and_row(corpus, small):
    (corpus.parent / "wavs" / "2.wav").write_bytes(b"")
    (corpus.parent / "images" / "5.png").write_text("no image")
    dataset = PlacesFiles(corpus, small, train=False)
    with pytest.raises(SampleError, match=r"row 2 \(utt2\) of .*: .*2\.wav: .*the file is empty") as caught:
        dataset[2]
    assert pickle.loads(pickle.dumps(caught.value)).index == 2
    with pytest.raises(SampleError, match=r"row 5 \(utt5\) of .*: .*5\.png: cannot be decoded"):
        dataset[5]
    with pytest.raises(IndexError, match="row 11 of 11"):
        dataset[11]


def test_bad_hdf5_rows_are_named(pair, small):
    with h5py.File(pair.with_name("train_audio.h5"), "r+") as file:
        file["melspec_len"][1] = 0
        file["melspec"][2, 3, 4] = np.nan
        file["melspec_len"][4] = 257
        file["melspec"][6, 3, 4] = 3e38
        file["melspec"][7] = 10 ** (file["melspec"][7] / 10)  # power
        file["melspec"][5] = 0  # what the published writers leave where decoding failed
    with h5py.File(pair.with_name("train_image.h5"), "r+") as file:
        file["image"][3] = np.zeros(10, np.uint8)
    dataset = PlacesHDF5(pair, small, train=False)
    for row, message in {
        1: r"melspec\[1\]: melspec_len is 0, expected a whole number from 1 to 256",
        2: r"melspec\[2\]: holds NaN",
        3: r"image\[3\]: cannot be decoded",
        4: r"melspec\[4\]: melspec_len is 257",
        5: r"melspec\[5\]: holds nothing but 0, silence or a recording that could not be decoded",
        6: r"melspec\[6\]: holds values from -[0-9.]+ to 3e\+38, expected log-mels in decibels, at most 200",
        7: r"melspec\[7\]: holds values from [0-9.e-]+ to 1, expected log-mels in decibels, .* take 10 log10 of powers",
    }.items():
        with pytest.raises(SampleError, match=rf"row {row} \(utt{row}\) of .*: .*{message}"):
            dataset[row]


def test_mismatched_pairs_are_named(pair, small):
    content = json.loads(pair.read_text())
    shorter = pair.with_name("shorter.json")
    shorter.write_text(json.dumps(content | {"data": content["data"][:-1]}))
    with pytest.raises(ManifestError, match=r"lengths differ: .*data has 10, .*melspec has 11"):
        PlacesHDF5(shorter, small, train=False)
    with h5py.File(pair.with_name("train_image.h5"), "r+") as file:
        file.move("image", "photo")
    with pytest.raises(ManifestError, match=r"train_image\.h5: has no dataset image, found photo"):
        PlacesHDF5(pair, small, train=False)
    pair.with_name("train_image.h5").write_text("no HDF5")
    with pytest.raises(ManifestError, match=r"train_image\.h5: cannot be opened as HDF5"):
        PlacesHDF5(pair, small, train=False)
    pair.with_name("train_image.h5").unlink()
    with pytest.raises(ManifestError, match=r"train_image\.h5: there is no such file"):
        PlacesHDF5(pair, small, train=False)


def test_hdf5_dataset_pickles_with_open_files(pair, small):
    dataset = PlacesHDF5(pair, small, train=False)
    before = dataset[0]["mel"]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0]["mel"], before)


def test_impossible_settings(corpus, small):
    with pytest.raises(ValueError, match="max_frames is 0, expected at least 1"):
        PlacesFiles(corpus, small, train=False, max_frames=0)

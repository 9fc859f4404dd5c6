"""The published lists: what they mean, and the check at start-up that shows ten problems and counts all."""

import json
import os
import pickle

import numpy as np
import pytest

from datasets.gan_clevr import read_gan_clevr
from datasets.manifest import ManifestError, read_places
from datasets.records import Records, SpokenCaption, parse_alignment


def test_places_format(assets):
    folder = assets / "formats" / "places"
    manifest = read_places(folder / "metadata.json", need="files")
    assert len(manifest.records) == 4
    first, last = manifest.records[0], manifest.records[3]
    assert (first.uttid, first.speaker, first.text) == (
        "SPK000-utterance_1000",
        "SPK000",
        "a small red house near a lake",
    )
    assert first.alignment[1] == (0.45, 0.72, "SMALL")
    assert first.audio_path == folder / "audio/wavs/0/utterance_1000.wav"
    assert first.image_path.is_file()
    assert last.alignment is None


def test_published_pair_names_two_files(assets):
    folder = assets / "formats" / "places"
    pair = read_places(folder / "metadata_hdf5.json", need="hdf5")
    assert pair.audio_hdf5 == folder / "hdf5/audio.h5"
    assert pair.image_hdf5 == folder / "hdf5/image.h5"
    assert len(pair.records) == 0


def test_home_and_absolute_paths(corpus, monkeypatch, tmp_path):
    content = json.loads(corpus.read_text())
    monkeypatch.setenv("HOME", str(tmp_path))
    content["audio_base_path"] = "~/places/wavs"
    content["image_base_path"] = str(corpus.parent / "images")
    elsewhere = tmp_path / "list.json"
    elsewhere.write_text(json.dumps(content))
    assert len(read_places(elsewhere, need="files").records) == 11


def test_gan_clevr_format(assets):
    folder = assets / "formats" / "clevrgan"
    train = read_gan_clevr(folder, "train", images=True)
    assert [record.uttid for record in train.records] == ["12", "7", "103", "50001"]
    assert train.records[0].text == "There is a big red metal cube. It is left of a sphere."
    assert train.records[0].image_path == folder / "images/12.jpg"
    assert read_gan_clevr(folder, "val", images=False).records[0].image_path is None


def test_ten_problems_and_the_count(corpus):
    content = json.loads(corpus.read_text())
    for row, entry in enumerate(content["data"]):
        del entry["wav" if row % 2 else "speaker"]
    content["data"].append("text")
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError) as caught:
        read_places(corpus, need="files")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{corpus}: 12 problems")
    assert lines[1:3] == ["  row 0 (utt0): lacks speaker", "  row 1 (utt1): lacks wav"]
    assert len(lines) == 12
    assert lines[-1] == "  ... and 2 more"


def test_missing_files_are_named(corpus):
    (corpus.parent / "wavs" / "3.wav").unlink()
    (corpus.parent / "images" / "4.png").unlink()
    with pytest.raises(ManifestError, match=r"2 problems(.|\n)*row 3 \(utt3\): wav .*3\.wav does not exist") as caught:
        read_places(corpus, need="files")
    assert "row 4 (utt4): image" in str(caught.value)
    assert len(read_places(corpus, need="any").records) == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wav": None}, "row 2 .*wav is None, expected text"),
        ({"image": ""}, "row 2 .*image is '', expected text"),
        ({"text_alignment": "0.1__A"}, r"row 2 .*holds '0\.1__A', expected start__WORD__end tokens in seconds"),
        ({"text_alignment": "x__A__0.2"}, r"row 2 .*text_alignment holds 'x__A__0\.2', expected"),
        ({"text_alignment": "garbage __ x__y__z"}, r"row 2 \(utt2\): text_alignment holds 'garbage', expected start__"),
        ({"text_alignment": "0.1__A__0.2 __"}, r"row 2 \(utt2\): text_alignment holds '__', expected start__"),
    ],
)
def test_wrong_values_are_named(corpus, change, message):
    content = json.loads(corpus.read_text())
    content["data"][2] |= change
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=message):
        read_places(corpus)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "holds a JSON list, expected a mapping"),
        ("{}", "has no 'data'"),
        ('{"data": []}', r"has 'data' = \[\]"),
        ('{"data": {"a": 1}}', "expected a list of rows"),
        ('{"audio_base_path": 3, "data": [{}]}', "audio_base_path is 3, expected a path"),
    ],
)
def test_wrong_files_are_named(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_places(path)


def test_what_is_missing_is_named(tmp_path, corpus):
    with pytest.raises(ManifestError, match=r"absent\.json: no such manifest"):
        read_places(tmp_path / "absent.json")
    with pytest.raises(ManifestError, match="names no HDF5 pair"):
        read_places(corpus, need="hdf5")
    with pytest.raises(ManifestError, match=r"name_list_val\.txt: no such file"):
        read_gan_clevr(tmp_path, "val", images=False)
    (tmp_path / "name_list_val.txt").write_text("\n")
    with pytest.raises(ManifestError, match=r"1 problem; (.|\n)*lists no ids"):
        read_gan_clevr(tmp_path, "val", images=False)
    (tmp_path / "name_list_val.txt").write_text("1\n2\n")
    with pytest.raises(ManifestError, match="4 problems"):
        read_gan_clevr(tmp_path, "val", images=True)


def test_problems_of_rows_and_of_files_are_in_order(corpus):
    content = json.loads(corpus.read_text())
    del content["data"][5]["speaker"]
    content["data"][8]["wav"] = "/3.wav"
    corpus.write_text(json.dumps(content))
    (corpus.parent / "wavs" / "3.wav").unlink()
    (corpus.parent / "images" / "6.png").unlink()
    with pytest.raises(ManifestError) as caught:
        read_places(corpus, need="files")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()[1:]] == [
        f"  row {row} (utt{row})" for row in (3, 5, 6, 8)
    ]
    assert str(caught.value).endswith("wav /3.wav does not exist")


def test_bases_may_come_after_the_rows(corpus):
    content = json.loads(corpus.read_text())
    corpus.write_text(json.dumps(dict(reversed(content.items()))))
    assert read_places(corpus, need="files").records[4].audio_path == corpus.parent / "wavs" / "4.wav"


def test_names_that_no_file_system_has_do_not_exist(corpus):
    content = json.loads(corpus.read_text())
    for row, name in enumerate(("a\0/b.wav", "\ud800/b.wav", "x" * 5000 + "/b.wav", "3.wav/b.wav", "wavs\n/b.wav")):
        content["data"][row]["wav"] = name
    (corpus.parent / "wavs" / "loop").symlink_to("loop")
    content["data"][5]["wav"] = "loop/b.wav"
    content["data"][6]["wav"] = "loop"
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="7 problems"):
        read_places(corpus, need="files")


def test_a_folder_is_listed_once(corpus, monkeypatch):
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    assert len(read_places(corpus, need="files").records) == 11
    assert sorted(listed) == [str(corpus.parent / name) for name in ("images", "wavs")]


def test_an_alignment_may_be_null(corpus):
    content = json.loads(corpus.read_text())
    content["data"][1]["text_alignment"] = None
    content["data"][2]["text_alignment"] = " 0.1__A_B__1e1  2__C__3.5"
    corpus.write_text(json.dumps(content))
    records = read_places(corpus).records
    assert records[1].alignment is None
    assert records[2].alignment == [(0.1, 10.0, "A_B"), (2.0, 3.5, "C")]


def test_alignment_words_may_hold_underscores():
    assert parse_alignment(" 0.1__A_B__0.2  0.3__C__D__0.4 ") == [(0.1, 0.2, "A_B"), (0.3, 0.4, "C__D")]
    assert parse_alignment("") == []


def test_packed_records_come_back(tmp_path):
    captions = [
        SpokenCaption("a", "s", "t é", [(0.1, 0.25, "T")], tmp_path / "a.wav", None),
        SpokenCaption("b", alignment=[]),
    ]
    packed = pickle.loads(pickle.dumps(Records(iter(captions))))
    assert list(packed) == captions
    assert Records([SpokenCaption("a", alignment=[(np.float64(0.5), 1, np.str_("T"))])])[0].alignment == [
        (0.5, 1.0, "T")
    ]
    with pytest.raises(IndexError, match="row 2 of 2"):
        packed[2]

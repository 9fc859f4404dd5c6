"""The published lists: what they mean, and the check at start-up that shows ten problems and counts all."""

import bz2
import gzip
import itertools
import json
import lzma
import math
import os
import pickle
import shutil
import unicodedata

import numpy as np
import pytest

from datasets.loading.rows import ManifestError
from datasets.spoken_captions.gan_clevr import read_gan_clevr
from datasets.spoken_captions.places_manifest import read_places
from datasets.spoken_captions.records import Records, SpokenCaption, parse_alignment
from tests.datasets.conftest import write_corpus


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
        del entry["wav" if row % 2 else "image"]
    content["data"].append("text")
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError) as caught:
        read_places(corpus, need="files")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{corpus}: 12 problems")
    assert lines[1:3] == ["  row 0 (utt0): lacks image", "  row 1 (utt1): lacks wav"]
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
        ({"wav": None}, "row 2 .*wav is null, expected text"),
        ({"wav": [None, True]}, r"row 2 .*wav is \[null, true\], expected text"),
        ({"image": ""}, "row 2 .*image is '', expected text"),
        ({"text_alignment": "x__A__0.2"}, r"row 2 .*text_alignment holds 'x__A__0\.2', expected"),
        ({"text_alignment": "garbage __ x__y__z"}, r"row 2 \(utt2\): text_alignment holds 'x__y__z', expected start__"),
        ({"speaker": 3}, r"row 2 \(utt2\): speaker is 3, expected text"),
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
        ('{"data": null}', "has 'data' = null, expected a list"),
        ("null", "holds null, expected a mapping"),
        ("true", "holds a JSON truth value, expected a mapping"),
        ("[" * 20000 + "]" * 20000, "nested too deeply to be read, expected a Places manifest; correct it"),
        (
            '{"data": [' + "9" * 6000 + "]}",
            "a.json: holds a whole number of 6000 digits, expected at most 4300; correct",
        ),
        ('{"data": [{"uttid": ' + "9" * 6000 + "}, {}]}", "holds a whole number of 6000 digits"),
        ('{"image_base_path": "a\\u0000", "data": [{}]}', r"path is 'a\\x00', expected a path as text, without NUL"),
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
    del content["data"][5]["image"]
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


def test_alignment_words_may_hold_an_underscore():
    assert parse_alignment(" 0.1__A_B__0.2  0.3___C__0.4 ") == [(0.1, 0.2, "A_B"), (0.3, 0.4, "_C")]
    assert parse_alignment("") == []


def test_alignment_tokens_that_the_public_code_skips_are_left_out(corpus, caplog):
    """Those of one, two or four parts (wnhsu/ResDAVEnet-VQ, get_word_ali); null and absent are no alignment."""
    texts = ["0.1__A__0.2 <SIL> 0.2__B 0.3__C__D__0.4 __ 0.4__E__0.5", "<SIL>", None, "0.1__A__0.2"]
    content = json.loads(corpus.read_text())
    for entry, text in zip(content["data"], texts, strict=False):
        entry["text_alignment"] = text
    corpus.write_text(json.dumps(content))
    records = read_places(corpus).records
    expected = [[(0.1, 0.2, "A"), (0.4, 0.5, "E")], [], None, [(0.1, 0.2, "A")], None]
    assert [records[row].alignment for row in range(5)] == expected
    assert "text_alignment of 2 rows holds tokens other than start__WORD__end" in caplog.text
    assert "the first: '<SIL>' in row 0" in caplog.text


def test_rows_need_no_more_than_the_public_code_reads(corpus):
    content = json.loads(corpus.read_text())
    content["data"][0] = {"wav": "0.wav", "image": "0.png"}
    content["data"][1] = {"wav": "1.wav", "image": "1.png", "text": "said", "uttid": "mine"}
    content["data"][2] = {"wav": "2.wav", "image": "2.png", "text": "not this", "asr_text": "this", "speaker": "S"}
    corpus.write_text(json.dumps(content))
    records = read_places(corpus, need="files").records
    assert [(record.uttid, record.speaker, record.text) for record in [*records][:4]] == [
        ("0", "", ""), ("mine", "", "said"), ("2", "S", "this"), ("utt3", "S", "row 3"),
    ]  # fmt: skip
    assert records[0].audio_path == corpus.parent / "wavs" / "0.wav"


@pytest.mark.parametrize("base", ["./places/{}", "places/{}"])
@pytest.mark.parametrize("place", ["places", "places/metadata/deep", "lists"])
def test_paths_as_of_where_the_public_script_ran(corpus, tmp_path, monkeypatch, base, place):
    """Relative to the list's folder, to one above it, or to the working folder, whose pair and files then load."""
    content = json.loads(corpus.read_text())
    content |= {"audio_base_path": base.format("wavs"), "image_base_path": base.format("images")}
    content |= {"audio_hdf5_path": base.format("a.h5"), "image_hdf5_path": base.format("i.h5")}
    for name in ("a.h5", "i.h5"):
        (corpus.parent / name).write_bytes(b"")
    folder = tmp_path / place
    if place == "lists":  # elsewhere: the working folder counts
        folder = tmp_path / "elsewhere" / "lists"
        content["audio_base_path"] = "wavs"
        monkeypatch.chdir(corpus.parent)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list.json").write_text(json.dumps(content))
    files = read_places(folder / "list.json", need="files").records
    assert files[3].audio_path == corpus.parent / "wavs" / "3.wav"
    assert files[3].image_path == corpus.parent / "images" / "3.png"
    pair = read_places(folder / "list.json", need="hdf5")
    assert (pair.audio_hdf5, pair.image_hdf5) == (corpus.parent / "a.h5", corpus.parent / "i.h5")


def test_the_own_folder_of_a_list_comes_first(corpus, monkeypatch, tmp_path):
    other = write_corpus(tmp_path / "other", 11)
    monkeypatch.chdir(other.parent)
    assert read_places(corpus, need="files").records[0].audio_path == corpus.parent / "wavs" / "0.wav"
    (corpus.parent / "wavs" / "0.wav").unlink()  # the folder is there: what it lacks is not taken from elsewhere
    shutil.rmtree(other.parent / "wavs")
    with pytest.raises(ManifestError, match=rf"1 problem; (.|\n)*wav {corpus.parent}/wavs/0.wav does not exist"):
        read_places(corpus, need="files")


def test_a_pair_that_is_nowhere_is_named(tmp_path, monkeypatch):
    manifest = tmp_path / "a" / "b.json"
    manifest.parent.mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    looked = f"; its folder and those above it were looked into, and the working folder {tmp_path}/work"
    for named, found, where in (("./data/a.h5", f"{tmp_path}/a/data/a.h5", looked), ("/no/a.h5", "/no/a.h5", "")):
        manifest.write_text(json.dumps({"audio_hdf5_path": named, "image_hdf5_path": "/no/i.h5"}))
        with pytest.raises(ManifestError) as caught:
            read_places(manifest, need="hdf5")
        assert str(caught.value) == f"{found}: there is no such file; {manifest} names it{where}"
    monkeypatch.chdir(tmp_path)
    manifest.write_text('{"audio_hdf5_path": "a.h5", "image_hdf5_path": "/no/i.h5"}')
    with pytest.raises(ManifestError, match=r"those above it were looked into$"):
        read_places(manifest, need="hdf5")


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


def coco(corpus):
    """SpokenCOCO's layout of the corpus: three images, the first two with three captions each."""
    content = json.loads(corpus.read_text())
    rows = [
        {"uttid": row["uttid"], "speaker": row["speaker"], "text": row["asr_text"], "wav": row["wav"]}
        for row in content["data"]
    ]
    images = [row["image"] for row in content["data"]]
    content["data"] = [
        {"image": image, "captions": rows[first : first + 3]} for image, first in zip(images, (0, 3, 6), strict=False)
    ]
    content["data"][2]["captions"] = rows[6:7]
    return content


def test_spoken_coco(corpus):
    plain = read_places(corpus, need="files").records
    corpus.write_text(json.dumps(coco(corpus)))
    records = read_places(corpus, need="files").records
    assert [record.uttid for record in records] == [f"utt{row}" for row in range(7)]
    assert [record.text for record in records] == [f"row {row}" for row in range(7)]
    assert [record.image_path for record in records] == [plain[row // 3].image_path for row in range(7)]
    assert [record.audio_path for record in records] == [plain[row].audio_path for row in range(7)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[1]["captions"].__setitem__(1, 3), r"row 1, caption 1: is 3, expected a mapping"),
        (lambda data: data[1].pop("image"), r"3 problems(.|\n)*row 1, caption 0 \(utt3\): lacks image"),
        (lambda data: data[1]["captions"][2].pop("wav"), r"row 1, caption 2 \(utt5\): lacks wav"),
        (lambda data: data[1].update(captions=[]), r"row 1: captions is \[\], expected a list of at least one, each a"),
        (lambda data: data[1].update(captions=None), r"row 1: captions is null, expected a list of at least one"),
        (lambda data: data[2].update(captions={"a": 1}), r'row 2: captions is {"a": 1}, expected a list of at least'),
        (
            lambda data: data[0]["captions"][0].update(text=None),
            r"row 0, caption 0 \(utt0\): asr_text is null, expected text",
        ),
        (
            lambda data: (data[0].update(captions=[]), data[2]["captions"][0].pop("wav")),
            r"2 problems.*\n  row 0: captions is (.|\n)*\n  row 2, caption 0 \(utt6\): lacks wav",
        ),
    ],
)
def test_errors_of_spoken_coco_are_named(corpus, change, message):
    content = coco(corpus)
    change(content["data"])
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=message):
        read_places(corpus)


def test_missing_files_of_spoken_coco_are_named_by_their_row(corpus, caplog):
    content = coco(corpus)
    content["data"][1]["captions"][2]["text_alignment"] = "odd"
    corpus.write_text(json.dumps(content))
    (corpus.parent / "wavs" / "6.wav").unlink()
    with pytest.raises(ManifestError, match=r"1 problem;.*\n  row 2, caption 0 \(utt6\): wav .*6\.wav does not exist"):
        read_places(corpus, need="files")
    assert "the first: 'odd' in row 1, caption 2" in caplog.text


def test_a_row_of_its_own_may_have_captions_besides(corpus):
    content = json.loads(corpus.read_text())
    content["data"][1]["captions"] = None
    corpus.write_text(json.dumps(content))
    assert len(read_places(corpus, need="files").records) == 11


@pytest.mark.parametrize("token", ["nan__A__1", "0__A__inf", "1e999__A__2", "-1__A__2", "0.5__A__0.4", "0__A__1e300"])
def test_alignments_have_finite_times(token):
    with pytest.raises(
        ValueError, match=rf"text_alignment holds '{token}', expected start__WORD__end tokens in seconds"
    ):
        parse_alignment(f"0__B__1 {token}")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (f'"0__A__{"9" * 400}"', "text_alignment holds '0__A__999.*', expected start__WORD__end tokens in seconds"),
        (
            '"0__A__1 1.5__B__1.4"',
            r"row 1 \(utt1\): text_alignment holds '1.5__B__1.4', .*the end not before the start",
        ),
        ('"0__A__1 -1__B__0"', "text_alignment holds '-1__B__0', .* in seconds, from 0 on"),
        ('"0__A__1e300"', "text_alignment holds '0__A__1e300', expected"),
        ("5", "text_alignment is 5, expected text"),
        ("[[1]]", r"text_alignment is \[\[1\]\], expected text"),
        *((f"{'[' * depth}{']' * depth}", r"text_alignment is \[\[.*|nested too deeply") for depth in (500, 900, 3000)),
        ("[" * 100_000 + "]" * 100_000, "holds lists or mappings nested too deeply to be read"),
        ("9" * 5000, "holds a whole number of 5000 digits, expected at most 4300; correct it"),
    ],
    ids=lambda value: value[:20],
)
def test_odd_alignments_are_one_sentence(corpus, value, message):
    content = json.loads(corpus.read_text())
    content["data"][1]["text_alignment"] = "HERE"
    corpus.write_text(json.dumps(content).replace('"HERE"', value))
    with pytest.raises(ManifestError, match=message):
        read_places(corpus, need="files")


def test_a_manifest_of_terabytes_is_refused_by_its_size(corpus):
    os.truncate(corpus, 4 << 40)
    with pytest.raises(
        ManifestError, match=r"train\.json has 4398046511104 bytes, expected at most 2147483648 of a file"
    ):
        read_places(corpus)


def test_a_manifest_of_windows(corpus, caplog):
    content = json.loads(corpus.read_text())
    plain = read_places(corpus, need="files").records
    for base, key in (("audio_base_path", "wav"), ("image_base_path", "image")):
        for entry in content["data"]:
            entry[key] = f"{content[base]}\\{entry[key]}"
        content[base] = ""
    corpus.write_text(json.dumps(content))
    assert list(read_places(corpus, need="files").records) == list(plain)
    assert "22 files are named with backslashes, which are read as slashes" in caplog.text
    content["data"][4]["wav"] = "wavs\\40.wav"
    content["data"][5]["wav"] = "D:\\set\\wavs\\5.wav"
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="2 problems") as caught:
        read_places(corpus, need="files")
    assert "row 4 (utt4): wav " in str(caught.value)
    assert "40.wav does not exist, nor with slashes for its backslashes" in str(caught.value)
    assert "row 5 (utt5): wav D:\\set\\wavs\\5.wav does not exist: it is a path of Windows" in str(caught.value)


@pytest.mark.parametrize("key", ["audio_base_path", "image_base_path"])
@pytest.mark.parametrize("base", ["C:\\data\\wav", "d:/data", "E:", r"\\server\share"])
def test_a_base_on_a_drive_of_windows(corpus, key, base):
    content = json.loads(corpus.read_text())
    whole = {key: base}
    corpus.write_text(json.dumps(content | whole))
    with pytest.raises(ManifestError) as caught:
        read_places(corpus, need="files")
    assert str(caught.value) == (
        f"{corpus}: {key} is {base}, a path of a Windows machine, whose drives are not here; correct it to where the "
        "files are on this machine (absolute, or relative to the manifest)"
    )
    field = {"audio_base_path": "wav", "image_base_path": "image"}[key]
    for entry in content["data"]:  # absolute names have no base
        entry[field] = str(corpus.parent / content[key] / entry[field])
    corpus.write_text(json.dumps(content | whole))
    assert len(read_places(corpus, need="files").records) == 11


def test_a_pair_on_a_drive_of_windows(corpus):
    content = json.loads(corpus.read_text()) | {"audio_hdf5_path": "C:\\a.h5", "image_hdf5_path": "C:\\i.h5"}
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=r"audio_hdf5_path is C:\\a\.h5, a path of a Windows machine"):
        read_places(corpus, need="hdf5")
    assert len(read_places(corpus, need="files").records) == 11


@pytest.mark.parametrize("need", ["files", "hdf5", "any"])
def test_what_cannot_be_a_manifest(tmp_path, need):
    """A folder, names that no file has, and archives; siblings of other lists are in their own tests."""
    with pytest.raises(ManifestError) as caught:
        read_places(tmp_path, need=need)
    assert str(caught.value) == f"{tmp_path}: is a folder, expected a Places JSON; name the file in it"
    with pytest.raises(ManifestError, match=r"'.*a\\x00\.json': the name holds a NUL character, which no file's has"):
        read_places(tmp_path / "a\0.json", need=need)
    with pytest.raises(ManifestError, match=r"cannot be read \(File name too long\), expected a Places JSON"):
        read_places(tmp_path / ("a" * 300), need=need)
    for kind, pack in (("gzip", gzip.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)):
        (tmp_path / "a.json").write_bytes(pack(b'{"data": []}'))
        with pytest.raises(ManifestError, match=rf"a\.json is compressed \({kind}\), expected .*; unpack it first"):
            read_places(tmp_path / "a.json", need=need)


def test_names_that_hold_odd_characters(corpus):
    content = json.loads(corpus.read_text())
    content["data"][0]["wav"], content["data"][1]["wav"] = "a\0.wav", "b\n.wav"
    corpus.write_text(json.dumps(content))
    with pytest.raises(ManifestError) as caught:
        read_places(corpus, need="files")
    first, second = str(caught.value).split("\n")[1:]
    assert first == r"  row 0 (utt0): wav 'a\x00.wav' holds a NUL character, which no file's name has"
    assert second == rf"  row 1 (utt1): wav '{corpus.parent}/wavs/b\n.wav' does not exist"


@pytest.mark.parametrize(("disk", "listed"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_another_form_of_unicode(corpus, disk, listed):
    content = json.loads(corpus.read_text())
    at = {form: unicodedata.normalize(form, "caf\u00e9\uac00") for form in (disk, listed)}
    (corpus.parent / "wavs").rename(corpus.parent / at[disk])
    (corpus.parent / at[disk] / "3.wav").rename(corpus.parent / at[disk] / f"{at[disk]}.wav")
    content["audio_base_path"] = at[listed]
    content["data"][3]["wav"] = f"{at[listed]}.wav"
    corpus.write_text(json.dumps(content))
    records = read_places(corpus, need="files").records
    assert records[3].audio_path == corpus.parent / at[disk] / f"{at[disk]}.wav"
    assert all(record.audio_path.is_file() and record.image_path.is_file() for record in records)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_manifests_in_other_encodings(corpus, encoding):
    content = json.loads(corpus.read_text())
    content["data"][1]["asr_text"] = "caf\u00e9 \U0001f600"
    corpus.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    assert read_places(corpus, need="files").records[1].text == "caf\u00e9 \U0001f600"
    corpus.write_bytes(json.dumps(content, ensure_ascii=False).replace("\U0001f600", "").encode("latin-1"))
    with pytest.raises(
        ManifestError, match=r"train\.json is no text in UTF-8: .* 0xe9 after .*caf', which is '\u00e9' in Lat"
    ):
        read_places(corpus)


def test_halves_of_characters(corpus):
    """They can be written nowhere; in paths they are the bytes of names that are not in UTF-8."""
    content = json.loads(corpus.read_text())
    content["data"][1] |= {
        "uttid": "u\ud83d", "speaker": "\udfff", "asr_text": "a \ud83d \uac00", "text_alignment": "0__\ud83d__1",
        "wav": "caf\udce9.wav",
    }  # fmt: skip
    (corpus.parent / "wavs" / "1.wav").rename(corpus.parent / "wavs" / "caf\udce9.wav")
    corpus.write_text(json.dumps(content))
    record = read_places(corpus, need="files").records[1]
    assert (record.uttid, record.speaker, record.text) == ("u\ufffd", "\ufffd", "a \ufffd \uac00")
    assert record.alignment == [(0, 1, "\ufffd")]
    assert record.audio_path.is_file()
    packed = Records([SpokenCaption("\udce9", alignment=[(0.0, 1.0, "\ud83d")], audio_path=record.audio_path)])[0]
    assert packed == SpokenCaption("\ufffd", alignment=[(0.0, 1.0, "\ufffd")], audio_path=record.audio_path)


def malformed(content):
    """JSON that is no manifest, or a strange one, by name."""
    values = [None, True, 0, 1.5, [], {}, [[]], {"a": 1}, "", "\ud800", "\0", "x" * 9999, "~nobodyhere/x", math.nan]
    values += [10**4000, "\n"]
    for place, value in itertools.product(
        ("uttid", "speaker", "asr_text", "wav", "text_alignment", "captions"), values
    ):
        rows = [row | {place: value} if number == 1 else row for number, row in enumerate(content["data"])]
        yield json.dumps(content | {"data": rows})
    for place, value in itertools.product(("audio_base_path", "image_base_path", "audio_hdf5_path", "data"), values):
        yield json.dumps(content | {place: value})
    for depth in (500, 980, 20000, 200000):
        for place in ("uttid", "captions"):
            rows = [content["data"][0] | {place: "X"}]
            yield json.dumps(content | {"data": rows}).replace('"X"', "[" * depth + "]" * depth)
        yield '{"data": ' + "[" * depth + "]" * depth + "}"
        yield '{"a": ' * depth + "1" + "}" * depth
    yield json.dumps(content).replace('"utt1"', "9" * 5000)
    yield from ("", " ", "null", "\0", '"a"', "3", '{"data": [], "data": []}', '{"data": [NaN]}', "{'data': []}")
    whole = json.dumps(content)
    yield from (whole[:end] for end in range(0, len(whole), 97))


def test_malformed_manifests_end_in_a_sentence(corpus):
    content = json.loads(corpus.read_text())
    content["data"] = content["data"][:3]
    refused = 0
    for text in malformed(content):
        corpus.write_text(text)
        try:
            records = read_places(corpus, need="files").records
        except ManifestError as error:
            refused += 1
            assert str(error).startswith(str(corpus)) or "home folder of no user" in str(error)
            str(error).encode(errors="backslashreplace")
        else:
            for record in records:
                (record.uttid + record.speaker + record.text).encode()
    assert refused > 140


def test_uttids_of_several_captions_are_named_and_read(corpus, caplog):
    """Published lists may hold them: the public code goes by rows and never reads them."""
    content = json.loads(corpus.read_text())
    for row, uttid in ((3, "utt1"), (4, "utt0"), (5, "utt1"), (6, "utt1"), (7, ""), (8, "")):
        content["data"][row]["uttid"] = uttid
    corpus.write_text(json.dumps(content))
    records = read_places(corpus, need="files").records
    assert [record.audio_path.name for record in records] == [f"{row}.wav" for row in range(11)]
    (message,) = (record.getMessage() for record in caplog.records)
    assert f"{corpus}: uttids that stand for several captions (2): " in message
    assert ": 'utt0' (row 0 and row 4) and 'utt1' (row 1 and row 3 and row 5 and 1 more); they are used as" in message
    caplog.clear()
    content["data"] = [{"image": f"{row}.png", "captions": content["data"][row : row + 2]} for row in (0, 3)]
    corpus.write_text(json.dumps(content))
    read_places(corpus)
    assert "(2): 'utt0' (row 0, caption 0 and row 1, caption 1) and 'utt1' (row 0, caption 1 and row" in caplog.text


def test_a_list_without_repeated_uttids_says_nothing(corpus, caplog):
    read_places(corpus, need="files")
    assert caplog.records == []


def test_a_key_that_stands_twice(corpus):
    corpus.write_text('{"audio_base_path": "a", "audio_base_path": "b", "data": []}')
    with pytest.raises(ManifestError, match=r"is not JSON \(the key 'audio_base_path' stands twice\)"):
        read_places(corpus)

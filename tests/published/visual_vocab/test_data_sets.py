import shutil
import zipfile

import pytest
import torch

from common.errors import UserError
from gan.progan.generator import ProganGenerator
from published.download import DownloadError
from published.visual_vocab import files
from published.visual_vocab.concepts import read_concepts
from published.visual_vocab.data_sets import VocabularyError, open_data_set, save_data_set


@pytest.fixture
def tiny(assets):
    return assets / "formats" / "lsd" / "lsd_tiny"


@pytest.fixture
def broken(tiny, tmp_path):
    """A copy whose files a test may change."""
    return shutil.copytree(tiny, tmp_path / "broken")


def test_a_folder_and_its_zip_are_read_alike(tiny):
    found = open_data_set(tiny)
    assert (len(found), found.dim) == (6, 119)
    assert found.metadata[5] == {"d_id": "5", "layer": "2", "category": "lake"}
    assert found[0].annotations == ("more trees, and a brighter sky", "less snow")
    assert found[4].annotations == ('a "quoted", text',)
    assert [one.id for one in found] == [0, 1, 2, 3, 4, 5]
    torch.testing.assert_close(found[3].direction, torch.load(tiny / "ds.pth", weights_only=True)[3])
    zipped = open_data_set(tiny.with_suffix(".zip"))
    assert torch.equal(zipped.ds, found.ds)
    assert zipped.annotations == found.annotations


def test_what_is_written_is_read_again(tmp_path):
    directions = torch.randn(3, 5, dtype=torch.float64)
    texts = [["a, b", 'c "d"'], [], ["é"]]
    save_data_set(tmp_path / "own", directions, texts, [{"layer": name} for name in "xyz"])
    found = open_data_set(tmp_path / "own")
    torch.testing.assert_close(found.ds, directions.float())
    assert [list(one.annotations) for one in found] == texts
    assert found.metadata[2] == {"d_id": "2", "layer": "z"}
    with pytest.raises(VocabularyError, match="found 3 directions, 1 annotations and 3 rows"):
        save_data_set(tmp_path / "own", directions, texts[:1])


def test_ten_keys_are_fetched_into_the_cache_once(tiny, tmp_path, monkeypatch):
    assert len(files.KEYS) == len(files.URLS) == 10
    assert files.URLS["distilled_medina"] == "https://visualvocab.csail.mit.edu/distilled_medina.zip"
    asked = []

    def download(url, target, checksum):
        asked.append((url, checksum))
        target.parent.mkdir(parents=True, exist_ok=True)
        return shutil.copy(tiny.with_suffix(".zip"), target)

    monkeypatch.setattr(files, "download", download)
    monkeypatch.setenv("VISUALVOCAB_DATA_DIR", str(tmp_path / "cache"))
    with pytest.raises(DownloadError, match=r"lsd_lake is not there: fetch https://.*lsd_lake.zip, place it at"):
        files.load("lsd_lake", fetch=False)
    for _ in range(2):
        assert len(files.load("lsd_lake", checksum="ab")) == 6
    assert asked == [(files.URLS["lsd_lake"], "ab")]
    assert sorted(path.name for path in (tmp_path / "cache" / "lsd_lake").iterdir()) == [
        "annotations.csv",
        "ds.pth",
        "metadata.csv",
    ]
    with pytest.raises(UserError, match=r"there is no data set 'lsd_sea'; choose one of distilled_all, "):
        files.load("lsd_sea")
    with pytest.raises(UserError, match=r"there is no list of concepts 'sea'; choose one of cottage"):
        files.load_concepts("sea")


def test_lists_of_concepts(tmp_path):
    path = tmp_path / "conceptlist_lake.txt"
    path.write_text("index,d_id,annotation\n0,water\n1,tree\n", encoding="utf-8")
    assert read_concepts(path) == ["water", "tree"]
    path.write_text("word\nwater\n", encoding="utf-8")
    with pytest.raises(VocabularyError, match="has the columns word; expected d_id, annotation"):
        read_concepts(path)
    path.write_text("d_id,annotation\n0,\n", encoding="utf-8")
    with pytest.raises(VocabularyError, match=r"line 2: found \['0', ''\], expected a number and a word"):
        read_concepts(path)
    path.write_bytes(b"d_id,annotation\n0,caf\xe9\n")
    with pytest.raises(VocabularyError, match="is no CSV in UTF-8"):
        read_concepts(path)
    with pytest.raises(VocabularyError, match="there is no list of concepts"):
        read_concepts(tmp_path / "none.txt")
    (tmp_path / "conceptlist_cottage.txt").write_text("changed")
    with pytest.raises(DownloadError, match=r"has SHA-256 .*, expected 3053c9d0"):
        files.load_concepts("cottage", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("annotations.csv", b"d_id,annotation\n", "holds no annotation; expected a text in its column 'annotation'"),
        ("annotations.csv", b"d_id,annotation\n0,\n1,  \n", "holds no annotation"),
        ("annotations.csv", b"", "has the columns none; expected d_id, annotation too"),
        ("annotations.csv", b"d_id,text\n0,tree\n", "has the columns d_id, text; expected annotation too"),
        ("annotations.csv", b"d_id,annotation\n0\n", "line 2: expected 2 fields"),
        ("annotations.csv", b"d_id,annotation\nx,tree\n", "line 2: d_id 'x' is no whole number"),
        ("annotations.csv", b"d_id,annotation\n6,tree\n", "annotates d_id 6, but ds.pth has 0 to 5"),
        ("annotations.csv", b"d_id,annotation\n0,caf\xe9\n", "is no CSV in UTF-8: .*line 2"),
        ("metadata.csv", b"id\n0\n", "has the columns id; expected d_id too"),
        ("metadata.csv", b"d_id\n0\n1\n2\n4\n5\n", "has no row of 1 of 6 directions, the first with d_id 3"),
        ("metadata.csv", None, r"there is no .*metadata.csv: a data set of directions has ds.pth, metadata.csv"),
        ("ds.pth", b"nothing", "is not a complete torch file"),
        ("ds.pth", {"ds": torch.zeros(2, 2)}, "holds a dict, expected one tensor"),
        ("ds.pth", torch.zeros(6), r"holds a tensor of shape \(6,\), float32; expected finite numbers"),
        ("ds.pth", torch.zeros(6, 119).long(), r"shape \(6, 119\), int64; expected finite"),
        ("ds.pth", torch.full((6, 119), torch.nan), r"shape \(6, 119\), float32; expected finite"),
    ],
)
def test_files_that_do_not_fit(broken, name, content, message):
    path = broken / name
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(VocabularyError, match=message) as raised:
        open_data_set(broken)
    assert "\n" not in str(raised.value)


def test_empty_texts_and_repeated_rows_are_reported(broken, caplog):
    (broken / "annotations.csv").write_text("d_id,annotation\n0,tree\n1, \n", encoding="utf-8")
    with (broken / "metadata.csv").open("a", encoding="utf-8") as file:
        file.write("0,9,sea\n")
    found = open_data_set(broken)
    assert found.metadata[0]["category"] == "sea"
    assert found[1].annotations == ()
    assert "1 annotations are empty" in caplog.text
    assert "several rows of d_id 0, of which the last counts" in caplog.text


def test_a_latent_of_another_size(tiny):
    data = open_data_set(tiny)
    with pytest.raises(VocabularyError, match="the directions have 119 numbers and the generator's latents 120"):
        data.check_fits(ProganGenerator(120, [4]))
    data.check_fits(ProganGenerator(119, [4]))
    with pytest.raises(IndexError, match="there are directions 0 to 5, not 6"):
        data[6]


@pytest.mark.parametrize("name", ["../evil.csv", "/evil.csv"])
def test_a_zip_that_would_write_outside(tmp_path, name):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "d_id\n")
    with pytest.raises(DownloadError, match="points outside"):
        open_data_set(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(DownloadError, match="cannot be unpacked"):
        open_data_set(path)
    with pytest.raises(VocabularyError, match=r"there is no .*none.zip: give a folder with ds.pth"):
        open_data_set(tmp_path / "none.zip")

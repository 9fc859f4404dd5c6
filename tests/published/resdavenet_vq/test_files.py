"""The ten published models from a local server: addresses, MD5 sums, archives of both kinds, and what is said."""

import hashlib
import io
import pickle
import re
import runpy
import tarfile
import zipfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from published import is_experiment
from published.download import DownloadError
from published.resdavenet_vq import experiment as resdavenet_vq
from published.resdavenet_vq.files import LISTS, MODELS, fetch_lists, fetch_models, unpack_experiment
from tests.published.reference import ARGS
from tests.published.serving import BreakingHandler, serving

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "download_data.py"
ARGUMENTS = pickle.dumps(Namespace(**ARGS | {"VQ_turnon": "0,1,1,0,0"}))
FILES = {"args.pkl": ARGUMENTS, "models/best_audio_model.pth": b"speech" * 5000}


def tar(files, folder="exps/RDVQ_01100/"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(folder + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files, folder="RDVQ_01100/"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return buffer.getvalue()


class Handler(BreakingHandler):
    """Serves the server's ``files`` by ``?id=``, from the byte that is asked for."""

    def answer(self):
        asked = self.headers.get("Range")
        content = self.server.files.get(parse_qs(urlsplit(self.path).query)["id"][0])
        self.server.asked.append(asked)
        if content is None:
            self.send_error(404)
        else:
            self.send_from(content, int(asked[6:-1]) if asked else 0)


@pytest.fixture
def server(monkeypatch):
    """A server of two models, whose MD5 sums are put instead of the published ones."""
    files = {}
    for name, content in (("RDVQ_01100", tar(FILES)), ("RDVQ_00000", zipped(FILES))):
        sum_of = hashlib.md5(content, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], md5=sum_of))
        files[MODELS[name].file] = content
    with serving(Handler, files=files) as running:
        yield running


def test_there_are_ten_and_each_has_its_own_file_and_sum():
    assert len(MODELS) == len({model.file for model in MODELS.values()}) == 10
    assert all(re.fullmatch("[0-9a-f]{32}", model.md5) for model in MODELS.values())
    assert MODELS["RDVQ_01000_01100_01110"].label == "{2}->{2,3}->{2,3,4}"
    assert MODELS["RDVQ_01100"].md5 == "7a98a661302939817a1450d033bc2fcc"
    for name, model in MODELS.items():
        codes = name.removeprefix("RDVQ_").split("_")
        turned_on = [",".join(str(place + 1) for place, digit in enumerate(code) if digit == "1") for code in codes]
        assert model.label == "->".join(f"{{{places}}}" for places in turned_on)


def test_models_are_fetched_checked_and_unpacked_once(server, tmp_path):
    server.breaks = 1
    folders = fetch_models(["RDVQ_01100", "RDVQ_00000"], tmp_path, server.url, pause_s=0)
    assert [folder.name for folder in folders] == ["RDVQ_01100", "RDVQ_00000"]
    for folder in folders:
        assert (folder / "models" / "best_audio_model.pth").read_bytes() == b"speech" * 5000
        assert is_experiment(folder)
        assert resdavenet_vq.describe(folder)["speech_encoder"]["turn_on"] == "01100"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RDVQ_00000", "RDVQ_01100"]
    assert server.asked[0] is None
    assert server.asked[1].startswith("bytes=")
    count = len(server.asked)
    fetch_models(["RDVQ_01100"], tmp_path, server.url)
    assert len(server.asked) == count


def test_another_md5_is_refused_and_a_web_page_is_called_one(server, tmp_path):
    model = MODELS["RDVQ_01100"]
    server.files[model.file] = tar({**FILES, "more": b"x"})
    with pytest.raises(
        DownloadError, match=f"has MD5 [0-9a-f]{{32}}, expected {model.md5}: the file there has changed"
    ):
        fetch_models(["RDVQ_01100"], tmp_path, server.url)
    server.files[model.file] = b"\n<!DOCTYPE html><html>Quota exceeded</html>"
    with pytest.raises(DownloadError, match=r"it is a web page, .* place the file at \S+RDVQ_01100.archive"):
        fetch_models(["RDVQ_01100"], tmp_path, server.url)
    assert not list(tmp_path.iterdir())
    (tmp_path / "RDVQ_01100.archive").write_bytes(b"by hand, but another")
    with pytest.raises(DownloadError, match=r"archive has MD5 \w+, expected"):
        fetch_models(["RDVQ_01100"], tmp_path, server.url)


def test_unknown_models_and_refusals_are_reported(server, tmp_path):
    with pytest.raises(DownloadError, match=r"no published model 'RDVQ_9': choose among RDVQ_00000, "):
        fetch_models(["RDVQ_9"], tmp_path, server.url)
    with pytest.raises(DownloadError, match="the server answered 404"):
        fetch_models(["RDVQ_01000"], tmp_path, server.url)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive at all", "is no whole tar or zip file"),
        (tar({"other.txt": b"x"}), r"holds no args\.pkl: it is not an experiment folder"),
        (tar(FILES)[:-30], "fetch it again"),
        (zipped(FILES)[:-30], "is no whole tar or zip file"),
        (zipped(FILES | {"../../evil": b"x"}), "points outside"),
        (tar(FILES | {"../../../evil": b"x"}), "cannot be unpacked"),
        (zipped(FILES).replace(b"speechspeech", b"speechspeecx", 1), "Bad CRC-32"),
    ],
)
def test_bad_archives(tmp_path, content, message):
    archive = tmp_path / "inner" / "a.archive"
    archive.parent.mkdir()
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match=message):
        unpack_experiment(archive, archive.parent / "out")
    assert [path.name for path in archive.parent.iterdir()] == ["a.archive"]
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_lists_with_word_times_are_fetched_and_web_pages_are_not_kept(server, tmp_path, capsys):
    server.files |= {LISTS["places_aligned_val"]: b'{"data": []}', LISTS["places_aligned_train"]: b"<p>Sign in</p>"}
    assert fetch_lists(["places_aligned_val"], tmp_path, server.url) == [tmp_path / "places_aligned_val.json"]
    with pytest.raises(DownloadError, match=r"place the file at .*places_aligned_train.json"):
        fetch_lists(["places_aligned_train"], tmp_path, server.url)
    assert [path.name for path in tmp_path.iterdir()] == ["places_aligned_val.json"]
    server.files[LISTS["places_aligned_train"]] = b"[]"
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main(["--data", str(tmp_path), "--drive", server.url, "places_aligned"]) == 2
    assert "gave no list of captions" in capsys.readouterr().err
    server.files[LISTS["places_aligned_train"]] = b'{"data": []}'
    assert main(["--data", str(tmp_path), "--drive", server.url, "places_aligned"]) == 0
    assert len(list((tmp_path / "places").iterdir())) == 2


def test_the_script_knows_them(server, tmp_path, capsys):
    main = runpy.run_path(str(SCRIPT))["main"]
    options = ["--models", str(tmp_path), "--drive", server.url]
    assert main([*options, "RDVQ_01100"]) == 0
    assert (tmp_path / "resdavenet_vq" / "RDVQ_01100" / "args.pkl").exists()
    assert main([*options, "resdavenet_vq"]) == 2
    assert re.match(r"error: Could not download .*\(the server answered 404", capsys.readouterr().err)
    assert main([*options, "RDVQ_011"]) == 2
    assert "no published model 'RDVQ_011'" in capsys.readouterr().err

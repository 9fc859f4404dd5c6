"""Published files from a local server: ranges, breaks, checksums, archives, and what is said offline."""

import hashlib
import re
import runpy
from pathlib import Path

import pytest

from common.errors import UserError
from published.download import DownloadError
from published.words_by_drawing import files as drawing_files
from published.words_by_drawing.files import BASIC, FILES, MODELS, fetch, read_checksums
from tests.published.serving import BreakingHandler, archive, serving

ROOT = Path(__file__).resolve().parents[3]


class Handler(BreakingHandler):
    """Serves the server's ``files``; breaks off half-way ``breaks`` times; each file has an ETag of its content."""

    def answer(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        start = int(asked[6:-1]) if asked and condition in (None, tag) else 0
        self.send_from(content, start, ETag=tag)


@pytest.fixture
def server():
    files = {
        "/files/generator.pth": bytes(range(256)) * 500,
        "/data/list_natural_test.txt": b"12\n7\n",
        "/data/audio_natural.tar.gz": archive("audio_natural/12.wav", "audio_natural/deep/7.wav"),
    }
    with serving(Handler, files=files) as running:
        yield running


def get(server, folder, *names, **more):
    return fetch(names, folder / "data", folder / "models", server.url, pause_s=0, **more)


def test_the_published_layout(server, tmp_path):
    server.breaks = 1
    get(server, tmp_path, "generator", "list_natural_test", "audio_natural")
    folder = tmp_path / "data" / "audio_clevrgan_natural"
    assert (tmp_path / "models" / "generator.pth").read_bytes() == server.files["/files/generator.pth"]
    assert (folder / "name_list_test.txt").read_text() == "12\n7\n"
    assert (folder / "audio" / "12.wav").read_text() == "audio_natural/12.wav"
    assert (folder / "audio" / "deep" / "7.wav").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "audio", "name_list_test.txt"]
    assert server.asked[:2] == [("/files/generator.pth", None), ("/files/generator.pth", "bytes=64000-")]
    count = len(server.asked)
    get(server, tmp_path, "generator", "list_natural_test", "audio_natural")
    assert len(server.asked) == count
    noted = read_checksums(tmp_path / "models" / "SHA256SUMS")
    assert noted == {"generator.pth": hashlib.sha256(server.files["/files/generator.pth"]).hexdigest()}


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(server, tmp_path):
    server.breaks = 1
    with pytest.raises(DownloadError, match="Could not download"):
        get(server, tmp_path, "generator", attempts=1)
    server.files["/files/generator.pth"] = b"new" * 50000
    get(server, tmp_path, "generator")
    assert (tmp_path / "models" / "generator.pth").read_bytes() == b"new" * 50000


def test_known_checksums(server, tmp_path):
    sums = tmp_path / "sums"
    sums.write_text(f"{'0' * 64}  generator.pth\n\n{'a' * 64} *folder/other.bin\n")
    known = read_checksums(sums)
    assert known == {"generator.pth": "0" * 64, "other.bin": "a" * 64}
    with pytest.raises(DownloadError, match=f"expected {'0' * 64}: the file there has changed or was damaged"):
        get(server, tmp_path, "generator", checksums=known)
    sums.write_text("nonsense\n")
    with pytest.raises(DownloadError, match="line 1: 'nonsense'; expected a SHA-256"):
        read_checksums(sums)


def test_what_is_there_is_compared_with_known_checksums_too(server, tmp_path, caplog):
    get(server, tmp_path, "generator", "audio_natural")
    audio = tmp_path / "data" / "audio_clevrgan_natural"
    right = read_checksums(tmp_path / "models" / "SHA256SUMS") | read_checksums(audio / "SHA256SUMS")
    assert len(get(server, tmp_path, "generator", "audio_natural", checksums=right)) == 2
    wrong = dict.fromkeys(right, "0" * 64)
    with pytest.raises(DownloadError, match=rf"generator.pth has SHA-256 {right['generator.pth']}, expected 0{{64}}"):
        get(server, tmp_path, "generator", checksums=wrong)
    with pytest.raises(DownloadError, match=r"audio came from an archive audio_natural.tar.gz that has SHA-"):
        get(server, tmp_path, "audio_natural", checksums=wrong)
    (audio / "SHA256SUMS").unlink()
    get(server, tmp_path, "audio_natural", checksums=wrong)
    assert "cannot be compared with a checksum: nobody noted that of audio_natural.tar.gz" in caplog.text


def test_offline_and_unknown(server, tmp_path):
    with pytest.raises(DownloadError, match="no published file 'nothing': choose among list_natural_train"):
        get(server, tmp_path, "nothing")
    with pytest.raises(DownloadError, match="the server answered 404"):
        get(server, tmp_path, "seg_encoder")
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"Could not download http://\S+/files/generator.pth .* at .*generator.pth"):
        get(server, tmp_path, "generator", attempts=1)


def test_the_script_says_it_in_one_sentence(server, tmp_path, capsys):
    script = runpy.run_path(str(ROOT / "scripts" / "download_data.py"))
    options = ["--models", str(tmp_path / "m"), "--data", str(tmp_path / "d"), "--server", server.url + "/"]
    assert script["main"]([*options, "generator", "list_natural_test"]) == 0
    assert (tmp_path / "m" / "generator.pth").exists()
    assert (tmp_path / "d" / "audio_clevrgan_natural" / "name_list_test.txt").exists()
    assert script["main"]([*options, "models"]) == 2
    assert capsys.readouterr().err.startswith("error: Could not download")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--attempts", "0"], "in 0 attempts: expected a number of at least 1"),
        (["--data", "{}/taken"], "taken/audio_clevrgan_natural/name_list_test.txt cannot be written"),
        (["--checksums", "{}/taken"], "line 1: .* expected a SHA-256"),
    ],
)
def test_the_script_shows_no_stack_trace(server, tmp_path, capsys, words, message):
    (tmp_path / "taken").write_bytes(b"in the way")
    script = runpy.run_path(str(ROOT / "scripts" / "download_data.py"))
    options = ["--data", str(tmp_path / "d"), "--server", server.url, *(word.format(tmp_path) for word in words)]
    assert script["main"]([*options, "list_natural_test"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(f"^error: .*{message}", said)


def test_the_script_ends_quietly_when_it_is_stopped(monkeypatch, tmp_path, capsys):
    script = runpy.run_path(str(ROOT / "scripts" / "download_data.py"))

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(script["main"].__globals__, "fetch", stopped)
    assert script["main"](["--data", str(tmp_path), "list_natural_test"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_the_published_generator_is_fetched_when_it_is_missing(server, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing_files.fetch, "__defaults__", (server.url, None, 1, 0.0))
    with pytest.raises(UserError, match=r"generator.pth \(128000 bytes\) is not a complete torch file"):
        drawing_files.fetched_generator(tmp_path)
    assert server.asked == [("/files/generator.pth", None)]
    with pytest.raises(DownloadError, match=r"seg_encoder.pth \(the server answered 404"):
        drawing_files.fetched_segmenter(tmp_path)


def test_groups():
    assert len(BASIC) == 8  # six lists and two archives of sound, as the original's script
    assert set(MODELS) == {"generator", "seg_encoder", "seg_decoder", "negatives", "repetition_audios"}
    assert len({file.target for file in FILES.values()}) == len(FILES)

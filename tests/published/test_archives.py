"""Archives that are unpacked whole or not at all, and damaged ones."""

import gzip
import io
import lzma
import random
import tarfile
import zipfile

import pytest

from published import archives
from published.archives import unpack
from published.download import DownloadError
from tests.published.serving import archive


def test_bad_archives(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(archive("top/../../evil"))
    with pytest.raises(DownloadError, match="cannot be unpacked into"):
        unpack(path, tmp_path / "out")
    path.write_bytes(archive("top/fine.txt")[:-20])
    with pytest.raises(DownloadError, match="fetch it again"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "evil").exists()
    (tmp_path / "taken").write_text("a file, no folder")
    path.write_bytes(archive("top/fine.txt"))
    with pytest.raises(DownloadError, match=r"taken cannot be written \(NotADirectoryError"):
        unpack(path, tmp_path / "taken")
    path.write_bytes(archive("loose"))
    with pytest.raises(DownloadError, match="holds no files inside a folder"):
        unpack(path, tmp_path / "out")


def unpacked_archive():
    """A tar file of two large entries, and where the second header begins."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("top/a.wav", "top/b.wav"):
            info = tarfile.TarInfo(name)
            info.size = 99 * tarfile.BLOCKSIZE
            tar.addfile(info, io.BytesIO(random.Random(0).randbytes(info.size)))
    return bytearray(buffer.getvalue()), 100 * tarfile.BLOCKSIZE


def broken_header():
    tar, second = unpacked_archive()
    tar[second : second + tarfile.BLOCKSIZE] = b"\xff" * tarfile.BLOCKSIZE
    return gzip.compress(tar)


def broken_content():
    tar, second = unpacked_archive()
    packed = bytearray(gzip.compress(tar, compresslevel=0))  # stored: nothing but the checksum can tell
    packed[second // 2] ^= 1
    return packed


def broken_stream():
    packed = bytearray(lzma.compress(unpacked_archive()[0]))
    packed[-80] ^= 1  # far behind what is read to know its kind
    return packed


def without_end():
    tar, second = unpacked_archive()
    return gzip.compress(tar[: 2 * second])


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (broken_header, "after 1 entries there is neither another nor an end"),
        (broken_content, "CRC check failed"),
        (broken_stream, "LZMAError"),
        (without_end, "after 2 entries"),
    ],
)
def test_a_damaged_archive_never_becomes_a_finished_set(tmp_path, damaged, message):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(damaged())
    with pytest.raises(DownloadError, match=f"cannot be unpacked into .*{message}.*: delete it, fetch it again"):
        unpack(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(gzip.compress(unpacked_archive()[0]))
    unpack(path, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.wav", "b.wav"]


def zeros(kind, size):
    """An archive of two files of zeros, ``size`` bytes each."""
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for name in "ab":
                file.writestr(f"top/{name}", bytes(size))
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:
        for name in "ab":
            info = tarfile.TarInfo(f"top/{name}")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "gz", "xz"])
def test_an_archive_that_would_fill_the_disk(tmp_path, monkeypatch, kind):
    path = tmp_path / "a"
    path.write_bytes(zeros(kind, 1 << 20))
    size = len(path.read_bytes())
    assert 200 * size < 2 << 20
    unpack(path, tmp_path / "small")  # anything may have 64 MiB
    monkeypatch.setattr(archives, "ALWAYS", 1000)
    message = rf"has {size} bytes and its first [12] entries unpack to \d+, expected at most {100 * size}: .*yourself"
    with pytest.raises(DownloadError, match=message):
        unpack(path, tmp_path / "out")
    monkeypatch.setattr(archives, "TIMES", 1 << 20)
    monkeypatch.setattr(archives, "LARGEST", 1 << 20)
    with pytest.raises(DownloadError, match=f"expected at most {1 << 20}"):
        unpack(path, tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "small"]


def test_a_record_about_an_entry_that_would_fill_memory(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.size, info.type = 3 << 20, tarfile.GNUTYPE_LONGNAME
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(3 << 20) + unpacked_archive()[0]))
    with pytest.raises(DownloadError, match=f"a record about an entry has {3 << 20} bytes, expected at most"):
        unpack(path, tmp_path / "out")

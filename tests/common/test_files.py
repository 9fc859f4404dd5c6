"""Files whole or not at all; and no writer of the project goes another way."""

import ast
import errno
import os
import stat
from pathlib import Path

import pytest

from common import disk_space, files
from common.disk_space import NoRoomError
from common.files import (
    DiskError,
    LargeFileError,
    append_whole,
    read_at_once,
    write_plainly,
    write_together,
    write_whole,
    written_whole,
)
from common.text_files import TextError, read_text

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {"write_text", "write_bytes", "copyfile", "copyfileobj", "save_file", "savefig", "savetxt", "savez"}
OPENING = {"open", "File", "ZipFile", "FileIO"}
OTHER_WAYS = {
    ("common/disk_space.py", "lacks_room"),  # these four are the way
    ("common/files.py", "written_whole"),
    ("common/files.py", "write_plainly"),
    ("common/files.py", "append_whole"),
    ("datasets/hdf5_files.py", "created"),  # what it is handed is whole
    ("datasets/hdf5_files.py", "_found"),  # deleted where a full disk tears it
    ("datasets/dialogue/embeddings.py", "_draft"),  # this one and the next go on in what an earlier start wrote
    ("datasets/dialogue/release_files.py", "__enter__"),
    ("tasks/visual_vocab/serve/records.py", "add"),  # on disk before it returns; a half line goes at the next start
    ("common/parallel.py", "locked"),  # an empty file
    ("common/safe_load.py", "torch_bytes"),  # to memory, as the next nine
    ("datasets/media_files.py", "encode_image"),
    ("evaluation/report/parts/media.py", "sprite"),
    ("datasets/world/export/iclevr.py", "iclevr_media"),
    ("evaluation/feature_networks.py", "__init__"),
    ("evaluation/report/unit_plots.py", "save"),
    ("evaluation/report/similarity_plots.py", "png"),
    ("scripts/captions_sheet.py", "main"),
    ("scripts/readme_image.py", "main"),
    ("evaluation/abx/frames.py", "__init__"),  # in a temporary folder
    ("published/archives.py", "_unpack_zip"),  # into a hidden folder that is deleted after an error
    ("published/download.py", "_fetch"),  # a part that the next attempt goes on with
}


@pytest.fixture
def full(monkeypatch):
    """A disk on which no file grows any more."""
    monkeypatch.setattr("common.files.lacks_room", lambda _: "No space left on device")


def test_a_file_of_terabytes_is_refused_by_its_size(tmp_path):
    """A sparse one takes no room on the disk."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"word\n")
    assert read_at_once(path) == b"word\n"
    os.truncate(path, 4 << 40)
    message = (
        r"a\.txt has 4398046511104 bytes, expected at most 2147483648 of a file that is read at once; give the file"
    )
    with pytest.raises(LargeFileError, match=message):
        read_at_once(path)
    with pytest.raises(TextError, match=message):
        read_text(path)


def test_what_has_no_size_is_read_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("common.files.LARGEST", 1000)
    monkeypatch.setattr("common.files.PIECE", 300)
    with pytest.raises(LargeFileError, match="/dev/zero has more than 1000 bytes, expected at most 1000 of a file"):
        read_at_once(Path("/dev/zero"))
    (tmp_path / "a.txt").write_bytes(bytes(range(250)) * 4)
    assert read_at_once(tmp_path / "a.txt") == bytes(range(250)) * 4


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "list.txt"
    write_whole(path, b"first")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as temporary:
        temporary.write_bytes(b"sec")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"first"
    with written_whole(path) as temporary:
        temporary.write_bytes(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert [found.name for found in path.parent.iterdir()] == ["list.txt"]


def test_files_that_belong_together_are_all_there_or_none(tmp_path):
    paths = [tmp_path / "new" / "deep" / name for name in ("weights", "card")]
    with pytest.raises(TypeError):
        write_together({paths[0]: b"weights", paths[1]: 5})
    assert list(tmp_path.iterdir()) == []  # nor the folders that were made for them
    write_together(dict.fromkeys(paths, b"content"))
    assert [path.read_bytes() for path in paths] == [b"content"] * 2


def test_a_library_that_loses_the_systems_error_is_understood(tmp_path, full):
    sentence = rf"no room in {tmp_path} \(No space left on device\)"
    with pytest.raises(NoRoomError, match=sentence), written_whole(tmp_path / "weights") as temporary:
        temporary.write_bytes(b"a part")
        raise RuntimeError("unexpected pos 64 vs 0")
    assert list(tmp_path.iterdir()) == []


def test_an_error_on_a_disk_with_room_stays_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="another"), written_whole(tmp_path / "weights") as temporary:
        temporary.write_bytes(b"a part")
        raise RuntimeError("another")


def test_one_of_many_files_is_not_left_in_part(tmp_path, monkeypatch):
    path = tmp_path / "images" / "1.png"
    write_plainly(path, b"whole")
    assert path.read_bytes() == b"whole"

    def cut(self, content):
        self.open("wb").write(content[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", cut)
    with pytest.raises(NoRoomError, match=f"no room in {path.parent}"):
        write_plainly(path, b"whole")
    assert not path.exists()


def test_a_line_is_appended_whole_and_takes_the_place_of_one_that_was_cut(tmp_path):
    path = tmp_path / "rows"
    for line in (b"1\n", b"2\n"):
        append_whole(path, line, heading=b"number\n")
    assert path.read_bytes() == b"number\n1\n2\n"
    path.write_bytes(b"number\n1\n2")
    append_whole(path, b"3\n", heading=b"number\n")
    assert path.read_bytes() == b"number\n1\n3\n"
    path.write_bytes(b"numb")
    append_whole(path, b"4\n", heading=b"number\n")
    assert path.read_bytes() == b"number\n4\n"


def test_room_is_asked_for_by_writing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    assert disk_space.lacks_room(path) is None
    monkeypatch.setattr(disk_space.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EFBIG, "x")))
    assert disk_space.lacks_room(path) == "File too large"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_synchronises_nothing_is_left_alone(tmp_path, monkeypatch, number):
    monkeypatch.setattr(files.os, "fsync", failing(number))
    write_whole(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


def failing(number, kind=None):
    """Return a synchronisation that ends in an error of the system, of every open file or of one kind."""

    def fsync(handle):
        if kind is None or kind(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))

    return fsync


@pytest.mark.parametrize(("kind", "content"), [(stat.S_ISREG, b"before"), (stat.S_ISDIR, b"now")])
def test_a_disk_that_fails_is_one_sentence(tmp_path, monkeypatch, kind, content):
    """Before a file has its new content, or before its name is on disk."""
    path = tmp_path / "a"
    path.write_bytes(b"before")
    monkeypatch.setattr(files.os, "fsync", failing(errno.EIO, kind))
    named = path if kind is stat.S_ISREG else tmp_path
    with pytest.raises(DiskError, match=rf"^{named} could not be put on disk \(Input/output error\): check the disk"):
        write_whole(path, b"now")
    assert path.read_bytes() == content
    assert [*tmp_path.iterdir()] == [path]


def test_writing_to_a_disk_that_fails_is_one_sentence(tmp_path):
    with (
        pytest.raises(DiskError, match=r"could not be put on disk \(Stale file handle\)"),
        written_whole(tmp_path / "a"),
    ):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def test_a_disk_that_is_full_when_it_is_synchronised_has_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", failing(errno.EDQUOT))
    with pytest.raises(NoRoomError, match="quota"):
        write_whole(tmp_path / "a", b"1")


def _writes(call: ast.Call) -> bool:
    """Return whether a call writes a file by its name, or opens one to write."""
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if method else getattr(call.func, "id", "")
    if name in OPENING:
        at = 0 if name == "open" and method else 1
        given = [*call.args[at : at + 1], *(word.value for word in call.keywords if word.arg == "mode")]
        modes = [value.value for value in given if isinstance(value, ast.Constant)]
        return any(isinstance(mode, str) and not {*"wax+"}.isdisjoint(mode) for mode in modes)
    saved = ast.unparse(call.func) in ("torch.save", "np.save") or (name == "save" and "Image." in ast.unparse(call))
    return name in BY_NAME or saved


def _other_ways(node: ast.AST, function: str = "", whole: bool = False) -> set[tuple[str, ast.Call]]:
    """Find the calls that write outside a ``with written_whole(...)``, and the functions they stand in."""
    if isinstance(node, ast.FunctionDef):
        function = node.name
    if isinstance(node, ast.With):
        whole = whole or "written_whole(" in ast.unparse(node)
    found = {(function, node)} if isinstance(node, ast.Call) and not whole and _writes(node) else set()
    return found.union(*(_other_ways(child, function, whole) for child in ast.iter_child_nodes(node)))


def test_every_result_is_written_whole():
    """A writer that is found here takes written_whole, write_together, write_plainly or append_whole."""
    rooms = [
        path for path in ROOT.iterdir() if (path / "__init__.py").is_file() and path.name not in ("tests", "benchmarks")
    ]
    files = [
        *ROOT.glob("*.py"),
        *(ROOT / "scripts").glob("*.py"),
        *(file for room in rooms for file in room.rglob("*.py")),
    ]
    found = {}
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        for function, call in _other_ways(ast.parse(file.read_bytes())):
            if (name, function) not in OTHER_WAYS:
                found[f"{name}:{call.lineno}"] = ast.unparse(call)[:80]
    assert found == {}

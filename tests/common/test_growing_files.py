"""Files that would grow, hang or read beyond themselves, and pickles of every kind that want to run code."""

import io
import os
import pickle
import struct
import time
import zipfile

import pytest
import torch

from common.errors import UserError
from common.safe_load import TorchFileError, read_namespace, read_plain, read_torch_values
from engine import checkpoint

PROTOCOL = b"\x80\x02"


def at_once(read, path, message):
    start = time.process_time()
    with pytest.raises(UserError, match=message):
        read(path)
    assert time.process_time() - start < 5


def shared(levels, ends):
    """Return a pickle of tuples of which each holds the one before it twice; ``ends`` is what is done with the last."""
    steps = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(levels))
    return PROTOCOL + b")q\x00" + steps + ends


HASHED = {"key": b"}h\x3cNs.", "keys": b"}(h\x3cNu.", "dict": b"(h\x3cNd."}


@pytest.mark.parametrize("ends", HASHED.values(), ids=HASHED)
@pytest.mark.parametrize("read", [read_plain, read_namespace, read_torch_values])
def test_a_hash_without_end_is_refused(tmp_path, ends, read):
    path = tmp_path / "bomb.pth"
    content = shared(60, ends)
    if read is read_torch_values:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("bomb/data.pkl", content)
            archive.writestr("bomb/version", "3\n")
    else:
        path.write_bytes(content)
    at_once(read, path, "not a complete pickle|would take for ever")


@pytest.mark.parametrize("read", [read_torch_values, checkpoint.read])
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_bomb_with_an_archive_behind_it_is_read_as_torch_reads_it(tmp_path, read, protocol):
    path = tmp_path / "bomb.pth"
    parts = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(part, protocol) for part in parts) + shared(60, HASHED["key"]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}))
        archive.writestr("x/version", "3\n")
    assert zipfile.is_zipfile(path)
    at_once(read, path, "not a complete|would take for ever|no checkpoint|holds")


def test_settings_that_would_be_written_out_without_end(tmp_path):
    path = tmp_path / "args.pkl"
    path.write_bytes(shared(60, b"h\x3c."))
    at_once(read_namespace, path, "not a complete pickle")
    path.write_bytes(PROTOCOL + b"\x8b" + struct.pack("<i", 4000) + b"\x01" * 4000 + b".")  # a number of 9,600 digits
    at_once(read_plain, path, "not a complete pickle")
    path.write_bytes(b"\x80\x04r\xff\xff\xff\x7fN.")  # an entry of the memo of which C would make 34 GB
    at_once(read_plain, path, "not a complete pickle")
    path.write_bytes(b"\x80\x05\x96" + struct.pack("<Q", 2**45) + b".")  # a bytearray of 32 TB
    at_once(read_plain, path, "not a complete pickle")


@pytest.mark.parametrize("read", [read_torch_values, checkpoint.read])
def test_compressed_and_overlapping_parts_are_not_unpacked(tmp_path, read):
    path = tmp_path / "zipped.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"format": 1}, 2))
        with archive.open("a/data/0", "w") as file:
            for _ in range(64):
                file.write(b"\0" * 2**20)
    assert path.stat().st_size < 10**5
    at_once(read, path, "compressed|truncated or no checkpoint")


def test_tensors_hold_what_they_claim(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"w": torch.zeros(1).expand(10**6, 10**6)}, path)
    at_once(read_torch_values, path, r"tensor of shape \(1000000, 1000000\) without as many numbers")
    torch.save({"format": 1, "w": [torch.zeros(1).expand(10**12)]}, path)
    at_once(checkpoint.read, path, "truncated or no checkpoint")
    torch.save({"w": torch.sparse_coo_tensor([[0], [0]], [1.0], (10**6, 10**6))}, path)
    at_once(read_torch_values, path, "without as many numbers")
    torch.save({"w": torch.arange(6.0).reshape(2, 3).t(), "again": torch.zeros(3)}, path)
    assert read_torch_values(path)["w"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_storage_larger_than_its_entry_is_never_read(tmp_path):
    """torch would read beyond the entry."""
    good, path = io.BytesIO(), tmp_path / "w.pt"
    torch.save({"w": torch.zeros(200)}, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            target.writestr(entry.filename, content[:8] if entry.filename.endswith("data/0") else content)
    at_once(read_torch_values, path, "the tensor 0 claims 800 bytes")


class Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


RUNS = {
    "reduce": lambda mark: pickle.dumps({"x": Calls(os.mkdir, mark)}, 2),
    "global": lambda mark: f"cos\nmkdir\n(V{mark}\ntR.".encode(),
    "inst": lambda mark: f"(V{mark}\nios\nmkdir\n.".encode(),
    "obj": lambda mark: f"(cos\nmkdir\nV{mark}\no.".encode(),
    "stack_global": lambda mark: b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c\x03"
    + mark.encode()
    + b"\x85R.",
    "newobj": lambda mark: f"\x80\x02cos\nmkdir\n(V{mark}\nt\x81.".encode("latin1"),
    "eval": lambda mark: f"c__builtin__\neval\n(V__import__('os').mkdir('{mark}')\ntR.".encode(),
    "getattr": lambda mark: f"cbuiltins\ngetattr\n(cos\npath\nVos\ntR(V{mark}\ntR.".encode(),
    "build": lambda mark: f"cos\nmkdir\nq\x00(V{mark}\ntb.".encode(),
    "dotted": lambda mark: f"\x80\x04\x8c\x08argparse\x8c\x0b_os.makedir\x93(V{mark}\ntR.".encode("latin1"),
    "torch": lambda mark: f"ctorch.hub\nload_state_dict_from_url\n(V{mark}\ntR.".encode(),
    "extension": lambda _: b"\x82\x01.",
}  # fmt: skip


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("read", [read_plain, read_namespace, read_torch_values, checkpoint.read])
def test_pickles_that_run_code_are_refused(tmp_path, monkeypatch, kind, read):
    monkeypatch.chdir(tmp_path)
    content, path = RUNS[kind]("ran"), tmp_path / "evil.pth"
    if read in (read_plain, read_namespace):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("evil/data.pkl", content)
            archive.writestr("evil/version", "3\n")
    with pytest.raises(UserError):
        read(path)
    assert not (tmp_path / "ran").exists()


def test_the_error_is_of_the_files_own_kind(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"")
    with pytest.raises(TorchFileError, match="it is empty"):
        read_torch_values(tmp_path / "x.pt")

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest

from common.safe_load import BrokenPickleError, UnsafePickleError, read_namespace, read_plain


class Touch:
    """Unpickles by making a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class SetState:
    """Unpickles by setting an attribute of the class argparse.Namespace itself, not of an instance."""

    def __reduce__(self):
        return argparse.Namespace, (), (None, {"mark": 1})


def written(folder, value, protocol=3):
    path = folder / "args.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_namespace(tmp_path, protocol):
    args = argparse.Namespace(layer_widths="128,256", lr=2e-4, resume=False, none=None, nested={"a": [1, (2, "x")]})
    read = read_namespace(written(tmp_path, args, protocol))
    assert read == args
    assert type(read) is argparse.Namespace


def test_code_is_refused_by_name_and_not_run(tmp_path):
    path = written(tmp_path, argparse.Namespace(lr=1, evil=Touch(tmp_path / "ran")))
    with pytest.raises(UnsafePickleError, match=r"args.pkl wants to load (posix|nt).mkdir; only argparse.Namespace"):
        read_namespace(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [(OrderedDict(a=1), "collections.OrderedDict"), (eval, "builtins.eval"), (Path("x"), "pathlib")],
)
def test_any_other_class_is_refused(tmp_path, value, name):
    with pytest.raises(UnsafePickleError, match=name):
        read_plain(written(tmp_path, {"value": value}))


def test_dotted_name_is_refused(tmp_path):
    path = tmp_path / "args.pkl"
    path.write_bytes(b"\x80\x04\x8c\x08argparse\x8c\x12Namespace.__init__\x93.")
    with pytest.raises(UnsafePickleError, match=r"argparse\.Namespace\.__init__"):
        read_plain(path)


def test_the_class_itself_is_neither_changed_nor_returned(tmp_path):
    read_plain(written(tmp_path, SetState()))
    assert not hasattr(argparse.Namespace, "mark")
    path = tmp_path / "class.pkl"
    path.write_bytes(b"cargparse\nNamespace\n(N}S'mark'\nI1\nstb.")  # the state of the class, not of an instance
    with pytest.raises(BrokenPickleError, match="is not a complete pickle of plain values"):
        read_plain(path)
    assert not hasattr(argparse.Namespace, "mark")


def test_outside_objects_are_refused(tmp_path):
    path = tmp_path / "args.pkl"
    path.write_bytes(b"Pstorage\n.")
    with pytest.raises(UnsafePickleError, match=r"refers to an object outside the file \('storage'\)"):
        read_plain(path)


@pytest.mark.parametrize("length", [0, 1, 10, 40])
def test_truncated(tmp_path, length):
    path = written(tmp_path, argparse.Namespace(layer_widths="128,256", lr=2e-4))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        BrokenPickleError, match=r"args.pkl \(\d+ bytes\) is not a complete pickle of plain values: it is truncated"
    ):
        read_namespace(path)


def test_shared_values_stay_shared(tmp_path):
    value = nested = []
    for _ in range(60):
        nested = [nested, nested]
    read = read_plain(written(tmp_path, {"nested": nested, "again": nested}))
    assert read["nested"] is read["again"]
    assert read["nested"][0] is read["nested"][1]
    value.append(value)
    with pytest.raises(BrokenPickleError, match="is not a complete pickle of plain values"):
        read_plain(written(tmp_path, value))


def test_missing_and_something_else(tmp_path):
    with pytest.raises(BrokenPickleError, match=r"There is no file .*args.pkl"):
        read_namespace(tmp_path / "args.pkl")
    with pytest.raises(BrokenPickleError, match=r"holds a dict, expected an argparse.Namespace"):
        read_namespace(written(tmp_path, {"lr": 1}))


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("common.safe_load.LARGEST_PICKLE", 10)
    with pytest.raises(BrokenPickleError, match=r"expected less than 10"):
        read_plain(written(tmp_path, "a" * 100))

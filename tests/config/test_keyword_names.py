"""Keys of YAML that Python cannot use as names: ``class`` is the parameter ``class_``."""

import sys
import types

import pytest

import config
from config.build import build_call
from config.signatures import parameters


def target(class_: str, kept_: int = 1) -> None:
    """Return both."""
    return class_, kept_


def test_a_keyword_of_python_is_a_key(monkeypatch):
    assert list(parameters(target)) == ["class", "kept_"]
    assert build_call(target, {"class": "cube"}, "") == ("cube", 1)


def test_an_entry_with_such_a_key_is_checked(monkeypatch, tmp_path):
    module = types.ModuleType("tasks.with_class")
    exec("def entry(class_: int) -> None:\n    seen.append(class_)\n", vars(module))
    module.seen = []
    monkeypatch.setitem(sys.modules, "tasks.with_class", module)
    path = tmp_path / "x.yaml"
    path.write_text("entry: tasks.with_class.entry\ndescription: Take a class\nclass: 3\n")
    checked = config.check(config.load(path))
    config.call_entry(checked)
    assert module.seen == [3]
    with pytest.raises(config.ConfigError, match="class"):
        config.check(config.load(path, ["class=x"]))

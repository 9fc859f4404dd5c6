"""The import rules that lint-imports cannot see (pyproject.toml has the others), and that nothing unsafe is read."""

import ast
import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
ALLOWED = {
    "losses.py": {"common", "config", "models"},
    "trainer.py": {"common", "config", "engine"},
    "main.py": {"common", "config", "engine", "evaluation", "trainer"},
    "run.py": {"common", "config", "engine", "published"},
}
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]


def sources():
    """Yield every file of the project that is no test."""
    yield from (ROOT / name for name in ALLOWED)
    for package in sorted(PACKAGES):
        yield from sorted((ROOT / package).rglob("*.py"))


def imports(path):
    """Yield every imported name as a dotted path, imports inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", list(ALLOWED))
def test_programs_at_the_top_import_what_stands_below_them(name):
    ours = PACKAGES | {file.removesuffix(".py") for file in ALLOWED}
    found = {imported.split(".")[0] for imported in imports(ROOT / name)} & ours
    assert found <= ALLOWED[name]


def test_no_package_escapes_the_contracts():
    assert set(CONTRACTS["root_packages"]) == PACKAGES
    contracts = {contract["id"]: contract for contract in CONTRACTS["contracts"]}
    floors = [name.strip() for floor in contracts["floors"]["layers"] for name in floor.split(":")]
    assert sorted(floors) == sorted(PACKAGES)
    assert set(contracts["rooms"]["ancestors"]) == PACKAGES


UNPICKLER = ROOT / "common" / "safe_load.py"  # the restricted one


def unsafe(source, restricted=False):
    """Yield what a source reads, or makes names for, that could run code from a file.

    Args:
        source: Python.
        restricted: Whether it may derive an unpickler.
    """
    for node in ast.walk(ast.parse(source)):
        keywords = {k.arg: getattr(k.value, "value", "?") for k in node.keywords} if isinstance(node, ast.Call) else {}
        name = dotted(node.func) if isinstance(node, ast.Call) else dotted(node)
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if f"{node.module}.{alias.name}" in ("torch.load", "pickle.load", "pickle.loads", "pickle.Unpickler"):
                    yield f"from {node.module} import {alias.name}"
        if isinstance(node, ast.Call) and name == "torch.load" and keywords.get("weights_only") is not True:
            yield "torch.load without weights_only=True"
        if name in ("pickle.load", "pickle.loads") and isinstance(node, ast.Call):
            yield "plain pickle"
        if name == "pickle.Unpickler" and not isinstance(node, ast.Call) and not restricted:
            yield "an unpickler"
        if keywords.get("allow_pickle", False) is not False:
            yield "allow_pickle=True"


def dotted(node):
    """Return ``owner.name`` of an attribute of a plain name, else nothing."""
    return (
        f"{node.value.id}.{node.attr}" if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else ""
    )


def test_what_torch_files_may_hold_of_numpy_is_said_once():
    found = [path for path in sources() if "._reconstruct" in path.read_text(encoding="utf-8")]
    assert found == [ROOT / "common" / "safe_load.py"]


def test_nothing_unsafe_is_read():
    """No plain pickle, no torch.load without weights_only, no pickled arrays, outside the restricted unpickler."""
    for path in sources():
        found = list(unsafe(path.read_text(encoding="utf-8"), restricted=path == UNPICKLER))
        assert not found, f"{path}: {found}"


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(f)",
        "import torch\ntorch.load(f, weights_only=False)",
        "from torch import load\nload(f)",
        "from pickle import loads as read",
        "import pickle\npickle.load(f)",
        "import pickle\nclass Mine(pickle.Unpickler): pass",
        "import pickle\npickle.Unpickler(f).load()",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import numpy as np\nnp.load(f, allow_pickle=flag)",
    ],
)
def test_unsafe_reading_is_seen(source):
    assert list(unsafe(source))


def test_safe_reading_is_left_alone():
    safe = "import torch, numpy as np\ntorch.load(f, weights_only=True)\nnp.load(f, allow_pickle=False)\nnp.load(f)"
    assert not list(unsafe(safe))
    assert not list(unsafe("import pickle\nclass Mine(pickle.Unpickler): pass", restricted=True))


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("datasets.audio", "AudioError count_samples read_audio"),
        ("datasets.features", "log_mel"),
        ("datasets.images", "ImageError read_image"),
        ("evaluation.abx_items", "read_items"),
        ("evaluation.retrieval", "recall_metrics retrieve"),
    ],
)
def test_names_that_scripts_outside_the_project_use(module, names):
    offered = importlib.import_module(module)
    assert [name for name in names.split() if not callable(getattr(offered, name, None))] == []

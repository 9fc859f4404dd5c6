"""The import rules of the folder map (README): who may import whom, read from the source with ast."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {
    "app", "common",
    "config", "datasets", "engine", "evaluation", "gan", "losses", "main", "models", "published", "run", "tasks",
    "trainer",
}  # fmt: skip
ALLOWED = {
    "common": set(),
    "config": {"common.errors", "common.text_files"},
    "datasets": {
        "common.digests", "common.errors", "common.file_lock", "common.numerals", "common.plain_pickles", "common.room",
        "engine.signals", "common.text_files", "common.safe_load", "common.files", "config.Fault",
        "config.Offers", "config.limits", "config.refuse",
    },
    "engine": {"config", "engine"},
    "evaluation": {"config.limits", "common.errors", "common.text_files", "common.files", "models"},
    "gan": {"config.limits", "models", "engine"},
    "losses": {"config.limits", "common.errors"},
    "main": {"config", "engine", "evaluation", "trainer"},
    "models": {"config.limits", "common.errors", "common.text_files", "common.safe_load", "common.distributed"},
    "published": {
        "config.limits", "models", "gan", "common.errors", "common.numerals", "common.plain_pickles",
        "common.text_files",
        "common.files", "config.yaml_core",
    },
    "run": {"config", "engine", "published.words_by_drawing.options"},
    "tasks": {"config", "datasets", "engine", "evaluation", "gan", "losses", "models", "published", "trainer"},
    "trainer": {"config", "engine"},
    "app": {"config", "datasets", "engine", "gan", "models", "published", "tasks"},
}  # fmt: skip


def sources():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        top = parts[0].removesuffix(".py")
        if top in ALLOWED:
            yield top, path


def imports(path):
    """Yield every imported name as a dotted path, imports inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("top", "path"), list(sources()), ids=lambda value: str(value).replace(str(ROOT) + "/", ""))
def test_imports_follow_the_folder_map(top, path):
    for name in imports(path):
        package = name.split(".")[0]
        if package not in OURS or package in (top, "common"):
            continue
        allowed = ALLOWED[top]
        assert any(name == rule or name.startswith(rule + ".") for rule in allowed), f"{path.name} imports {name}"


UNPICKLER = ROOT / "common" / "plain_pickles.py"  # the restricted one


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
    found = [path for _, path in sources() if "._reconstruct" in path.read_text(encoding="utf-8")]
    assert found == [ROOT / "common" / "numpy_values.py"]


def test_nothing_unsafe_is_read():
    """No plain pickle, no torch.load without weights_only, no pickled arrays, outside the restricted unpickler."""
    for _, path in sources():
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

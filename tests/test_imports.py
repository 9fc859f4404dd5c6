"""The import rules of the folder map (README): who may import whom, read from the source with ast."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {
    "app", "config", "datasets", "engine", "evaluation", "gan", "losses", "main", "models", "published", "run", "tasks",
    "trainer",
}  # fmt: skip
ALLOWED = {
    "config": {"engine.errors"},
    "datasets": {"engine.errors", "engine.whole_files", "config.Fault", "config.Offers", "config.refuse"},
    "engine": {"config", "engine"},
    "evaluation": {"engine.errors", "engine.whole_files", "models"},
    "gan": {"models", "engine"},
    "losses": {"engine.errors"},
    "main": {"config", "engine", "evaluation", "trainer"},
    "models": {"engine.errors", "engine.distributed"},
    "published": {"models", "gan", "engine.errors", "engine.whole_files"},
    "run": {"config", "engine"},
    "tasks": {"config", "datasets", "engine", "evaluation", "gan", "losses", "models", "published", "trainer"},
    "trainer": {"config", "engine"},
    "app": {"config", "datasets", "engine", "gan", "models", "published", "tasks"},
}


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
        if package not in OURS or package == top:
            continue
        allowed = ALLOWED[top]
        assert any(name == rule or name.startswith(rule + ".") for rule in allowed), f"{path.name} imports {name}"


def test_nothing_unsafe_is_read():
    """No plain pickle and no torch.load without weights_only, outside the restricted unpickler."""
    for _, path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if owner == "torch" and node.func.attr == "load":
                keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                assert keywords.get("weights_only") is True, f"{path}: torch.load without weights_only=True"
            assert not (owner == "pickle" and node.func.attr in ("load", "loads")), f"{path}: plain pickle"

"""Every public thing says what it does, what it takes, gives and refuses; read from the source with ast."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "app", "benchmarks", "common",
    "config", "datasets", "engine", "evaluation", "gan", "models", "published", "scripts", "tasks",
)  # fmt: skip
FILES = ("losses.py", "main.py", "run.py", "trainer.py")
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Note", "Example")
MAKERS = ("__init__", "__post_init__")
SAYS = r"(?i)\b(returns?|yields?|whether)\b"
FEW = 2  # so many parameters may be reported in the first sentences, in double backticks
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules():
    """Yield every file of the project that is no test."""
    yield from (ROOT / name for name in FILES)
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def errors(source, message=frozenset()):
    """Yield ``(line, name, what is lacking)`` of a module; ``message`` are documented methods of Protocols."""
    tree = ast.parse(source)
    if not ast.get_docstring(tree):
        yield 1, "module", "no docstring"
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield from function_errors(node, node.name)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from class_errors(node, message)


def protocol_methods():
    """Return ``(name, parameters)`` of the methods that the project's Protocols document."""
    found = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
                methods = (part for part in node.body if isinstance(part, Function) and ast.get_docstring(part))
                found |= {(part.name, parameters(part)[1:]) for part in methods}
    return frozenset(found)


def parameters(node):
    """Return the names of a function's parameters."""
    return tuple(a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))


def function_errors(node, name, method=False, exempt=False):
    """Yield what a function's docstring lacks: itself, parameters, what is returned, errors.

    ``forward`` and what a Protocol documents (``exempt``) may leave parameters and what is returned to that place.
    """
    text = ast.get_docstring(node)
    if text is None:
        yield node.lineno, name, "no docstring"
        return
    if not exempt:
        static = any(ast.unparse(mark) == "staticmethod" for mark in node.decorator_list)
        yield from undocumented(node, name, parameters(node)[1 if method and not static else 0 :], text)
        yield from silent(node, name, text)
    if any("contextmanager" in ast.unparse(mark) for mark in node.decorator_list) and section(text, "Returns"):
        yield node.lineno, name, "Returns: a context manager has Yields"
    for error in raised(node):
        if not re.search(rf"\b{error}\b", section(text, "Raises")):
            yield node.lineno, name, f"Raises: does not name {error}"


def class_errors(node, message=frozenset()):
    """Yield what a class's docstring lacks, and its public methods'."""
    text = ast.get_docstring(node)
    if text is None:
        yield node.lineno, node.name, "no docstring"
        return
    made = next((part for part in node.body if isinstance(part, Function) and part.name == "__init__"), None)
    if made is not None:
        names = [a.arg for a in (*made.args.posonlyargs, *made.args.args, *made.args.kwonlyargs)][1:]
        text = f"{text}\n\n{ast.get_docstring(made) or ''}"
    elif is_record(node):
        names = [part.target.id for part in node.body if isinstance(part, ast.AnnAssign) and is_field(part)]
    else:
        names = []
    yield from undocumented(node, node.name, names, text)
    for maker in (part for part in node.body if isinstance(part, Function) and part.name in MAKERS):
        for error in raised(maker):
            if not re.search(rf"\b{error}\b", section(text, "Raises")):
                yield maker.lineno, node.name, f"Raises: does not name {error}"
    for part in node.body:
        if isinstance(part, Function) and not part.name.startswith("_"):
            known = part.name == "forward" or (part.name, parameters(part)[1:]) in message
            protocol = any("Protocol" in ast.unparse(base) for base in node.bases)
            yield from function_errors(part, f"{node.name}.{part.name}", method=True, exempt=known and not protocol)


def undocumented(node, name, parameters, text):
    """Yield the parameters that no section names; one or two may stand in the first sentences instead."""
    parameters = [parameter for parameter in parameters if not parameter.startswith("_")]
    listed = section(text, "Args") + section(text, "Attributes")
    missing = [parameter for parameter in parameters if not re.search(rf"^ *\**{parameter}( \(.*?\))?:", listed, re.M)]
    if len(parameters) <= FEW and all(f"``{parameter}``" in text for parameter in missing):
        return
    if missing:
        yield node.lineno, name, f"untold: {', '.join(missing)}"


def silent(node, name, text):
    """Yield a function that gives something and has sections, but none (nor its first word) about that."""
    gives = node.returns is not None and ast.unparse(node.returns) not in ("None", "NoReturn")
    lead = re.split(rf"^ *(?:{'|'.join(SECTIONS)}):\n", text, maxsplit=1, flags=re.M)[0]
    message = section(text, "Returns").strip() or section(text, "Yields").strip() or re.search(SAYS, lead)
    if gives and section(text, "Args") and not message:
        yield node.lineno, name, "Returns: lacking"


def section(text, title):
    """Return the lines below ``title:`` up to the next section."""
    found = re.search(rf"^ *{title}:\n(.*?)(?=^ *(?:{'|'.join(SECTIONS)}):\n|\Z)", text, re.M | re.S)
    return found.group(1) if found else ""


def raised(node):
    """Return the public errors that a function's own ``raise`` statements name.

    Those of functions inside it are left out, and those that it catches itself.
    """
    names = set()
    inner = (part for part in ast.walk(node) if part is not node and isinstance(part, (*FUNCTIONS, ast.ClassDef)))
    ignored = {id(part) for function in inner for part in ast.walk(function)}
    for part in ast.walk(node):
        if isinstance(part, ast.Try):
            caught = {ast.unparse(handler.type) for handler in part.handlers if handler.type}
            within = [inside for statement in part.body for inside in ast.walk(statement)]
            ignored |= {id(inside) for inside in within if isinstance(inside, ast.Raise) and error_of(inside) in caught}
    for part in ast.walk(node):
        if isinstance(part, ast.Raise) and id(part) not in ignored and error_of(part):
            names.add(error_of(part))
    return sorted(names - {"AssertionError", "StopIteration"})


def error_of(statement):
    """Return the name of the error that a ``raise`` makes anew, else nothing."""
    if not isinstance(statement.exc, ast.Call):
        return ""
    name = ast.unparse(statement.exc.func).split(".")[-1]
    return name if name[0].isupper() else ""


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_record(node):
    """Whether a class is a dataclass or a NamedTuple, made from its annotated fields."""
    return any("dataclass" in ast.unparse(mark) for mark in node.decorator_list) or any(
        ast.unparse(base).split(".")[-1] == "NamedTuple" for base in node.bases
    )


def is_field(part):
    """Whether an annotated name of a record is a public parameter of its constructor."""
    made_inside = part.value is not None and "init=False" in ast.unparse(part.value)
    return not (made_inside or part.target.id.startswith("_") or ast.unparse(part.annotation).startswith("ClassVar"))


PROTOCOLS = protocol_methods()


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_things_are_documented(path):
    found = [
        f"{path.name}:{line} {name}: {what}" for line, name, what in errors(path.read_text(encoding="utf-8"), PROTOCOLS)
    ]
    assert not found, "\n" + "\n".join(found)


GOOD = '''
"""A module."""

def one(path):
    """Read ``path``."""
    open(path)

def many(a, b, c, _d=None):
    """Add.

    Args:
        a: first.
        b: (N,) second.
        c: third.

    Returns:
        (N,) sums.

    Raises:
        OddError: they are odd.
    """
    try:
        raise CaughtError("here")
    except CaughtError:
        raise OddError("odd") from None

class Point(NamedTuple):
    """A place; ``x`` in pixels."""

    x: float

    def scaled(self, factor):
        """Multiply by ``factor``."""

class Layer(Module):
    """Learned."""

    def forward(self, maps):
        """Run."""

    def take_turn(self, number):
        """Do as the Protocol says."""

class Player(Protocol):
    """One who plays."""

    def take_turn(self, number):
        """Play ``number``."""
'''
DOCUMENTED = frozenset({("take_turn", ("number",))})


def test_good_docstrings_pass():
    assert list(errors(GOOD, DOCUMENTED)) == []


@pytest.mark.parametrize(
    ("old", "new", "name", "message"),
    [
        ('"""A module."""', "", "module", "no docstring"),
        ('"""Read ``path``."""', "", "one", "no docstring"),
        ("Read ``path``", "Read a path", "one", "untold: path"),
        ("        b: (N,) second.\n", "", "many", "untold: b"),
        ("        (N,) sums.\n", "", "many", "Returns: lacking"),
        ("def many", "@contextmanager\ndef many", "many", "Returns: a context manager has Yields"),
        ("OddError: they", "they", "many", "Raises: does not name OddError"),
        ("except CaughtError", "except KeyError", "many", "Raises: does not name CaughtError"),
        ("; ``x`` in pixels", "", "Point", "untold: x"),
        ("by ``factor``", "it", "Point.scaled", "untold: factor"),
        ("def forward(", "def backward(", "Layer.backward", "untold: maps"),
        (
            'def take_turn(self, number):\n        """Do',
            'def turn(self, number):\n        """Do',
            "Layer.turn",
            "untold: number",
        ),
        ("Play ``number``", "Play", "Player.take_turn", "untold: number"),
        ("    x: float", "    x: float\n    def far(self):\n        pass", "Point.far", "no docstring"),
    ],
)
def test_what_lacks_is_seen(old, new, name, message):
    source = GOOD.replace("def many(a, b, c, _d=None):", "def many(a, b, c, _d=None) -> Tensor:")
    assert old in source
    assert (name, message) in [(where, what) for _, where, what in errors(source.replace(old, new), DOCUMENTED)]

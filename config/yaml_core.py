"""YAML 1.2 (core schema) to plain values and back.

``true`` and ``false`` are the only flags (``yes`` and ``on`` are text), ``12:30`` and ``2024-01-01`` are text, ``0o17``
is octal, there are no merge keys and no tags beyond those of the core schema. One deviation: what begins with a zero,
such as the turn-on code ``01100``, is text, where the core schema reads a decimal number.
"""

import re
from typing import Any, NoReturn

import yaml

from config.signatures import ConfigError

LARGEST = 2**20  # characters of a document; the largest config of the project has some 10,000
MOST_VALUES = 20_000  # an alias counts with everything that it stands for
MOST_CHARACTERS = 2**20
DEEPEST = 40  # levels of lists and mappings

_TAG = "tag:yaml.org,2002:"
_RULES = {
    f"{_TAG}null": (re.compile(r"(?:~|null|Null|NULL|)"), "~nN\0"),
    f"{_TAG}bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)"), "tTfF"),
    f"{_TAG}int": (re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    f"{_TAG}float": (
        re.compile(
            r"[-+]?(?:\.[0-9]+|(?!0[0-9]+\Z)[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        "-+.0123456789",
    ),
}
_UNWRITABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BEGINS_A_NODE = tuple("[{\"'")


class _Composer(yaml.SafeLoader):
    """Makes the tree of nodes, as deep as a config can be."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  filled below
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            _refuse(f"more than {DEEPEST} levels of lists and mappings", self.peek_event())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _ArgumentComposer(_Composer):
    """Refuses what a shell argument can hold only by mistake: comments, and the marks of anchors, aliases and tags."""

    def scan_to_next_token(self) -> None:
        while self.peek() in " \r\n":
            self.forward()
        if self.peek() == "#":
            raise yaml.MarkedYAMLError(problem="it holds a comment; write text with ' #' in quotes")
        super().scan_to_next_token()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            _refuse("it holds an anchor, alias or tag; write text that begins with '&', '*' or '!' in quotes", event)
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and node.start_mark.line != node.end_mark.line:
            _refuse("it holds text over several lines", node)
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else, and writes no anchors."""

    yaml_implicit_resolvers = {first: list(rules) for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()}  # noqa: RUF012

    def ignore_aliases(self, _data: Any) -> bool:
        return True


for _tag, (_rule, _first) in _RULES.items():
    _whole = re.compile(f"(?:{_rule.pattern})\\Z")
    for _kind in (_Composer, _Dumper):
        _kind.add_implicit_resolver(_tag, _whole, [mark if mark != "\0" else "" for mark in _first])


def _refuse(problem: str, at: yaml.Node | yaml.Event) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def parse_yaml(text: str, source: str) -> Any:
    """Parse one YAML document to plain values; what an alias repeats is a copy.

    A ConfigError says that the text is not YAML, a key stands twice, or it is larger or deeper than any config; it
    names ``source`` (the file or other origin) and the line.
    """
    return _parse(text, source, _Composer)


def parse_argument(text: str, source: str) -> Any:
    """Parse the value of a ``key=value`` argument: nothing of it may get lost.

    A list ``[...]``, a mapping ``{...}``, text in quotes, one number, flag or ``null`` is read as YAML. All else is
    text as it stands: comments, anchors and the like are no part of an argument. A ConfigError says that there is no
    value, or that a list, mapping or quoted text is not YAML or holds a comment.
    """
    bare = text.strip()
    if not bare:
        raise ConfigError(f"{source} has no value: write null, or '' for empty text")
    if bare.startswith(_BEGINS_A_NODE):
        return _parse(bare, source, _ArgumentComposer)
    for tag, (rule, _) in _RULES.items():
        if rule.fullmatch(bare):
            return _scalar(yaml.ScalarNode(tag, bare), source)
    return _scalar(yaml.ScalarNode(f"{_TAG}str", text), source)


def _parse(text: str, source: str, composer: type[_Composer]) -> Any:
    if len(text) > LARGEST:
        raise ConfigError(f"{source} has {len(text)} characters, expected a config of at most {LARGEST}")
    try:
        node = composer(text).get_single_node()
        return None if node is None else _Values().of(node)
    except ConfigError:
        raise
    except Exception as error:  # besides its own kind PyYAML raises many others, at odd escapes for instance
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigError(f"{source}{line}: not valid YAML: {problem}") from error


class _Values:
    """Makes plain values of a tree of nodes and counts them, since aliases can make a small text endless."""

    def __init__(self) -> None:
        self.values = self.characters = self.depth = 0

    def of(self, node: yaml.Node) -> Any:
        self.values += 1
        if self.values > MOST_VALUES or self.characters > MOST_CHARACTERS:
            _refuse("aliases and all, more values than any config has", node)
        if isinstance(node, yaml.ScalarNode):
            self.characters += len(node.value)
            return _scalar(node, "")
        self.depth += 1
        if self.depth > DEEPEST:
            _refuse(f"more than {DEEPEST} levels of lists and mappings, or an alias within what it repeats", node)
        made = self._mapping(node) if isinstance(node, yaml.MappingNode) else self._list(node)
        self.depth -= 1
        return made

    def _list(self, node: yaml.SequenceNode) -> list[Any]:
        _check_tag(node, "seq")
        return [self.of(item) for item in node.value]

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        _check_tag(node, "map")
        made: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.removeprefix(_TAG) not in (
                "str",
                "int",
                "float",
                "bool",
            ):
                _refuse("a key that is no name", key)
            name = _text(key)
            if name == "<<" and key.style is None:
                _refuse("'<<': merge keys are not part of YAML 1.2; write the keys out, or use extends", key)
            if name in made:
                _refuse(f"the key '{name}' stands twice", key)
            made[name] = self.of(value)
        return made


def _check_tag(node: yaml.Node, kind: str) -> None:
    if node.tag != f"{_TAG}{kind}":
        _refuse(f"the tag '{node.tag.replace(_TAG, '!!')}', which configs do not use", node)


def _text(node: yaml.ScalarNode) -> str:
    if found := _UNWRITABLE.search(node.value):
        _refuse(f"the character {found[0]!r}, which text of configs cannot have", node)
    return node.value


def _scalar(node: yaml.ScalarNode, source: str) -> Any:
    """Return the value of a scalar; ``source`` names a lone one in errors, others have a line."""
    try:
        return _plain(node)
    except yaml.MarkedYAMLError as error:
        if not source:
            raise
        raise ConfigError(f"{source}: {error.problem}") from error


def _plain(node: yaml.ScalarNode) -> Any:
    text, kind = _text(node), node.tag.removeprefix(_TAG)
    if kind == "str":
        return text
    if node.tag not in _RULES or not _RULES[node.tag][0].fullmatch(text):
        kind = node.tag.replace(_TAG, "!!")
        _refuse(f"{text[:40]!r} with the tag '{kind}', which it is not or which configs do not use", node)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    return _integer(text, node) if kind == "int" else _float(text, node)


def _integer(text: str, node: yaml.ScalarNode) -> int:
    if len(text) <= 24:  # 0o and 21 digits have 63 bits
        value = int(text, 0 if text[:2] in ("0o", "0x") else 10)
        if abs(value) < 2**64:
            return value
    _refuse(f"a whole number of {len(text)} characters, beyond 64 bits", node)


def _float(text: str, node: yaml.ScalarNode) -> float:
    if text[-1] in "fFnN":
        return float(text.replace(".", ""))
    value = float(text)
    if value in (float("inf"), float("-inf")):
        _refuse(f"the number {text[:40]}, beyond the largest that there is", node)
    return value


def dump(values: dict[str, Any]) -> str:
    """Return a config as YAML text, in the order of its keys; :func:`parse_yaml` reads the same values from it."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)

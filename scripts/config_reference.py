"""Write docs/reference/config.md: every key of what the shipped configs name, read from signatures and docstrings.

``--check`` writes nothing and ends with 1 where the file is stale.
"""

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.files import write_whole
from config.check import ENTRY_DEFERRED
from config.load import PROJECT_ROOT, list_configs, load, short
from config.resolve import public_names, resolve_type
from config.signatures import describe, kind_of, parameters, python_name

OUTPUT = PROJECT_ROOT / "docs" / "reference" / "config.md"
TITLE = """# Every key of a config

This page is written by `python scripts/config_reference.py` from the signatures and docstrings of what the configs of
`config_files/` name; a test says when it is stale. The parts of a config: [write a config](../guides/configs.md).

A key without a default must be given. "A node" is a mapping with `type` and the keys of that type.
Types of `torch.optim` take the keywords of torch.
"""
TASKS = (
    "tasks.speech_image", "tasks.words_by_drawing.task", "tasks.gan.progan.", "tasks.gan.segmenter",
    "tasks.attngan.damsm", "tasks.attngan.task", "tasks.attngan.zero_shot", "tasks.visual_vocab.judge.",
)  # fmt: skip
DATA = ("datasets.", "tasks.words_by_drawing.synthetic_captions", "published.words_by_drawing.prepare")
GROUPS = (  # heading, what the dotted path begins with
    ("Entries (`entry`)", ()),
    ("`task`: what is learned", TASKS),
    ("`trainer`, `run`, `launch`, `init_from`: how", ("engine.settings", "engine.run_folder", "engine.init_from")),
    ("Optimisers and schedules", ("engine.optimization", "engine.schedules")),
    ("`data` and `prepare`", DATA),
    ("Networks", ("models.",)),
    ("Losses", ("losses.",)),
    ("Generators and discriminators", ("gan.",)),
    ("Published files", ("published.",)),
    ("Measures", ("evaluation.",)),
    ("Parts of jobs", ("tasks.",)),
)  # fmt: skip
SIBLINGS = (  # what stands beside a type that a config names, and could be named as well
    "models.davenet.DavenetSpeech", "models.resdavenet.ResDavenet", "models.text_encoders.DavenetText",
    "models.text_encoders.DavenetTextLarge", "models.image_encoders.Resnet50Encoder", "engine.schedules.constant",
)  # fmt: skip
SIGNS = {"greater than or equal to": "≥", "less than or equal to": "≤", "greater than": "above", "less than": "below"}
LONGEST = 60  # characters of a default


def main() -> None:
    """Write the page, or say that it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where the page is stale")
    text = reference()
    if parser.parse_args().check:
        sys.exit(0 if OUTPUT.is_file() and OUTPUT.read_text(encoding="utf-8") == text else f"{short(OUTPUT)} is stale")
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    write_whole(OUTPUT, text.encode())
    print(f"wrote {short(OUTPUT)}")


def reference() -> str:
    """Return the whole page."""
    entries, types = named()
    found = {name: (resolve_type(name), offered) for name, offered in types.items()}
    names = {target: name for name, (target, _) in found.items()}
    parts = [TITLE]
    left = dict(sorted(found.items()))
    for heading, beginnings in GROUPS:
        own = {name: (resolve_type(name), set(ENTRY_DEFERRED)) for name in sorted(entries)} if not beginnings else {}
        for name in [name for name in left if beginnings and name.startswith(beginnings)]:
            own[name] = left.pop(name)
        if own:
            parts += [f"## {heading}", *(section(name, *one, names) for name, one in own.items())]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def named() -> tuple[set[str], dict[str, set[str]]]:
    """Return the entries that configs name, and every type below them with the keywords that its owner gives."""
    entries: set[str] = set()
    types: dict[str, set[str]] = {name: set() for name in SIBLINGS}
    for path in list_configs():
        values = load(path).values
        entries.add(values["entry"])
        _walk(resolve_type(values["entry"]), values, types)
    ranking = parameters(resolve_type("tasks.speech_image.Ranking"))["losses"].annotation
    given = {name for loss in _items(ranking) for name in kind_of(loss).offered}
    for name in public_names(sys.modules[resolve_type("losses.sampled_triplet").__module__]):
        keys = parameters(resolve_type(f"losses.{name}")) if name[0].islower() else {}
        needed = {key for key, one in keys.items() if one.required}
        if needed and needed <= given and "margin" in keys and "mining" not in keys:
            types.setdefault(f"losses.{name}", set()).update(given)
    return entries, types


def _walk(
    target: Callable[..., Any], values: dict[str, Any], types: dict[str, set[str]], offered: Sequence[str] = ()
) -> None:
    """Note the types of a call's nodes and of its groups of settings, and those below them."""
    for key, parameter in parameters(target).items():
        for group in [] if key in offered else groups(parameter.annotation):
            name = f"{group.__module__}.{group.__qualname__}"
            if name not in types:
                types[name] = set()
                _walk(group, {}, types)
        _walk_value(parameter.annotation, values.get(key), types)


def _items(annotation: Any) -> list[Any]:
    """Return the annotation of the items of a list, or nothing."""
    return [kind for kinds in kind_of(annotation).items(1).values() for kind in kinds]


def _walk_value(annotation: Any, value: Any, types: dict[str, set[str]]) -> None:
    if isinstance(value, list):
        kinds = _items(annotation) or [Any]
        for item in value:
            _walk_value(kinds[0], item, types)
    elif isinstance(value, dict) and isinstance(value.get("type"), str):
        if not value["type"].startswith("torch."):
            offered = kind_of(annotation).offered
            types.setdefault(value["type"], set()).update(offered)
            _walk(resolve_type(value["type"]), value, types, offered)
    elif isinstance(value, dict):
        for group in groups(annotation):
            _walk(group, value, types)


def groups(annotation: Any) -> list[type]:
    """Return the dataclasses among the alternatives of an annotation, those in lists and mappings too."""
    kinds = [kind_of(one) for one in (annotation, *_items(annotation), kind_of(annotation).values)]
    return [kind.group for kind in kinds if kind.group is not None and not kind.group.__module__.startswith("torch")]


def section(name: str, target: Callable[..., Any], offered: set[str], names: dict[Any, str]) -> str:
    """Return the heading, summary and table of a call, without the keywords that the program gives.

    ``names`` are those of every type on the page, for links.
    """
    text = inspect.getdoc(target) or ""
    told = meanings_of(target)
    meanings = {key: told.get(python_name(key), "") for key in parameters(target)}
    rows = [
        f"| `{key}` | {_takes(parameter.annotation, names)} | {_default(parameter)} | {_cell(meanings[key])} |"
        for key, parameter in parameters(target).items()
        if key not in offered and not meanings[key].startswith(("given by ", "Given by "))
    ]
    table = ["| key | takes | default | meaning |", "|---|---|---|---|", *rows] if rows else ["Takes no key."]
    return "\n".join([f"### {name}", "", _prose(text.split("\n\n")[0]), "", *table])


def meanings_of(target: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstrings of a function, or of a class and its bases, say of each argument or attribute."""
    found: dict[str, str] = {}
    for one in reversed(inspect.getmro(target)) if inspect.isclass(target) else [target]:
        docstring = inspect.cleandoc(one.__doc__ or "")
        for head in ("Attributes", "Args"):
            match = re.search(rf"^{head}:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
            for item in re.finditer(r"^    (\w+): ((?:.*)(?:\n {8}.*)*)", match[1] if match else "", re.MULTILINE):
                found[item[1]] = " ".join(item[2].split())
    return found


def _takes(annotation: Any, names: dict[Any, str]) -> str:
    linked = [names[group] for group in groups(annotation) if group in names]
    if linked:
        return ", ".join(f"[{name.rpartition('.')[2]}](#{anchor(name)})" for name in dict.fromkeys(linked))
    text = describe(annotation).replace("9,223,372,036,854,775,808", "2^63")
    for words, sign in SIGNS.items():
        text = text.replace(f", {words}", f" {sign}")
    return _cell(text)


def anchor(name: str) -> str:
    """Return the link to a heading: lower case, without points."""
    return re.sub(r"[^\w-]", "", name.lower())


def _default(parameter: Any) -> str:
    if parameter.required:
        return ""
    value = parameter.default
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if dataclasses.is_dataclass(value):
        return "its own defaults"
    if isinstance(value, Path):
        return f"`{short(value)}`"
    return f"`{value}`" if len(str(value)) <= LONGEST else _cell(f"{str(value)[:LONGEST]} …")


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|")


def _prose(text: str) -> str:
    """Turn the marks of docstrings into those of Markdown."""
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join(text.split())).replace("``", "`")
    return (
        re.sub(r"(?<!\\)([<>])", lambda found: {"<": "&lt;", ">": "&gt;"}[found[1]], plain)
        if "`" not in plain
        else plain
    )


if __name__ == "__main__":
    main()

"""A JSON Schema of every config, made from the same signatures that :func:`config.check` binds.

Editors complete and check config files with it. Files may inherit and be overridden, so nothing is required here; only
``check`` knows what is missing in the end.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import torch
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic_core import SchemaError
from torch import Tensor

from config.check import ENTRY_DEFERRED
from config.load import PROJECT_ROOT, list_configs, load
from config.resolve import ALLOWED_MODULES, public_names, resolve_type
from config.signatures import arms, describe, kind_of, parameters, serves, single_marks

MADE_IN_CODE = (Tensor, np.ndarray, torch.Generator, torch.device, torch.dtype)
OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam")


def targets() -> dict[str, Callable[..., Any]]:
    """Return every class and function of this project that a config can name, and the common optimisers."""
    found: dict[str, Callable[..., Any]] = {}
    for module_name in _modules():
        module = importlib.import_module(module_name)
        for name in public_names(module):
            value = getattr(module, name)
            offered = name in getattr(module, "__all__", ())  # by a package, under a shorter name
            if (value.__module__ == module_name or offered) and not getattr(value, "_is_protocol", False):
                found[f"{module_name}.{name}"] = value
    for name in OPTIMIZERS:
        found[f"torch.optim.{name}"] = resolve_type(f"torch.optim.{name}")
    return found


def _modules() -> Iterator[str]:
    for name in ALLOWED_MODULES:
        if (PROJECT_ROOT / f"{name}.py").is_file():
            yield name
        elif (PROJECT_ROOT / name / "__init__.py").is_file():
            package = importlib.import_module(name)
            yield name
            yield from (module.name for module in pkgutil.walk_packages(package.__path__, name + "."))


class _Schema:
    """Builds the definitions; each target becomes one, named by its dotted path."""

    def __init__(self) -> None:
        self.targets = targets()
        self.definitions: dict[str, Any] = {}

    def call(self, target: Callable[..., Any], offered: tuple[str, ...]) -> dict[str, Any]:
        """Return the schema of a call's keywords."""
        rows = {name: self.value(p.annotation) for name, p in parameters(target).items() if name not in offered}
        summary = (inspect.getdoc(target) or "").split("\n\n")[0].replace("\n", " ")
        return {"type": "object", "description": summary, "properties": rows}

    def value(self, annotation: Any) -> dict[str, Any]:
        """Return the schema of a value: any alternative of its annotation."""
        options = [self._one(member) for member in arms(annotation)]
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _one(self, annotation: Any) -> dict[str, Any]:
        kind = kind_of(annotation)
        if kind.deferred:
            return self._nodes(kind.products[0], kind.offered)
        if annotation is Path:
            return {"type": "string", "format": "path"}
        if kind.group is not None:
            return self._definition(f"{kind.group.__module__}.{kind.group.__qualname__}", kind.group, ())
        if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) is list:  # perhaps of nodes
            return self._one(get_args(annotation)[0]) | _sizes(get_args(annotation)[1:])
        item = get_args(annotation)[0] if get_origin(annotation) in (list, tuple) and get_args(annotation) else None
        if item is not None:
            return {"type": "array", "items": self.value(item)}
        made_in_code = hasattr(annotation, "_fields")  # named tuples, of arrays for instance
        if made_in_code or getattr(annotation, "_is_protocol", False):
            return self._nodes(annotation, ())
        try:
            adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
            drawn = adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError, SchemaError):
            return self._nodes(annotation, ())  # models of pydantic, too: they are made in code
        self.definitions |= drawn.pop("$defs", {})  # references are from the root
        return drawn

    def _nodes(self, product: Any, offered: tuple[str, ...]) -> dict[str, Any]:
        """Return the schema of a node that makes ``product``: a definition, as many keys take the same."""
        if product in MADE_IN_CODE:
            return {"description": f"{describe(product)}, which no config holds"}
        words = ["any", getattr(product, "__module__", ""), describe(product), *offered]
        key = re.sub(r"[^\w.]+", "-", "-".join(words))  # what a reference may hold
        if key not in self.definitions:
            self.definitions[key] = {}  # stands while its own parts are drawn
            self.definitions[key] = self._cases(product, offered)
        return {"$ref": f"#/$defs/{key}"}

    def _cases(self, product: Any, offered: tuple[str, ...]) -> dict[str, Any]:
        fitting = self._fitting(product, offered)
        if product is not Any and fitting.keys() == self._fitting(Any, offered).keys():
            return self._nodes(Any, offered)  # a protocol that every result may serve: drawn once for all of them
        cases = [
            {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": reference}
            for name, target in fitting.items()
            if (reference := self._definition(name, target, offered))
        ]
        node = {"description": f"makes {describe(product)}", "properties": {"type": {"enum": sorted(fitting)}}}
        return {"type": "object", **(node if fitting else {}), "allOf": cases} if cases else {"type": "object"}

    def _fitting(self, product: Any, offered: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
        """Return what a config can call for a ``product``, by name."""
        return {
            name: target
            for name, target in self.targets.items()
            if serves(target, [product], offered) and _can_be_given(target, offered)
        }

    def _definition(self, name: str, target: Callable[..., Any], offered: tuple[str, ...]) -> dict[str, Any]:
        key = "-".join([name, *offered])
        if key not in self.definitions:
            self.definitions[key] = {}  # stands while its own parts are drawn
            schema = self.call(target, offered)
            schema["properties"]["type"] = {"const": name}
            self.definitions[key] = {**schema, "additionalProperties": False}
        return {"$ref": f"#/$defs/{key}"}


def _can_be_given(target: Callable[..., Any], offered: tuple[str, ...]) -> bool:
    """Return whether YAML can hold what a target needs; only code calls what takes tensors."""
    needed = [p.annotation for p in parameters(target).values() if p.required and p.name not in offered]
    return not any(annotation in MADE_IN_CODE for annotation in needed)


def _sizes(marks: tuple[Any, ...]) -> dict[str, int]:
    """Return the fewest and most items among the marks of an annotated list."""
    names = {"min_length": "minItems", "max_length": "maxItems"}
    found = {key: getattr(part, name, None) for part in single_marks(marks) for name, key in names.items()}
    return {key: size for key, size in found.items() if size is not None}


def schema() -> dict[str, Any]:
    """Return the schema of a whole config file: by its ``entry``, that function's keywords."""
    builder = _Schema()
    entries = sorted({load(path).values["entry"] for path in list_configs()})
    cases = []
    for entry in entries:
        call = builder.call(resolve_type(entry), ENTRY_DEFERRED)
        common = {"entry": {"const": entry}, "description": {"type": "string"}, "extends": {"type": "string"}}
        closed = {**call, "properties": {**common, **call["properties"]}, "additionalProperties": False}
        cases.append({"if": {"properties": {"entry": {"const": entry}}, "required": ["entry"]}, "then": closed})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "drawl config",
        "type": "object",
        "properties": {"entry": {"enum": entries}, "description": {"type": "string"}, "extends": {"type": "string"}},
        "allOf": cases,
        "$defs": dict(sorted(builder.definitions.items())),
    }

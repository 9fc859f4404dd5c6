"""Configs: YAML files that are one call each, checked against the signatures of what they name, then built.

``load`` reads a file with ``extends`` and overrides, ``check`` binds every node to its constructor and reports all
errors at once, ``build`` makes the objects. Types come from this project and ``torch.optim`` only.
"""

from config.build import Factory, build, call_entry, takes_context
from config.check import check, check_outside, with_defaults
from config.load import PROJECT_ROOT, Config, find, list_configs, load, resolve_path, short
from config.resolve import closest, resolve_type, shortened, translated
from config.signatures import ConfigError, Deferred, Problem
from config.validate import RefusedValues, check_values
from config.yaml_core import dump, parse_yaml

__all__ = [
    "PROJECT_ROOT",
    "Config",
    "ConfigError",
    "Deferred",
    "Factory",
    "Problem",
    "RefusedValues",
    "build",
    "call_entry",
    "check",
    "check_outside",
    "check_values",
    "closest",
    "dump",
    "find",
    "list_configs",
    "load",
    "parse_yaml",
    "resolve_path",
    "resolve_type",
    "short",
    "shortened",
    "takes_context",
    "translated",
    "with_defaults",
]

"""The one list of errors of a config, and the parts of a mapping without any."""

from typing import Any

from config.load import Config, join, short
from config.validate import TO_TEXT


class Errors:
    """Collects (key path, message)."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, key_path: str, message: str) -> None:
        """Note an error at a key path such as ``data.batch_size``."""
        self.rows.append((key_path, message))

    def without(self, values: dict[str, Any], key_path: str, placeholders: bool = False) -> dict[str, Any]:
        """Return the mapping at ``key_path`` without the keys that have errors, in the mappings below it too.

        With ``placeholders`` an empty mapping stands for a node of unknown type: its content is unknown, its presence
        is not.
        """
        kept: dict[str, Any] = {}
        for key, value in values.items():
            inner = join(key_path, key)
            if isinstance(value, dict) and not self._at(inner) and not self._at(f"{inner}.type"):
                kept[key] = self.without(value, inner, placeholders)
            elif isinstance(value, dict) and placeholders and not self._at(inner):
                kept[key] = {}
            elif not self._at(inner) and not any(path.startswith(inner + ".") for path, _ in self.rows):
                kept[key] = value
        return kept

    def _at(self, key_path: str) -> bool:
        return any(path == key_path for path, _ in self.rows)

    def message(self, config: Config) -> str:
        """Return the list as text: file, and a line for each error with its key path and where that was set."""
        count = len(self.rows)
        lines = [f"{short(config.path)}: {count} error{'s' if count > 1 else ''}"]
        for key_path, message in self.rows:
            origins = [origin for origin in _origins(config, key_path) if origin != short(config.path)]
            where = f" [{', '.join(origins)}]" if origins else ""
            if message.endswith(TO_TEXT) and key_path in config.arguments:
                message += f", {key_path}='\"{config.arguments[key_path]}\"'"
            lines.append(f"  {key_path}{where}: {message}")
        return "\n".join(lines)


def _origins(config: Config, key_path: str) -> list[str]:
    """Return every origin of the values at and below ``key_path``, or that of the nearest key above."""
    found = dict.fromkeys(
        origin
        for key, origin in config.origins.items()
        if f"{key}.".startswith(f"{key_path}.") and _stands(config.values, key)
    )
    return list(found) or [config.origin(key_path)]


def _stands(node: Any, key_path: str) -> bool:
    """Return whether a mapping still has a key path, which an override may have replaced."""
    for key in key_path.split("."):
        if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict) and key in node:
            node = node[key]
        else:
            return False
    return True

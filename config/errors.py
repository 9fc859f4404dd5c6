"""The one list of errors of a config, and what of a mapping has none."""

from typing import Any

from config.load import Config, short
from config.validate import TO_TEXT


def join(key_path: str, key: str) -> str:
    """Return the key path of ``key`` in the mapping at ``key_path``."""
    return f"{key_path}.{key}" if key_path else key


class Errors:
    """Collects (key path, message)."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, key_path: str, message: str) -> None:
        """Note an error.

        Args:
            key_path: where in the config, such as ``data.batch_size``.
            message: what was found and what was expected.
        """
        self.rows.append((key_path, message))

    def without(self, values: dict[str, Any], key_path: str, placeholders: bool = False) -> dict[str, Any]:
        """Return a mapping without the keys that have errors, in the mappings below it too.

        Args:
            values: the mapping.
            key_path: where it stands.
            placeholders: keep an empty mapping for a node of unknown type: that there is one is known, not what is in
                it.
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
        """Return the list as text: file, and a line for each error with its key path and where that was set.

        Args:
            config: as read; it knows where each value was set.
        """
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
    """Whether a mapping still has a key path, which an override may have replaced."""
    for key in key_path.split("."):
        if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict) and key in node:
            node = node[key]
        else:
            return False
    return True

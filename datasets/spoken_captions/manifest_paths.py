"""Where the relative paths of a list of captions lead: the public scripts write them as of the folder they ran in.

They are looked for in the folder of the file that names them, in the folders above it, and in the working folder.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def bases_of(manifest: Path) -> list[Path]:
    """Return the folders that relative paths of ``manifest`` may start at, the one to prefer first."""
    folder = manifest.parent.absolute()
    return list(dict.fromkeys([folder, *folder.parents, Path.cwd()]))


def find_path(named: Path, manifest: Path, inside: str = "") -> tuple[Path, bool]:
    """Find what a path of a list leads to.

    Args:
        named: As the list has it.
        manifest: The list.
        inside: A file below the path by which the right folder is known, "" for the path itself.

    Returns:
        The absolute path, and whether anything is there. Where nothing is, it starts at the list's own folder.
    """
    for base in [None] if named.is_absolute() else bases_of(manifest):
        found = named if base is None else base / named
        if _exists(found / inside):
            if base not in (None, manifest.parent.absolute()):
                log.info("%s: paths as %s are relative to %s", manifest, named / inside, base)
            return found, True
    return manifest.parent.absolute() / named, False


def _exists(path: Path) -> bool:
    """Whether there is such a file or folder; names that no file system has are not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False

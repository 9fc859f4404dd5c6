"""Short names of contents, by which a resumed run finds out that what it learns from has changed."""

import hashlib
from collections.abc import Iterable

LETTERS = 12


def digest(parts: Iterable[bytes | str]) -> str:
    """Return a short hexadecimal digest of parts (lone surrogates allowed); where a part ends counts too."""
    found = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big"))
        found.update(content)
    return found.hexdigest()[:LETTERS]


def rows_digest(rows: Iterable[bytes | str], count: int) -> str:
    """Return the number and the digest of rows, such as ``24 rows with digest 0123456789ab``."""
    return f"{count} rows with digest {digest(rows)}"

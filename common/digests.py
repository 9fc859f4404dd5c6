"""Short names of contents, by which a resumed run finds out that what it learns from has changed."""

import hashlib
from collections.abc import Iterable

import torch
from torch import nn

LETTERS = 12


def digest(parts: Iterable[bytes | str]) -> str:
    """Return a short digest of parts, hexadecimal; where one part ends and the next begins counts too.

    Args:
        parts: text of any kind, lone surrogates included, or bytes.
    """
    found = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big"))
        found.update(content)
    return found.hexdigest()[:LETTERS]


def rows_digest(rows: Iterable[bytes | str], count: int) -> str:
    """Return the number and the digest of rows, in words.

    Args:
        rows: what each is.
        count: how many a user counts.

    Returns:
        Such as ``24 rows with digest 0123456789ab``.
    """
    return f"{count} rows with digest {digest(rows)}"


def weights_digest(module: nn.Module) -> str:
    """Return a digest of a network's parameters and buffers and their names.

    Args:
        module: on any device.

    Returns:
        Such as ``weights with digest 0123456789ab``.
    """

    def parts() -> Iterable[bytes | str]:
        for name, value in sorted(module.state_dict().items()):
            yield name
            yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

    return f"weights with digest {digest(parts())}"

"""Pages of an Ogg file (RFC 3533): its streams, one behind the other, each with the mark at its end.

libsndfile decodes the first stream of a chain alone, and Opus only where the last page says that it is the last. Many
writers, Android's among them, never say so: such a file is whole as long as its last page is.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

FIRST, LAST = 2, 4  # bits of a page's flags: its stream begins, ends
HEAD = 27  # bytes before the lengths of a page's segments
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    """A complete page."""

    content: bytes
    flags: int  # of FIRST and LAST
    serial: bytes  # of the stream that it belongs to


def links(content: bytes) -> Iterator[tuple[bytes, str | None]]:
    """Yield each stream that an Ogg file chains, as a file of its own, and a message where it is not whole.

    Every one gets the mark at its end.
    """
    pages, missing = _pages(content)
    starts = [
        at for at, page in enumerate(pages) if at and page.flags & FIRST and not pages[at - 1].flags & FIRST
    ]  # streams that are played together begin together
    for first, end in zip([0, *starts], [*starts, len(pages)], strict=True):
        link = pages[first:end]
        last = {page.serial: at for at, page in enumerate(link)}.values()
        whole = (_marked(page.content) if at in last else page.content for at, page in enumerate(link))
        yield b"".join(whole), missing if end == len(pages) else None


def _pages(content: bytes) -> tuple[list[Page], str | None]:
    """Cut a file into its pages; the message is about a damaged page, or one that breaks off at the end."""
    pages: list[Page] = []
    missing, at = None, content.find(b"OggS")
    while at >= 0:
        count = content[at + HEAD - 1] if at + HEAD <= len(content) else 255
        segments = content[at + HEAD : at + HEAD + count]
        end = at + HEAD + count + sum(segments)
        if end > len(content):
            return pages, "its last page is incomplete"
        page = Page(content[at:end], content[at + 5], content[at + 14 : at + 18])
        if checksum(page.content) != page.content[22:26]:
            missing = missing or f"page {len(pages) + 1} does not have the checksum that it gives"
        pages.append(page)
        at = content.find(b"OggS", end)
    return pages, missing


def _marked(page: bytes) -> bytes:
    """Return a page with the mark of the last one."""
    if page[5] & LAST:
        return page
    page = page[:5] + bytes([page[5] | LAST]) + page[6:]
    return page[:22] + checksum(page) + page[26:]


def checksum(page: bytes) -> bytes:
    """Return the CRC of a page as its own field has it: zlib's polynomial, bits mirrored, begun and ended with zero."""
    zeroed = page[:22] + bytes(4) + page[26:]
    value = zlib.crc32(zeroed.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2).to_bytes(4, "little")

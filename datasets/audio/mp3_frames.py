"""Frames of an MPEG audio file (ISO 11172-3, 13818-3): their number, and the file in a form that decodes whole.

libsndfile believes the count of a "Xing", "Info" or "VBRI" frame, and where there is none estimates the length from the
first bit rate; it stops there, whatever follows. So frames are counted here, one header after the other, and each
recording of a file (several may have been joined) is put together of its frames alone.
"""

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from io import RawIOBase
from itertools import pairwise
from typing import NamedTuple

KBITS = {  # by version (1, or 2 for the low rates) and layer
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44100, 48000, 32000)
FREE = 6144  # bytes that a frame of the free format has at most
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
NEXT = re.compile(rb"\xff|APETAGEX")  # where a frame or the end of a tag may be
ID3V1, ENHANCED = 128, 227  # bytes of a tag, and of the longer one that may stand before it
APE_HEAD = 1 << 29  # set at the head of an APE tag, not at its end
DELAYS = 21  # bytes from an encoder's name to the samples that it put in front and behind, 12 bits each


class Header(NamedTuple):
    """A frame's header."""

    kind: tuple[int, int, int, bool]  # version, layer, rate in Hz, one channel?: the same in a whole recording
    size: int  # bytes; of the free format those besides the size that all its frames share
    free: bool  # of the free format, whose frames have one size that none of them gives
    samples: int  # of each channel
    tag: int  # byte of the frame at which an information frame holds its name


class Frame(NamedTuple):
    """A complete frame."""

    content: bytes
    header: Header
    lost: int = 0  # bytes in front of it that are neither a frame nor a tag


class Recording(NamedTuple):
    """Frames that belong together."""

    content: bytes  # the frames, behind an information frame that counts them right, if there was one
    samples: int | None  # of each channel; None where an encoder's delays are taken off, which the decoder knows
    frames: int  # that are there
    announced: int | None  # frames that should be there; None where nothing says it
    lost: int  # bytes between the frames that are neither a frame nor a tag


class Endless(RawIOBase):
    """Bytes that claim to be many times as long, so that an estimate of their length is never too short.

    Close to the claimed end, where tags are looked for, zeros are read.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content, self._at, self._size = content, 0, 200 * len(content) + (1 << 20)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move like a file: ``whence`` counts from the beginning (0), the position (1) or the claimed end (2)."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer``, or as much of it as there is."""
        if self._at >= self._size - 1024:  # tags are looked for there
            part = bytes(min(len(buffer), max(0, self._size - self._at)))
        else:
            part = self._content[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def recordings(content: bytes) -> Iterator[Recording]:
    """Yield the recordings of an mp3 in order, each with all of its frames; none without sound.

    A new one begins where an information frame stands, or where version, layer, rate or channels change. Everything
    between frames (tags of all kinds, rubbish) is left out, the rubbish counted, and so is a last frame that is
    incomplete.
    """
    frames = list(_frames(content))
    starts = [at for at, (before, frame) in enumerate(pairwise(frames), 1) if _begins(before, frame)]
    for first, end in pairwise([0, *starts, len(frames)]):
        name = _information(frames[first]) if end > first else None
        if end - first > (name is not None):
            yield _recording(frames[first:end], name)


def _recording(frames: list[Frame], name: bytes | None) -> Recording:
    """Join frames behind their information frame, if there is one."""
    header = frames[-1].header
    count = len(frames) - (name is not None)
    sound = b"".join(frame.content for frame in frames[-count:])
    announced = None if name is None else _announced(frames[0], name)
    lost = sum(frame.lost for frame in frames[1:])
    if announced is None or name == b"VBRI" or header.kind[1] != 3:
        return Recording(sound, count * header.samples, count, announced, lost)
    return Recording(_counted(frames[0], count, announced, len(sound)) + sound, None, count, announced, lost)


def _begins(before: Frame, frame: Frame) -> bool:
    """Return whether a recording begins with a frame."""
    return frame.header.kind != before.header.kind or _information(frame) is not None


def _information(frame: Frame) -> bytes | None:
    """Return the name of an information frame; None of one that holds sound."""
    at = frame.header.tag
    for offset, names in ((at, (b"Xing", b"Info")), (at + 2, (b"Xing", b"Info")), (36, (b"VBRI",))):
        name = frame.content[offset : offset + 4]  # 2 further where a checksum was left room for
        if name in names and len(frame.content) >= offset + 18:
            return name
    return None


def _announced(frame: Frame, name: bytes) -> int | None:
    """Return the number of frames that an information frame announces."""
    at = frame.content.index(name) + 4
    if name == b"VBRI":
        return int.from_bytes(frame.content[at + 10 : at + 14], "big")
    return int.from_bytes(frame.content[at + 4 : at + 8], "big") if frame.content[at + 3] & 1 else None


def _counted(frame: Frame, count: int, announced: int, size: int) -> bytes:
    """Return an information frame that counts right; where it was wrong, no sample at the end is cut any more."""
    content = bytearray(frame.content)
    at = frame.header.tag if content[frame.header.tag :][:4] in (b"Xing", b"Info") else frame.header.tag + 2
    flags = content[at + 7]
    content[at + 8 : at + 12] = count.to_bytes(4, "big")
    if flags & 2:
        content[at + 12 : at + 16] = (size + len(content)).to_bytes(4, "big")
    at += 12 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8) + DELAYS
    if not announced - 1 <= count <= announced and at + 3 <= len(content):
        content[at + 1] &= 0xF0
        content[at + 2] = 0
    return bytes(content)


def _frames(content: bytes) -> Iterator[Frame]:
    """Yield the complete frames of an mp3; a first one, and one behind something else, only with others behind it."""
    at, end, kind, free, lost = 0, 0, None, 0, 0
    while at <= len(content) - 4:
        if content.startswith(TAGS, at):
            size, before = _tag_size(content, at)
            at, lost = at + size, max(0, lost - before)
            continue
        header = _header(content[at : at + 4])
        if header is not None and (at != end or header.kind != kind):
            free = _free_size(content, at, header) if header.free else 0
            header = header if _followed(content, at, header, free) else None
        if header is None:
            found = NEXT.search(content, at + 1)
            if found is None:
                return
            lost, at = lost + found.start() - at, found.start()
            continue
        end = at + header.size + (free if header.free else 0)
        if end > len(content) or end < at + 4:
            return
        kind = header.kind
        yield Frame(content[at:end], header, lost)
        at, lost = end, 0


def _tag_size(content: bytes, at: int) -> tuple[int, int]:
    """Return the bytes of the tag that begins with one of ``TAGS``, at least 1, and those that belong to it before."""
    if content.startswith(b"ID3", at):
        return id3_size(content[at : at + 10]) or 1, 0
    if content.startswith(b"TAG", at):
        return ENHANCED if content.startswith(b"TAG+", at) else ID3V1, 0
    if content.startswith(b"LYRICSBEGIN", at):
        ends = [content.find(end, at) for end in (b"LYRICSEND", b"LYRICS200")]
        return min((end + 9 - at for end in ends if end > 0), default=1), 0
    size, _, flags = struct.unpack_from("<III", content[at + 12 : at + 24].ljust(12, b"\0"))
    return (32 + size, 0) if flags & APE_HEAD else (32, max(0, size - 32))  # the size counts a tag's end, not its head


def _followed(content: bytes, at: int, header: Header, free: int) -> bool:
    """Return whether two more frames of the kind stand behind one, or the file ends there."""
    found: Header | None = header
    for _ in range(2):
        at += found.size + (free if found.free else 0)
        if at == len(content) or content.startswith(TAGS, at):
            return True
        found = _header(content[at : at + 4])
        if found is None or found.kind != header.kind or found.free != header.free:
            return False
    return True


def _free_size(content: bytes, at: int, header: Header) -> int:
    """Return the bytes of each frame of the free format, without padding: as far as to the next header."""
    next_at = at + 24
    while 0 <= (next_at := content.find(content[at : at + 2], next_at)) < at + FREE:
        found = _header(content[next_at : next_at + 4])
        if found is not None and found.free and found.kind == header.kind:
            return next_at - at - header.size
        next_at += 1
    return len(content) - at - header.size


@lru_cache(maxsize=1024)
def _header(head: bytes) -> Header | None:
    """Read the four bytes that a frame begins with; None where they are no header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, bits, padding = head[2] >> 2 & 3, head[2] >> 4, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate == 3 or bits == 15:
        return None
    low, mono = version != 3, head[3] >> 6 == 3
    hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and low else 1152
    bits = 1000 * KBITS[2 if low else 1, layer][bits]
    size = 4 * (12 * bits // hertz + padding) if layer == 1 else samples // 8 * bits // hertz + padding
    side_information = (9 if mono else 17) if low else (17 if mono else 32)
    return Header((version, layer, hertz, mono), size, bits == 0, samples, 4 + side_information)


def is_header(head: bytes) -> bool:
    """Return whether ``head``, four bytes, begins a frame."""
    return _header(head) is not None


def id3_size(head: bytes) -> int:
    """Return the bytes of an ID3 tag, its head included, from its first ten bytes ``head``; 0 where there is none."""
    if len(head) < 10 or not head.startswith(b"ID3"):
        return 0
    size = sum((byte & 0x7F) << 7 * offset for offset, byte in enumerate(reversed(head[6:10])))
    return 10 + size + (10 if head[5] & 0x10 else 0)  # a footer

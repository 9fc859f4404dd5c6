"""Sound files that break off: the length that their headers announce against the bytes that are there.

Decoders take whatever they find, so a copy that was cut short would pass for a shorter recording. Only headers are read
here, of the containers that hold samples as they are: RIFF/WAVE with RF64 (EBU Tech 3306), AIFF and 8SVX (EA IFF 85),
Wave64, CAF, and those of datasets/audio/sound_headers.py. Of the others: datasets/audio/sound_streams.py.
"""

import functools
import logging
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from datasets.audio.mp3_frames import id3_size
from datasets.audio.sound_headers import HEAD, STREAMED, Sound, of_header

log = logging.getLogger(__name__)

CHUNKS = 1000  # more is not a sound that anybody wrote
LARGEST = 2 << 30  # bytes of a file that is read at once
MPEG = (0x50, 0x55)  # format tags of RIFF
EXTENSIBLE = 0xFFFE  # format tag of RIFF: the tag proper stands 24 bytes behind


class BrokenOff(Exception):
    """A sound file that ends before its end; the message has the announced and the found length."""


class Joined(Exception):
    """A sound file that holds several recordings of which libsndfile decodes one."""


class _Layout(NamedTuple):
    """A container's chunks: byte of the first, struct of name and length, bytes the length counts too, alignment."""

    first: int
    head: str
    counted: int
    align: int


LAYOUTS = {
    b"RIFF": _Layout(12, "<4sI", 0, 2),
    b"RF64": _Layout(12, "<4sI", 0, 2),
    b"RIFX": _Layout(12, ">4sI", 0, 2),
    b"FORM": _Layout(12, ">4sI", 0, 2),
    b"riff": _Layout(40, "<4s12xQ", 24, 8),  # Wave64: the names are the first bytes of identifiers of 16
    b"caff": _Layout(8, ">4sQ", 0, 1),
}
DATA = (b"data", b"SSND", b"BODY")


def check_whole(path: Path, sound: Sound, frame: int | None, frames: int) -> None:
    """Compare the sound that a file's header announces with the bytes that are there.

    ``frame`` is the bytes of one sample of every channel; fewer may be missing, for some writers count a byte too many.
    It is None where samples are packed in blocks. ``frames`` is libsndfile's count; one more than the header's is a
    byte of padding. Raises BrokenOff where bytes are missing, Joined where there is sound behind the announced,
    OSError.
    """
    there = max(0, path.stat().st_size - sound.start)
    if sound.unknown:
        block = frame if sound.block is None else sound.block
        if block and there % block:
            raise BrokenOff(f"{there} bytes of sound are there, which are no multiple of {block}")
        if sound.block != 0:
            say_open_end(path.suffix.lower())
        return
    if sound.length - there >= (frame or 1):
        raise BrokenOff(f"{there} of {sound.length} bytes of sound are there")
    if frame and sound.frames and frames < sound.frames - 1:
        raise BrokenOff(f"{frames} of {sound.frames} samples are there")
    if frame and sound.frames and frames > sound.frames + 1:
        raise Joined(f"{frames} samples where {sound.frames} are announced")


@functools.cache
def say_open_end(ending: str) -> None:
    """Warn once of files whose names end so (such as ".paf"), which do not give their length."""
    log.warning(
        "sound files *%s do not say how long they are, so that a copy that was cut short is taken for a shorter "
        "recording; convert them to flac or wav where they are whole", ending,
    )  # fmt: skip


def mpeg_inside(path: Path, sound: Sound) -> bytes | None:
    """Return the MPEG audio that a RIFF file holds, without what is around it; None of others.

    libsndfile estimates its length as of a bare mp3, and takes what lies behind the sound for frames. Raises BrokenOff
    where bytes are missing, OSError.
    """
    if sound.coding not in MPEG:
        return None
    there = max(0, path.stat().st_size - sound.start)
    if not sound.unknown and there + 1 < sound.length:
        raise BrokenOff(f"{there} of {sound.length} bytes of sound are there")
    return content_of(path, None if sound.unknown else sound.start + sound.length)[sound.start :]


def with_its_length(path: Path, sound: Sound) -> BytesIO | None:
    """Read a file that libsndfile does not decode to the end that its header gives, in a form of which it does.

    Those are a wav with size 0 and a CAF with -1, whose writers left the size open in a way that libsndfile does not
    know; and files of containers whose size it passes over, where something lies behind the sound: chunks of another
    kind, zeros, or what fills up the last eight bytes of MAT 5. Others give None, and so does a header that counts
    fewer samples than are there, see :func:`check_whole`. Raises OSError.
    """
    size = path.stat().st_size
    if not sound.unknown:
        end = sound.start + sound.length + sound.closing
        return BytesIO(content_of(path, end)) if _has_tail(sound, size - end) else None
    if sound.form not in (b"RIFF", b"RIFX", b"caff") or (sound.form != b"caff" and sound.length):
        return None
    content = bytearray(content_of(path))
    del content[: (front := behind_id3(BytesIO(content)))]
    start, offset, kind = sound.start - front, sound.size[0] - front, sound.size[1]
    rest = len(content) - start
    riff = struct.unpack_from(kind, content, 4)[0] if sound.form != b"caff" else 0
    if rest <= 0 or start < riff + 8 < STREAMED or rest >= STREAMED:
        return None  # the size of the whole counts what lies behind: chunks of another kind
    struct.pack_into(kind, content, offset, rest)
    if sound.form != b"caff":
        struct.pack_into(kind, content, 4, len(content) - 8)
    return BytesIO(content)


def _has_tail(sound: Sound, behind: int) -> bool:
    """Return whether libsndfile would decode the bytes ``behind`` the sound, and they are no more of it."""
    if sound.ends or behind <= 0:
        return False
    return not sound.frames or behind * sound.frames < 2 * sound.length or (sound.form == b"MATL" and behind < 8)


def content_of(path: Path, end: int | None = None) -> bytes:
    """Read a file at once, up to byte ``end`` if given; raise OSError where that is more than memory should hold."""
    size = path.stat().st_size if end is None else end
    if size > LARGEST:
        raise OSError(f"it has {size} bytes, expected at most {LARGEST} of a file that is read at once")
    with path.open("rb") as stream:
        return stream.read(size)


def find_sound(stream: BinaryIO) -> Sound | None:
    """Return where the samples are; None in other containers, or where there are none, which is the decoder's matter.

    Raises Joined for several chunks of samples, or another file of the kind behind the first.
    """
    at = behind_id3(stream)
    size = stream.seek(0, 2)
    stream.seek(at)
    head = stream.read(HEAD)
    form = head[:4]
    if form not in LAYOUTS:
        found = of_header(head, size - at)
        if found is not None:
            found = found._replace(start=found.start + at, size=(found.size[0] + at, found.size[1]), form=form)
            _check_alone(stream, found, size)
        return found
    found, large, frames, coding = None, 0, 0, 0
    for name, start, length in _chunks(stream, LAYOUTS[form], at, size):
        if found is not None and (name in DATA or name == form):
            raise Joined(f"a second {name.decode()!r} behind the sound, at byte {start}")
        if name == b"ds64":
            stream.seek(start + 8)
            large = int.from_bytes(stream.read(8), "little")
        if name == b"COMM" and form == b"FORM":
            stream.seek(start + 2)
            frames = int.from_bytes(stream.read(4), "big")
        if name == b"fmt ":
            stream.seek(start)
            coding = _format_tag(stream.read(26), form)
        if name in DATA and found is None:
            found = _of_chunk(head, start, length, large)
            _check_alone(stream, found, size)
            if found.unknown or form == b"RF64":  # whose chunk does not say its length itself
                break
    return found._replace(frames=frames, coding=coding) if found else None


def _format_tag(content: bytes, form: bytes) -> int:
    """Return what samples are coded as, by the chunk of a RIFF file that says it; 0 where that is cut."""
    order = "big" if form == b"RIFX" else "little"
    tag = int.from_bytes(content[:2], order)
    return int.from_bytes(content[24:26], order) if tag == EXTENSIBLE else tag


def _check_alone(stream: BinaryIO, sound: Sound, size: int) -> None:
    """Look for another file of the kind right behind the samples, or a byte of padding behind them."""
    end = sound.start + sound.length
    if sound.unknown or end >= size:
        return
    stream.seek(end)
    if sound.form in stream.read(5):
        raise Joined(f"a second {sound.form.decode('latin-1')!r} behind the sound, at byte {end}")


def _chunks(stream: BinaryIO, layout: _Layout, at: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and length of each chunk of a file of ``size`` bytes."""
    at += layout.first
    for _ in range(CHUNKS):
        if at >= size:
            return
        stream.seek(at)
        head = stream.read(struct.calcsize(layout.head))
        if len(head) < struct.calcsize(layout.head):
            return
        name, length = struct.unpack(layout.head, head)
        length = max(0, length - layout.counted)
        yield name, at + len(head), length
        at += len(head) + -(-length // layout.align) * layout.align


def _of_chunk(head: bytes, start: int, length: int, large: int) -> Sound:
    """Return the chunk of samples, whose length some writers leave open."""
    form = head[:4]
    if form in (b"caff", b"riff"):
        unknown = length >= 1 << 62 or (form == b"riff" and length == 0)
        kind = ">Q" if form == b"caff" else "<Q"
        return Sound(start, length, unknown, (start - 8, kind), form=form, ends=form == b"caff")
    offset = (start - 4, ">I" if form in (b"RIFX", b"FORM") else "<I")
    if form == b"RF64" and length == 0xFFFFFFFF:
        return Sound(start, large, large == 0 or large >= 1 << 62, offset, form=form, ends=True)
    whole = form != b"RF64" and head[4:8] in (bytes(4), b"\xff" * 4)
    unknown = length == 0 or length >= STREAMED or whole
    return Sound(start, length, unknown, offset, form=form, ends=head[8:12] not in (b"8SVX", b"16SV"))


def behind_id3(stream: BinaryIO) -> int:
    """Return the first byte of ``stream`` behind the tags that some writers put in front."""
    at = 0
    while True:
        stream.seek(at)
        size = id3_size(stream.read(10))
        if not size:
            return at
        at += size

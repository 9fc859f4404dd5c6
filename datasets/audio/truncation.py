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


def check_whole(path: Path, frame: int | None, frames: int) -> None:
    """Compare the sound that a file's header announces with the bytes that are there.

    ``frame`` is the bytes of one sample of every channel; fewer may be missing, for some writers count a byte too many.
    It is None where samples are packed in blocks. ``frames`` is libsndfile's count; one more than the header's is a
    byte of padding. Raises BrokenOff where bytes are missing, Joined where there is sound behind the announced,
    OSError.
    """
    with path.open("rb") as stream:
        sound = _find_sound(stream)
        size = stream.seek(0, 2)
    if sound is None:
        return
    there = max(0, size - sound.start)
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


def with_its_length(path: Path) -> BytesIO | None:
    """Read a file whose writer left the size open in a way that libsndfile does not know, and put the size in.

    Those are a wav with size 0 and a CAF with -1. Of a MAT 5 file the bytes are taken off that fill up its last eight,
    which libsndfile takes for samples. Others give None. Raises Joined as :func:`check_whole`, and OSError.
    """
    with path.open("rb") as stream:
        form = stream.read(4)
        if form == b"MATL":
            return _without_padding(stream)
        sound = _find_sound(stream) if form in (b"RIFF", b"RIFX", b"caff") else None
        if sound is None or not sound.unknown or (form != b"caff" and sound.length):
            return None
        stream.seek(0)
        content = bytearray(stream.read())
    rest, (offset, kind) = len(content) - sound.start, sound.size
    riff = struct.unpack_from(kind, content, 4)[0] if form != b"caff" else 0
    if rest <= 0 or sound.start < riff + 8 < STREAMED or rest >= STREAMED:
        return None  # the size of the whole counts what lies behind: chunks of another kind
    struct.pack_into(kind, content, offset, rest)
    if form != b"caff":
        struct.pack_into(kind, content, 4, len(content) - 8)
    return BytesIO(content)


def _without_padding(stream: BinaryIO) -> BytesIO | None:
    """Read a file whose samples end less than eight bytes before it does, without these."""
    sound, size = _find_sound(stream), stream.seek(0, 2)
    if sound is None or sound.unknown or not 0 < size - sound.start - sound.length < 8:
        return None
    stream.seek(0)
    return BytesIO(stream.read(sound.start + sound.length))


def _find_sound(stream: BinaryIO) -> Sound | None:
    """Return where the samples are; None in other containers, or where there are none, which is the decoder's matter.

    Raises Joined for several chunks of samples, or another file of the kind behind the first.
    """
    at = behind_id3(stream)
    stream.seek(at)
    head = stream.read(HEAD)
    form = head[:4]
    if form not in LAYOUTS:
        found = of_header(head, stream.seek(0, 2) - at)
        found = found and found._replace(start=found.start + at, size=(found.size[0] + at, found.size[1]))
        _check_alone(stream, form, found)
        return found
    found, large, frames = None, 0, 0
    for name, start, length in _chunks(stream, LAYOUTS[form], at):
        if found is not None and (name in DATA or name == form):
            raise Joined(f"a second {name.decode()!r} behind the sound, at byte {start}")
        if name == b"ds64":
            stream.seek(start + 8)
            large = int.from_bytes(stream.read(8), "little")
        if name == b"COMM" and form == b"FORM":
            stream.seek(start + 2)
            frames = int.from_bytes(stream.read(4), "big")
        if name in DATA and found is None:
            found = _of_chunk(form, head, start, length, large)
            _check_alone(stream, form, found)
            if found.unknown or form == b"RF64":  # whose chunk does not say its length itself
                break
    return found._replace(frames=frames) if found and frames else found


def _check_alone(stream: BinaryIO, form: bytes, sound: Sound | None) -> None:
    """Look for another file of the kind right behind the samples, or a byte of padding behind them."""
    if sound is None or sound.unknown:
        return
    end = sound.start + sound.length
    stream.seek(end)
    if form in stream.read(5):
        raise Joined(f"a second {form.decode('latin-1')!r} behind the sound, at byte {end}")


def _chunks(stream: BinaryIO, layout: _Layout, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and length of each chunk."""
    at += layout.first
    for _ in range(CHUNKS):
        stream.seek(at)
        head = stream.read(struct.calcsize(layout.head))
        if len(head) < struct.calcsize(layout.head):
            return
        name, length = struct.unpack(layout.head, head)
        length = max(0, length - layout.counted)
        yield name, at + len(head), length
        at += len(head) + -(-length // layout.align) * layout.align
        if at >= 1 << 62:
            return


def _of_chunk(form: bytes, head: bytes, start: int, length: int, large: int) -> Sound:
    """Return the chunk of samples, whose length some writers leave open."""
    if form == b"caff":
        return Sound(start, length, length >= 1 << 62, (start - 8, ">Q"))
    if form == b"riff":
        return Sound(start, length, length == 0 or length >= 1 << 62, (start - 8, "<Q"))
    offset = (start - 4, ">I" if form in (b"RIFX", b"FORM") else "<I")
    if form == b"RF64" and length == 0xFFFFFFFF:
        return Sound(start, large, large == 0 or large >= 1 << 62, offset)
    whole = form != b"RF64" and head[4:8] in (bytes(4), b"\xff" * 4)
    return Sound(start, length, length == 0 or length >= STREAMED or whole, offset)


def behind_id3(stream: BinaryIO) -> int:
    """Return the first byte of ``stream`` behind the tags that some writers put in front."""
    at = 0
    while True:
        stream.seek(at)
        size = id3_size(stream.read(10))
        if not size:
            return at
        at += size

"""Sound files that break off: what their structure announces against what is there.

Decoders take what they find, so a copy that was cut short would pass for a shorter recording. Only headers and the last
page are read here. Layouts: RIFF/WAVE with RF64 (EBU Tech 3306), Ogg (RFC 3533), FLAC (RFC 9639), and the "Xing" or
"Info" frame that encoders put before an mp3.
"""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import soundfile

PAGE = 27 + 255 + 255 * 255  # bytes of the longest Ogg page
STREAMED = 0x7FFF0000  # sizes from here on, and 0, are what writers to pipes put where they do not know the length
WAVS = ("WAV", "WAVEX", "RF64")  # libsndfile's names
CHUNKS = 1000  # before the sound: more is not a wav that anybody wrote


def what_is_missing(path: Path, file: soundfile.SoundFile, decoded: int) -> str | None:
    """Tells whether a sound file ends before its end.

    Known of wav (also RIFX, extensible and RF64), Ogg, FLAC, and of mp3 where a "Xing" or "Info" frame counts the
    frames; two frames of an mp3 may be lacking, since editors count differently. It cannot be known of other mp3, nor
    of wav and FLAC whose writer did not know the length (a pipe); they count as whole. Of a chained Ogg file the last
    stream is looked at.

    Args:
        path: The file.
        file: The same, opened by libsndfile, which tells its container and the samples that it announces.
        decoded: Samples of each channel that came out.

    Returns:
        What was announced and what was found; None where nothing is missing.

    Raises:
        OSError: The file cannot be read.
    """
    kind = file.format
    if kind in WAVS:
        with path.open("rb") as stream:
            return _of_wav(stream, path.stat().st_size)
    if kind == "OGG":
        with path.open("rb") as stream:
            return _of_ogg(stream, path.stat().st_size)
    announced, slack = file.frames, 0
    if kind == "MP3":
        frame = 1152 if file.samplerate >= 32000 else 576
        with path.open("rb") as stream:
            announced, slack = min(announced, frame * (_mp3_frames(stream) or 0)), 2 * frame
    elif kind != "FLAC" or not length_is_known(file):
        return None
    return f"{decoded} of {announced} samples are there" if decoded + slack < announced else None


def length_is_known(file: Any) -> bool:
    """Whether a file announces a number of samples: FLAC written to a pipe does not, libsndfile says 2^63 - 1 then.

    Args:
        file: What soundfile tells of it, with an attribute ``frames``.
    """
    return file.frames < 1 << 62


class _Sound(NamedTuple):
    """The ``data`` chunk of a wav: its place, the size that it says, where no size is known, and the byte order."""

    start: int
    length: int
    unknown: bool
    order: str


def _sound_of(stream: BinaryIO) -> _Sound | None:
    """Finds the ``data`` chunk; None where there is none, which is the decoder's matter."""
    at = _behind_id3(stream)
    stream.seek(at)
    form, riff = stream.read(4), stream.read(4)
    order, large, at = ">" if form == b"RIFX" else "<", 0, at + 12
    for _ in range(CHUNKS):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            return None
        name, length = struct.unpack(order + "4sI", head)
        if name == b"data":
            break
        if name == b"ds64":
            large = int.from_bytes(stream.read(16)[8:], "little")
        at += 8 + length + length % 2
    else:
        return None
    if form == b"RF64" and length == 0xFFFFFFFF:
        return _Sound(at + 8, large, large == 0 or large >= 1 << 62, order)
    streamed = length == 0 or length >= STREAMED or (form != b"RF64" and riff in (bytes(4), b"\xff" * 4))
    return _Sound(at + 8, length, streamed, order)


def _of_wav(stream: BinaryIO, size: int) -> str | None:
    """Compares the size of the ``data`` chunk with the rest of the file."""
    sound = _sound_of(stream)
    if sound is None or sound.unknown or sound.length <= size - sound.start:
        return None
    return f"{size - sound.start} of {sound.length} bytes of sound are there"


def with_its_length(path: Path) -> BytesIO | None:
    """Reads a wav whose writer left 0 for the size of the sound, and puts the size in.

    Args:
        path: A wav that libsndfile finds no sound in.

    Returns:
        The file as it would be with its sizes; None where it says them, and then holds no sound.
    """
    content = bytearray(path.read_bytes())
    sound = _sound_of(BytesIO(content))
    rest = len(content) - sound.start if sound else 0
    riff = int.from_bytes(content[4:8], "big" if sound and sound.order == ">" else "little")
    if rest <= 0 or sound.length or sound.start < riff + 8 < STREAMED or rest >= STREAMED:
        return None  # the size of the whole counts what lies behind: chunks of another kind
    struct.pack_into(sound.order + "I", content, sound.start - 4, rest)
    struct.pack_into(sound.order + "I", content, 4, len(content) - 8)
    return BytesIO(content)


def _of_ogg(stream: BinaryIO, size: int) -> str | None:
    """Looks at the last page: it has to be complete and to be marked as the end of its stream."""
    stream.seek(max(0, size - PAGE))
    tail = stream.read()
    at = tail.rfind(b"OggS")
    if at < 0:
        return None  # something else was put behind the last page
    page = tail[at:]
    if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        return "its last page is incomplete"
    return None if page[5] & 4 else "no page is there that ends the stream"


def _mp3_frames(stream: BinaryIO) -> int | None:
    """Frames that a "Xing" or "Info" frame announces, None without one."""
    stream.seek(_behind_id3(stream))
    head = stream.read(64)
    for at in (13, 15, 21, 23, 36, 38):  # behind 9, 17 or 32 bytes of side information, and perhaps a checksum
        flags = int.from_bytes(head[at + 4 : at + 8], "big")
        if head[at : at + 4] in (b"Xing", b"Info") and flags & 1:
            return int.from_bytes(head[at + 8 : at + 12], "big")
    return None


def _behind_id3(stream: BinaryIO) -> int:
    """First byte behind the tags that some writers put in front."""
    at = 0
    while True:
        stream.seek(at)
        head = stream.read(10)
        if len(head) < 10 or not head.startswith(b"ID3"):
            return at
        at += 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(head[6:10])))
        at += 10 if head[5] & 0x10 else 0  # a footer

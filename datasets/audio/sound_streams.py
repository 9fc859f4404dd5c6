"""The recordings that a sound file holds, each opened so that libsndfile decodes all of it.

Announced, counted and decoded lengths agree, or the file is an error: where libsndfile estimates a length (mp3), stops
at a wrong one (FLAC), looks at the first recording alone (joined mp3, chained Ogg) or cannot do without a mark (Opus),
the file is put right in memory before. The bytes that other containers announce are compared with what is there.
"""

import os
import stat
from collections.abc import Iterator
from io import BytesIO, RawIOBase
from pathlib import Path

import soundfile

from datasets.audio.mp3_frames import ID3V1, Endless, Recording, id3_size, is_header, recordings
from datasets.audio.ogg_pages import links
from datasets.audio.truncation import (
    BrokenOff,
    behind_id3,
    check_whole,
    content_of,
    find_sound,
    mpeg_inside,
    with_its_length,
)

EDITED = 2  # frames of an mp3 that may be lacking: editors count differently, and cut within one
WIDTHS = {
    "PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "DPCM_8": 1, "PCM_16": 2, "DPCM_16": 2, "PCM_24": 3, "PCM_32": 4,
    "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip
PACKED = ("ALAC", "MPEG", "OPUS", "VORBIS")  # codecs, and FLAC, of which a byte can stand for any number of samples
DENSEST = 8  # samples that a byte of the others holds at most: DWVW takes a bit, GSM 6.10 a fifth of a byte


class Stream(soundfile.SoundFile):
    """One recording, to be read block after block until nothing comes.

    ``length`` is the number of samples of each channel that have to come, libsndfile's if not given; None where nobody
    knows it before everything is decoded, as of FLAC that was written to a pipe.
    """

    def __init__(self, source: bytes | BytesIO | RawIOBase, length: int | None = None) -> None:
        super().__init__(source)
        self.length = length if length is not None else self.frames if self.frames < 1 << 62 else None

    def seekable(self) -> bool:
        """Return False: soundfile would seek after each block, which some codecs cannot, and others do not exactly."""
        return False


def streams(path: Path, counting: bool = False) -> Iterator[Stream]:
    """Yield the open recordings of a sound file, one after the other; the caller closes them.

    With ``counting`` only lengths are wanted, and the header of FLAC is believed.

    Raises:
        BrokenOff: The file ends before its end.
        datasets.audio.truncation.Joined: It holds more than libsndfile decodes.
        soundfile.SoundFileError: libsndfile cannot open it.
        OSError: It cannot be read, is empty, a folder or a pipe.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        raise OSError("it is no file, or an empty one")  # opening a pipe would wait for its other end
    with path.open("rb") as file:
        if file.read(4) == b"OggS":
            yield from _of_ogg(path)
            return
        file.seek(behind_id3(file))
        # asked before libsndfile, which reads a resource fork that macOS left beside a file before it thinks of mp3
        # and whose decoder writes warnings of a wrong count to the console
        known = list(recordings(content_of(path))) if is_header(file.read(4)) else []
        sound = None if known else find_sound(file)
    inside = mpeg_inside(path, sound) if sound else None
    if known or inside is not None:
        yield from _of_mp3(known or list(recordings(inside)))
        return
    mended = with_its_length(path, sound) if sound else None
    stream = Stream(mended or os.fsencode(path))  # soundfile cannot encode a name that is not UTF-8
    if stream.format == "MP3":
        stream.close()
        yield from _of_mp3(list(recordings(content_of(path))))
    elif stream.format == "FLAC" and stream.length is not None and not counting:
        stream.close()
        yield Stream(_flac_of_any_length(path), stream.length)
    else:
        if mended is None and sound is not None:
            width = WIDTHS.get(stream.subtype)
            check_whole(path, sound, width and width * stream.channels, stream.frames)
        _check_density(stream, found.st_size)
        yield stream


def _check_density(stream: Stream, size: int) -> None:
    """Refuse more samples than a file of ``size`` bytes can hold; libsndfile decodes them from what is not there."""
    packed = stream.format == "FLAC" or stream.subtype.startswith(PACKED)
    if not packed and stream.frames * stream.channels > DENSEST * size:
        raise BrokenOff(f"{stream.frames} samples are announced by {size} bytes")


def _of_ogg(path: Path) -> Iterator[Stream]:
    """Open the links of a chain."""
    for content, missing in links(content_of(path)):
        if missing:
            raise BrokenOff(missing)
        yield Stream(BytesIO(content))


def _of_mp3(known: list[Recording]) -> Iterator[Stream]:
    """Open the recordings of an mp3."""
    for found in known:
        if found.announced is not None and found.frames + EDITED < found.announced:
            raise BrokenOff(f"{found.frames} of {found.announced} frames are there")
        if found.announced is None and found.lost * found.frames > EDITED * len(found.content):
            raise BrokenOff(f"{found.lost} of {found.lost + len(found.content)} bytes are no frames")
        yield Stream(BytesIO(found.content) if found.samples is None else Endless(found.content), found.samples)


def _flac_of_any_length(path: Path) -> BytesIO:
    """Return a FLAC file without its number of samples, so that none is left out, and without a tag at its end."""
    content = bytearray(content_of(path))
    at = id3_size(bytes(content[:10]))
    if content[at : at + 4] == b"fLaC":  # STREAMINFO comes first, its last 36 bits before a checksum count the samples
        content[at + 21] &= 0xF0
        content[at + 22 : at + 26] = bytes(4)
    if content[-ID3V1:].startswith(b"TAG"):
        del content[-ID3V1:]
    return BytesIO(content)

"""Sound headers that give, at one position, where the samples are and how many.

Those are AU, NIST SPHERE, AVR, MPC 2000, MAT 4 and 5, VOC, WVE, XI and SDS; IRCAM, PAF and PVF give only where it is.
Layouts as libsndfile writes and reads them (src/avr.c, mpc2k.c, mat4.c, mat5.c, voc.c, wve.c, xi.c, sds.c, ircam.c,
paf.c, pvf.c), which itself takes all bytes that follow for samples. The last three announce no length, and libsndfile
leaves it 0 in XI: a copy that was cut between two samples (of PAF with 24 bits: between two blocks of ten) cannot be
distinguished from a shorter recording, which datasets/audio/truncation.py warns of.
"""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

HEAD = 4096  # bytes of a file that hold its header
STREAMED = 0x7FFF0000  # sizes from here on, and 0, are what writers to pipes put where they do not know the length
NOWHERE = (0, "")
MAT5_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8}  # bytes of a value by its type
VOC_LIMIT = 1 << 24  # sizes of blocks are written modulo this
VOC_TEXT, VOC_REPEAT, VOC_SOUND, VOC_EXTENDED, VOC_NEW = 5, 6, 1, 8, 9
PACKET, PAYLOAD = 127, 120  # bytes of a packet of a MIDI sample dump, and of samples in it
PAF_BLOCK = 32  # bytes of ten samples of 24 bits


class Sound(NamedTuple):
    """The samples of a file, as its header describes them."""

    start: int  # byte of the file
    length: int  # bytes; 0 or nonsense where ``unknown``
    unknown: bool  # the writer did not know the length
    size: tuple[int, str] = NOWHERE  # byte at which the length itself stands, and its struct format
    frames: int = 0  # samples of each channel that the header counts besides; 0 where it does not
    block: int | None = 0  # bytes that divide a sound without a length, None: one sample of every channel; 0 elsewhere
    form: bytes = b""  # the first four bytes of the file
    closing: int = 0  # bytes behind the samples that end the file
    ends: bool = False  # libsndfile stops where the header says; else it takes all bytes that follow for samples
    coding: int = 0  # format tag of RIFF


def of_header(head: bytes, size: int) -> Sound | None:
    """Read where the samples are from a file's first ``HEAD`` bytes and its ``size``; None where it is not said."""
    for begin, read in READERS:
        if re.match(begin, head, re.DOTALL):
            try:
                return read(head, size)
            except (struct.error, IndexError):  # ends within the header, which is the decoder's matter
                return None
    return None


def _counted(start: int, frames: int, frame: int) -> Sound:
    """Return the samples that a header counts, of unknown length where it counts 0."""
    return Sound(start, frames * frame, frames == 0, NOWHERE, frames)


def _of_au(head: bytes, _size: int) -> Sound:
    """Read AU, in either byte order."""
    order = ">" if head.startswith(b".") else "<"
    start, length = struct.unpack_from(f"{order}II", head, 4)
    return Sound(start, length, length == 0 or length >= STREAMED, (8, f"{order}I"))


def _of_sphere(head: bytes, _size: int) -> Sound | None:
    """Read NIST SPHERE, if its header counts the samples; those of one byte need not give their width."""
    begin = re.match(rb"NIST_1A\n *(\d{1,6})\n", head)
    fields = dict(re.findall(rb"^(\w+) -(?:i|s1) (\d{1,12})\s", head[:1024], re.MULTILINE))
    coding = re.search(rb"^sample_coding -s\d+ (ulaw|mu-law|alaw)\s", head[:1024], re.MULTILINE)
    width = 1 if coding else int(fields.get(b"sample_n_bytes", 0))
    if not begin or not width or b"sample_count" not in fields:
        return None
    count = int(fields[b"sample_count"])
    return Sound(int(begin[1]), count * int(fields.get(b"channel_count", 1)) * width, False, NOWHERE, count)


def _of_avr(head: bytes, _size: int) -> Sound:
    """Read Audio Visual Research."""
    stereo, bits = struct.unpack_from(">HH", head, 12)
    return _counted(128, *struct.unpack_from(">I", head, 26), bits // 8 * (2 if stereo else 1))


def _of_mpc2k(head: bytes, _size: int) -> Sound:
    """Read Akai MPC 2000."""
    return _counted(42, *struct.unpack_from("<I", head, 30), 4 if head[21] else 2)


def _of_mat4(head: bytes, _size: int) -> Sound:
    """Read MATLAB 4: a matrix of one rate, and one whose columns are the samples."""
    order = "<" if head[4] == 1 else ">"
    (name,) = struct.unpack_from(f"{order}I", head, 16)
    second = 20 + name + 8
    kind, channels, frames, _, name = struct.unpack_from(f"{order}5I", head, second)
    width = {0: 8, 1: 4, 2: 4, 3: 2}.get(kind // 10 % 10, 0)
    return _counted(second + 20 + name, frames, channels * width)


def _of_mat5(head: bytes, _size: int) -> Sound | None:
    """Read MATLAB 5: a matrix of one rate, which may lack, and one whose columns are the samples."""
    order = "<" if head[126:128] == b"IM" else ">"
    at = 128
    channels, frames, kind, name = struct.unpack_from(f"{order}4I", head, at + 32)
    if channels == frames == 1:
        at += 8 + struct.unpack_from(f"{order}I", head, at + 4)[0]
        channels, frames, kind, name = struct.unpack_from(f"{order}4I", head, at + 32)
    at += 48 + (0 if kind >> 16 else -(-name // 8) * 8)  # short names stand where their length would
    (kind,) = struct.unpack_from(f"{order}I", head, at)
    return _counted(at + 8, frames, channels * MAT5_WIDTHS[kind]) if kind in MAT5_WIDTHS else None


def _of_voc(head: bytes, size: int) -> Sound | None:
    """Read Creative Voice: blocks, of which the first with samples counts."""
    (at,) = struct.unpack_from("<H", head, 20)
    channels = 1
    while True:
        kind, length = head[at], int.from_bytes(head[at + 1 : at + 4], "little")
        if kind == VOC_SOUND:  # of 8 bits; others are packed, which libsndfile does not read
            sound = _unwrapped(at + 6, length - 2, size)
            return sound._replace(frames=sound.length // channels)
        if kind == VOC_EXTENDED:
            channels = head[at + 7] + 1
        if kind == VOC_NEW:
            length = size - 31 if length * 2 == size - 39 else length  # an old error of SoX
            sound = _unwrapped(at + 16, length - 12, size)
            width = head[at + 8] // 8 * head[at + 9]
            return sound._replace(frames=sound.length // width) if width else None
        if kind not in (VOC_TEXT, VOC_REPEAT, VOC_EXTENDED):
            return None
        at += 4 + length


def _unwrapped(start: int, length: int, size: int) -> Sound:
    """Return samples of which a long file gives only those beyond 16 MiB; one byte behind them ends a file."""
    more = size - start - length
    length += more // VOC_LIMIT * VOC_LIMIT if more > 0 and more % VOC_LIMIT <= 1 else 0
    return Sound(start, length, length <= 0, closing=1)


def _of_wve(head: bytes, _size: int) -> Sound:
    """Read Psion."""
    return _counted(32, *struct.unpack_from(">I", head, 18), 1)


def _of_xi(head: bytes, _size: int) -> Sound:
    """Read an instrument of FastTracker, of which libsndfile takes one sample; it writes 0 for its length itself."""
    count, length = struct.unpack_from("<HI", head, 296)
    width = 2 if head[312] & 16 else 1
    return Sound(298 + 40 * count, length, length == 0, NOWHERE, length // width, block=width)


def _of_sds(head: bytes, _size: int) -> Sound | None:
    """Read a MIDI sample dump: packets of 120 bytes, each of 7 bits."""
    frames = head[10] | head[11] << 7 | head[12] << 14
    width = -(-head[6] // 7)
    return Sound(21, -(-frames // (PAYLOAD // width)) * PACKET, frames == 0) if 0 < width <= PAYLOAD else None


def _of_ircam(_head: bytes, _size: int) -> Sound:
    """Read IRCAM and BICSF, which announce no length."""
    return Sound(1024, 0, True, block=None)


def _of_paf(head: bytes, _size: int) -> Sound:
    """Read Ensoniq PARIS, which announces no length; 24 bits are packed in blocks."""
    little = head.startswith(b"f")
    kind, channels = struct.unpack_from("<II" if little else ">II", head, 16)
    return Sound(2048, 0, True, block=PAF_BLOCK * channels if kind == 1 else None)


def _of_pvf(head: bytes, _size: int) -> Sound | None:
    """Read Portable Voice Format, which announces no length."""
    begin = re.match(rb"PVF1\n[^\n]{1,40}\n", head)
    return Sound(begin.end(), 0, True, block=None) if begin else None


READERS: tuple[tuple[bytes, Callable[[bytes, int], Sound | None]], ...] = (
    (rb"\.snd|dns\.", _of_au),
    (rb"NIST_1A", _of_sphere),
    (rb"2BIT", _of_avr),
    (rb"\x01\x04", _of_mpc2k),
    (rb"\0\0\x03\xe8\0\0\0\x01|\0{4}\x01\0{3}\x01\0{3}", _of_mat4),
    (rb"MATLAB 5\.0 MAT-file", _of_mat5),
    (rb"Creative Voice File\x1a", _of_voc),
    (rb"ALawSoundFile\*\*\0", _of_wve),
    (rb"Extended Instrument: ", _of_xi),
    (rb"\xf0\x7e[\0-\x7f]\x01", _of_sds),
    (rb"\x64\xa3[\0-\x07]\0|\0[\0-\x07]\xa3\x64", _of_ircam),
    (rb" paf|fap ", _of_paf),
    (rb"PVF1\n", _of_pvf),
)

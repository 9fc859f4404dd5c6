"""Announced, counted and decoded samples agree for every container, or the file is refused and named."""

import contextlib
import io
import os
import struct

import numpy as np
import pytest
import soundfile

from datasets.audio.mp3_frames import recordings
from datasets.audio.ogg_pages import checksum
from datasets.audio.read import AudioError, count_samples, read_audio

RATE = 16000
SIGNAL = 0.4 * np.sin(2 * np.pi * np.cumsum(np.linspace(200, 3000, 3 * RATE)) / RATE)
PCM = (SIGNAL * 32767).astype(np.int16)
NOISE = np.random.default_rng(0).normal(0, 0.1, 6 * RATE)  # fills more Ogg pages
FRAME = 576  # samples of an mp3 frame at 16 kHz
VARIABLE = {"bitrate_mode": "VARIABLE", "compression_level": 0.5}


def encoded(container, rate=RATE, signal=SIGNAL, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, rate, format=container, **options)
    return buffer.getvalue()


def lengths(tmp_path, content, name):
    """What is decoded, after it was compared with what is counted."""
    path = tmp_path / name
    path.write_bytes(content)
    samples = read_audio(path)
    assert count_samples(path) == len(samples)
    return samples


def split_mp3(content):
    """The information frame, the frames of sound, and how many the first counts."""
    (found,) = recordings(content)
    assert found.samples is None
    header = content.index(found.content[:4])
    size = len(content) - header - sum(len(part) for part in frames_of(content[header:])[1:])
    at = content.index(b"Xing") if b"Xing" in content[:80] else content.index(b"Info")
    return content[header : header + size], content[header + size :], int.from_bytes(content[at + 8 : at + 12], "big")


def frames_of(content):
    """The frames of an mp3 at 16 kHz in one channel, by their bit rates (ISO 13818-3)."""
    kbits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    parts, at = [], 0
    while at < len(content):
        size = 72000 * kbits[content[at + 2] >> 4] // RATE + (content[at + 2] >> 1 & 1)
        parts.append(content[at : at + size])
        at += size
    return parts


@pytest.mark.parametrize("options", [VARIABLE, {"bitrate_mode": "CONSTANT"}, {"bitrate_mode": "AVERAGE"}])
def test_mp3_is_heard_to_its_end_with_and_without_the_frame_that_counts(tmp_path, options):
    content = encoded("MP3", **options)
    whole = lengths(tmp_path, content, "x.mp3")
    assert len(whole) == len(SIGNAL)
    _, sound, count = split_mp3(content)
    bare = lengths(tmp_path, sound, "x.mp3")
    assert len(bare) == count * FRAME
    assert len(frames_of(sound)) == count
    lag = 1105  # what the encoder put in front: 576 samples, and 529 that the decoder needs
    np.testing.assert_allclose(bare[lag + 5000 : lag + len(SIGNAL)], whole[5000:], atol=1e-3)


def test_joined_mp3_are_heard_one_after_the_other(tmp_path):
    first, second = encoded("MP3", **VARIABLE), encoded("MP3", signal=SIGNAL[::-1][:30000])
    faster = encoded("MP3", rate=44100)
    assert len(lengths(tmp_path, first + second, "x.mp3")) == 48000 + 30000
    assert len(lengths(tmp_path, first + faster, "x.mp3")) == 48000 + -(-48000 * 16000 // 44100)
    bare = split_mp3(second)[1]
    assert len(lengths(tmp_path, bare + first, "x.mp3")) == len(frames_of(bare)) * FRAME + 48000
    assert len(lengths(tmp_path, bare + bare, "x.mp3")) == 2 * len(frames_of(bare)) * FRAME
    count = split_mp3(first)[2] + len(frames_of(bare))
    assert (
        len(lengths(tmp_path, first + bare, "x.mp3")) == count * FRAME - 1105
    )  # the first says nothing of its end now


def test_tags_and_rubbish_are_no_part_of_an_mp3(tmp_path):
    content = encoded("MP3", **VARIABLE)
    whole = lengths(tmp_path, content, "x.mp3")
    front = b"ID3\4\0\0\0\0\1\0" + bytes(128)
    image = b"ID3\3\0\0\0\0\x40\0" + np.random.default_rng(0).bytes(8192)  # as large as an image of an album
    back = b"TAG" + bytes(125)
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0x80000000) + bytes(8)
    for odd in (front + content, image + front + content, content + back, front + content + ape + back):
        np.testing.assert_array_equal(lengths(tmp_path, odd, "x.mp3"), whole)
    joined = lengths(tmp_path, front + content + back + image + content, "x.mp3")
    assert len(joined) == 96000
    bare = split_mp3(content)[1]
    frames = frames_of(bare)
    items = b"ITEM" * 500  # of an APE tag, with a head or an end
    head, end = (b"APETAGEX" + struct.pack("<IIII", 2000, 2032, 1, flags) + bytes(8) for flags in (0xA0000000, 1 << 31))
    lyrics = b"LYRICSBEGIN" + b"la " * 400 + b"001211LYRICS200"
    for odd in (back + front, head + items + end, items + end + back, lyrics + back, bytes(range(64))):
        between = b"".join(frames[:40]) + odd + b"".join(frames[40:])
        assert len(lengths(tmp_path, between, "x.mp3")) == len(frames) * FRAME


def test_an_mp3_that_is_damaged_in_the_middle_is_refused_without_a_count(tmp_path):
    info, sound, _ = split_mp3(encoded("MP3", bitrate_mode="CONSTANT"))
    first, quarter = len(sound) // 2, len(sound) // 4
    damaged = sound[:first] + bytes(quarter) + sound[first + quarter :]
    name = b"Xing" if b"Xing" in info else b"Info"
    for content in (damaged, info.replace(name, bytes(4)) + damaged):
        with pytest.raises(
            AudioError, match=r"x\.mp3: breaks off, \d+ of \d+ bytes are no frames; copy the file again"
        ):
            lengths(tmp_path, content, "x.mp3")
        assert count_samples(tmp_path / "x.mp3") == 0


def test_wrong_counts_of_an_mp3(tmp_path):
    content = bytearray(encoded("MP3", **VARIABLE))
    at = content.index(b"Xing") + 8
    count = int.from_bytes(content[at : at + 4], "big")
    for wrong, expected in ((count + 1, 48000), (10, count * FRAME - 1105), (count + 3, None), (0xEFFFFFFF, None)):
        content[at : at + 4] = wrong.to_bytes(4, "big")
        if expected is not None:
            assert len(lengths(tmp_path, content, "x.mp3")) == expected
            continue
        with pytest.raises(AudioError, match=rf"x\.mp3: breaks off, {count} of {wrong} frames are there; copy"):
            lengths(tmp_path, content, "x.mp3")


def test_the_decoder_of_mp3_does_not_write_to_the_console(tmp_path, capfd):
    """Its warnings of a count that does not fit the file, which are put right before it sees them."""
    content = encoded("MP3", **VARIABLE)
    for odd in (
        content[: len(content) // 2],
        content + content,
        content + bytes(3000),
        content[:2000] + content[2600:],
    ):
        (tmp_path / "x.mp3").write_bytes(odd)
        count_samples(tmp_path / "x.mp3")
        with contextlib.suppress(AudioError):
            read_audio(tmp_path / "x.mp3")
    assert capfd.readouterr() == ("", "")


def test_a_vbri_frame_counts_too(tmp_path):
    info, sound, count = split_mp3(encoded("MP3", bitrate_mode="CONSTANT"))
    frame = bytearray(len(info))
    frame[:4], frame[36:40] = info[:4], b"VBRI"
    frame[50:54] = count.to_bytes(4, "big")
    assert len(lengths(tmp_path, bytes(frame) + sound, "x.mp3")) == count * FRAME
    frame[50:54] = (count + 9).to_bytes(4, "big")
    with pytest.raises(AudioError, match=f"breaks off, {count} of {count + 9} frames"):
        lengths(tmp_path, bytes(frame) + sound, "x.mp3")


def test_mp3_in_the_free_format(tmp_path):
    """Frames of one size, whose bit rate is none of the table: zeros behind the sound of each fill them."""
    frames = frames_of(split_mp3(encoded("MP3", bitrate_mode="CONSTANT"))[1])
    free = b"".join((frame[:2] + bytes([frame[2] & 0x0D]) + frame[3:]).ljust(777, b"\0") for frame in frames)
    assert len(lengths(tmp_path, free, "x.mp3")) == len(frames) * FRAME


def mp3_wav(content, size=None, tag=0x55):
    """A wav that holds an mp3: 16 kHz in one channel, with the extra bytes of MPEGLAYER3WAVEFORMAT."""
    kind = struct.pack("<HHIIHHHHIHHH", tag, 1, RATE, 4000, 1, 0, 12, 1, 2, 144, 1, 1393)
    if tag == 0xFFFE:
        kind = struct.pack("<HHIIHHHHIH", tag, 1, RATE, 4000, 1, 0, 22, 0, 4, 0x55) + bytes.fromhex(
            "000000001000800000aa00389b71"
        )
    data = struct.pack("<I", len(content) if size is None else size) + content + bytes(len(content) % 2)
    body = b"WAVEfmt " + struct.pack("<I", len(kind)) + kind + b"data" + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("options", [VARIABLE, {"bitrate_mode": "CONSTANT"}])
def test_mp3_within_a_wav_is_heard_as_outside(tmp_path, capfd, options):
    content = encoded("MP3", **options)
    bare = split_mp3(content)[1]
    for inside, length in ((content, 48000), (bare, 86 * FRAME), (content + content, 96000)):
        expected = lengths(tmp_path, inside, "x.mp3")
        assert len(expected) == length
        whole = mp3_wav(inside)
        for wav in (
            whole,
            mp3_wav(inside, tag=0xFFFE),
            whole + b"LIST\4\0\0\0INFO",
            whole + bytes(5000),
            mp3_wav(inside, 0),
            mp3_wav(inside, 0xFFFFFFFF),
        ):
            np.testing.assert_array_equal(lengths(tmp_path, wav, "x.wav"), expected)
    size = len(bare)
    with pytest.raises(
        AudioError, match=rf"x\.wav: breaks off, {size - 3000} of {size} bytes of sound are there; copy"
    ):
        lengths(tmp_path, mp3_wav(bare)[: -3000 - size % 2], "x.wav")
    with pytest.raises(AudioError, match=r"x\.wav: holds no samples, expected at least one"):
        lengths(tmp_path, mp3_wav(bytes(range(250)) * 9), "x.wav")
    assert capfd.readouterr() == ("", ""), "its decoder's warnings"


def test_mp2_whose_frames_differ_by_a_byte(tmp_path):
    """44.1 kHz at 64 kbit/s: 208 or 209 bytes, so that an estimate from the first is wrong; of noise."""
    draws, content = np.random.default_rng(0), b""
    for number in range(40):
        padding = (64000 * 144 * (number + 1) // 44100) - (64000 * 144 * number // 44100) - 208
        content += bytes([0xFF, 0xFD, 0x40 | padding << 1, 0xC0, *[0x11] * 5]) + draws.bytes(199 + padding)
    assert len(lengths(tmp_path, content, "x.mp2")) == -(-40 * 1152 * 16000 // 44100)


@pytest.mark.parametrize("kind", [{}, {"subtype": "OPUS"}])
def test_ogg_without_an_end_mark_is_whole(tmp_path, kind):
    content = bytearray(encoded("OGG", **kind))
    whole = lengths(tmp_path, content, "x.ogg")
    assert len(whole) == 48000
    last = content.rfind(b"OggS")
    assert content[last + 5] & 4
    content[last + 5] &= ~4
    content[last + 22 : last + 26] = checksum(bytes(content[last:]))
    np.testing.assert_array_equal(lengths(tmp_path, content, "x.ogg"), whole)
    if not kind:
        noise = encoded("OGG", signal=NOISE)
        assert 50000 < len(lengths(tmp_path, noise[: noise.rfind(b"OggS")], "x.ogg")) < 96000
    for cut in (content[:-1], content[: last + 30], content[: last + 5], content[:last] + b"OggS"):
        with pytest.raises(AudioError, match=r"x\.ogg: breaks off, its last page is incomplete; copy"):
            lengths(tmp_path, cut, "x.ogg")


def test_a_chain_of_ogg_streams_is_heard_to_its_end(tmp_path):
    vorbis, opus = encoded("OGG"), encoded("OGG", rate=48000, subtype="OPUS")
    alone = lengths(tmp_path, vorbis, "x.ogg")
    for content, length in ((vorbis * 3, 144000), (vorbis + opus, 64000), (opus + vorbis, 64000)):
        assert len(lengths(tmp_path, content, "x.ogg")) == length
    np.testing.assert_array_equal(lengths(tmp_path, vorbis * 2, "x.ogg")[48000:], alone)
    for behind in (bytes(200), bytes(70_000)):
        assert len(lengths(tmp_path, vorbis + behind, "x.ogg")) == 48000
    with pytest.raises(AudioError, match="breaks off, its last page is incomplete"):
        lengths(tmp_path, vorbis + opus[:-50], "x.ogg")
    with pytest.raises(AudioError, match=r"breaks off, page \d+ does not have the checksum that it gives"):
        lengths(tmp_path, vorbis[:-50] + opus, "x.ogg")


def test_a_damaged_or_missing_ogg_page_is_found(tmp_path):
    content = bytearray(encoded("OGG", signal=NOISE))
    starts = [at for at in range(len(content)) if content[at : at + 4] == b"OggS"]
    with pytest.raises(AudioError, match=r"breaks off, \d+ of 96000 samples are there"):
        lengths(tmp_path, content[: starts[3]] + content[starts[4] :], "x.ogg")
    content[starts[2] + 200] ^= 8
    with pytest.raises(AudioError, match="breaks off, page 3 does not have the checksum"):
        lengths(tmp_path, content, "x.ogg")


def test_checksum_of_a_page_is_the_one_of_the_standard():
    """RFC 3533: CRC of polynomial 0x04c11db7, bit by bit."""
    page = bytearray(encoded("OGG")[:200])
    value = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x104C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    assert checksum(bytes(page)) == value.to_bytes(4, "little")


def flac(total, joined=b""):
    """FLAC that says it holds ``total`` samples: it holds 48000."""
    content = bytearray(encoded("FLAC"))
    content[21] = content[21] & 0xF0 | total >> 32
    content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content) + joined


def test_flac_holds_what_it_says(tmp_path, monkeypatch):
    for content in (
        flac(0),
        flac(48000),
        b"ID3\4\0\0\0\0\1\0" + bytes(128) + flac(48000),
        flac(48000, b"TAG" + bytes(125)),
    ):
        assert len(lengths(tmp_path, content, "x.flac")) == 48000
    for total in (48001, 96000, 1 << 35):
        with pytest.raises(AudioError, match=rf"x\.flac: breaks off, 48000 of {total} samples are there; copy"):
            lengths(tmp_path, flac(total), "x.flac")
    assert count_samples(tmp_path / "x.flac") == 0, "more than anybody has"
    with pytest.raises(AudioError, match=r"x\.flac: holds 48000 samples where 30000 are announced, expected one"):
        lengths(tmp_path, flac(30000), "x.flac")
    with pytest.raises(AudioError, match=r"x\.flac: cannot be decoded as sound"):
        lengths(tmp_path, flac(48000, flac(48000)), "x.flac")
    monkeypatch.setattr("datasets.audio.read.BLOCK", 7000)
    assert len(lengths(tmp_path, flac(0), "x.flac")) == 48000


PLAIN = ["AIFF", "W64", "CAF", "AU", "NIST", "RF64", "SVX", "WAV", "WAVEX"]


@pytest.mark.parametrize("container", PLAIN)
def test_containers_of_samples_that_are_cut_or_joined(tmp_path, container):
    content, name = encoded(container, subtype="PCM_16", signal=PCM), f"x.{container.lower()}"
    np.testing.assert_array_equal(lengths(tmp_path, content, name), PCM / np.float32(32768))
    orders = [content.find(PCM.astype(order).tobytes()) for order in ("<i2", ">i2")]
    end = max(orders) + 96000
    for there in (95998, 95500, 45999):  # AIFF and CAF count 8 and 4 bytes of their own
        message = rf"{name}: (breaks off, ({there}|{there + 4}|{there + 8}) of 960\d\d bytes|cannot be decoded)"
        with pytest.raises(AudioError, match=message):
            lengths(tmp_path, content[: end - 96000 + there], name)
    assert len(lengths(tmp_path, content[: end - 1], name)) == 47999
    with pytest.raises(AudioError, match=rf"{name}: (holds a second .* expected one recording|cannot be decoded)"):
        lengths(tmp_path, content + content, name)


def test_sizes_that_a_pipe_leaves_open(tmp_path):
    caf = bytearray(encoded("CAF"))
    at = caf.index(b"data") + 4
    caf[at : at + 8] = b"\xff" * 8
    au = bytearray(encoded("AU"))
    au[8:12] = b"\xff" * 4
    for content, name in ((caf, "x.caf"), (au, "x.au")):
        np.testing.assert_allclose(lengths(tmp_path, content, name), SIGNAL, atol=1e-4)


@pytest.mark.parametrize(
    ("container", "subtype", "block"),
    [("WAV", "GSM610", 320), ("WAV", "G721_32", 120), ("WAV", "MS_ADPCM", 500), ("WAV", "IMA_ADPCM", 505),
     ("AIFF", "IMA_ADPCM", 64), ("W64", "GSM610", 320), ("AU", "G723_24", 120), ("CAF", "ALAC_16", 1),
     ("WAV", "ULAW", 1),     ("AU", "ALAW", 1), ("XI", "DPCM_16", 1), ("VOC", "PCM_U8", 1), ("SDS", "PCM_16", 1),
     ("PAF", "PCM_24", 10)],
)  # fmt: skip
def test_codecs_that_cannot_seek_or_pack_blocks(tmp_path, container, subtype, block):
    content = encoded(container, rate=8000, subtype=subtype)
    rate = 44100 if container == "XI" else 8000  # it knows no other
    found = lengths(tmp_path, content, f"x.{container.lower()}")
    blocks = -(-48000 // block) * block
    assert -(-48000 * 16000 // rate) <= len(found) <= -(-(blocks + block) * 16000 // rate)
    assert 0.1 < np.std(found[:20000]) < 0.4


@pytest.mark.parametrize(("length", "count"), [(0xC1 << 56 | 600, 42288912000), (0x90 << 56 | 10000, 380600228480)])
def test_more_samples_than_bytes_can_hold_are_refused_before_they_are_decoded(tmp_path, monkeypatch, length, count):
    """Lengths of W64 that libsndfile takes for negative, and its GSM 6.10 for billions of samples, all decoded."""
    content = bytearray(encoded("W64", rate=8000, subtype="GSM610"))
    at = content.index(b"data") + 16
    content[at : at + 8] = length.to_bytes(8, "little")
    path = tmp_path / "x.w64"
    path.write_bytes(content)
    monkeypatch.setattr(soundfile.SoundFile, "read", None)  # nothing is decoded
    with pytest.raises(
        AudioError, match=rf"x\.w64: breaks off, {count} samples are announced by {len(content)} bytes; copy"
    ):
        read_audio(path)
    assert count_samples(path) == 0


def test_several_chunks_of_samples_are_refused(tmp_path):
    chunk = struct.pack("<4sI", b"data", 2000) + bytes(range(200)) * 10
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    for middle in (b"", b"LIST" + struct.pack("<I", 4) + b"INFO"):
        body = b"WAVE" + head + chunk + middle + chunk
        with pytest.raises(
            AudioError, match=r"x\.wav: holds a second 'data' behind the sound, at byte \d+, expected one"
        ):
            lengths(tmp_path, b"RIFF" + struct.pack("<I", len(body)) + body, "x.wav")


def test_sphere_files_count_their_samples(tmp_path):
    content = encoded("NIST", subtype="PCM_16")
    assert b"sample_count -i 48000" in content
    for count, message in (
        (b"59000", "breaks off, 96000 of 118000 bytes"),
        (b"40000", "holds 48000 samples where 40000"),
    ):
        wrong = content.replace(b"sample_count -i 48000", b"sample_count -i " + count)
        with pytest.raises(AudioError, match=message):
            lengths(tmp_path, wrong, "x.wav")


def test_aiff_counts_its_samples(tmp_path):
    content = bytearray(encoded("AIFF", subtype="PCM_16"))
    at = content.index(b"COMM") + 10
    assert int.from_bytes(content[at : at + 4], "big") == 48000
    for wrong, message in (
        (60000, "breaks off, 48000 of 60000 samples"),
        (30000, "holds 48000 samples where 30000 are"),
    ):
        content[at : at + 4] = wrong.to_bytes(4, "big")
        with pytest.raises(AudioError, match=message):
            lengths(tmp_path, content, "x.aiff")
    content[at : at + 4] = bytes(4)  # a pipe
    assert len(lengths(tmp_path, content, "x.aiff")) == 48000


def test_rates_that_nobody_records_at(tmp_path):
    content = bytearray(encoded("WAV", signal=np.tile(SIGNAL, 3)))
    for rate in (1, 0x7FFFFFF0):
        content[24:28] = rate.to_bytes(4, "little")
        with pytest.raises(AudioError, match=rf"x\.wav: has a rate of \[{rate}\] Hz, expected 1000 to 6144000 Hz"):
            lengths(tmp_path, content, "x.wav")
        assert count_samples(tmp_path / "x.wav") == (0 if rate == 1 else 2), "more than anybody has; two samples"


def test_samples_that_overflow_when_they_are_resampled(tmp_path):
    huge = np.where(np.arange(8000) % 40 < 20, 3.4e38, -3.4e38)
    soundfile.write(tmp_path / "x.wav", huge, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"x\.wav: holds samples too large to be resampled, expected about 1 at most"):
        read_audio(tmp_path / "x.wav")


def test_what_is_no_file_of_sound(tmp_path, monkeypatch):
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "x.raw").write_bytes(b"\0\1" * 1000)
    correct = r"; correct the manifest \(or its base path\)"
    for name, reason in (
        ("folder.wav", f"folder.wav: is a folder, expected a sound file{correct}"),
        ("pipe.wav", f"pipe.wav: is no regular file, expected a sound file{correct}"),
        ("loop.wav", rf"loop.wav: cannot be found \(Too many levels of symbolic links\){correct}"),
        ("absent.wav", f"absent.wav: there is no such sound file{correct}, or copy the file there"),
        ("x.raw/a.wav", f"a.wav: there is no such sound file{correct}"),
        ("nul\0.wav", r"nul\\x00.wav': the name holds a NUL character, which no file's has; correct the manifest"),
        ("a" * 300, rf"cannot be found \(File name too long\){correct}"),
        ("x.raw", r"cannot be decoded as sound \(raw samples without a header\); replace or remove it"),
    ):
        path = tmp_path / name
        assert count_samples(path) == 0
        with pytest.raises(AudioError, match=reason):
            read_audio(path)
    soundfile.write(tmp_path / "x.wav", SIGNAL, RATE)

    def refused(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(AudioError, match=r"x\.wav: cannot be decoded as sound \(.*Permission denied"):
        read_audio(tmp_path / "x.wav")


@pytest.mark.parametrize("error", [MemoryError(), ValueError("odd"), RuntimeError("deep"), ZeroDivisionError()])
def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch, error):
    soundfile.write(tmp_path / "x.wav", SIGNAL, RATE)

    def broken(*_args, **_how):
        raise error

    monkeypatch.setattr(soundfile.SoundFile, "read", broken)
    message = str(error) or type(error).__name__
    with pytest.raises(AudioError, match=rf"x\.wav: cannot be decoded as sound \({message}\); replace"):
        read_audio(tmp_path / "x.wav")


def test_sounds_longer_than_any_caption_are_refused_while_they_are_decoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", SIGNAL, RATE)
    monkeypatch.setattr("datasets.audio.read.LONGEST", 20000)
    monkeypatch.setattr("datasets.audio.read.BLOCK", 1000)
    with pytest.raises(
        AudioError, match=r"x\.wav: holds more than 20000 samples, expected one recording; cut or convert"
    ):
        read_audio(tmp_path / "x.wav")
    assert count_samples(tmp_path / "x.wav") == 0


def test_channels_that_cancel_are_said_to(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.stack([PCM, -PCM], 1), RATE)
    with pytest.raises(AudioError, match=r"x\.wav: its channels cancel each other, their mean is silent; keep one"):
        read_audio(tmp_path / "x.wav")
    assert len(read_audio(tmp_path / "x.wav", allow_silence=True)) == 48000
    soundfile.write(tmp_path / "x.wav", np.zeros((1000, 2)), RATE)
    with pytest.raises(AudioError, match=r"holds only silence \(1000 equal samples\)"):
        read_audio(tmp_path / "x.wav")

"""Every container and subtype that libsndfile writes: whole, cut short, and joined; and headers of other writers."""

import io
import logging
import struct

import numpy as np
import pytest
import soundfile

from datasets.audio import truncation as broken_off
from datasets.audio.read import AudioError, count_samples, read_audio

RATE = 8000
SIGNAL = 0.3 * np.sin(np.cumsum(np.linspace(0.05, 1, 2400)))
ELSEWHERE = ("RAW", "SD2")  # without a header, and with one in a file of its own
ENDLESS = ("IRCAM", "PAF", "PVF", "XI")  # no header says a length; libsndfile writes 0 into that of XI
CONTAINERS = sorted(set(soundfile.available_formats()) - {*ELSEWHERE})


def written(container):
    """Every file of a container that this libsndfile can write, by what it is."""
    for subtype in soundfile.available_subtypes(container):
        for endian in ("FILE", "LITTLE", "BIG"):
            for channels in (1, 2):
                if soundfile.check_format(container, subtype, endian):
                    buffer = io.BytesIO()
                    try:
                        samples = np.stack([SIGNAL, SIGNAL / 2], 1)[:, :channels]
                        samples = np.tile(samples, (10 if container == "MP3" else 1, 1))  # whose last two may lack
                        soundfile.write(buffer, samples, RATE, format=container, subtype=subtype, endian=endian)
                    except soundfile.SoundFileError:  # it cannot after all
                        continue
                    yield f"{subtype} {endian} {channels}", buffer.getvalue()


def read(tmp_path, content, name):
    """Decodes a file, having compared what is counted with it."""
    path = tmp_path / name
    path.write_bytes(content)
    counted = count_samples(path, RATE)
    samples = read_audio(path, RATE)
    assert len(samples) == counted
    return samples


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_format_is_whole_or_refused(tmp_path, container):
    name, cases = f"x.{container.lower()}", dict(written(container))
    assert cases
    for case, content in cases.items():
        whole = len(read(tmp_path, content, name))
        rate = 44100 if container == "XI" else RATE  # it knows no other
        assert container == "MP3" or 2400 * RATE / rate <= whole <= 2400 * RATE / rate + 1200, case
        half = content[: len(content) // 2]
        if container in ENDLESS:
            continue
        for cut in (half, content[: len(content) * 9 // 10]):
            with pytest.raises(AudioError, match=rf"{name}: (breaks off|cannot be decoded as sound)"):
                read(tmp_path, cut, name)
        if container in ("MP3", "OGG"):  # everything is decoded
            assert len(read(tmp_path, content * 2, name)) == 2 * whole
            continue
        with pytest.raises(AudioError, match=rf"{name}: (holds .*, expected one rec|cannot be decoded as sound)"):
            read(tmp_path, content * 2, name)


@pytest.mark.parametrize("container", ENDLESS)
def test_containers_without_a_length_say_so(tmp_path, container, caplog):
    """Cut between two samples nobody can tell; cut within one it is an error."""
    for case, content in written(container):
        broken_off.say_open_end.cache_clear()
        block = 1 if "_8" in case or "S8" in case or "LAW" in case else 2 if "16" in case else 4
        block = int(case[-1]) * (32 if container == "PAF" and "24" in case else block)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            read(tmp_path, content[:-block], f"x.{container.lower()}")
            read(tmp_path, content, f"x.{container.lower()}")
        assert caplog.text.count(f"*.{container.lower()} do not say how long they are") == 1
        if block > 1:
            with pytest.raises(AudioError, match=rf"breaks off, \d+ bytes of sound .* no multiple of {block}; copy"):
                read(tmp_path, content[:-1], f"x.{container.lower()}")


@pytest.mark.parametrize("container", [kind for kind in CONTAINERS if kind not in (*ENDLESS, "MP3", "OGG")])
def test_what_lies_behind_the_sound_is_no_sound(tmp_path, container):
    """Zeros of a disk's blocks, notes, rubbish: what the header announces is read, or the file is refused."""
    name, cases = f"x.{container.lower()}", dict(written(container))
    for case, content in cases.items():
        if not case.endswith("FILE 1"):
            continue
        whole = read(tmp_path, content, name)
        for behind in (bytes(4), bytes(5000), b"ANNO\0\0\0\4note"):
            try:
                found = read(tmp_path, content + behind, name)
            except AudioError as error:
                assert container not in ("W64", "SVX", "AU", "WAV", "AIFF", "CAF", "RF64"), f"{case}: {error}"
                assert f"{name}: holds " in str(error) or f"{name}: cannot be decoded as sound" in str(error)
                continue
            np.testing.assert_array_equal(found, whole, case)


def bytes_of(container, subtype, signal=SIGNAL):
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, RATE, format=container, subtype=subtype)
    return bytearray(buffer.getvalue())


@pytest.mark.parametrize(
    ("container", "subtype", "at", "kind"),
    [("AVR", "PCM_16", 26, ">I"), ("MPC2K", "PCM_16", 30, "<I"), ("WVE", "ALAW", 18, ">I"),
     ("MAT4", "PCM_16", 47, "<I"), ("MAT5", "PCM_16", 236, "<I")],
)  # fmt: skip
def test_counts_that_are_wrong(tmp_path, container, subtype, at, kind):
    content, name = bytes_of(container, subtype), f"x.{container.lower()}"
    assert struct.unpack_from(kind, content, at) == (2400,)
    struct.pack_into(kind, content, at, 3000)
    with pytest.raises(AudioError, match=rf"{name}: breaks off"):
        read(tmp_path, content, name)
    struct.pack_into(kind, content, at, 2000)
    if container == "MAT4":  # of which libsndfile reads no more; what follows may be another variable
        assert len(read(tmp_path, content, name)) == 2000
        return
    with pytest.raises(AudioError, match=rf"{name}: holds 2400 samples where 2000 are announced"):
        read(tmp_path, content, name)


def test_an_instrument_that_says_its_length(tmp_path):
    content = bytes_of("XI", "DPCM_16")
    struct.pack_into("<I", content, 298, 4800)
    whole = read(tmp_path, content, "x.xi")
    assert len(whole) == -(-2400 * RATE // 44100)
    with pytest.raises(AudioError, match=r"breaks off, 4700 of 4800 bytes"):
        read(tmp_path, content[:-100], "x.xi")
    with pytest.raises(AudioError, match=r"holds 2500 samples where 2400 are announced"):
        read(tmp_path, content + bytes(200), "x.xi")


def test_matlab_files_are_filled_up_to_eight_bytes(tmp_path):
    content = bytes_of("MAT5", "PCM_U8", SIGNAL[:2395])
    whole = read(tmp_path, content, "x.mat")
    assert len(whole) == 2395
    np.testing.assert_array_equal(read(tmp_path, content + bytes(5), "x.mat"), whole)
    alone = content[:128] + content[200:]  # without a rate, which libsndfile takes for 44.1 kHz
    assert len(read(tmp_path, alone, "x.mat")) == -(-2395 * RATE // 44100)
    with pytest.raises(AudioError, match="breaks off, 2295 of 2395 bytes"):
        read(tmp_path, alone[:-100], "x.mat")


def test_creative_voice_files_of_several_blocks(tmp_path):
    content = bytes_of("VOC", "PCM_16")
    text = b"\5" + (6).to_bytes(3, "little") + b"words\0"
    assert len(read(tmp_path, content[:26] + text + content[26:], "x.voc")) == 2400
    with pytest.raises(AudioError, match="breaks off, 4701 of 4800 bytes"):
        read(tmp_path, content[:26] + text + content[26:-100], "x.voc")
    more = b"\2" + (2000).to_bytes(3, "little") + bytes(range(200)) * 10 + b"\0"
    with pytest.raises(AudioError, match="holds 3402 samples where 2400 are announced"):
        read(tmp_path, content[:-1] + more, "x.voc")


def test_voice_files_beyond_16_mib(tmp_path):
    """A block says its size modulo 2^24."""
    ramp = np.arange(1 << 23, dtype=np.int16)
    content = bytes_of("VOC", "PCM_16", np.concatenate([ramp, ramp[:100]]))
    assert int.from_bytes(content[27:30], "little") == 212
    assert len(read(tmp_path, content, "x.voc")) == (1 << 23) + 100
    with pytest.raises(AudioError, match=r"holds 4\d+ samples where 100 are announced"):
        read(tmp_path, content[: len(content) // 2], "x.voc")


def test_sphere_of_companded_samples(tmp_path):
    """Their width is written as text, or not at all."""
    content = bytes_of("NIST", "ULAW")
    bare = bytes(content).replace(b"sample_n_bytes -s1 1\n", b"")
    bare = bare[:1000] + bytes(len(content) - len(bare)) + bare[1000:]
    for whole in (bytes(content), bare):
        with pytest.raises(AudioError, match="breaks off, 2300 of 2400 bytes"):
            read(tmp_path, whole[:-100], "x.wav")


@pytest.mark.parametrize("place", ["._x.mp3", ".AppleDouble/x.mp3"])
def test_what_macos_leaves_beside_a_sound_is_not_read(tmp_path, place):
    content = bytes_of("MP3", "MPEG_LAYER_III")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_bytes(b"\0\5\x16\7\0\2\0\0" + np.random.default_rng(0).bytes(4000))
    assert len(read(tmp_path, content, "x.mp3")) == 2400

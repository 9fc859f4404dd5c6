"""Damaged sounds of every format: all that they announce is decoded, or one sentence names the file."""

import io
import struct
from functools import cache

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from datasets.audio.read import AudioError, count_samples, read_audio

KINDS = (
    *(("WAV", subtype) for subtype in ("PCM_16", "PCM_U8", "PCM_24", "FLOAT", "ULAW", "MS_ADPCM", "GSM610", "G721_32")),
    ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "IMA_ADPCM"),
    ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("AU", "PCM_16"), ("NIST", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
    ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("VOC", "PCM_16"), ("SVX", "PCM_16"), ("PAF", "PCM_16"),
    ("WAV", "MPEG_LAYER_III"), ("AU", "G721_32"), ("W64", "GSM610"),
)  # fmt: skip


@cache
def whole(container, subtype):
    """A third of a second of a glide in noise, one or two channels."""
    signal = 0.3 * np.sin(np.cumsum(np.linspace(0.05, 1, 2700))) + np.random.default_rng(0).normal(0, 0.05, 2700)
    signal = np.stack([signal, 0.5 * signal], 1) if container in ("WAVEX", "CAF", "FLAC") else signal
    buffer = io.BytesIO()
    inside = (container, subtype) == ("WAV", "MPEG_LAYER_III")  # which libsndfile reads, and does not write
    soundfile.write(buffer, signal, 8000, format="MP3" if inside else container, subtype=subtype)
    return wav_of_mp3(buffer.getvalue()) if inside else buffer.getvalue()


def wav_of_mp3(content):
    """A wav around an mp3."""
    kind = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 8000, 4000, 1, 0, 12, 1, 2, 144, 1, 1393)
    chunks = ((b"fmt ", kind), (b"data", content + bytes(len(content) % 2)))
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(part)) + part for name, part in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=6)
EDITS = st.sampled_from(["flips", "header", "cut", "joined", "doubled", "zeros", "front", "behind", "lost"])


@st.composite
def damaged(draw):
    """A name, and a file with a few damages of one kind."""
    container, subtype = draw(st.sampled_from(KINDS))
    content = bytearray(whole(container, subtype))
    at = int(draw(st.floats(0, 1)) * len(content))
    size = draw(st.integers(1, 300))
    match draw(EDITS):
        case "flips":
            for place, bits in draw(FLIPS):
                content[int(place * (len(content) - 1))] ^= bits
        case "header":
            for place, bits in draw(FLIPS):
                content[int(place * 90)] ^= bits
        case "cut":
            del content[at:]
        case "joined":
            content += whole(*draw(st.sampled_from(KINDS)))
        case "doubled":
            content[at:at] = content[at : at + size]
        case "zeros":
            content[at : at + size] = bytes(len(content[at : at + size]))
        case "front":
            content[:0] = draw(
                st.sampled_from([b"ID3\4\0\0\0\0\1\0" + bytes(128), bytes(size), b"ID3\4\0\0\x7f\x7f\x7f\x7f"])
            )
        case "behind":
            content += draw(st.sampled_from([b"TAG" + bytes(125), bytes(size), b"OggS", b"\xff\xfb\x90\x64"]))
        case "lost":
            del content[at : at + size]
    return f"x.{container.lower()}", bytes(content)


@given(damaged())
@settings(
    max_examples=500, deadline=None, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_damaged_files_are_decoded_in_full_or_named(tmp_path, file):
    name, content = file
    path = tmp_path / name
    path.write_bytes(content)
    counted = count_samples(path)
    try:
        samples = read_audio(path, allow_silence=True)
    except AudioError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert len(samples) == counted > 0


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_taken(tmp_path, kind):
    path = tmp_path / f"x.{kind[0].lower()}"
    path.write_bytes(whole(*kind))
    assert 5400 <= len(read_audio(path)) == count_samples(path) <= 5400 + 2 * 640

"""Sound files cut short are refused wherever it can be known; every legal way to write a whole one is taken."""

import struct

import numpy as np
import pytest
import soundfile

from datasets.audio.read import AudioError, read_audio
from datasets.loading.loader import Loader
from datasets.loading.rows import SampleError
from datasets.spoken_captions.readers import PlacesFiles

KINDS = {
    "wav": {},
    "extensible.wav": {"format": "WAVEX"},
    "big.wav": {"format": "WAV", "endian": "BIG"},
    "float.wav": {"subtype": "FLOAT"},
    "adpcm.wav": {"subtype": "MS_ADPCM"},
    "rf64": {"format": "RF64"},
    "flac": {},
    "ogg": {},
    "opus.ogg": {"subtype": "OPUS"},
    "mp3": {},
    "vbr.mp3": {"bitrate_mode": "VARIABLE"},
}
CUT = r"breaks off, .*; copy the file again or remove it|cannot be decoded as sound"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three seconds of noise in every container, by kind."""
    folder, noise = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0).normal(0, 0.1, 48000)
    for kind, options in KINDS.items():
        soundfile.write(folder / f"a.{kind}", noise, 16000, **options)
    return {kind: (folder / f"a.{kind}").read_bytes() for kind in KINDS}


def read(tmp_path, content, name="x.wav"):
    (tmp_path / name).write_bytes(content)
    return len(read_audio(tmp_path / name))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_taken_and_cut_ones_refused(files, tmp_path, kind):
    name, whole = f"x.{kind}", files[kind]
    assert read(tmp_path, whole, name) >= 48000
    for share in (0.97, 0.9, 0.5, 0.2):
        if kind.endswith("mp3") and share == 0.97:
            continue  # less than what editors may take away
        with pytest.raises(AudioError, match=CUT):
            read(tmp_path, whole[: int(share * len(whole))], name)
    if kind in ("adpcm.wav", "flac", "ogg", "opus.ogg"):
        with pytest.raises(AudioError, match=CUT):
            read(tmp_path, whole[:-1], name)
    elif not kind.endswith("mp3"):  # one frame is incomplete, no more
        assert read(tmp_path, whole[:-1], name) == 47999
        with pytest.raises(AudioError, match=CUT):
            read(tmp_path, whole[: -4 if kind == "float.wav" else -2], name)


def test_the_message_says_what_is_there(files, tmp_path):
    with pytest.raises(AudioError, match=r"x\.wav: breaks off, 95000 of 96000 bytes of sound are there; copy the file"):
        read(tmp_path, files["wav"][:-1000])
    with pytest.raises(AudioError, match=r"x\.ogg: breaks off, its last page is incomplete; copy"):
        read(tmp_path, files["ogg"][:-1000], "x.ogg")
    with pytest.raises(AudioError, match=r"x\.mp3: breaks off, 62 of 86 frames are there; copy"):
        read(tmp_path, files["mp3"][:9000], "x.mp3")


def chunk(name, content, size=None, pad=True):
    """A RIFF chunk; ``size`` is what it says of itself."""
    written = struct.pack("<4sI", name, len(content) if size is None else size) + content
    return written + b"\0" * (pad and len(content) % 2)


def wav(*chunks, riff=None, form=b"RIFF"):
    """A wav of chunks behind its format, 16 kHz mono in 16 bits."""
    content = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)) + b"".join(chunks)
    return struct.pack("<4sI", form, len(content) if riff is None else riff) + content


SOUND = (np.random.default_rng(1).normal(0, 3000, 1000)).astype("<i2").tobytes()


@pytest.mark.parametrize("riff", [0, 8, 36, 0x7FFFF024, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_writer_to_a_pipe_does_not_know_the_length(tmp_path, riff, size):
    """As ffmpeg (all ones), sox (0x7FFFF000) and others (0) leave the sizes."""
    assert read(tmp_path, wav(chunk(b"data", SOUND, size), riff=riff)) == 1000
    assert read(tmp_path, wav(chunk(b"LIST", b"INFOx"), chunk(b"data", SOUND, size), riff=riff)) == 1000


def test_no_sound_is_reported_from_an_unknown_length(tmp_path):
    """The size of the whole file counts the chunk behind the empty one."""
    for content in (wav(chunk(b"data", b"")), wav(chunk(b"data", b""), chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0"))):
        with pytest.raises(AudioError, match="holds no samples"):
            read(tmp_path, content)


def test_legal_wavs_of_known_length(tmp_path):
    behind = chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0")
    assert read(tmp_path, wav(chunk(b"data", SOUND), behind, chunk(b"cue ", b"abc"))) == 1000
    assert read(tmp_path, wav(chunk(b"LIST", b"odd"), chunk(b"data", SOUND))) == 1000
    assert read(tmp_path, wav(chunk(b"data", SOUND)) + b"rubbish") == 1000
    bytes_8 = np.random.default_rng(2).integers(0, 256, 999, np.uint8).tobytes()
    for pad in (True, False):  # some leave out the byte behind an odd number
        content = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 16000, 1, 8))
        content += chunk(b"data", bytes_8, pad=pad)
        assert read(tmp_path, struct.pack("<4sI", b"RIFF", len(content)) + content) == 999
    for cut in (2, 500, 1999):
        with pytest.raises(AudioError, match=rf"breaks off, {2000 - cut} of 2000 bytes"):
            read(tmp_path, wav(chunk(b"data", SOUND))[:-cut])
    with pytest.raises(AudioError, match="breaks off, 2000 of 2500 bytes"):
        read(tmp_path, wav(chunk(b"data", SOUND, 2500)))


def test_the_long_size_of_rf64_counts(files, tmp_path):
    whole = files["rf64"]
    assert whole[:8] == b"RF64\xff\xff\xff\xff"
    at = whole.index(b"data") + 4
    assert whole[at : at + 4] == b"\xff\xff\xff\xff"
    with pytest.raises(AudioError, match="breaks off, 95990 of 96000 bytes"):
        read(tmp_path, whole[:-10])


def test_cut_files_stop_training_or_are_skipped_as_other_damaged_ones(corpus, small):
    path = corpus.parent / "wavs" / "2.wav"
    path.write_bytes(path.read_bytes()[:-100])
    dataset = PlacesFiles(corpus, small, train=False)
    with pytest.raises(SampleError, match=r"^row 2 \(utt2\) of .*2\.wav: breaks off, .*data\.on_error=skip"):
        list(Loader(dataset, 4, 0, False).batches(0))
    loader = Loader(PlacesFiles(corpus, small, train=False, on_error="skip"), 4, 0, False)
    assert [int(i) for batch in loader.batches(0) for i in batch["index"]] == [0, 1, *range(3, 11)]
    assert "2.wav: breaks off" in loader.skipped[2]

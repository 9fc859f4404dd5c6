"""A folder of sounds as utterances."""

import numpy as np
import pytest
import soundfile

from datasets.loading.rows import ManifestError
from datasets.spoken_captions.sound_folder import SoundFolder


def test_sounds_of_all_folders_below_in_order(tmp_path):
    for name, seconds in (("b/two.wav", 0.5), ("a.WAV", 0.3), ("b/c/one.wav", 0.2)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(0).normal(size=int(16000 * seconds)) / 9, 16000)
    (tmp_path / "note.txt").write_text("no sound")
    (tmp_path / "b" / ".hidden.wav").write_text("no sound")
    found = SoundFolder(tmp_path)
    assert [found.record(row).uttid for row in range(len(found))] == ["a", "b/c/one", "b/two"]
    assert found[2]["mel"].shape == (40, 51)
    assert found.lengths().tolist() == [31, 21, 51]
    assert SoundFolder(tmp_path, max_frames=10)[0]["nframes"] == 10


def test_links_are_followed_but_not_round_and_round(tmp_path):
    sound = np.random.default_rng(0).normal(size=3200) / 9
    for name in ("speech/a/one.wav", "speech/b/two.wav", "elsewhere/three.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, sound, 16000)
    folder = tmp_path / "speech"
    for link, target in (("a/up", folder), ("a/self", folder / "a"), ("c", tmp_path / "elsewhere")):
        (folder / link).symlink_to(target)
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / "lost").symlink_to(tmp_path / "nowhere")
    found = SoundFolder(folder)
    assert [found.record(row).uttid for row in range(len(found))] == ["a/one", "b/two", "c/three"]


def test_folders_without_sounds(tmp_path):
    with pytest.raises(ManifestError, match=r"there is no folder .*none; give one that holds sound files"):
        SoundFolder(tmp_path / "none")
    with pytest.raises(ManifestError, match=r"and the folders below it hold no \*.flac; give another folder"):
        SoundFolder(tmp_path, extension=".flac")

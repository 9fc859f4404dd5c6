"""Videos: which cells are coloured, and files whose frames and sound have the caption's length."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from datasets.loading.rows import ManifestError
from evaluation.report.video import FPS, VideoError, even, frames, strongest_cells, write_video
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.videos import videos


def decoded(path):
    """Frames (n, H, W, 3) and the sound (m,) with its rate."""
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    images = np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])
    sound = path.with_suffix(".wav")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", str(path), "-vn", str(sound)]
    subprocess.run(command, check=True, timeout=60)
    return images, *soundfile.read(sound)


def test_the_strongest_cells_hold_a_tenth():
    """0..9 sum to 45: the 9 alone holds more than 4.5; with 100 equal cells ten hold a tenth."""
    cells = np.arange(10.0).reshape(1, 2, 5)
    assert strongest_cells(cells).sum() == 1
    assert strongest_cells(cells)[0, 1, 4]
    assert strongest_cells(np.full((1, 1, 4), 2.0), 0.5).all()  # equal cells are all taken
    assert not strongest_cells(np.full((2, 2, 2), -1.0)).any()
    assert strongest_cells(np.arange(1.0, 5).reshape(1, 1, 4), 0.71).sum() == 2  # 4 + 3 = 7 of 10


def test_frames_follow_the_matchmap():
    """Only the second half of a second of sound answers, at the right: frames change there and then."""
    image = np.full((31, 41, 3), 128, np.uint8)
    cells = np.zeros((1, 2, 2))
    cells[0, 1, 1] = 1
    made = frames(image, cells, step=0.5, seconds=1.0)
    assert len(made) == FPS
    first, last = made[0].astype(int), made[-1].astype(int)
    assert all(side % 2 == 0 for side in first.shape[:2])
    assert (first == first[0, 0]).all()
    assert np.abs(last[:, -8:] - first[:, -8:]).mean() > 30
    assert np.abs(last[:, :8] - first[:, :8]).mean() < 1
    assert even(np.zeros((3, 4, 3), np.uint8)).shape == (4, 4, 3)
    with pytest.raises(VideoError, match="both above 0"):
        frames(image, cells, 0.5, 0.0)


def test_a_written_file_holds_image_and_sound_of_one_length(tmp_path):
    image = np.zeros((46, 62, 3), np.uint8)
    images = [image + 200 * (number >= 20) for number in range(40)]
    tone = np.sin(np.arange(int(1.3 * 16000)) * 2 * np.pi * 440 / 16000).astype(np.float32) * 0.5
    path = write_video(tmp_path / "a" / "x.mp4", [p.astype(np.uint8) for p in images], tone, 16000)
    shown, sound, rate = decoded(path)
    assert shown.shape == (40, 46, 62, 3)
    assert shown[0].mean() < 20
    assert shown[-1].mean() > 180
    assert len(sound) / rate == pytest.approx(1.6, abs=0.08)
    middle, end = sound[int(0.5 * rate) : int(0.9 * rate)], sound[int(1.4 * rate) : int(1.55 * rate)]
    assert np.abs(middle).mean() > 0.2
    assert np.abs(end).mean() < 0.02
    assert [entry.name for entry in path.parent.iterdir() if entry.suffix == ".mp4"] == ["x.mp4"]
    with pytest.raises(VideoError, match="even height and width"):
        write_video(tmp_path / "y.mp4", [np.zeros((3, 4, 3), np.uint8)], tone, 16000)
    with pytest.raises(VideoError, match="no frame"):
        write_video(tmp_path / "y.mp4", [], tone, 16000)


def test_captions_become_videos(trained_run, captions, context):
    videos(ModelSource(run=trained_run), captions(True), context, count=2, run=context.settings)
    files = sorted((context.folder / "videos").iterdir())
    assert [file.name for file in files] == ["7.mp4", "9.mp4"]
    shown, sound, rate = decoded(files[0])
    wav, wav_rate = soundfile.read(captions.folder / "audio" / "7.wav")
    seconds = min(len(wav) / wav_rate, 2.56)
    assert len(shown) / FPS == pytest.approx(seconds, abs=1 / FPS)
    assert len(sound) / rate == pytest.approx(seconds, abs=0.08)
    assert (context.folder / "videos.csv").read_text().startswith("file,seconds,frames,text")
    assert "<audio" in (context.folder / "report.html").read_text()


def test_captions_that_share_the_name_of_a_video_are_refused(trained_run, captions, context):
    """It would hold the second of them alone."""
    node = captions(True)
    (captions.folder / "name_list_test.txt").write_text("7\n9\n7\n")
    with pytest.raises(
        ManifestError, match=r"found by their uttid here: .*\n  uttid '7\.mp4' stands for captions \[0, 2\]"
    ):
        videos(ModelSource(run=trained_run), node, context, run=context.settings)
    assert not (context.folder / "videos").exists()

"""Videos of a matchmap over its image while the caption plays.

As in surisdi/learning-by-drawing ``experiments.py`` (create_videos), only the cells of highest similarity are coloured:
the strongest ones that together hold a tenth of the whole matchmap. There frames come at the network's own rate (down
to 1.6 a second, which players handle badly) and the sound is mixed in by a second program; here frames come 25 a second
and image and sound are written by one call, so that they stay together.

Shape letters: h, w cells, t frames of the matchmap, H, W pixels.
"""

import contextlib
import io
import subprocess
import tempfile
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile
from PIL import Image

from common.errors import UserError
from common.files import write_whole, written_whole

FPS = 25
SHARE = 0.1  # of the matchmap's sum that the coloured cells hold
OPACITY = 0.7
QUALITY = "15"  # x264's constant rate factor, 0 is lossless
LONGEST_EDGE = 480
JET = ((0.0, (0, 0, 143)), (0.125, (0, 0, 255)), (0.375, (0, 255, 255)), (0.625, (255, 255, 0)), (0.875, (255, 0, 0)),
       (1.0, (128, 0, 0)))  # fmt: skip


class VideoError(UserError, ValueError):
    """Something that cannot become a video."""


def strongest_cells(matchmap: np.ndarray, share: float = SHARE) -> np.ndarray:
    """Return the strongest cells that together hold a share of the sum of a matchmap, (h, w, t) bool.

    Values below 0 count as 0; it is at least the strongest cell, and none where nothing is above 0.
    """
    values = np.maximum(matchmap, 0)
    order = np.sort(values, axis=None)[::-1]
    if order[0] <= 0:
        return np.zeros(matchmap.shape, bool)
    held = np.cumsum(order, dtype=np.float64)
    count = int(np.searchsorted(held, share * held[-1], side="right"))
    return values >= order[max(0, count - 1)]


def frames(
    image: np.ndarray, matchmap: np.ndarray, step: float, seconds: float, share: float = SHARE
) -> list[np.ndarray]:
    """Colour an image by its matchmap: frames of 25 a second, (H', W', 3) uint8 with even height and width.

    Small images are enlarged.

    Args:
        image: (H, W, 3) uint8.
        matchmap: (h, w, t).
        step: length of one of the t frames, seconds.
        seconds: length of the video; the matchmap's last frame stays where it is longer.
        share: of the matchmap's sum that the coloured cells hold.

    Raises:
        VideoError: the matchmap has no frame or a length is not positive.
    """
    if matchmap.ndim != 3 or 0 in matchmap.shape or not min(step, seconds) > 0:
        raise VideoError(
            f"a matchmap {matchmap.shape} for {seconds} seconds in steps of {step}; expected (h, w, t), both above 0"
        )
    enlarged_image = even(enlarged(image))
    kept = strongest_cells(matchmap, share)
    strength = np.where(kept, np.maximum(matchmap, 0), 0)
    strength = strength / max(float(strength.max()), 1e-9)
    shown: dict[int, np.ndarray] = {}
    result = []
    for number in range(max(1, round(seconds * FPS))):
        step_number = min(int(number / FPS / step), matchmap.shape[2] - 1)
        if step_number not in shown:
            shown[step_number] = _coloured(enlarged_image, strength[:, :, step_number], kept[:, :, step_number])
        result.append(shown[step_number])
    return result


def _coloured(enlarged_image: np.ndarray, strength: np.ndarray, kept: np.ndarray) -> np.ndarray:
    size = (enlarged_image.shape[1], enlarged_image.shape[0])
    value, share = (_resized(cells, size) for cells in (strength, kept))
    stops = [stop for stop, _ in JET]
    colour = np.stack([np.interp(value, stops, [rgb[i] for _, rgb in JET]) for i in range(3)], axis=-1)
    weight = (OPACITY * np.clip(share, 0, 1))[..., None]
    return np.clip(enlarged_image * (1 - weight) + colour * weight, 0, 255).round().astype(np.uint8)


def _resized(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(cells.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def enlarged(image: np.ndarray) -> np.ndarray:
    """Enlarge ``image`` (H, W, 3) uint8 by a whole factor so that its longest edge is about 480 pixels."""
    factor = max(1, LONGEST_EDGE // max(image.shape[:2]))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def even(image: np.ndarray) -> np.ndarray:
    """Repeat the last row and column of ``image`` (H, W, 3) where their number is odd, as video encoders need."""
    return np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")


def write_video(
    path: Path, images: list[np.ndarray], waveform: np.ndarray | None = None, sample_rate: int = 16_000
) -> Path:
    """Write frames (H, W, 3) uint8 and sound to an mp4 that starts and ends with both; returns ``path``.

    Args:
        path: the ``.mp4`` file; its folder is made.
        images: frames of 25 a second with even height and width.
        waveform: (n,) float in [-1, 1]; padded with silence or cut to the length of the frames. None for no sound.
        sample_rate: Hz.

    Raises:
        VideoError: there is no frame, height or width is odd, or ffmpeg fails.
        NoRoomError: the disk is full; no part of the video stays.
    """
    if not images or any(size % 2 for size in images[0].shape[:2]):
        found = images[0].shape if images else "no frame"
        raise VideoError(f"{path}: {found}; expected at least one frame (H, W, 3) with even height and width")
    with tempfile.TemporaryDirectory() as folder:
        wav = None
        if waveform is not None:
            length, wav = round(len(images) / FPS * sample_rate), Path(folder) / "sound.wav"
            sound = np.pad(waveform[:length], (0, max(0, length - len(waveform))))
            encoded = io.BytesIO()
            soundfile.write(encoded, sound, sample_rate, format="WAV", subtype="PCM_16")
            write_whole(wav, encoded.getvalue())
        try:
            with written_whole(path) as part:
                _encode(part, images, wav)
        except OSError as error:
            raise VideoError(f"{path}: ffmpeg could not write the video ({str(error).strip()[:200]})") from error
    return path


def _encode(path: Path, images: list[np.ndarray], wav: Path | None) -> None:
    """Let ffmpeg write frames and the sound of a file, if any, as an mp4; an OSError has its words where it fails.

    imageio_ffmpeg.write_frames does not ask how ffmpeg ended: on a full disk a part of a video would pass for one.
    """
    height, width = images[0].shape[:2]
    sound = [] if wav is None else ["-i", str(wav), "-map", "1:a:0", "-c:a", "aac"]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "-",
        *sound[:2], "-map", "0:v:0", *sound[2:], "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", QUALITY,
        "-movflags", "+faststart", "-f", "mp4", str(path),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as words:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": words}
        ffmpeg = subprocess.Popen(command, **pipes, process_group=0)  # Ctrl-C is for this program
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended; how is asked below
                for image in images:
                    ffmpeg.stdin.write(np.ascontiguousarray(image))
                ffmpeg.stdin.close()
            code = ffmpeg.wait()
        finally:
            ffmpeg.kill()
            ffmpeg.wait()
        if code != 0:
            words.seek(0)
            raise OSError(words.read().decode(errors="replace").strip() or f"it ended with {code}")

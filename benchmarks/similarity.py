"""All-pairs similarity of image maps and speech maps, against a loop over pairs and against the rate of matmul.

    python -m benchmarks.similarity

The limit is the fastest matmul with the same inner dimension and precision in the same run. It is measured before and
after each row and the better value counts, because other programs may be using the machine.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.table import Row, best_time, best_times, devices, options, print_table
from models.matchmap import similarity


@dataclass(frozen=True)
class Sizes:
    """Maps to compare: (images, channels, resolution, resolution) and (captions, channels, frames)."""

    images: int
    captions: int
    channels: int
    resolution: int
    frames: int

    @property
    def work(self) -> float:
        """Floating point operations of all dot products."""
        return 2.0 * self.images * self.captions * self.channels * self.resolution**2 * self.frames


def loop(image: Tensor, speech: Tensor) -> Tensor:
    """Compute MISA (I, S) of (I, D, H, W) and (S, D, T) pair by pair: one small matmul, two maxima, a mean each."""
    result = torch.zeros(len(image), len(speech), device=image.device)
    for i in range(len(image)):
        for j in range(len(speech)):
            table = torch.mm(image[i].flatten(1).t(), speech[j]).view(*image.shape[2:], -1)
            result[i, j] = table.max(0).values.max(0).values.mean()
    return result


def matmul_rate(channels: int, dtype: torch.dtype, device: str) -> float:
    """Measure the best floating point operations per second over a few large shapes, ``channels`` the inner size."""
    best = 0.0
    for rows, columns in ((2048, 4096), (4096, 4096)) if device == "cpu" else ((8192, 8192), (16384, 16384)):
        a = torch.randn(rows, channels, device=device).to(dtype)
        b = torch.randn(columns, channels, device=device).to(dtype)
        out = torch.empty(rows, columns, device=device, dtype=dtype)
        seconds = best_time(lambda a=a, b=b, out=out: torch.mm(a, b.t(), out=out), 5, device)
        best = max(best, 2.0 * rows * columns * channels / seconds)
    return best


def measure(sizes: Sizes, device: str, repeats: int, loop_pairs: int) -> list[Row]:
    """Measure one device; the loop takes about ``loop_pairs`` pairs, and its time is scaled to all."""
    image = torch.randn(sizes.images, sizes.channels, sizes.resolution, sizes.resolution, device=device)
    speech = torch.randn(sizes.captions, sizes.channels, sizes.frames, device=device)
    part = max(1, int(loop_pairs**0.5))
    part_image, part_speech = image[:part], speech[:part]
    few = len(part_image) * len(part_speech)
    rows = []
    for dtype, name in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16 products")):
        before = matmul_rate(sizes.channels, dtype, device)
        with torch.no_grad():
            ways = (lambda dtype=dtype: similarity(image, speech, dtype=dtype), lambda: loop(part_image, part_speech))
            seconds, looped = best_times(*ways, repeats=repeats, device=device)
        baseline = looped * len(image) * len(speech) / few
        rate = max(before, matmul_rate(sizes.channels, dtype, device))
        note = f"{sizes.work / seconds / 1e9:.0f} of {rate / 1e9:.0f} Gflop/s; loop scaled from {few} pairs"
        rows.append(Row(f"MISA {name}, {device}", seconds, baseline, sizes.work / seconds / rate, note))
    nframes = torch.randint(1, sizes.frames + 1, (sizes.captions,), generator=torch.Generator().manual_seed(0))
    nframes = nframes.to(device)
    with torch.no_grad():
        half = best_time(lambda: similarity(image, speech, nframes), repeats, device)
        sisa = best_time(lambda: similarity(image, speech, kind="SISA"), repeats, device)
        sima = best_time(lambda: similarity(image, speech, kind="SIMA"), repeats, device)
    kept = float(nframes.double().mean()) / sizes.frames
    rows.append(Row(f"MISA float32, {device}, masked", half, note=f"{kept:.0%} of the frames are valid"))
    rows.append(Row(f"SIMA float32, {device}", sima))
    rows.append(Row(f"SISA float32, {device}", sisa, note="closed form"))
    image.requires_grad_()
    speech.requires_grad_()
    both = best_time(lambda: similarity(image, speech).sum().backward(), repeats, device)
    rows.append(Row(f"MISA float32, {device}, with gradients", both, note="forward and backward"))
    return rows


def main() -> None:
    """Read the sizes, measure, print the table."""
    read = options(
        __doc__,
        {
            "images": (500, "images"),
            "captions": (500, "spoken captions"),
            "channels": (512, "channels of both maps"),
            "resolution": (8, "image positions along height and width"),
            "frames": (32, "frames of a speech map"),
            "repeats": (3, "timed calls, the best counts"),
            "loop_pairs": (2500, "pairs the baseline is timed on, then scaled"),
        },
    )
    sizes = Sizes(read.images, read.captions, read.channels, read.resolution, read.frames)
    rows = [row for device in devices() for row in measure(sizes, device, read.repeats, read.loop_pairs)]
    print_table(
        f"All pairs: {sizes.images} images {sizes.channels}x{sizes.resolution}x{sizes.resolution}, "
        f"{sizes.captions} captions "
        f"{sizes.channels}x{sizes.frames}, {read.threads} CPU threads",
        rows,
    )


if __name__ == "__main__":
    main()

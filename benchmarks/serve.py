"""Requests to the server of images from captions by many clients at once, and against the public code's way.

    python -m benchmarks.serve

Networks have random weights and, by default, the sizes of config_files/attngan/world_attngan.yaml. Times are CPU
seconds of the server, or of the loop, for one request; the notes have what clients see. The public code's way
(taoxugit/AttnGAN ``eval/main.py``) is one request after the other, two images for each one that is answered, and the
sheets of attention once for each stage, smoothed at their full size.
"""

import asyncio
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

import config
from benchmarks.table import Row, options, print_table
from datasets.text_image.vocabulary import Vocabulary
from tasks.attngan.sampling.text_to_image import Draw, TextToImage
from tasks.attngan.trained import GENERATOR, TEXT, TextImageSource, Words, save_export

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ["a", "small", "large", "red", "blue", "metal", "rubber", "cube", "sphere", "and"]
CAPTION = "a small red metal cube and a large blue rubber sphere"
SHEET = 256  # pixels of an image in a published sheet


class Load(NamedTuple):
    """What many clients see of a server, and what it costs."""

    requests: int
    failures: int
    seconds: float  # until the last answer
    latencies: list[float]  # seconds of each request
    cpu: float  # seconds of the server

    def __str__(self) -> str:
        half, most = statistics.median(self.latencies), statistics.quantiles(self.latencies, n=20)[-1]
        rate = self.requests / self.seconds
        return f"{rate:.0f} requests/s, p50 {half * 1e3:.0f} ms, p95 {most * 1e3:.0f} ms, {self.failures} failures"


def write_model(folder: Path, width: int, stages: int, first_resolution: int) -> Path:
    """Write networks with random weights; return the export."""
    nodes = {
        TEXT: {"type": "models.damsm.CaptionEncoder", "vocab_size": len(KNOWN) + 1},
        GENERATOR: {
            "type": "gan.attngan.generator.AttnganGenerator", "width": width, "stages": stages,
            "first_resolution": first_resolution,
        },
    }  # fmt: skip
    torch.manual_seed(0)
    networks = {name: config.build(node) for name, node in nodes.items()}
    path = folder / "model.json"
    save_export(path, networks, Words(Vocabulary(KNOWN), 24), nodes, {})
    return path


@contextmanager
def served(model: Path, folder: Path, threads: int, batch_size: int) -> Iterator[str]:
    """Yield the address of a server in a process of its own."""
    arguments = [f"model.run={model}", f"folder={folder}", "port=0", f"batch_size={batch_size}"]
    process = subprocess.Popen(
        [sys.executable, "run.py", "-f", "serve/attngan.yaml", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield next(match[0] for line in process.stderr or () if (match := re.search(r"http://[\d.]+:\d+", line)))
    finally:
        process.terminate()
        process.communicate()


async def load(address: str, path: str, clients: int, requests: int) -> Load:
    """Let clients post their requests, each one after the other, and a few before that warm the server up."""
    latencies, failures = [], 0

    async def client(session: httpx2.AsyncClient, count: int) -> None:
        nonlocal failures
        for _ in range(count):
            start = time.perf_counter()
            reply = await session.post(path, json={"caption": CAPTION})
            latencies.append(time.perf_counter() - start)
            failures += reply.status_code != 201

    async with httpx2.AsyncClient(
        base_url=address, timeout=600, limits=httpx2.Limits(max_connections=clients)
    ) as session:
        await asyncio.gather(*(client(session, 1) for _ in range(clients)))
        latencies.clear()
        before, start = await _cpu(session), time.perf_counter()
        await asyncio.gather(*(client(session, requests) for _ in range(clients)))
        seconds = time.perf_counter() - start
        return Load(clients * requests, failures, seconds, latencies, await _cpu(session) - before)


async def _cpu(session: httpx2.AsyncClient) -> float:
    """Return the CPU seconds that the server has used."""
    text = (await session.get("/metrics")).text
    return float(re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)[1])


def published_way(model: TextToImage) -> list[bytes]:
    """Answer one request for a bird as the public code does; return its files."""
    made, _ = model.draw([Draw(CAPTION, copy=copy) for copy in range(2)])
    files = []
    for image in made.images:
        files.append(_png(image))
        for stage, maps in enumerate(made.attention):
            files.append(_png(_published_sheet(made.attended(stage), maps)))
    return files


def _published_sheet(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
    large = np.asarray(Image.fromarray(image).resize((SHEET, SHEET), Image.Resampling.BILINEAR))
    scores, shown = [], []
    for one in maps:
        scores.append(one[one > 4 / len(maps)].sum())
        kept = np.where(one > 2 / len(maps), one, 0)
        enlarged = np.asarray(Image.fromarray(kept).resize((SHEET, SHEET), Image.Resampling.BILINEAR))
        smooth = np.stack([gaussian_filter(enlarged.astype(np.float64), 20) for _ in range(3)], axis=2)
        light = (smooth - smooth.min()) / max(smooth.max() - smooth.min(), 1e-9) * 255
        shown.append((large * (75 / 255) + light * (180 / 255)).astype(np.uint8))
    return np.concatenate([shown[word] for word in np.argsort(scores)[::-1][:5]], axis=1)


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    """Measure and print."""
    read = options(
        __doc__,
        {
            "clients": (64, "that ask at the same time"),
            "requests": (4, "of each client"),
            "batch_size": (32, "images generated at a time"),
            "width": (16, "channels of the generator"),
            "stages": (2, "of the generator"),
            "first_resolution": (32, "pixels of its first stage"),
            "published": (3, "requests that are answered in the public code's way"),
        },
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        export = write_model(folder, read.width, read.stages, read.first_resolution)
        found = {}
        for batch_size in (read.batch_size, 1):
            with served(export, folder / f"images_{batch_size}", read.threads, batch_size) as address:
                for path in ("generate", "bird"):
                    found[path, batch_size] = asyncio.run(
                        load(address, f"/api/v1.0/{path}", read.clients, read.requests)
                    )
        model = TextToImage.of(TextImageSource(run=export))
        published_way(model)
        start = time.process_time()
        for _ in range(read.published):
            published_way(model)
        public = (time.process_time() - start) / read.published
    rows = []
    for path in ("generate", "bird"):
        batched, alone = found[path, read.batch_size], found[path, 1]
        each, baseline = batched.cpu / batched.requests, alone.cpu / alone.requests
        rows.append(Row(f"/{path}, batches up to {read.batch_size}", each, baseline, note=str(batched)))
        rows.append(Row(f"/{path}, one image at a time", baseline, note=str(alone)))
    bird = found["bird", read.batch_size]
    rows.append(Row("/bird, the public code's way", bird.cpu / bird.requests, public, note="one after the other"))
    print_table(f"{read.clients} clients of the server, {read.threads} CPU threads", rows)


if __name__ == "__main__":
    main()

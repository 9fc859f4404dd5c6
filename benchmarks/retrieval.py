"""Recalls and ranks from a similarity matrix, against top-k lists searched in Python loops, and from features.

    python -m benchmarks.retrieval

The baseline does what the published code does: the ten best of every column and of every row with ``torch.topk``, then
each list is searched for the match by comparing tensor entries one at a time. The baseline of pooled maps is that of
wnhsu/ResDAVEnet-VQ (``steps/util.py``): mean embeddings, caption by caption, one product, and those recalls.
"""

import torch
from torch import Tensor

from benchmarks.table import Row, best_time, best_times, devices, options, print_table
from evaluation.retrieval.recall import ranks, recall_metrics, recalls_from_matrix, retrieve
from models.similarity import Similarity
from tasks.speech_image.encode_split import Encoded
from tasks.speech_image.rank_split import rank_split


def loop(similarity: Tensor) -> dict[str, float]:
    """Compute recalls of ``similarity`` (n, n) by top-k lists and Python loops."""
    images_of_speech = similarity.topk(10, 0).indices
    speech_of_images = similarity.topk(10, 1).indices
    hits = {f"{direction}_r{k}": 0 for direction in "AI" for k in (1, 5, 10)}
    for i in range(len(similarity)):
        found_at = {"A": -1, "I": -1}
        for index in range(10):
            if images_of_speech[index, i] == i:
                found_at["I"] = index
            if speech_of_images[i, index] == i:
                found_at["A"] = index
        for direction, index in found_at.items():
            for k in (1, 5, 10):
                hits[f"{direction}_r{k}"] += 0 <= index < k
    return {name: count / len(similarity) for name, count in hits.items()}


def measure(n: int, device: str, repeats: int, rate: float) -> list[Row]:
    """Measure one device that reads memory at ``rate`` bytes per second; an error where the two ways disagree."""
    generator = torch.Generator().manual_seed(0)
    similarity = torch.randn(n, n, generator=generator).to(device)
    similarity.diagonal().add_(3)
    expected, found = loop(similarity), recalls_from_matrix(similarity)
    if any(abs(found[name] - value) > 1e-12 for name, value in expected.items()):
        raise RuntimeError(f"The two ways disagree: {found} and {expected}. One of them has an error.")
    ways = (
        lambda: recalls_from_matrix(similarity), lambda: recall_metrics(ranks(similarity)), lambda: loop(similarity)
    )  # fmt: skip
    plain, full, baseline = best_times(*ways, repeats=repeats, device=device)
    read = 4.0 * n * n / rate
    features = torch.randn(n, 512, generator=generator).to(device)
    streamed = best_time(lambda: retrieve(features, features, None, lambda a, b, _: a @ b.T, 1024), repeats, device)
    return [
        Row(f"recalls and ranks, {device}", plain, baseline, read / plain, "limit: reading the matrix once"),
        Row(f"with best wrong answers, {device}", full, baseline, read / full),
        Row(f"from features (512 values), {device}", streamed, note="matrix made in tiles of 1024, never whole"),
    ]


def published_pooled(encoded: Encoded) -> dict[str, float]:
    """Compute the recalls of pooled maps both ways as the public code does."""
    pool = torch.nn.AdaptiveAvgPool2d((1, 1))
    images = pool(encoded.image).flatten(1)
    captions = [
        pool(speech[:, None, : max(1, frames)]).flatten()
        for speech, frames in zip(encoded.speech, encoded.nframes.tolist(), strict=True)
    ]
    return loop(images @ torch.stack(captions).T)


def measure_pooled(n: int, repeats: int) -> list[Row]:
    """Measure the retrieval of ``n`` pooled maps, 1024 x 7 x 7 and 1024 x 64, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    image, speech = torch.randn(n, 1024, 7, 7, generator=generator), torch.randn(n, 1024, 64, generator=generator)
    encoded = Encoded(image, speech, torch.randint(1, 65, (n,), generator=generator), torch.arange(n), 32)

    def ours() -> dict[str, float]:
        return recall_metrics(rank_split(encoded, encoded.index, Similarity("pooled"), torch.device("cpu")).retrieval)

    found, expected = ours(), published_pooled(encoded)
    if any(abs(found[name] - value) > 2.5 / n for name, value in expected.items()):  # ties by rounding
        raise RuntimeError(f"The two ways disagree: {found} and {expected}. One of them has an error.")
    best, baseline = best_times(ours, lambda: published_pooled(encoded), repeats=repeats)
    return [Row(f"recalls of {n} pooled maps, cpu", best, baseline, note="ours with ranks and wrong answers")]


def read_rate(device: str) -> float:
    """Measure the bytes per second of a plain sum over 256 MB on ``device``."""
    values = torch.ones(1 << 26, device=device)
    return 4.0 * len(values) / best_time(values.sum, 5, device)


def main() -> None:
    """Read the sizes, measure, print the table."""
    sizes = {
        "n": (10_000, "pairs"),
        "pooled": (2_000, "pairs of pooled maps; a quarter of them too"),
        "repeats": (3, "timed calls, the best counts"),
    }
    read = options(__doc__, sizes)
    rows = [row for device in devices() for row in measure(read.n, device, read.repeats, read_rate(device))]
    rows += [row for n in (read.pooled // 4, read.pooled) for row in measure_pooled(n, read.repeats)]
    print_table(f"Retrieval over {read.n} x {read.n}, {read.threads} CPU threads", rows)


if __name__ == "__main__":
    main()

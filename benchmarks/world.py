"""Scenes per second of an embedded world, one core: whole builds, and images in batches against one by one.

    python -m benchmarks.world --threads 1

A whole scene is drawn at random, rendered at 128 pixels, described, spoken with word and phone times, and written with
its masks as a Places set. Text and speech have no batched form; their share shows what the images leave.
"""

import tempfile
from pathlib import Path

from benchmarks.table import Row, best_time, best_times, devices, options, print_table
from datasets.world.language.captions import captions
from datasets.world.render.ray_cast import render
from datasets.world.scene.sample import Scene, sample_scene
from datasets.world.settings import World
from datasets.world.shards import SHARD, make_shard
from datasets.world.speech.synthesise import Synthesiser
from datasets.world.speech.voices import voice


def build_row(scenes: int, size: int, repeats: int) -> Row:
    """Measure a whole build of ``scenes`` scenes, in whole shards, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder=Path(folder), scenes=scenes, size=size)
        seconds = best_time(lambda: [make_shard(world, shard) for shard in range(scenes // SHARD)], repeats)
    return Row(f"{scenes} whole scenes, cpu", seconds, note=f"{scenes / seconds:.0f} scenes/s, images, speech, files")


def render_row(scenes: list[Scene], size: int, repeats: int, device: str) -> Row:
    """Measure the images of ``scenes`` alone, ``size`` pixels high and wide."""
    ways = (lambda: render(scenes, size, device), lambda: [render([scene], size, device) for scene in scenes])
    together, single = best_times(*ways, repeats=repeats, device=device)
    return Row(f"their images, {device}", together, single, note=f"{len(scenes) / together:.0f}/s; one by one")


def speech_row(scenes: list[Scene], repeats: int) -> Row:
    """Measure spoken captions of ``scenes`` alone, the best of ``repeats`` calls."""
    texts = [captions(scene, 1, seed, "mixed")[0] for seed, scene in enumerate(scenes)]

    def speak() -> None:
        for seed, text in enumerate(texts):
            Synthesiser().speak(text, voice(seed))

    seconds = best_time(speak, repeats)
    return Row("their spoken captions, cpu", seconds, note=f"{len(texts) / seconds:.0f}/s, with word and phone times")


def main() -> None:
    """Read the sizes, measure, print the table."""
    sizes = {
        "scenes": (4 * SHARD, "scenes, in whole shards"),
        "size": (128, "pixels high and wide"),
        "repeats": (3, "calls"),
    }
    read = options(__doc__, sizes)
    count = max(SHARD, read.scenes // SHARD * SHARD)
    scenes = [sample_scene(seed, 1, 5, False) for seed in range(count)]
    rows = [build_row(count, read.size, read.repeats)]
    rows += [render_row(scenes, read.size, read.repeats, device) for device in devices()]
    rows += [speech_row(scenes, read.repeats)]
    print_table(f"Embedded world, {read.size} pixels, {read.threads} CPU thread(s)", rows)


if __name__ == "__main__":
    main()

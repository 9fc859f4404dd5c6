"""One shard of a world: a few dozen scenes sampled, rendered, described, spoken and written.

A shard depends on the world's settings and its own number only, and always holds the same scenes: vector code may
round differently at another position of a batch, so the batches must not depend on the number of workers.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.files import write_whole
from common.text_files import read_json
from datasets.world.export.birds import CAPTIONS
from datasets.world.export.layouts import GROUND_TRUTH, LAYOUTS
from datasets.world.export.records import WORK, Media, Record, group
from datasets.world.export.truth import describe, grow
from datasets.world.language.captions import captions
from datasets.world.language.instructions import instructions
from datasets.world.render.ray_cast import render
from datasets.world.scene.sample import sample_scene
from datasets.world.settings import World
from datasets.world.speech.synthesise import Synthesiser, with_noise
from datasets.world.speech.voices import varied

SHARD = 32


def shard_count(world: World) -> int:
    """Count the shards of ``world``."""
    return -(-world.scenes // SHARD)


def shard_path(world: World, shard: int) -> Path:
    """Return the file that holds the records of a shard; it is there only when all its images and sounds are."""
    return world.folder / WORK / f"{shard:06d}.json"


def read_records(world: World) -> Iterator[Record]:
    """Read the records of all scenes of ``world`` in order, one shard at a time."""
    for shard in range(shard_count(world)):
        yield from read_json(shard_path(world, shard), "delete it, and it is made again")


def make_shard(world: World, shard: int) -> int:
    """Make the scenes of one shard, a number from 0, and write their files; return how many it holds."""
    indices = range(shard * SHARD, min((shard + 1) * SHARD, world.scenes))
    limits = world.min_objects, world.max_objects, world.centred
    scenes = [sample_scene(world.draw("scene", index), *limits) for index in indices]
    rendering = render(scenes, world.size)
    images, instances = rendering.image.numpy(), rendering.instances.numpy().astype(np.uint8)
    turns = grow(scenes) if "iclevr" in world.layouts else [None] * len(scenes)
    records = []
    for slot, index in enumerate(indices):
        scene_id = f"{index:06d}"
        record = {"id": scene_id, "split": _splits(world)[index]}
        record["image"] = f"{group(scene_id)}/{scene_id}.{world.image_format}"
        record |= describe(scenes[slot], instances[slot])
        record["instructions"] = instructions(scenes[slot], world.draw("instructions", index))
        count = max(world.captions_per_scene, CAPTIONS if "birds" in world.layouts else 1)
        record["captions"] = captions(scenes[slot], count, world.draw("captions", index), world.caption_style)
        speech = _speak(world, index, record)
        media = Media(images[slot], instances[slot], speech, turns[slot], world.image_format, world.audio_format)
        GROUND_TRUTH.media(world.folder, record, media)
        for name in world.layouts:
            LAYOUTS[name].media(world.folder / name, record, media)
        records.append(record)
    write_whole(shard_path(world, shard), json.dumps(records, ensure_ascii=False).encode())
    return len(records)


@functools.lru_cache(maxsize=1)
def _splits(world: World) -> list[str]:
    return world.assign_splits()


def _speak(world: World, index: int, record: Record) -> list[np.ndarray]:
    """Speak the first captions, add them to the record as ``spoken`` and return their samples."""
    record["spoken"] = []
    speech = []
    for number, text in enumerate(record["captions"][: world.captions_per_scene]):
        speaker = world.draw(f"speaker {number}", index) % world.speakers
        who = world.voice(speaker)
        spoken_as = who
        if world.speech_variation is not None:
            spoken_as = varied(who, world.speech_variation, world.draw(f"variation {number}", index))
        utterance = Synthesiser().speak(text, spoken_as)
        samples = utterance.samples
        if world.speech_noise is not None:
            seed = world.draw(f"noise {number}", index)
            ratio = float(np.random.default_rng(seed).uniform(*world.speech_noise))
            samples = with_noise(samples, ratio, seed + 1)
        uttid = f"{who.speaker}-{record['id']}_{number}"
        record["spoken"].append(
            {
                "uttid": uttid,
                "speaker": who.speaker,
                "text": text,
                "wav": f"wavs/{group(record['id'])}/{uttid}.{world.audio_format}",
                "samples": len(samples),
                "words": utterance.words,
                "phones": utterance.phones,
            }
        )
        speech.append(samples)
    return speech

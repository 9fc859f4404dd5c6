"""Published layouts, written from the world: Places manifests, GAN-CLEVR, and the world's own ground truth.

Places: wnhsu/ResDAVEnet-VQ's JSON. GAN-CLEVR: surisdi/learning-by-drawing's name lists. The birds layout is in
birds.py, i-CLEVR's HDF5 in iclevr.py, all of them in layouts.py. A layout has two parts: `media` writes
the files of one scene and runs in the workers, `finish` writes lists and manifests from all records once every scene
is there.

A record is what is known of a scene, as plain JSON:
    id        "000042", the index of the scene with zeros
    split     "train", "val" or "test"
    image     path of the image below the Places layout's images/; each spoken caption has its `wav` likewise
    scene     objects with attributes, position, visible pixels and box; camera and light
    captions  texts
    instructions  texts, one for each object, in the order of the objects
    box       x, y, width, height of all objects together, pixels
    spoken    {uttid, speaker, text, wav, samples (their count), words [[start, end, WORD]], phones, likewise}
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets.media_files import (
    AudioFormat,
    ImageFormat,
    encode_audio,
    encode_image,
    write_json,
    write_lines,
    write_media,
)
from datasets.world.speech.synthesise import SAMPLE_RATE

SPLITS = ("train", "val", "test")
WORK = ".work"  # folder in a world or a layout: what is needed until the build is complete
# i-CLEVR's order of shapes and colours.
KINDS = tuple(
    f"{shape} {colour}"
    for shape in ("cube", "sphere", "cylinder")
    for colour in ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
)
Record = dict[str, Any]
Records = Callable[[], Iterator[Record]]


@dataclass(frozen=True)
class Turns:
    """A scene that grows by one object a turn."""

    images: np.ndarray  # (L, 128, 128, 3) uint8 RGB after each turn
    background: np.ndarray  # (240, 320, 3) uint8 RGB, the empty scene
    positions: np.ndarray  # (L, 3) float64 of the object that each turn adds: x, y in pixels, depth


@dataclass(frozen=True)
class Media:
    """The image and sound of a scene."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    instances: np.ndarray  # (H, W) uint8, 0 is background, k is object k
    speech: list[np.ndarray]  # (N,) float32 at 16 kHz for each spoken caption
    turns: Turns | None = None  # for i-CLEVR
    image_format: ImageFormat = "jpg"  # of the Places layout
    audio_format: AudioFormat = "wav"  # of the Places layout
    _encoded: dict[str, bytes] = field(default_factory=dict)

    def image_bytes(self, image_format: ImageFormat) -> bytes:
        """Encode the image once for all layouts."""
        if image_format not in self._encoded:
            self._encoded[image_format] = encode_image(self.image, image_format)
        return self._encoded[image_format]

    def sound(self, index: int, audio_format: AudioFormat) -> bytes:
        """Encode the sound of caption ``index`` once for all layouts."""
        key = f"{audio_format}{index}"
        if key not in self._encoded:
            self._encoded[key] = encode_audio(self.speech[index], SAMPLE_RATE, audio_format)
        return self._encoded[key]


class Layout(NamedTuple):
    """A published data set on disk: functions of its folder."""

    media: Callable[[Path, Record, Media], None]  # writes the files of one scene
    finish: Callable[[Path, Records], None]  # writes the lists over all scenes, whose records are read anew


def group(scene_id: str) -> str:
    """Name the sub-folder of ``scene_id``, so that no folder holds more than a few thousand files."""
    return scene_id[:-3]


def ground_truth_media(root: Path, record: Record, media: Media) -> None:
    """Write the instance mask, ``masks/<group>/<id>.png``: 8-bit grey, 0 background, k the k-th object."""
    mask = encode_image(media.instances.astype(np.uint8), "png")
    write_media(root / "masks" / group(record["id"]) / f"{record['id']}.png", mask)


def ground_truth_finish(root: Path, records: Records) -> None:
    """Write ``scenes.jsonl``: one record a line, without the phones, which are in the layouts."""

    def lines() -> Iterator[str]:
        for record in records():
            spoken = [{key: value for key, value in item.items() if key != "phones"} for item in record["spoken"]]
            mask = f"masks/{group(record['id'])}/{record['id']}.png"
            yield json.dumps({**record, "spoken": spoken, "mask": mask}, ensure_ascii=False)

    write_lines(root / "scenes.jsonl", lines())


def places_media(root: Path, record: Record, media: Media) -> None:
    """Write ``images/<group>/<id>.jpg`` and ``audio/wavs/<group>/<uttid>.wav``, or in the other formats."""
    write_media(root / "images" / record["image"], media.image_bytes(media.image_format))
    for index, item in enumerate(record["spoken"]):
        write_media(root / "audio" / item["wav"], media.sound(index, media.audio_format))


def places_finish(root: Path, records: Records) -> None:
    """Write ``train.json``, ``val.json``, ``test.json`` (base paths relative to them) and ``phones.jsonl``.

    ``phones.jsonl`` is ours: {"uttid", "phones": [[start, end, phone], ...]} in seconds, a line for each utterance.
    """
    for split in SPLITS:
        data = [
            {
                "uttid": item["uttid"],
                "speaker": item["speaker"],
                "asr_text": " ".join(word for *_, word in item["words"]).lower(),
                "text_alignment": alignment(item["words"]),
                "wav": item["wav"],
                "image": record["image"],
            }
            for record in records()
            if record["split"] == split
            for item in record["spoken"]
        ]
        write_json(root / f"{split}.json", {"image_base_path": "images/", "audio_base_path": "audio/", "data": data})
    spoken = ((item["uttid"], item["phones"]) for record in records() for item in record["spoken"])
    lines = (json.dumps({"uttid": uttid, "phones": phones}, ensure_ascii=False) for uttid, phones in spoken)
    write_lines(root / "phones.jsonl", lines)


def alignment(words: list[tuple[float, float, str]]) -> str:
    """Join (start, end, WORD) in seconds as ``start__WORD__end`` with spaces, as Places does, to the millisecond.

    Times are rounded down so that no end leaves the recording.
    """
    return " ".join(f"{_down(start):.3f}__{word}__{_down(end):.3f}" for start, end, word in words)


def clevrgan_media(root: Path, record: Record, media: Media) -> None:
    """Write ``images/<n>.jpg``, ``audio/<n>.wav`` and ``text/<n>.txt`` with the first caption; n has no zeros."""
    name = str(int(record["id"]))
    write_media(root / "images" / f"{name}.jpg", media.image_bytes("jpg"))
    write_media(root / "audio" / f"{name}.wav", media.sound(0, "wav"))
    write_media(root / "text" / f"{name}.txt", record["spoken"][0]["text"].encode())


def clevrgan_finish(root: Path, records: Records) -> None:
    """Write ``name_list_{train,val,test}.txt``."""
    for split in SPLITS:
        names = (str(int(record["id"])) for record in records() if record["split"] == split)
        write_lines(root / f"name_list_{split}.txt", names)


def _down(seconds: float) -> float:
    return math.floor(seconds * 1000.0 + 1e-6) / 1000.0

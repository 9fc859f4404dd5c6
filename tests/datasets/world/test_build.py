"""Building worlds: the bytes depend on the settings alone, a killed build goes on, wrong settings are reported."""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from common import parallel
from common.errors import UserError
from common.parallel import locked
from config import RefusedValues
from datasets import sharded_build
from datasets.world import build as building
from datasets.world.build import build, ensure_world
from datasets.world.export.records import KINDS
from datasets.world.settings import World, WorldError
from datasets.world.shards import SHARD
from tests.common.test_parallel import DyingPool

ROOT = Path(__file__).resolve().parents[3]
SCENES = 2 * SHARD + 5
PROGRAM = (
    "import sys; sys.path.insert(0, '.')\n"
    "from pathlib import Path\n"
    "from datasets.world.build import build\n"
    "from datasets.world.settings import World\n"
    "if __name__ == '__main__':\n"
    "    build(World(Path(sys.argv[1]), {scenes}, seed=3, size=32, workers=int(sys.argv[2])))\n"
)


def small(folder, **changes):
    return replace(World(folder, SCENES, seed=3, size=32, workers=1), **changes)


def digest(folder):
    """A digest of every file's name and content; the lock is empty and not part of the world."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds") / "one"
    assert ensure_world(small(folder)) == folder
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM.format(scenes=SCENES))
    return path


def start(program, folder, workers):
    command = [sys.executable, str(program), str(folder), str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def scenes_of(folder):
    return [json.loads(line) for line in (folder / "scenes.jsonl").read_text().splitlines()]


def test_scenes_agree_with_images_masks_and_manifests(world):
    scenes = scenes_of(world)
    assert [scene["id"] for scene in scenes] == [f"{index:06d}" for index in range(SCENES)]
    counts = {split: sum(scene["split"] == split for scene in scenes) for split in ("train", "val", "test")}
    assert counts == {"train": SCENES - 14, "val": 7, "test": 7}
    by_image = {}
    for split in counts:
        for item in json.loads((world / "places" / f"{split}.json").read_text())["data"]:
            by_image[item["image"]] = (split, item)
    assert len(by_image) == SCENES
    for scene in scenes:
        split, item = by_image[scene["image"]]
        assert split == scene["split"]
        assert item["uttid"] == scene["spoken"][0]["uttid"]
        mask = np.asarray(Image.open(world / scene["mask"]))
        assert mask.shape == (32, 32)
        for number, thing in enumerate(scene["scene"]["objects"], 1):
            assert (mask == number).sum() == thing["pixels"]
            assert KINDS[thing["kind"]] == f"{thing['shape']} {thing['colour']}"
        x, y, width, height = scene["box"]
        ys, xs = np.nonzero(mask)
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x, y, x + width, y + height)


def test_alignments_lie_inside_the_recordings(world):
    for item in json.loads((world / "places" / "train.json").read_text())["data"]:
        info = soundfile.info(world / "places" / "audio" / item["wav"])
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        tokens = [token.split("__") for token in item["text_alignment"].split()]
        assert " ".join(word.lower() for _, word, _ in tokens) == item["asr_text"]
        times = [float(value) for first, _, last in tokens for value in (first, last)]
        assert times == sorted(times)
        assert times[0] >= 0 and times[-1] <= info.duration


def test_every_scene_is_drawn_and_described_anew(world):
    scenes = scenes_of(world)
    assert len({json.dumps(scene["scene"]) for scene in scenes}) == SCENES
    assert len({scene["captions"][0] for scene in scenes}) > 0.8 * SCENES
    assert len({scene["spoken"][0]["speaker"] for scene in scenes}) > SCENES // 3


def test_the_style_of_the_captions_is_passed_on(tmp_path):
    lengths = {}
    for style in ("full", "short"):
        asked = small(tmp_path / style, scenes=12, min_objects=4, caption_style=style)
        ensure_world(asked)
        lengths[style] = np.mean([len(scene["captions"][0].split()) for scene in scenes_of(asked.folder)])
    assert lengths["full"] > 1.3 * lengths["short"]


def test_a_finished_world_returns_at_once_and_stays_as_it_is(world, caplog, monkeypatch):
    before = digest(world)
    monkeypatch.setattr(sharded_build, "in_processes", lambda *_: pytest.fail("nothing is left to do"))
    with caplog.at_level(logging.INFO):
        build(small(world))
    assert f"holds {SCENES} scenes" in caplog.text
    assert digest(world) == before


def test_a_build_in_two_processes_killed_and_ended_in_one_gives_the_same_bytes(world, program, tmp_path):
    folder = tmp_path / "killed"
    process = start(program, folder, 2)
    deadline = time.monotonic() + 60
    while not list((folder / ".work").glob("*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not json.loads((folder / "world.json").read_text())["complete"]
    finished = {path.name: path.stat().st_mtime_ns for path in (folder / ".work").glob("*.json")}
    assert 0 < len(finished) <= 3
    ensure_world(small(folder))
    assert digest(folder) == digest(world)


def test_finished_shards_are_not_made_again(tmp_path, monkeypatch):
    asked = small(tmp_path / "stopped")
    made = []

    def stop_after_two(world, shard, original=building.make_shard):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(shard)
        return original(world, shard)

    monkeypatch.setattr(building, "make_shard", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        ensure_world(asked)
    monkeypatch.undo()
    times = {path.name: path.stat().st_mtime_ns for path in (asked.folder / ".work").glob("*.json")}
    assert set(times) == {"000000.json", "000001.json"}
    with pytest.raises(WorldError, match="seed is 3 there, 4 asked for"):
        ensure_world(replace(asked, seed=4))
    monkeypatch.setattr(building, "_tidy", lambda _: None)
    ensure_world(asked)
    assert times.items() <= {p.name: p.stat().st_mtime_ns for p in (asked.folder / ".work").glob("*.json")}.items()


def test_other_seeds_make_other_worlds(world, tmp_path):
    ensure_world(small(tmp_path / "other", scenes=5, seed=4))
    assert not {line["spoken"][0]["uttid"] for line in scenes_of(tmp_path / "other")} & {
        line["spoken"][0]["uttid"] for line in scenes_of(world)
    }


def test_voices_vary_and_rooms_are_noisy_when_asked(tmp_path):
    """The same words of the same speakers, at other times; noise leaves the times."""
    settings = {"size": 16, "speakers": 2, "workers": 1, "seed": 3}
    plain, varied, noisy = (
        ensure_world(World(tmp_path / name, 8, **settings, **changes))
        for name, changes in (
            ("plain", {}),
            ("varied", {"speech_variation": 0.2}),
            ("noisy", {"speech_noise": (5.0, 10.0)}),
        )
    )
    spoken = [[scene["spoken"][0] for scene in scenes_of(folder)] for folder in (plain, varied, noisy)]
    for one, other, loud in zip(*spoken, strict=True):
        assert one["uttid"] == other["uttid"] == loud["uttid"]
        assert [word[2] for word in one["words"]] == [word[2] for word in other["words"]]
        assert one["words"] == loud["words"]
        clear, heard = (soundfile.read(folder / "places" / "audio" / one["wav"])[0] for folder in (plain, noisy))
        assert len(clear) == len(heard)
        gain = (clear @ heard) / (clear @ clear)
        ratio = 10 * np.log10(np.mean((gain * clear) ** 2) / np.mean((heard - gain * clear) ** 2))
        assert 4.9 < ratio < 10.1
    assert sum(one["samples"] != other["samples"] for one, other in zip(*spoken[:2], strict=True)) >= 6


def test_a_world_from_before_an_option_is_found_again(tmp_path):
    folder = ensure_world(small(tmp_path / "world"))
    state = json.loads((folder / "world.json").read_text())
    for name in ("speech_variation", "speech_noise"):
        del state["settings"][name]
    (folder / "world.json").write_text(json.dumps(state))
    assert ensure_world(small(folder)) == folder
    with pytest.raises(WorldError, match=r"speech_variation is None there, 0.1 asked for"):
        ensure_world(small(folder, speech_variation=0.1))


def test_all_layouts_and_several_captions(tmp_path):
    layouts = ("places", "gan_clevr", "birds", "iclevr")
    asked = small(
        tmp_path / "all", scenes=6, layouts=layouts, captions_per_scene=2, audio_format="flac", splits=(0.5, 0.25, 0.25)
    )
    ensure_world(asked)
    scenes = scenes_of(asked.folder)
    assert all(len(scene["captions"]) == 10 and len(scene["spoken"]) == 2 for scene in scenes)
    assert all(len(scene["instructions"]) == len(scene["scene"]["objects"]) for scene in scenes)
    data = json.loads((asked.folder / "places" / "train.json").read_text())["data"]
    assert len(data) == 4 or len(data) == 8
    samples, _ = soundfile.read(asked.folder / "places" / "audio" / data[0]["wav"], dtype="int16")
    number = int(data[0]["uttid"].split("-")[-1].split("_")[0])
    copy, _ = soundfile.read(asked.folder / "gan_clevr" / "audio" / f"{number}.wav", dtype="int16")
    assert data[0]["wav"].endswith(".flac") and np.array_equal(samples, copy)
    assert not list(asked.folder.rglob(".work"))
    again = replace(asked, folder=tmp_path / "again")
    ensure_world(again)
    assert digest(again.folder) == digest(asked.folder)


def test_other_settings_in_a_worlds_folder_are_reported(world):
    with pytest.raises(WorldError, match=r"holds another world: scenes is 69 there, 70 asked for; size is 32"):
        ensure_world(small(world, scenes=70, size=64))
    assert ensure_world(small(world, workers=5)) == world, "the number of processes is no part of the world"


def test_a_second_build_waits_for_the_first(tmp_path, caplog):
    asked = small(tmp_path / "shared", scenes=2)
    asked.folder.mkdir()
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(1) as pool:
        with locked(asked.folder / ".lock"):
            second = pool.submit(ensure_world, asked)
            deadline = time.monotonic() + 20
            while "another process works in" not in caplog.text:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert not second.done()
        assert second.result(timeout=60) == asked.folder
    assert len(scenes_of(asked.folder)) == 2


def test_the_settings_name_is_reported_when_a_worker_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", DyingPool)
    with pytest.raises(UserError, match=r"start the same command again .* with fewer than world\.workers=2"):
        ensure_world(small(tmp_path / "dying", workers=2))


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(WorldError, match=r"is not empty and holds no world \(thesis\.tex"):
        ensure_world(small(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_broken_state_file_is_reported(tmp_path):
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(WorldError, match=r"world\.json is missing or cannot be read: delete"):
        ensure_world(small(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenes": 0}, r"scenes: found 0 \(int\), expected int, greater than or equal to 1, less than 1,000,000"),
        ({"size": 4}, "size: found 4 .* greater than or equal to 16, less than or equal to 2,048"),
        ({"layouts": ()}, r"layouts: found \(\) \(tuple\), expected at least one of places"),
        ({"captions_per_scene": 11}, "captions_per_scene: found 11 .* less than or equal to 10"),
        ({"splits": (0.5, 0.1, 0.1)}, "that add up to 1"),
        ({"min_objects": 4, "max_objects": 2}, "min_objects: found 4, expected at most max_objects, 2"),
        ({"speakers": 0}, "speakers: found 0"),
        ({"speech_variation": 0.6}, "speech_variation: found 0.6"),
        ({"speech_noise": (20.0, 5.0)}, "speech_noise: .*the lower one first"),
        ({"workers": -1}, "workers: found -1"),
    ],
)
def test_impossible_settings_are_reported(tmp_path, changes, message):
    with pytest.raises(RefusedValues, match=message):
        small(tmp_path, **changes)


def test_splits_are_exact_and_differ_by_seed(tmp_path):
    splits = World(tmp_path, 1000, seed=1).assign_splits()
    assert [splits.count(name) for name in ("train", "val", "test")] == [800, 100, 100]
    assert splits != World(tmp_path, 1000, seed=2).assign_splits()
    assert World(tmp_path, 3, splits=(0.0, 0.5, 0.5)).assign_splits().count("train") == 0


def test_a_dry_run_makes_a_small_world_elsewhere(tmp_path):
    asked = World(tmp_path / "real", 5000, size=32, workers=1)
    assert ensure_world(asked, dry_folder=tmp_path / "dry") == tmp_path / "dry"
    assert not (tmp_path / "real").exists()
    assert len(scenes_of(tmp_path / "dry")) == 40

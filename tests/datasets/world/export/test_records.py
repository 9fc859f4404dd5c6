"""Published layouts: what is written is read back as the published loaders read it."""

import io
import json
import pickle
import re

import h5py
import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets.dialogue.records import DialogueFile
from datasets.world.export.birds import tokens
from datasets.world.export.iclevr import cumulate
from datasets.world.export.layouts import GROUND_TRUTH, LAYOUTS
from datasets.world.export.records import KINDS, SPLITS, Media, Turns, alignment

RATE = 16000
WORDS = [[0.1, 0.25, "A"], [0.25, 0.6004, "RED"], [0.7, 1.00049, "BALL"]]
PHONES = [[0.0, 0.1, "sil"], [0.1, 0.25, "ɐ"], [0.25, 1.00049, "ɹ"]]


def make_record(index, split, kinds):
    scene_id = f"{index:06d}"
    objects = []
    for place, kind in enumerate(kinds):
        shape, colour = KINDS[kind].split()
        objects.append({"shape": shape, "colour": colour, "kind": kind, "pixels": 100 - place, "box": [2, 3, 9, 9]})
    spoken = [
        {
            "uttid": f"s{number}-{scene_id}_{number}",
            "speaker": f"s{number}",
            "text": f"A red ball, number {number}.",
            "wav": f"wavs/000/s{number}-{scene_id}_{number}.wav",
            "samples": RATE + 8,
            "words": WORDS,
            "phones": PHONES,
        }
        for number in range(2)
    ]
    return {
        "id": scene_id,
        "split": split,
        "image": f"000/{scene_id}.jpg",
        "scene": {"objects": objects},
        "box": [2, 3, 20, 18],
        "captions": [f"A {objects[0]['colour']} thing, caption {number}." for number in range(10)],
        "instructions": [f"add a {KINDS[kind]}" for kind in kinds],
        "spoken": spoken,
    }


def make_media(index, turns):
    random = np.random.default_rng(index)
    image = np.kron(random.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8))
    speech = [np.sin(np.arange(RATE + 8) * (0.1 + 0.05 * number)).astype(np.float32) * 0.5 for number in range(2)]
    grown = Turns(
        random.integers(0, 256, (turns, 128, 128, 3), dtype=np.uint8),
        np.full((240, 320, 3), (10, 20, 30), dtype=np.uint8),
        random.uniform(1, 127, (turns, 3)),
    )
    return Media(image, (image[..., 0] > 128).astype(np.uint8), speech, grown)


RECORDS = [
    make_record(0, "train", [1, 8]),
    make_record(12, "val", [23]),
    make_record(1007, "test", [5, 5, 0]),
    make_record(2, "train", [17]),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    for number, record in enumerate(RECORDS):
        media = make_media(number, len(record["instructions"]))
        GROUND_TRUTH.media(root, record, media)
        for name, layout in LAYOUTS.items():
            layout.media(root / name, record, media)
    GROUND_TRUTH.finish(root, lambda: iter(RECORDS))
    for name, layout in LAYOUTS.items():
        layout.finish(root / name, lambda: iter(RECORDS))
    return root


def test_places_manifests_point_at_files_that_hold_the_scene(world):
    manifests = {split: json.loads((world / "places" / f"{split}.json").read_text()) for split in SPLITS}
    assert [len(manifests[split]["data"]) for split in SPLITS] == [4, 2, 2]
    manifest = manifests["train"]
    assert set(manifest) == {"image_base_path", "audio_base_path", "data"}
    for item in manifest["data"]:
        assert set(item) == {"uttid", "speaker", "asr_text", "text_alignment", "wav", "image"}
        samples, rate = soundfile.read(world / "places" / manifest["audio_base_path"] / item["wav"])
        assert rate == RATE
        assert samples.shape == (RATE + 8,)
        assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-3)
        image = np.asarray(Image.open(world / "places" / manifest["image_base_path"] / item["image"]))
        assert image.shape == (64, 64, 3)
        assert item["asr_text"] == "a red ball"
        assert [token.split("__")[1] for token in item["text_alignment"].split()] == ["A", "RED", "BALL"]
    image = np.asarray(Image.open(world / "places" / "images" / RECORDS[0]["image"])).astype(float)
    assert np.abs(image - make_media(0, 2).image).mean() < 12, "the image of this scene and no other"


def test_alignment_is_rounded_down_so_that_no_end_leaves_the_recording():
    assert alignment(WORDS) == "0.100__A__0.250 0.250__RED__0.600 0.700__BALL__1.000"


def test_phones_lie_beside_the_manifests(world):
    lines = [json.loads(line) for line in (world / "places" / "phones.jsonl").read_text().splitlines()]
    assert [line["uttid"] for line in lines] == [item["uttid"] for record in RECORDS for item in record["spoken"]]
    assert all(line["phones"] == PHONES for line in lines)


def test_gan_clevr_lists_name_triples(world):
    root = world / "gan_clevr"
    lists = {split: (root / f"name_list_{split}.txt").read_text().split() for split in SPLITS}
    assert lists == {"train": ["0", "2"], "val": ["12"], "test": ["1007"]}
    for name in ("0", "2", "12", "1007"):
        assert soundfile.info(root / "audio" / f"{name}.wav").samplerate == RATE
        assert Image.open(root / "images" / f"{name}.jpg").size == (64, 64)
        assert (root / "text" / f"{name}.txt").read_text() == "A red ball, number 0."


def test_birds_files_agree_with_each_other(world):
    root = world / "birds"
    names = {split: pickle.loads((root / split / "filenames.pickle").read_bytes()) for split in SPLITS}
    assert names["train"] == ["002.Red_Cube/Red_Cube_000000", "018.Red_Cylinder/Red_Cylinder_000002"]
    assert pickle.loads((root / "train" / "class_info.pickle").read_bytes()) == [2, 18]
    images = [line.split() for line in (root / "CUB_200_2011" / "images.txt").read_text().splitlines()]
    boxes = [line.split() for line in (root / "CUB_200_2011" / "bounding_boxes.txt").read_text().splitlines()]
    assert [number for number, _ in images] == [number for number, *_ in boxes] == ["1", "2", "3", "4"]
    assert boxes[0][1:] == ["2.0", "3.0", "20.0", "18.0"]
    assert {path for _, path in images} == {f"{name}.jpg" for split in SPLITS for name in names[split]}
    assert all((root / "CUB_200_2011" / "images" / path).exists() for _, path in images)
    content = (root / "captions.pickle").read_bytes()
    assert content[:2] == b"\x80\x02", "protocol 2, for readers in the manner of Python 2"
    train, test, id_to_word, word_to_id = pickle.loads(content)
    assert (len(train), len(test)) == (20, 10)
    assert id_to_word[0] == "<end>"
    assert {word: number for number, word in id_to_word.items()} == word_to_id
    for place, name in enumerate(names["train"]):
        lines = (root / "text" / f"{name}.txt").read_text().splitlines()
        assert len(lines) == 10
        for number, line in enumerate(lines):
            assert [id_to_word[word] for word in train[place * 10 + number]] == tokens(line)
    examples = (root / "example_filenames.txt").read_text().split()
    assert (root / f"{examples[0]}.txt").read_text().splitlines() == ["A purple thing, caption 0."]


def test_birds_pickles_hold_plain_values_only(world):
    class Refusing(pickle.Unpickler):
        def find_class(self, module, name):
            raise AssertionError(f"{module}.{name}")

    paths = list((world / "birds").rglob("*.pickle"))
    assert {"captions.pickle", "filenames.pickle", "class_info.pickle"} <= {path.name for path in paths}
    for path in paths:
        Refusing(io.BytesIO(path.read_bytes())).load()


def test_iclevr_scenes_are_bgr_and_cumulative(world):
    root = world / "iclevr"
    assert (root / "objects.txt").read_text().splitlines() == list(KINDS)
    with h5py.File(root / "clevr_train.h5") as file:
        assert set(file) == {"000000", "000002", "background", "entities"}
        assert json.loads(file["entities"][()]) == list(KINDS)
        assert file["background"].shape == (240, 320, 3)
        assert file["background"][0, 0].tolist() == [30, 20, 10]
        scene = file["000000"]
        expected = make_media(0, 2).turns
        assert np.array_equal(scene["images"][:], expected.images[..., ::-1])
        assert json.loads(scene["text"][()]) == ["add a cube red", "add a sphere gray"]
        assert scene["objects"].dtype == scene["coords"].dtype == np.float64
        assert np.argwhere(scene["objects"][:]).tolist() == [[0, 1], [1, 1], [1, 8]]
        assert scene["coords"][1, 8].tolist() == expected.positions[1].tolist()
        assert scene["coords"][0, 1].tolist() == scene["coords"][1, 1].tolist() == expected.positions[0].tolist()
        assert scene["scene_id"][()].decode() == "000000"
    with h5py.File(root / "clevr_obj_train.h5") as file:
        assert sorted(file) == ["0", "1", "2"]
        assert file["2"]["image"].shape == (128, 128, 3)
        assert file["2"]["scene_id"][()].decode() == "000002"
        assert file["1"]["objects"][:].sum() == 2


def test_two_objects_of_a_kind_share_a_slot():
    objects, coords = cumulate([5, 5, 0], np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]))
    assert objects.sum(axis=1).tolist() == [1, 1, 2]
    assert coords[:, 5].tolist() == [[1, 2, 3], [4, 5, 6], [4, 5, 6]]


def test_ground_truth_has_a_line_and_a_mask_for_each_scene(world):
    lines = [json.loads(line) for line in (world / "scenes.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [record["id"] for record in RECORDS]
    for number, line in enumerate(lines):
        mask = Image.open(world / line["mask"])
        assert mask.mode == "L"
        assert np.array_equal(np.asarray(mask), make_media(number, 1).instances)
        assert line["spoken"][0]["words"] == WORDS


def test_nothing_half_written_stays(world):
    assert [path for path in world.rglob("*") if re.search(r"tmp$", path.name)] == []


def test_the_reader_of_dialogues_reads_the_worlds_iclevr(world):
    file = DialogueFile(world / "iclevr" / "clevr_train.h5")
    assert (file.corpus, file.names, file.classes) == ("iclevr", ["000000", "000002"], list(KINDS))
    expected, found = make_media(0, 2).turns, file.dialogue(0)
    assert np.array_equal(found.images, expected.images)
    assert file.background[0, 0].tolist() == [10, 20, 30]
    assert found.texts == ["add a cube red", "add a sphere gray"]
    assert found.locations[1, 8].tolist() == pytest.approx((expected.positions[1, :2] / 128).tolist())
    assert len(DialogueFile(world / "iclevr" / "clevr_obj_train.h5")) == 3

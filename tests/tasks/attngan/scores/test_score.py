"""Figures of generated images through run.py's part: the layouts, able and unable judges, known objects, bad input."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import config
import run
from common.errors import UserError
from datasets.text_image.dataset import CaptionedImages
from datasets.text_image.vocabulary import Vocabulary
from datasets.world.captioned import CaptionedWorld, ensure_captioned
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.frechet import RandomFeatures, features_of
from evaluation.image_metrics import MetricSettings, image_metrics
from evaluation.r_precision import RPrecisionSettings
from tasks.attngan.sampling.sample import sample
from tasks.attngan.scores import score as module
from tasks.attngan.scores.judge import Judge
from tasks.attngan.scores.samples import generated_samples, origin, read_objects, real_samples
from tasks.attngan.scores.score import score
from tasks.attngan.trained import IMAGE, TEXT, TextImageSource, Words, load, save_export
from tests.tasks.attngan.random_models import RESOLUTIONS, write_random_export

IMAGES = 32
SETTINGS = {"metrics": MetricSettings(kid_subsets=5), "r_precision": RPrecisionSettings(wrong=9, folds=4), "threads": 2}


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A captioned world whose training split is measured."""
    folder = tmp_path_factory.mktemp("captioned")
    return ensure_captioned(
        CaptionedWorld(folder, train=IMAGES, validation=1, test=1, captions_per_image=2, min_objects=2, workers=1)
    )


def dataset_of(folder, split="train", **how):
    return CaptionedImages(folder, split, **{"train": False, "resolutions": [64]} | how)


@pytest.fixture(scope="session")
def real(world):
    """The images that generated ones are compared with, as a config's node makes them."""
    return lambda train, on_error: dataset_of(world, train=train, on_error=on_error)


def write_generated(folder, dataset, change, number=0):
    """Write changed images of a split, named for them, and the list that sampling writes beside; return the list."""
    rows = []
    for row in range(len(dataset)):
        name = f"valid/single/{dataset.content.names[row].rpartition('.')[0]}_s-1_{number}.png"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (dataset[row]["image_64"].permute(1, 2, 0).numpy() + 1) * 127.5
        Image.fromarray(change(row, pixels).clip(0, 255).round().astype(np.uint8)).save(path)
        rows.append({"image": name, "captions": [dataset.text(row, number)], "class": dataset.class_name(row)})
    (folder / "validation.json").write_text(json.dumps(rows))
    return folder / "validation.json"


@pytest.fixture(scope="session")
def copies(world, tmp_path_factory):
    """Images as good as real ones."""
    return write_generated(tmp_path_factory.mktemp("copies"), dataset_of(world), lambda _, pixels: pixels, number=1)


def write_judge(folder, dataset, seed, able=True):
    """Write a matching model with random weights; an able one maps the images of a split onto their sentences."""
    nodes = {
        TEXT: {
            "type": "models.damsm.CaptionEncoder",
            "vocab_size": len(dataset.vocabulary),
            "embedding_dim": 16,
            "word_dim": 16,
        },
        IMAGE: {"type": "models.region_encoders.SmallRegionEncoder", "embedding_dim": 16, "width": 16, "stages": 2},
    }
    torch.manual_seed(seed)
    networks = {name: config.build(node).eval() for name, node in nodes.items()}
    torch.nn.init.normal_(networks[TEXT].embedding.weight)
    words = Words(Vocabulary(dataset.vocabulary.words[1:]), 30)
    path = folder / f"judge{seed}.json"
    if able:
        fit(networks, words, dataset)
    save_export(path, networks, words, nodes, {"steps": 1})
    return TextImageSource(run=path)


@torch.no_grad()
def fit(networks, words, dataset):
    """Choose the image encoder's last layer by least squares."""
    samples = real_samples(dataset)
    ((images, _),) = samples.batches(IMAGES, 1)
    tokens = words.tokens(samples.captions)
    sentences = networks[TEXT](tokens.numbers, tokens.lengths).sentences
    inputs = []
    handle = networks[IMAGE].image.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    networks[IMAGE](images.float().div(127.5).sub(1))
    handle.remove()
    ones = torch.cat([inputs[0], torch.ones(IMAGES, 1)], dim=1)
    solved = torch.linalg.lstsq(ones.double(), sentences.double(), driver="gelsd").solution.float()
    networks[IMAGE].image.weight.copy_(solved[:-1].T)
    networks[IMAGE].image.bias.copy_(solved[-1])


@pytest.fixture(scope="session")
def judges(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    return {f"seed {seed}": write_judge(folder, dataset_of(world), seed) for seed in (0, 1)}


@pytest.fixture
def context(tmp_path):
    made = Context("attngan/score", {"entry": "tested", "seed": 0}, ["run.py"])
    made.settings = RunSettings(folder=tmp_path / "runs", name="scores")
    made.folder = tmp_path / "runs" / "scores"
    return made


def measured(context, generated, real, **how):
    """Score and return the metrics."""
    score(generated, real, context, run=context.settings, **SETTINGS | how)
    return json.loads((context.folder / "metrics.json").read_text())


def test_images_as_good_as_real_ones_reach_what_real_ones_reach(copies, real, judges, world, context, caplog):
    network = RandomFeatures(width=8, size=32)
    scenes = world / "scenes" / "train.json"
    with caplog.at_level(logging.WARNING):
        metrics = measured(context, copies, real, features={"random": network}, judges=judges, scenes=scenes)
    assert not caplog.records
    assert metrics["fid/random"] == pytest.approx(0, abs=1e-3)
    assert (metrics["precision/random"], metrics["recall/random"]) == (1, 1)
    for name in judges:
        assert metrics[f"r_precision_real/{name}"] > 0.9, "32 captions fit 32 images"
        assert metrics[f"r_precision_permuted/{name}"] < 0.3
        assert metrics[f"r_precision/{name}"] < metrics[f"r_precision_real/{name}"], "captions it was not fitted to"
    for key in ("colour", "shape", "number"):
        assert metrics[f"objects_{key}/generated"] == metrics[f"objects_{key}/real_images"] > 0.7
    assert metrics["objects_all/permuted_captions"] < 0.3 < 0.5 < metrics["objects_all/generated"]
    figures = json.loads((context.folder / "figures.json").read_text())
    assert figures["images"]["random"]["features"] == network.name
    assert figures["judges"]["seed 0"]["generated"]["settings"]["wrong"] == 9
    assert figures["judges"]["seed 0"]["weights"] != figures["judges"]["seed 1"]["weights"]
    assert figures["objects"]["generated"]["asked"]["material"] == 2 * IMAGES
    page = (context.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 * module.SHOWN, "generated and real"
    assert "the own caption among 9 of other classes" in page
    assert "found: " in page


def test_figures_are_those_of_the_images(copies, real, world, context):
    """Figures of files equal those of the arrays, and dark images are worse."""
    folder = context.folder.parent
    folder.mkdir(parents=True)
    dark = write_generated(folder, dataset_of(world), lambda _, pixels: pixels / 2)
    network = RandomFeatures(width=8, size=32)
    metrics = measured(context, dark, real, features={"random": network})
    stored = torch.stack(
        [
            torch.from_numpy(np.array(Image.open(folder / row["image"]))).permute(2, 0, 1)
            for row in json.loads(dark.read_text())
        ]
    )
    ((images, _),) = real_samples(dataset_of(world)).batches(IMAGES, 1)
    expected = image_metrics(
        features_of([stored], network), features_of([images], network), network, 64, SETTINGS["metrics"]
    ).figures
    for key in ("fid", "kid", "precision"):
        assert metrics[f"{key}/random"] == pytest.approx(expected[key].value, rel=1e-4)
    assert metrics["fid/random"] > 1


def test_the_figure_of_a_judge_that_cannot_tell_is_left_out(copies, real, world, context, tmp_path, caplog, capsys):
    unable = write_judge(tmp_path, dataset_of(world), 2, able=False)
    metrics = measured(context, copies, real, judges={"blind": unable})
    assert "r_precision/blind" not in metrics
    assert metrics["r_precision_real/blind"] < 0.5
    assert "the judge blind cannot distinguish true pairs from permuted ones" in caplog.text
    assert "cannot distinguish" in capsys.readouterr().err


def test_published_samples_are_found_by_the_names_of_real_images(copies, real, world, context, caplog):
    """The folder alone: B_VALIDATION and DM-GAN do not say which caption an image was generated from."""
    folder = context.folder.parent / "published"
    shutil.copytree(copies.parent / "valid", folder)
    samples = generated_samples(folder, dataset_of(world))
    assert samples.captions == real_samples(dataset_of(world)).captions
    np.testing.assert_array_equal(samples.classes, dataset_of(world).content.classes)
    assert "does not say which caption each of its 32 images was generated from" in caplog.text
    first = measured(context, folder, real, features={"random": RandomFeatures(width=8, size=32)})
    assert first["fid/random"] == pytest.approx(0, abs=1e-3)


def test_images_of_another_resolution_are_scaled_with_a_warning(copies, world, context, caplog):
    def small(train, on_error):
        return dataset_of(world, train=train, on_error=on_error, resolutions=[32])

    measured(context, copies, small, features={"random": RandomFeatures(width=8, size=32)})
    assert "32 of 32 generated images are scaled to 32 pixels" in caplog.text
    (sets, *_) = json.loads((context.folder / "figures.json").read_text())["tables"]
    assert [row[3] for row in sets["rows"]] == ["0", "32"]


def test_samples_of_the_published_birds(assets, tmp_path):
    """Whose names have no ending, and whose captions are word numbers."""
    real = CaptionedImages(assets / "formats" / "birds", "test", train=False, resolutions=[64])
    for row, name in enumerate(real.content.names):
        path = tmp_path / "valid" / "single" / f"{name}_s-1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (row, 0, 0)).save(path)
    samples = generated_samples(tmp_path / "valid", real)
    order = [real.content.names.index(name.removeprefix("single/").removesuffix("_s-1.png")) for name in samples.names]
    assert samples.captions == [real.text(row) for row in order]
    assert samples.classes.tolist() == real.content.classes[order].tolist()


def test_what_the_sampling_job_writes_is_scored_as_it_is(world, context, tmp_path, caplog):
    """By a generator of random weights: the list, its names and its classes are understood, and it is worse."""

    def small(train, on_error):
        return dataset_of(world, train=train, on_error=on_error, resolutions=RESOLUTIONS[-1:])

    source = TextImageSource(run=write_random_export(tmp_path / "random.json"))
    sample(source, tmp_path / "samples", context, data=small, validation=True, every_caption=True)
    caplog.clear()
    network, scenes = RandomFeatures(width=8, size=32), world / "scenes" / "train.json"
    metrics = measured(context, tmp_path / "samples" / "valid.json", small, features={"random": network}, scenes=scenes)
    assert not caplog.records, "no image is scaled, every one has its caption"
    assert metrics["recall/random"] < 0.5
    assert metrics["objects_colour_and_shape/generated"] < 0.3 < 0.5 < metrics["objects_colour_and_shape/real_images"]
    (sets, *_) = json.loads((context.folder / "figures.json").read_text())["tables"]
    assert [row[1:3] for row in sets["rows"]] == [["32", sets["rows"][0][2]], ["64", sets["rows"][0][2]]]


def test_texts_beside_images_are_their_captions(world, tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (10, 30)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"a {name} cube\nanother caption\n")
    samples = generated_samples(tmp_path, dataset_of(world))
    assert samples.captions == ["a a cube", "a b cube"]
    assert len(set(samples.classes.tolist())) == 2
    ((images, scaled),) = samples.batches(8, 1)
    assert images.shape == (2, 3, 64, 64)
    assert scaled == 2, "they have another resolution; and blank ones are a result, no error"


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("valid/single/001.X/X_1_s-1.png", "001.X/X_1", "001.X/X_1"),
        ("001.X/X_1_s-1_7.png", "001.X/X_1", "001.X/X_1"),
        ("images/a.png", "images/a", "images/a"),
        ("deep/a_s0.jpg", "a", "a"),
        ("a_s-1.png", "a_s-1", "a_s-1"),  # a real name that ends so itself
        ("b_s-1.png", "a", None),
    ],
)
def test_names_of_samples(name, known, expected):
    assert origin(name, {known: 0}) == expected


def test_captions_ask_for_what_they_say(world, tmp_path):
    (tmp_path / "scenes.json").write_text(
        json.dumps(
            [{"image": "a.png", "objects": [{"colour": "red", "shape": "cube", "size": "large"}, {"colour": "blue"}]}]
        )
    )
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("A red block")
    samples = generated_samples(tmp_path, dataset_of(world))
    known = read_objects(tmp_path / "scenes.json")
    assert module._asked_of(samples, known, tmp_path) == [[{"colour": "red", "shape": "cube"}]]


def test_a_dry_run_looks_at_a_few_images_and_writes_nothing(copies, real, judges, context, caplog):
    context.dry_run = True
    with caplog.at_level(logging.INFO):
        score(copies, real, context, judges=judges, run=context.settings, **SETTINGS)
    assert "dry run: 32 images of" in caplog.text
    assert not context.folder.exists()


def test_the_score_of_birds_is_labelled(copies, world, context):
    """Of data with boxes, which only the published birds have."""

    class Classes(RandomFeatures):
        def logits(self, features):
            return features

    def birds(train, on_error):
        dataset = dataset_of(world, train=train, on_error=on_error)
        boxes = np.tile([0, 0, 76, 76], (IMAGES, 1))
        object.__setattr__(dataset.content, "boxes", boxes)
        return dataset

    measured(context, copies, birds, features={"random": Classes(width=8, size=32)})
    note = json.loads((context.folder / "figures.json").read_text())["images"]["random"]["figures"]["inception_score"]
    assert note["protocol"].endswith("not comparable with 4.36: that used StackGAN's fine-tuned network")


# -- bad input -----------------------------------------------------------------------------------------------------


def refused(match, generated, real, context, **how):
    with pytest.raises(UserError, match=match):
        score(generated, real, context, run=context.settings, **SETTINGS | how)


RANDOM = {"features": {"random": RandomFeatures(width=8, size=32)}}


def test_nothing_to_measure_and_nothing_generated(copies, real, context, tmp_path):
    refused("features, judges and scenes are empty", copies, real, context)
    refused("features, judges and scenes are empty", copies, real, context, judges={"same": None}, features={"a": None})
    refused(
        r"no generated images at .*nowhere: expected a folder, or a list", tmp_path / "nowhere", real, context, **RANDOM
    )
    (tmp_path / "empty").mkdir()
    refused(r"empty holds no image; expected generated ones", tmp_path / "empty", real, context, **RANDOM)


def test_images_that_are_named_for_none(copies, real, context, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "stranger_s-1.png")
    refused(r"stranger_s-1.png: no real image has this name", tmp_path, real, context, **RANDOM)
    (tmp_path / "scenes.json").write_text(json.dumps([{"image": "other.png", "objects": []}]))
    refused(r"no image of .*scenes.json has this name", copies, real, context, scenes=tmp_path / "scenes.json")


def test_a_broken_image_and_a_caption_without_known_words(copies, real, judges, context, tmp_path):
    shutil.copytree(copies.parent, tmp_path / "copies")
    listed = tmp_path / "copies" / "validation.json"
    rows = json.loads(listed.read_text())
    rows[3]["captions"] = ["zygotes quack"]
    listed.write_text(json.dumps(rows))
    refused(r"judge seed 0 cannot read a caption: no word of 'zygotes quack'", listed, real, context, judges=judges)
    (tmp_path / "copies" / rows[3]["image"]).write_bytes(b"no image")
    refused(r"cannot be decoded as an image", listed, real, context, **RANDOM)


def test_words_that_a_judge_does_not_know_are_counted(judges, world, caplog):
    judge = Judge("one", load(judges["seed 0"], (TEXT, IMAGE)), torch.device("cpu"))
    text = dataset_of(world).text(0)
    with caplog.at_level(logging.WARNING):
        found = judge.sentences([text, f"zygotes {text}"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert "judges.one does not know 1 words of 2 captions, such as zygotes" in caplog.text


def test_two_judges_with_equal_weights(copies, real, judges, context):
    twice = {"same": judges["seed 0"], "independent": judges["seed 0"]}
    refused("judges.same and judges.independent have equal weights", copies, real, context, judges=twice)


def test_too_few_images(copies, real, judges, context):
    refused("found 32 images, expected at least 33", copies, real, context, judges=judges,
            r_precision=RPrecisionSettings(folds=33))  # fmt: skip
    refused("expected at least 40: give more images", copies, real, context, judges=judges,
            r_precision=RPrecisionSettings(wrong=40))  # fmt: skip
    refused(
        "expected at least 41 of each", copies, real, context, **RANDOM | {"metrics": MetricSettings(neighbours=40)}
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("nonsense", "is not JSON"),
        ("[]", "holds no scenes; expected a list"),
        ('[{"objects": []}]', "row 0 has no image"),
        ('[{"image": "a.png", "objects": 3}]', "row 0 has no list of objects"),
        ('[{"image": "a.png", "objects": [{"colour": 3}]}]', "row 0 has an object whose colour"),
    ],
)
def test_scenes_that_are_none(content, match, tmp_path):
    path = tmp_path / "scenes.json"
    path.write_text(content)
    with pytest.raises(UserError, match=match):
        read_objects(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_objects(tmp_path / "nowhere.json")


def test_from_the_command_line(copies, world, tmp_path, capsys):
    """The shipped config, whose judges and networks are changed as a user would."""
    words = [
        "-f", "attngan/score.yaml", f"generated={copies}", f"real.folder={world}", "real.split=train", "judges=null",
        f"scenes={world / 'scenes' / 'train.json'}", "features.efficientnet=null",
        "features.random={type: evaluation.frechet.RandomFeatures, width: 8}", f"run.folder={tmp_path}", "run.name=one",
        f"page={tmp_path / 'page.md'}",
    ]  # fmt: skip
    assert run.main(words) == 0
    printed = capsys.readouterr().err
    assert "generated images are scaled" not in printed
    assert "Objects that are there as asked for: found by a segmenter in 32 generated images" in printed
    assert json.loads((tmp_path / "one" / "metrics.json").read_text())["recall/random"] == 1
    page = (tmp_path / "page.md").read_text()
    assert "### Objects that are there as asked for" in page
    assert "Command: `python run.py -f attngan/score.yaml" in page
    assert run.main([*words, f"generated={tmp_path / 'nowhere'}"]) == 2

"""Jobs with trained generators of classes: sheets, interpolations, archives, truncation, and measures."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from common.errors import UserError
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.frechet import RandomFeatures, to_uint8
from evaluation.image_metrics import MetricSettings
from gan.biggan.generator import BigganGenerator
from gan.biggan.latents import draw
from models.segmenter.network import AttributeSegmenter, SmallSegmenter
from tasks.gan.class_networks import ClassNetworkError, GeneratorSource, load_class_generator, load_network, settle
from tasks.gan.class_samples import ClassSamplesError, sample, truncation_curve
from tasks.gan.class_scores import Images, agreement, confident, score

FEATURES = RandomFeatures(width=8, size=16)
FEW = MetricSettings(kid_subsets=2)


def context(dry_run=False):
    return Context("test", {"seed": 0}, [], dry_run=dry_run)


@pytest.fixture
def source(class_runs):
    return GeneratorSource(run=class_runs / "generator")


def test_sheets_interpolations_and_archive(source, tmp_path):
    sample(source, tmp_path, context(), columns=4, interpolations=2, midpoints=3, archive=5, truncation=0.5)
    sizes = {path.stem: Image.open(path).size for path in tmp_path.glob("*.png")}
    rows = {f"interpolation_{name}": (5 * 16, 2 * 16) for name in ("latents", "classes", "both")}
    assert sizes == {"samples": (4 * 16, 3 * 16)} | rows
    network = load_class_generator(source).network
    with np.load(tmp_path / "samples.npz") as archive:
        assert archive["x"].shape == (5, 3, 16, 16)
        assert archive["x"].dtype == np.uint8
        latents, classes = draw(network, 5, 3, truncation=0.5)
        assert archive["y"].tolist() == classes.tolist()
        with torch.no_grad():
            assert np.array_equal(archive["x"], to_uint8(network(latents, classes)).numpy())
    latents, classes = draw(network, 2, 1, truncation=0.5)
    with torch.no_grad():
        first = to_uint8(network(latents, classes))[0].permute(1, 2, 0).numpy()
    shown = np.asarray(Image.open(tmp_path / "interpolation_both.png"))
    assert np.abs(shown[:16, :16].astype(int) - first).max() <= 1  # its ends are plain samples


def test_classes_by_name_and_a_dry_run(source, tmp_path):
    sample(source, tmp_path / "x", context(), classes=["sphere", "0"], columns=2, interpolations=0)
    assert Image.open(tmp_path / "x" / "samples.png").size == (32, 32)
    sample(source, tmp_path / "y", context(dry_run=True))
    assert not (tmp_path / "y").exists()
    with pytest.raises(
        ClassNetworkError, match=r"found class 'sfere', expected one of 3 classes; did you mean 'sphere'"
    ):
        sample(source, tmp_path, context(), classes=["sfere"])
    with pytest.raises(ClassSamplesError, match="without classes"):
        sample(GeneratorSource(shipped="progan_world"), tmp_path, context())


def test_truncation_curve(source, class_runs, tmp_path):
    file = tmp_path / "curve.csv"
    arguments = {"images": 12, "metrics": FEW, "truncations": [0.5, None]}
    truncation_curve(source, class_runs / "data", FEATURES, file, context(), **arguments)
    rows = list(csv.DictReader(file.open()))
    assert [row["truncation"] for row in rows] == ["0.5", ""]
    assert all(float(row["fid"]) > 0 and row["kid"] for row in rows)
    with pytest.raises(ClassSamplesError, match=r"truncations: found 0\.01, expected at least 0\.05"):
        truncation_curve(source, class_runs / "data", FEATURES, file, context(), truncations=[0.01])


def test_scores_of_a_generator_beside_real_images(source, class_runs, tmp_path):
    torch.manual_seed(0)
    arguments = {"classifier": class_runs / "classifier", "words": ["shape"], "images": 12, "metrics": FEW}
    segmenter = AttributeSegmenter(SmallSegmenter((4, 4, 4)), 16).eval()
    run = RunSettings(folder=tmp_path, name="scores")
    features = {"random": FEATURES}
    score({"tiny": source}, class_runs / "data", features, context(), segmenter, run=run, **arguments)
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text(encoding="utf-8"))
    assert {"tiny/kid_random", "tiny/class_agrees", "tiny/segmenter_sure", "real images/shape_agrees"} <= metrics.keys()
    assert metrics["tiny/class_agrees"] == metrics["tiny/shape_agrees"]
    assert (tmp_path / "scores" / "report.html").is_file()
    with pytest.raises(UserError, match=r"words: found \['a', 'b'\], but a class is named 'cube'"):
        arguments["words"] = ["a", "b"]
        score({"tiny": source}, class_runs / "data", features, context(), run=run, **arguments)
    with pytest.raises(UserError, match=r"generators\.old makes images of 64 pixels, .* has 16"):
        old = {"old": GeneratorSource(shipped="progan_world")}
        score(old, class_runs / "data", features, context(), run=RunSettings(folder=tmp_path, name="other"), images=12)


def test_agreement_counts_classes_and_words():
    """Asked for red cube, red ball, blue cube; seen red cube, red cube, red ball."""
    names = ["red cube", "red ball", "blue cube", "blue ball"]
    judge = torch.nn.Linear(1, 1)
    judge.forward = lambda _: torch.nn.functional.one_hot(torch.tensor([0, 0, 1]), 4).float()
    one = Images(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    found = agreement(one, judge, names, ["colour", "shape"], batch_size=3)
    assert found == pytest.approx({"class_agrees": 1 / 3, "colour_agrees": 2 / 3, "shape_agrees": 1 / 3})


def test_the_shipped_segmenter_is_sure_of_renders_and_sees_nothing_in_grey():
    from datasets.world.class_images import ClassWorld
    from models.segmenter.file import load_segmenter

    segmenter = load_segmenter()
    images, _ = ClassWorld(None, images=8).make("train", range(8))
    found = confident(torch.from_numpy(images).permute(0, 3, 1, 2), segmenter, least=0.5)
    assert found["segmenter_sure"] >= 0.75
    assert found["no_object"] == 0
    grey = confident(torch.full((2, 3, 64, 64), 128, dtype=torch.uint8), segmenter, least=0.7)
    assert grey["segmenter_sure"] == 0


def test_settling_gives_statistics_of_what_is_generated():
    torch.manual_seed(0)
    generator = BigganGenerator([8, 8], latent_dim=4, num_classes=2, class_dim=4).eval()
    before = generator.output.norm.running_var.clone()
    settle(generator, batches=3, size=8, truncation=1.0)
    settled = generator.output.norm.running_var.clone()
    assert not torch.equal(settled, before)
    settle(generator, batches=3, size=8, truncation=0.1)
    assert not torch.equal(generator.output.norm.running_var, settled)
    assert not generator.training


def test_what_is_no_run_of_classes(class_runs, tmp_path):
    with pytest.raises(ClassNetworkError, match="there is no generator at"):
        load_network(tmp_path, "generator")
    with pytest.raises(ClassNetworkError, match="describes classifier, expected generator"):
        load_network(class_runs / "classifier", "generator")
    (tmp_path / "model.json").write_text('{"networks": []}')
    with pytest.raises(ClassNetworkError, match="does not describe networks with classes"):
        load_network(tmp_path, "generator")
    odd = {"networks": {"generator": {"type": "builtins.eval"}}, "classes": ["a"]}
    (tmp_path / "model.json").write_text(json.dumps(odd))
    with pytest.raises(ClassNetworkError, match="what this version of the project does not build"):
        load_network(tmp_path, "generator")

"""The job that judges concepts: tables of every method and judge, compositions, transfer; the judge's training."""

import json

import pytest
import torch

import config
from gan.directions.directions import DirectionError
from gan.directions.distillation import Vocabulary
from gan.directions.files import save_vocabularies
from gan.directions.subjects import Subjects
from models.presence import LABELS, PresenceClassifier, load_classifier, save_classifier
from models.weights import WeightsError
from run import main
from tasks.visual_vocab.evaluate import Looker
from tasks.visual_vocab.judge import present
from tasks.visual_vocab.judges import ClassifierJudge, SegmenterJudge, class_by
from tests.tasks.visual_vocab.conftest import SEGMENTER, run_config

SMALL = {"latents": 5, "seeds": [0, 1], "random": 2}


def evaluate(folder, generator_node, vocabulary_file, judge_file, *overrides, **values):
    judges = {
        "segmenter": {"type": "tasks.visual_vocab.judges.SegmenterJudge", "segmenter": SEGMENTER, "least": 0.001},
        "classifier": {
            "type": "tasks.visual_vocab.judges.ClassifierJudge",
            "classifier": {"type": "models.presence.load_classifier", "path": str(judge_file)},
            "least": 0.001,
        },
    }
    asked = {
        "generator": generator_node,
        "vocabularies": {"one": str(vocabulary_file), "two": str(vocabulary_file), "three": None},
        "judges": judges,
        "settings": SMALL,
        "compositions": [["red", "cube"]],
    }
    return run_config(folder, "evaluate", asked | values, *overrides)


@pytest.fixture(scope="module")
def judge_file(tmp_path_factory):
    """A classifier with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    save_classifier(PresenceClassifier(4), path, {})
    return path


def test_every_method_and_judge_is_in_the_tables(generator_node, vocabulary_file, judge_file, tmp_path):
    assert evaluate(tmp_path, generator_node, vocabulary_file, judge_file) == 0
    figures = json.loads((tmp_path / "evaluate" / "figures.json").read_text())
    assert len(figures["effects"]) == 2 * 2 * 4  # methods, judges, words
    one = figures["effects"]["one/classifier/red"]
    assert 0 <= one["success"] <= 1
    assert figures["effects"]["two/classifier/red"] == one  # the same vocabulary
    assert {row["judge"] for row in figures["compositions"]} == {"segmenter", "classifier"}
    headings = [table["heading"] for table in figures["tables"]]
    assert headings[:3] == ["Concepts by the segmenter", "Concepts by the classifier", "Words that work"]
    metrics = json.loads((tmp_path / "evaluate" / "metrics.json").read_text())
    assert metrics["colour_words_doubled/one/segmenter"] <= 2
    assert "Two concepts at once" in (tmp_path / "evaluate" / "report.html").read_text()


def test_words_of_a_class_are_tried_on_latents_of_the_others(judge_file, tmp_path):
    """A generator of classes: each class that has words gets as many latents; random directions beside."""
    source = torch.Generator().manual_seed(2)
    words = {
        name: Vocabulary(["red"], torch.randn(1, 8, generator=source), [5], 1.0) for name in ("all", "0", "2", "cube")
    }
    path = tmp_path / "vocabulary.safetensors"
    save_vocabularies(path, words, {})
    node = {
        "type": "gan.biggan.generator.BigganGenerator",
        "widths": [8, 8, 8],
        "latent_dim": 8,
        "num_classes": 3,
        "class_dim": 4,
        "hierarchical": False,
    }
    assert evaluate(tmp_path, node, path, judge_file, compositions=[], concepts=["red"]) == 0
    tables = json.loads((tmp_path / "evaluate" / "figures.json").read_text())["tables"]
    table = next(one for one in tables if one["heading"] == "Transfer to other classes")
    assert "latents: 0 5, 2 5" in table["protocol"]  # class 1 has no words, and the generator has no class cube
    assert [row[0] for row in table["rows"]] == ["all", "0", "2", "cube", "random directions"]
    assert {len(row) for row in table["rows"]} == {4}


def test_tables_renew_a_page(generator_node, vocabulary_file, judge_file, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Written by people\n")
    values = {"compositions": [], "transfer": False, "concepts": ["red"]}
    assert evaluate(tmp_path, generator_node, vocabulary_file, judge_file, f"page={page}", **values) == 0
    text = page.read_text()
    assert text.startswith("# Written by people\n")
    assert "### Concepts by the classifier" in text


class Red:
    """A judge that knows one label and is right about it."""

    labels, categories, least = ["red"], ["colour"], 0.1

    def degrees(self, images):
        return images[:, :1].mean(dim=(2, 3)).clamp(0, 1)


class Paint(torch.nn.Module):
    """Latents (B, 2): the first is how red the image is."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, latents):
        return latents[:, :1, None, None].expand(-1, 3, 4, 4) * self.weight


def test_a_step_along_red_is_seen_in_every_latent():
    looker = Looker(Paint().eval(), {"eye": Red()}, Subjects(torch.zeros(3, 2), None), 2)
    assert looker.before["eye"].tolist() == [[0.0]] * 3
    after = looker.after(torch.tensor([0.5, 0.0]))["eye"]
    torch.testing.assert_close(after, torch.full((3, 1), 0.5))
    assert looker.after(torch.tensor([0.0, 5.0]))["eye"].sum() == 0


def test_judges_give_degrees_and_classes(judge_file):
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    segmenter = SegmenterJudge(config.build(SEGMENTER))
    shares = segmenter.degrees(images)
    assert shares.shape == (2, 16)
    assert "background" not in segmenter.labels
    assert 0 <= shares.min() <= shares.max() <= 1
    classifier = ClassifierJudge(load_classifier(judge_file))
    assert classifier.degrees(images).shape == (2, len(LABELS))
    degrees = torch.zeros(2, 16)
    degrees[1, segmenter.labels.index("sphere")] = 0.2
    assert class_by(segmenter, degrees, "shape") == ["", "sphere"]
    assert class_by(segmenter, degrees, "nothing") == ["", ""]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"concepts": ["tree"]}, "no judge knows 'tree'; expected one of blue, brown"),
        ({"concepts": ["green"]}, "there is no direction of 'green' among 4 words"),
        ({"vocabularies": {"one": None}}, "vocabularies or judges is empty, so that nothing is judged"),
        ({"generator": {"type": "gan.shipped.load"}}, "directions have 8 numbers and the generator's latents 128"),
    ],
)
def test_errors_are_one_sentence(values, message, generator_node, vocabulary_file, judge_file, tmp_path, capsys):
    assert evaluate(tmp_path, generator_node, vocabulary_file, judge_file, **values) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_dry_run_leaves_nothing(generator_node, vocabulary_file, judge_file, tmp_path):
    assert evaluate(tmp_path, generator_node, vocabulary_file, judge_file, "--dry-run") == 0
    assert not (tmp_path / "evaluate").exists()


def test_the_labels_of_an_image_are_those_of_enough_pixels():
    numbers = torch.zeros(1, 5, 16, 16, dtype=torch.int64)
    numbers[0, 0, :4, :4] = 1  # large
    numbers[0, 3, :4, :4] = 2  # red
    numbers[0, 2, 0, 0] = 1  # one pixel of a cube: noise
    shown = present(numbers)[0]
    assert [label for label, there in zip(LABELS, shown, strict=True) if there] == ["large", "red"]


def test_a_classifier_is_trained_and_read_again(tmp_path):
    small = [
        "data.train_scenes=8",
        "data.validation_scenes=4",
        "data.test_scenes=4",
        "data.batch_size=4",
        "data.size=32",
    ]
    arguments = ["-f", "visual_vocab/judge.yaml", f"run.folder={tmp_path}", "run.name=judge", "trainer.epochs=1"]
    assert main([*arguments, *small, "task.classifier.width=4"]) == 0
    found = load_classifier(tmp_path / "judge" / "judge.safetensors")
    assert found(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    metrics = json.loads((tmp_path / "judge" / "metrics.json").read_text())
    assert set(metrics) >= {"accuracy", "accuracy_colour", "accuracy_shape"}


def test_a_card_of_something_else_is_one_sentence(judge_file, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(judge_file.read_bytes())
    path.with_suffix(".json").write_text("[]")
    with pytest.raises(WeightsError, match="does not describe a classifier of 16 labels"):
        load_classifier(path)


def test_directions_of_another_generator_are_refused(vocabulary_file, small_generator):
    from gan.directions.files import load_vocabularies
    from tasks.visual_vocab.mover import Mover

    with pytest.raises(DirectionError, match="directions of words have 8 numbers and the generator's latents 2"):
        Mover(Paint(), load_vocabularies(vocabulary_file)[0])

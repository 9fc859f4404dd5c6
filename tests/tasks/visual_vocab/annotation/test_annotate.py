"""Annotations by a program and by people: the published layout, agreement, bad input in one sentence."""

import csv
import json

import pytest
import torch

from gan import shipped
from gan.directions.directions import DirectionError
from gan.directions.files import load_directions
from published.visual_vocab.data_sets import AnnotatedDirectionsDataset
from tasks.visual_vocab.annotation.annotator import WorldAnnotator
from tasks.visual_vocab.annotation.pairs import ShownPairs
from tests.tasks.visual_vocab.conftest import run_config


def people(path, *rows):
    """Write a CSV of annotations."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("d_id", "annotation", "annotator"), *rows])
    return path


def annotate(folder, generator_node, directions_file, *overrides, **values):
    asked = {
        "generator": generator_node,
        "directions": str(directions_file),
        "latents": 2,
        "annotator": None,
        "both_ways": False,
    }
    return run_config(folder, "annotate", asked | values, *overrides)


def test_texts_of_people_become_a_data_set_with_their_agreement(generator_node, directions_file, tmp_path):
    texts = people(
        tmp_path / "a.csv", (0, "more red", "Ada"), (0, "more red", "Ben"), (3, "less sky", "Ada"), (3, "a cube", "Ben")
    )
    assert annotate(tmp_path, generator_node, directions_file, imports=[str(texts)]) == 0
    folder = tmp_path / "annotate" / "data_set"
    data = AnnotatedDirectionsDataset(folder)
    assert len(data) == 12  # six directions at two latents
    assert data[0].annotations == ("more red", "more red")
    assert data.annotators[3] == ("Ada", "Ben")
    assert torch.equal(data[0].direction, data[1].direction)  # of two latents
    assert data.metadata[3] == {
        "d_id": "3",
        "latent": "3",
        "direction": "1",
        "way": "along",
        "layer": "layer1",
        "alpha": "6",
        "class": "",
    }
    metrics = json.loads((tmp_path / "annotate" / "metrics.json").read_text())
    assert metrics["annotators"] == 2
    assert metrics["agreement/word_overlap"] == 0.5  # all words of one pair, none of the other
    assert "agreement/word_overlap_of_chance" in metrics
    assert "word overlap" in (tmp_path / "annotate" / "report.html").read_text()


class Dark:
    """Says which images become darker."""

    name = "dark"

    def annotate(self, before, after):
        less = (after.mean(dim=(1, 2, 3)) < before.mean(dim=(1, 2, 3))).tolist()
        return [("kind", "darker" if one else "") for one in less]


def test_a_program_annotates_every_pair(small_generator, directions_file):
    pairs = ShownPairs(load_directions(directions_file)[0], 2, small_generator)
    assert [(p.latent, p.direction) for p in pairs.pairs[:5]] == [(0, 0), (1, 0), (2, 1), (3, 1), (0, 2)]
    before, after = pairs.images([4, 5], 6.0)
    found = load_directions(directions_file)[0]
    torch.testing.assert_close(before[:1], small_generator(found.latents[:1]).detach())
    moved = found.latents[:1] + 6 * found.directions.vectors[0, 2]
    torch.testing.assert_close(after[:1], small_generator(moved).detach())
    assert len(Dark().annotate(before, after)) == 2
    both = ShownPairs(found, 2, small_generator, both_ways=True)
    assert len(both) == 24
    torch.testing.assert_close(both.vectors([13]), -both.vectors([1]))
    against = found.latents[1:2] - 6 * found.directions.vectors[0, 0]
    torch.testing.assert_close(both.images([13], 6.0)[1], small_generator(against).detach())


def test_the_world_is_annotated_by_its_segmenter():
    """On the shipped generator, whose images the segmenter knows: an object's colour is named when it changes."""
    from models.segmenter.file import load_segmenter

    generator = shipped.load()
    annotator = WorldAnnotator(load_segmenter())
    with torch.no_grad():
        images = generator(torch.randn(12, 128, generator=torch.Generator().manual_seed(0)))
    said = annotator.annotate(images[:6], images[6:])
    assert sum("more" in text for _, text in said) >= 4
    assert all(kind in ("cube", "sphere", "cylinder", "") for kind, _ in said)
    assert all(text == "" for _, text in annotator.annotate(images, images))


def test_a_dry_run_leaves_nothing(generator_node, directions_file, tmp_path):
    texts = people(tmp_path / "a.csv", (0, "more red", "Ada"))
    assert annotate(tmp_path, generator_node, directions_file, "--dry-run", imports=[str(texts)]) == 0
    assert not (tmp_path / "annotate").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"d_id,annotation\n0,\n1, \n", "holds no annotation; expected a text in its column 'annotation'"),
        (b"d_id,annotation\n", "holds no annotation"),
        (b"number,text\n0,red\n", "has the columns number, text; expected d_id, annotation too"),
        ("d_id,annotation\n0,café\n".encode("latin-1"), "is no CSV in UTF-8"),
        (b"d_id,annotation\n99,red\n", "annotates d_id 99, but ds.pth has 0 to 11"),
        (b"d_id,annotation\nx,red\n", "d_id 'x' is no whole number"),
        (b"d_id,annotation\n0,red,more\n", "expected 2 fields, as in its first line"),
    ],
)
def test_bad_csvs_are_one_sentence(content, message, generator_node, directions_file, tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    assert annotate(tmp_path, generator_node, directions_file, imports=[str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_other_bad_input_is_one_sentence(generator_node, directions_file, tmp_path, capsys):
    assert annotate(tmp_path, generator_node, directions_file) == 2
    assert "nobody annotates; give one of them" in capsys.readouterr().err
    texts = people(tmp_path / "a.csv", (0, "more red", "Ada"))
    assert annotate(tmp_path, generator_node, directions_file, imports=[str(texts)], latents=9) == 2
    assert "are to be shown at 9 latents, but the file has 4" in capsys.readouterr().err
    assert annotate(tmp_path, {"type": "gan.shipped.load"}, directions_file, imports=[str(texts)]) == 2
    assert "the directions have 8 numbers and the generator's latents 128" in capsys.readouterr().err
    assert annotate(tmp_path, generator_node, tmp_path / "none.safetensors", imports=[str(texts)]) == 2
    assert "There is no weight file" in capsys.readouterr().err


def test_classes_of_directions_must_be_the_generators(directions_file):
    from gan.biggan.generator import BigganGenerator

    found = load_directions(directions_file)[0]
    generator = BigganGenerator([4, 4], latent_dim=8, num_classes=2, class_dim=2).eval()
    with pytest.raises(DirectionError, match="found for a generator with classes, or this one has some"):
        ShownPairs(found, 1, generator)
    with pytest.raises(DirectionError, match="classes go beyond the 2 of this generator"):
        ShownPairs(found._replace(classes=torch.tensor([0, 1, 2, 0])), 1, generator)
    pairs = ShownPairs(found._replace(classes=torch.tensor([0, 1, 1, 0])), 2, generator)
    assert pairs.metadata(1, 6.0)["class"] == "1"
    assert pairs.images([0, 1], 6.0)[1].shape == (2, 3, 8, 8)


def test_annotations_of_other_pairs_are_not_taken_for_these(generator_node, directions_file, tmp_path, capsys):
    """The same directions at one latent each have other rows than at two."""
    texts = people(tmp_path / "a.csv", (3, "more red", "Ada"))
    assert annotate(tmp_path, generator_node, directions_file, imports=[str(texts)], latents=1) == 0
    there = str(tmp_path / "annotate" / "data_set" / "annotations.csv")
    again = ["run.name=again", "run.resume=overwrite"]
    assert annotate(tmp_path, generator_node, directions_file, *again, imports=[there], latents=1) == 0
    assert annotate(tmp_path, generator_node, directions_file, *again, imports=[there], latents=2) == 2
    assert "d_id 3 is another direction there than here" in capsys.readouterr().err

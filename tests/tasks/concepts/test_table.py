"""The job of the table: its files, what a stopped command keeps, its page of docs, and its errors."""

import csv
import json

import pytest
import torch

import config
from engine.context import Context
from engine.run_folder import RunSettings
from gan import shipped
from gan.directions.distillation import Vocabulary
from gan.directions.files import save_vocabularies
from gan.progan.generator import ProganGenerator
from run import main
from tasks.concepts.finding import Finding, Fit
from tasks.concepts.table import ConceptsTableError, concepts_table

NAN = float("nan")


class Known:
    """A part that knows red and cube, and counts how often it is asked."""

    title, fit_name, effect_name = "known part", "F1", "vanishes"

    def __init__(self):
        self.asked = 0

    def protocol(self):
        return "counted by hand"

    def measure(self, words, seeds, dry_run):
        self.asked += 1
        found = {
            "red": Finding("code 5", Fit(0.9, 0.1), [0.8, 0.6], [0.1, 0.1], 20),
            "cube": Finding("code <7>", Fit(0.5, NAN), [NAN, NAN], [NAN, NAN], 0),
        }
        return {word: found[word] for word in words if word in found}


@pytest.fixture
def context(tmp_path):
    values = {"parts": {"one": {"type": "known"}}, "seed": 0, "run": {"name": "table"}}
    made = Context("concepts", values, ["run.py", "-f", "concepts.yaml"])
    made.settings = RunSettings(folder=tmp_path, name="table")
    return made


def run(context, part, **settings):
    concepts_table({"one": part, "none": None}, context, seeds=[0, 1], run=context.settings, **settings)


def test_files_page_and_what_is_kept(context, tmp_path):
    part, page = Known(), tmp_path / "page.md"
    page.write_text("# By people\n")
    run(context, part, page=page)
    folder = tmp_path / "table"
    rows = list(csv.DictReader((folder / "concepts.csv").open()))
    assert [(row["word"], row["kind"], row["causes"]) for row in rows] == [
        ("red", "colour", "1"),
        ("cube", "shape", "0"),
    ]
    assert (rows[0]["effect"], rows[0]["control"], rows[0]["fit"]) == ("0.7000", "0.1000", "0.9000")
    kept = json.loads((folder / "concepts.json").read_text())
    assert kept["words"]["red"]["one"]["effect"] == [0.8, 0.6]
    assert kept["words"]["cube"]["one"]["effect"] == [None, None]
    assert kept["parts"]["one"]["protocol"] == "Counted by hand"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["one/effect"], metrics["one/causes"], metrics["one/words"]) == (pytest.approx(0.7), 1, 1)
    html = (folder / "report.html").read_text()
    assert "code &lt;7&gt;" in html
    assert "70 ± 14 %" in html
    text = page.read_text()
    assert "| red | 70 % / 10 % ✓ |" in text
    assert "| red | code 5 | 0.90 | 0.10 | 70 % ± 14 % ✓ | 10 % ± 0 % | 20 |" in text
    assert "| known part | 1 of 1 | 0 of 1 | – | – |" in text
    run(context, part)
    assert part.asked == 1  # the file of the part was there
    run(context, part, words=["red"])
    assert part.asked == 2  # but not for other words


def test_nothing_to_ask_is_one_sentence(context):
    with pytest.raises(ConceptsTableError, match="every part is null"):
        concepts_table({"one": None}, context, run=context.settings)
    with pytest.raises(ConceptsTableError, match="no part knows any of tree; expected words such as red or cube"):
        run(context, Known(), words=["tree"])


@pytest.fixture
def tiny(tmp_path):
    """The config with units and directions of a generator of 16 pixels with random weights, in a folder."""
    torch.manual_seed(0)
    shipped.save(ProganGenerator(8, [12, 8, 6]), "small", {}, tmp_path)
    words = ["red", "larger", "cube"]
    path = tmp_path / "vocabulary.safetensors"
    save_vocabularies(path, {"all": Vocabulary(words, torch.randn(3, 8), [3, 2, 1], 1.0)}, {})
    values = config.load("concepts.yaml").values
    generator = {"type": "gan.shipped.load", "name": "small", "folder": str(tmp_path)}
    parts = values["parts"]
    parts["units"] |= {"generator": generator, "layer": "layer2", "number": 2, "samples": 4, "latents": 6, "cases": 2}
    parts["direction"] |= {"generator": generator, "vocabulary": str(path), "latents": 5}
    values["parts"] = {"units": parts["units"], "direction": parts["direction"]}
    (tmp_path / "concepts.yaml").write_text(config.dump(values))
    return tmp_path


def command(tiny, *overrides):
    return main(["-f", str(tiny / "concepts.yaml"), f"run.folder={tiny / 'runs'}", "run.name=table", *overrides])


def test_the_config_runs_on_a_small_generator(tiny):
    assert command(tiny, "--dry-run") == 0
    assert not (tiny / "runs").exists()
    assert command(tiny) == 0
    words = json.loads((tiny / "runs" / "table" / "concepts.json").read_text())["words"]
    assert {word for word, parts in words.items() if "direction" in parts} == {"red", "large", "cube"}
    assert words["large"]["direction"]["what"] == '"larger"'
    assert words["red"]["direction"]["cases"] == 15
    assert words["red"]["units"]["what"].startswith("2 of 12 units of layer2")


def test_directions_of_another_generator_are_refused(tiny, capsys):
    assert command(tiny, "parts.direction.vocabulary=gan/directions/shipped/progan_world.safetensors") == 2
    assert "directions have 128 numbers and the generator's latents 8" in capsys.readouterr().err

"""The notebooks run from start to finish, on models and data of the tests."""

import json
from pathlib import Path

import nbclient
import nbformat
from traitlets.config import Config

import config
from datasets.world.build import ensure_world
from datasets.world.settings import World
from evaluation.word_detection.detect import STOP_WORDS
from tests.tasks.resdavenet_vq.conftest import write_run

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def run_notebook(name, folder, sockets, **parameters):
    """Execute a notebook in ``folder`` with other values for its parameters, as papermill does.

    Args:
        name: of the notebook.
        folder: where it runs.
        sockets: folder for the kernel's sockets; a short path.
        **parameters: values instead of its own.
    """
    book = nbformat.read(NOTEBOOKS / name, as_version=4)
    place = next(n for n, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", []))
    values = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    book.cells.insert(place + 1, nbformat.v4.new_code_cell(values))
    client = nbclient.NotebookClient(
        book,
        timeout=300,
        startup_timeout=300,
        resources={"metadata": {"path": str(folder)}},
        config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),  # no open ports
    )
    client.execute()
    return [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]


def test_units(tmp_path):
    """With phones, on a small world; one of the models is the one that the notebook itself names."""
    world = World(tmp_path / "world", 3, size=16, speakers=1, splits=(0.0, 0.0, 1.0), workers=1)
    manifest = ensure_world(world) / "places" / "test.json"
    models = {
        "shipped": {"run": "models/shipped/resdavenet_vq_world.json"},
        "other": {"run": str(write_run(tmp_path / "other"))},
    }
    word = json.loads(manifest.read_text())["data"][0]["text_alignment"].split("__")[1]
    values = {"MODELS": models, "MANIFEST": str(manifest), "KEYWORD": word, "LAYERS": ["quant3"]}
    outputs = run_notebook("units.ipynb", NOTEBOOKS, tmp_path, **values)
    printed = "".join(output.get("text", "") for output in outputs)
    assert "3 utterances, shipped, other: quant3" in printed
    assert "shipped quant3: " in printed
    assert "other quant3: " in printed
    assert f"{word}: 0 times" not in printed
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") >= 4  # an utterance, its second, an occurrence, the comparison
    assert shown.count("text/html") >= 3  # sounds


def test_the_notebook_of_units_begins_as_its_report():
    book = nbformat.read(NOTEBOOKS / "units.ipynb", as_version=4)
    own: dict = {}
    exec(next(cell.source for cell in book.cells if "parameters" in cell.metadata.get("tags", [])), own)
    report = config.load("resdavenet_vq/units.yaml", []).values
    assert own["MODELS"] == report["models"]
    assert own["MANIFEST"] == report["data"]["manifest"]
    words = [*STOP_WORDS, *own["MORE_STOP_WORDS"]]
    world = config.load("resdavenet_vq/word_detection_world.yaml", []).values
    assert words == report["rules"]["stop_words"] == world["rules"]["stop_words"]


def test_visual_vocab(tmp_path):
    """At a small size: directions, what they change, words, one concept against a random step."""
    values = {"DIRECTIONS": 24, "MIN_COUNT": 2, "LATENTS": 6, "CONCEPT": "red"}
    outputs = run_notebook("visual_vocab.ipynb", NOTEBOOKS, tmp_path, **values)
    printed = "".join(output.get("text", "") for output in outputs)
    assert "of 24 pairs have a text" in printed
    assert printed.count("red appears or grows in") == 2
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") == 2


def test_notebooks_are_kept_without_outputs():
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name

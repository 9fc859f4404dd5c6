"""The notebooks run from start to finish, on models and data of the tests."""

import json
from pathlib import Path

import nbclient
import nbformat
from traitlets.config import Config

from tests.tasks.units.conftest import write_run

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def run_notebook(name, folder, sockets, **parameters):
    """Execute a notebook in ``folder`` with other values for its parameters, as papermill does.

    Args:
        name: of the notebook.
        folder: where it runs.
        sockets: folder for the kernel's sockets; a short path.
        **parameters: values in place of its own.
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


def test_units(tmp_path, assets):
    models = {name: {"run": str(write_run(tmp_path / name))} for name in ("one", "two")}
    manifest = assets / "formats" / "places" / "metadata.json"
    word = json.loads(manifest.read_text())["data"][0]["text_alignment"].split("__")[1]
    outputs = run_notebook(
        "units.ipynb",
        NOTEBOOKS,
        tmp_path,
        MODELS=models,
        MANIFEST=str(manifest),
        PHONES=False,
        KEYWORD=word,
        LAYERS=["quant3"],
    )
    printed = "".join(output.get("text", "") for output in outputs)
    assert "3 utterances, one, two: quant3" in printed
    assert "one quant3: " in printed
    assert "two quant3: " in printed
    assert f"{word}: 0 times" not in printed
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") >= 4  # an utterance, its second, an occurrence, the comparison
    assert shown.count("text/html") >= 3  # sounds


def test_notebooks_are_kept_without_outputs():
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name

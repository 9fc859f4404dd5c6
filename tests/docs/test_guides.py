"""The examples of docs/ and README.md run: their blocks in a temporary folder, in the order of the page.

A Python block whose first line is ``# folder/file.py`` adds that file to the project (for the test only); others are
run as a script. A YAML block whose first line is ``# name.yaml`` becomes that file. Of a bash block the lines
``export NAME=value`` and ``python run.py ...`` are run, the latter with the run folder below the temporary one, and
only where it takes a config of the page or files of tests/assets: others need hours or data that are not here.
"""

import importlib
import re
import shlex
import sys
import types
from pathlib import Path

import pytest
import torch

import run

ROOT = Path(__file__).resolve().parents[2]
GUIDES = {  # and what they promise to leave
    "python": [],
    "own_recordings": ["runs/own/report.html"],
    "own_captions": ["runs/own_captions/report.html", "own_images/vocabulary.json"],
    "own_classes": ["runs/own_generator/samples.png", "runs/own_generator/metrics.json"],
    "places": ["runs/places_try/report.html", "hdf5/metadata.json"],
    "add_a_loss": ["runs/smooth/metrics.json"],
    "add_a_task": ["runs/mean_colour/metrics.json"],
    "add_a_dataset": ["runs/from_csv/metrics.json"],
    "add_a_generator": [],
}
SYSTEMS = (
    "words_by_drawing",
    "resdavenet_vq",
    "attngan",
    "attngan_serve",
    "attngan_metrics",
    "attngan_zero_shot",
    "visual_vocab",
    "class_generators",
    "lattegan",
)
LONGEST = 20  # lines of each of a system's scripts


def blocks(page):
    """Yield (language, text) of the fenced blocks of a page below the root, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


@pytest.fixture
def project(monkeypatch):
    """A function that adds a file to the project; what it adds is gone after the test."""
    added = []

    def add(path, source):
        name = path.removesuffix(".py").replace("/", ".")
        if (ROOT / path).is_file():
            found = importlib.import_module(name)
            added.append((found, set(vars(found))))
        else:
            if not (ROOT / path).parent.is_dir():
                package = types.ModuleType(name.rpartition(".")[0])
                monkeypatch.setitem(sys.modules, package.__name__, package)
            found = types.ModuleType(name)
            monkeypatch.setitem(sys.modules, name, found)
        exec(compile(source, path, "exec"), vars(found))

    yield add
    for module, names in added:
        for name in set(vars(module)) - names:
            delattr(module, name)


@pytest.fixture
def play(project, tmp_path, monkeypatch):
    """A function that runs the blocks of a page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py"])

    def play(page):
        names = {"__name__": "__main__"}
        with torch.random.fork_rng():
            for language, text in blocks(page):
                first = text.split("\n", 1)[0]
                if language == "python" and re.fullmatch(r"# [\w/]+\.py", first):
                    project(first[2:], text)
                elif language == "python":
                    exec(compile(text, page, "exec"), names)
                elif language == "yaml" and re.fullmatch(r"# \w+\.yaml", first):
                    (tmp_path / first[2:]).write_text(text, encoding="utf-8")
                elif language == "bash":
                    commands(text)
        return names

    def commands(text):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                name, value = words[1].split("=", 1)
                monkeypatch.setenv(name, value.replace("$PWD", str(tmp_path)))
            elif words[:3] == ["python", "run.py", "-f"] and (tmp_path / words[3]).is_file():
                call(line, words[2:], f"run.folder={tmp_path}/runs")
            elif words[:3] == ["python", "run.py", "-f"] and "tests/assets" in line:
                call(line, words[2:])

    def call(line, *arguments):
        given = [word.replace("$PWD", str(tmp_path)) for word in [*arguments[0], *arguments[1:]]]
        assert run.main(given) == 0, line

    return play


@pytest.mark.parametrize(("name", "left"), GUIDES.items())
def test_guides_run(play, tmp_path, name, left):
    play(f"docs/guides/{name}.md")
    assert all((tmp_path / path).is_file() for path in left)


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_run(play, name, capsys):
    page = f"docs/systems/{name}.md"
    scripts = [text for language, text in blocks(page) if language == "python"]
    assert scripts
    for script in scripts:
        body = [line for line in script.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(body) <= LONGEST
    play(page)
    assert capsys.readouterr().out


def test_the_lines_of_python_in_the_readme_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    scripts = [text for language, text in blocks("README.md") if language == "python"]
    names = {}
    exec(compile(scripts[0], "README.md", "exec"), names)
    assert len(scripts) == 1
    assert names["units"][0].start == 0.0
    assert names["embedding"].shape == (256,)
    assert names["image"].shape == (64, 64, 3)
    assert names["cubes"].shape == (64, 64)
    assert len([line for line in scripts[0].splitlines() if line.strip()]) <= 12

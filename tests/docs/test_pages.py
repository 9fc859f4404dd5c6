"""The pages of docs/ and README.md: links lead somewhere, configs exist, the reference is of today."""

import re
from pathlib import Path

import pytest
import yaml

import config
from config.load import CONFIG_FOLDER
from scripts.config_reference import OUTPUT, anchor, reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDERS = (
    "app|benchmarks|common|config|datasets|docs|engine|evaluation|gan|models|notebooks|published|scripts|tasks|tests"
)
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md"))]
MOST = 8192  # bytes of README.md
LARGEST_IMAGE = 300_000  # bytes
OWN = re.compile(r"^```yaml\n# (\w+\.yaml)$", re.MULTILINE)  # what a guide's reader writes
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def prose(text):
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    """Return what can be linked to within a page."""
    return {anchor(head.strip().replace(" ", "-")) for head in re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= MOST


def test_the_image_is_small():
    assert (DOCS / "image.png").stat().st_size <= LARGEST_IMAGE


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page):
    dead = []
    for target in LINK.findall(prose(read(page))):
        path, _, place = target.partition("#")
        if path.startswith(("http://", "https://")):
            continue
        found = (ROOT / page).parent / path if path else ROOT / page
        if not found.is_file() or (place and place not in anchors(found.read_text(encoding="utf-8"))):
            dead.append(target)
    assert not dead


def configs_of(text):
    """Yield what a page names as a config: after ``run.py -f``, or as a path that ends in .yaml."""
    yield from re.findall(r"run\.py -f ([\w/.]+)", text)
    yield from re.findall(r"`(?:config_files/)?([\w/]+\.yaml)\b", text)
    yield from re.findall(r"extends: ([\w/]+\.yaml)", text)


@pytest.mark.parametrize("page", [page for page in PAGES if ROOT / page != OUTPUT])
def test_configs_that_a_page_names_exist(page):
    text = read(page)
    own = set(OWN.findall(text))
    rooms = [folder for folder in (CONFIG_FOLDER, *CONFIG_FOLDER.iterdir()) if folder.is_dir()]
    missing = [
        name
        for name in configs_of(text)
        if name not in own and name != "X" and not any((room / name).is_file() for room in rooms)
    ]
    assert not missing


def test_configs_that_code_and_configs_name_exist():
    """Of what follows ``run.py -f`` in docstrings, comments and messages."""
    sources = [*ROOT.glob("*.py"), *CONFIG_FOLDER.rglob("*.yaml")]
    sources += [path for folder in FOLDERS.split("|") if folder != "tests" for path in (ROOT / folder).rglob("*.py")]
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources
        for name in re.findall(r"run\.py -f ([\w/]+\.yaml)", path.read_text(encoding="utf-8"))
        if not (CONFIG_FOLDER / name).is_file()
    }
    assert not missing


def test_a_config_that_is_not_there_is_found():
    names = "`python run.py -f nowhere.yaml`, `config_files/gan/none.yaml`, extends: gone.yaml"
    assert list(configs_of(names)) == ["nowhere.yaml", "gan/none.yaml", "gone.yaml"]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    """Of what stands in backticks and begins with a folder of the project."""
    named = re.findall(rf"`((?:{FOLDERS})/[\w/.]+\.(?:py|sh|json|ipynb))`", prose(read(page)))
    examples = re.findall(r"^# ([\w/]+\.py)$", read(page), re.MULTILINE)
    invented = ("sixth", "NAME", *(name.rpartition("/")[0] for name in examples))
    missing = [
        name
        for name in named
        if name not in examples and not any(part in name for part in invented if part) and not (ROOT / name).is_file()
    ]
    assert not missing


def test_every_page_is_in_the_navigation():
    def leaves(item):
        if isinstance(item, str):
            yield item
        else:
            for part in item.values() if isinstance(item, dict) else item:
                yield from leaves(part)

    nav = yaml.safe_load(read("mkdocs.yml"))["nav"]
    assert sorted(leaves(nav)) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_the_reference_of_configs_is_of_today():
    stale = OUTPUT.read_text(encoding="utf-8") != reference()
    assert not stale, "docs/reference/config.md is stale: run python scripts/config_reference.py and commit it"


def test_every_key_of_a_config_has_a_meaning():
    rows = [line for line in OUTPUT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) > 500
    assert [row for row in rows if row.endswith("|  |")] == []


def test_results_say_command_and_commit():
    for page in sorted((DOCS / "results").glob("words_by_drawing_*.md")) + sorted((DOCS / "results").glob("res*.md")):
        text = page.read_text(encoding="utf-8")
        named = re.search(r"python run\.py -f ([\w/.]+)", text)
        assert named, page.name
        assert re.search(r"Commits?: [0-9a-f]{7}", text), page.name
        assert config.find(named[1]).is_file()


def test_tables_of_edited_negatives_say_of_which_region_they_are():
    for name in ("attributes", "positions"):
        page = read(f"docs/results/words_by_drawing_{name}.md")
        assert "with the published region" in page.partition("<!-- written by the comparison: begin -->")[0]

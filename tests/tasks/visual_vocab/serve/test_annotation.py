"""The page on which people annotate: its answers, what it refuses, and the page itself in a browser."""

import csv

import pytest
from fastapi.testclient import TestClient

from engine.context import Context
from engine.run_folder import RunSettings
from gan.directions.files import load_directions
from published.visual_vocab.data_sets import AnnotatedDirectionsDataset
from tasks.visual_vocab.annotation.pairs import ShownPairs
from tasks.visual_vocab.serve import annotation
from tasks.visual_vocab.serve.annotation import annotate_page, build_app
from tasks.visual_vocab.serve.records import Records
from tests.tasks.conftest import eventually


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "annotations.csv", 6)


@pytest.fixture
def app(records, directions_file, small_generator):
    return build_app(ShownPairs(load_directions(directions_file)[0], 1, small_generator), records, 6.0)


@pytest.fixture
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_several_people_write_about_pairs(client, records):
    shown = client.get("/api/pair", params={"annotator": "Ada"}).json()
    assert (shown["row"], shown["done"], shown["pairs"]) == (0, 0, 6)
    assert shown["before"].startswith("data:image/png;base64,")
    assert shown["before"] != shown["after"]
    for name in ("Ada", "Ben"):
        body = {"row": 0, "annotator": name, "text": "more red"}
        assert client.post("/api/annotations", json=body).status_code == 201
    assert client.get("/api/pair", params={"annotator": "Ada"}).json()["row"] == 1
    client.post("/api/skips", json={"row": 1, "annotator": "Ada"})
    assert client.get("/api/pair", params={"annotator": "Ada"}).json()["row"] == 2
    rows = list(csv.DictReader(records.path.open()))
    assert [row["annotator"] for row in rows] == ["Ada", "Ben"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"row": 99, "annotator": "Ada", "text": "red"}, 422, "there is no pair 99; expected 0 to 5"),
        ({"row": 0, "annotator": "Ada"}, 400, 'found no text; expected a JSON object such as {"row": 3'),
        ({"row": "../x", "annotator": "Ada", "text": "red"}, 422, "row: found '../x'"),
        ({"row": 0, "annotator": "a" * 41, "text": "red"}, 422, "annotator: found "),
        ({"row": 0, "annotator": "Ada", "text": "r" * 501}, 422, "text: found "),
        ({"row": 0, "annotator": "Ada", "text": "   "}, 422, "write what changes, and your name"),
        ({"row": 0, "annotator": "Ada", "text": "red", "path": "/etc/x"}, 422, "path: found '/etc/x'"),
        ([], 422, ""),
    ],
)
def test_what_cannot_be_kept_is_one_sentence(body, status, message, client, records):
    reply = client.post("/api/annotations", json=body)
    assert reply.status_code in (status, 400)
    assert message in reply.json()["detail"]
    assert len(records) == 0


def test_large_bodies_other_hosts_and_no_json_are_refused(client):
    assert client.post("/api/annotations", content=b"x" * 20_000).status_code == 413
    broken = client.post("/api/annotations", content=b"{", headers={"Content-Type": "application/json"})
    assert "the body is no JSON" in broken.json()["detail"]
    assert client.get("/api/pair?annotator=Ada", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/api/pair").status_code == 400


def test_halves_of_characters_become_signs_that_files_can_hold(client, records):
    body = '{"row": 0, "annotator": "Ada", "text": "red \\ud800"}'
    reply = client.post("/api/annotations", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (201, 400, 422)
    records.path.read_text(encoding="utf-8")


def context_of(dry_run=False):
    values = {"entry": "tasks.visual_vocab.serve.annotation.annotate_page", "port": 0}
    return Context("visual_vocab/annotate_page", values, ["run.py"], dry_run=dry_run)


def test_the_folder_is_a_data_set_and_goes_on_at_another_port(directions_file, small_generator, tmp_path, monkeypatch):
    def serve(app, host, port, context):
        with TestClient(app) as client:
            row = client.get("/api/pair", params={"annotator": "Ada"}).json()["row"]
            client.post("/api/annotations", json={"row": row, "annotator": "Ada", "text": f"pair {row}"})

    monkeypatch.setattr(annotation, "run_app", serve)
    run = RunSettings(tmp_path, "page")
    for port in (0, 8081):
        context = context_of()
        context.values["port"] = port
        annotate_page(directions_file, small_generator, context, latents=1, port=port, run=run)
    data = AnnotatedDirectionsDataset(tmp_path / "page")
    assert [data[row].annotations for row in range(3)] == [("pair 0",), ("pair 1",), ()]


def test_a_dry_run_leaves_nothing(directions_file, small_generator, tmp_path):
    annotate_page(directions_file, small_generator, context_of(True), run=RunSettings(tmp_path, "page"))
    assert list(tmp_path.iterdir()) == []


def test_the_page_in_a_browser(app, records, listening, open_page):
    with listening(app) as address:
        page = open_page(address)
        assert page.is_disabled("#send")
        page.fill("#annotator", "Ada <b>")
        page.press("#annotator", "Tab")
        eventually(page, "document.getElementById('after').naturalWidth === 16")
        page.fill("#text", "more red")
        page.click("#send")
        eventually(page, "document.getElementById('note').textContent.startsWith('pair 1')")
        page.click("#skip")
        eventually(page, "document.getElementById('note').textContent.startsWith('pair 2')")
        page.click("#send")
        page.locator("#problem:not(:empty)").wait_for()
        assert "or skip the pair" in page.inner_text("#problem")
        assert page.script_errors == []
    assert next(csv.DictReader(records.path.open()))["annotator"] == "Ada <b>"

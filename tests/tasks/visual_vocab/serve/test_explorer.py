"""The page of sliders: its answers, what it refuses, and the page itself in a browser."""

import base64
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from engine.context import Context
from gan.directions.files import load_vocabularies
from tasks.visual_vocab.mover import Mover
from tasks.visual_vocab.serve import explorer
from tasks.visual_vocab.serve.explorer import build_app, explore
from tests.tasks.conftest import eventually

UNITS = {"layer6": {"red": [0, 1, 2, 3, 4, 5], "<cube>": [1]}}


@pytest.fixture
def app(vocabulary_file, small_generator):
    return build_app(Mover(small_generator, load_vocabularies(vocabulary_file)[0]), UNITS)


@pytest.fixture
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def image(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_steps_move_the_image_and_seeds_give_it_again(client):
    still = client.post("/api/images", json={"seed": 3}).json()
    assert still["before"] == still["after"]
    assert image(still["before"]).shape == (16, 16, 3)
    moved = client.post("/api/images", json={"seed": 3, "steps": {"red": 6, "cube": -2.5}}).json()
    assert moved["before"] == still["before"]
    assert moved["after"] != moved["before"]


def test_units_are_switched_off_in_a_region(client):
    off = {
        "layer": "layer6",
        "label": "red",
        "units": 6,
        "cells": [row * 16 + column for row in range(16) for column in range(8)],
    }
    made = client.post("/api/images", json={"seed": 1, "off": off}).json()
    before, after = image(made["before"]), image(made["after"])
    assert np.array_equal(before[:, 8:], after[:, 8:])
    assert not np.array_equal(before[:, :8], after[:, :8])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"steps": {"tree": 1}}, "there is no direction of 'tree' among 4 words"),
        ({"steps": {"red": 1000}}, "steps.red: found 1000"),
        ({"seed": -1}, "seed: found -1"),
        ({"seed": 1, "of_class": "cube"}, "ProganGenerator has no classes"),
        ({"off": {"layer": "../x", "label": "red", "units": 1, "cells": []}}, "no units of layer '../x' are known"),
        ({"off": {"layer": "layer6", "label": "red", "units": 1, "cells": [256]}}, "off.cells.0: found 256"),
        ({"file": "/etc/passwd"}, "file: found '/etc/passwd'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(body, message, client):
    reply = client.post("/api/images", json=body)
    assert reply.status_code == 422
    assert message in reply.json()["detail"]


def test_large_bodies_and_other_hosts_are_refused(client):
    assert client.post("/api/images", content=b"x" * 40_000).status_code == 413
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_the_command_serves_what_its_config_names(vocabulary_file, small_generator, monkeypatch):
    served = []
    monkeypatch.setattr(explorer, "run_app", lambda *given: served.append(given))
    context = Context("visual_vocab/explore", {}, ["run.py"])
    explore(vocabulary_file, small_generator, context)
    assert served[0][1] == "127.0.0.1"
    context.dry_run = True
    explore(vocabulary_file, small_generator, context)
    assert len(served) == 1


def test_the_page_in_a_browser(app, listening, open_page):
    def settled(page):
        eventually(page, "document.getElementById('after').naturalWidth === 16")
        return page.get_attribute("#before", "src"), page.get_attribute("#after", "src")

    with listening(app) as address:
        page = open_page(address)
        before, after = settled(page)
        assert before == after
        assert page.locator("#words input").count() == 4
        page.evaluate("""() => {
            const slider = document.querySelector('[data-word="red"]');
            slider.value = 6;
            slider.dispatchEvent(new Event("input"));
        }""")
        eventually(page, "document.getElementById('after').src !== document.getElementById('before').src")
        assert page.locator("#words output").first.inner_text() == "6"
        page.click("#zero")
        eventually(page, "document.getElementById('after').src === document.getElementById('before').src")
        page.fill("#units", "6")
        box = page.locator("#region").bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 120, box["y"] + 120, steps=8)
        page.mouse.up()
        eventually(page, "document.getElementById('after').src !== document.getElementById('before').src")
        page.click("#clear")
        eventually(page, "document.getElementById('after').src === document.getElementById('before').src")
        with page.expect_download() as saved:
            page.click("#save-after")
        assert saved.value.suggested_filename == "after.png"
        page.click("#random")
        eventually(page, f"document.getElementById('before').src !== {before!r}")
        page.fill("#seed", "0")
        page.press("#seed", "Tab")
        eventually(page, f"document.getElementById('before').src === {before!r}")
        assert page.locator("#label option").all_inner_texts() == ["red", "<cube>"]
        assert page.script_errors == []

"""The page of sliders and spoken words: its answers, what it refuses, and the page itself in a browser."""

import base64
import io

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from PIL import Image

from datasets.world.speech.synthesise import Synthesiser
from datasets.world.speech.voices import voice
from engine.context import Context
from gan.directions.files import load_vocabularies
from tasks.visual_vocab.mover import Mover
from tasks.visual_vocab.serve import explorer
from tasks.visual_vocab.serve.explorer import build_app, explore
from tests.tasks.conftest import eventually
from tests.tasks.visual_vocab.speech.conftest import (
    listening_settings,  # noqa: F401  a fixture
    spoken_words,  # noqa: F401  a fixture
)

UNITS = {"layer6": {"red": [0, 1, 2, 3, 4, 5], "<cube>": [1]}}


# plays a WAV file, in base64, instead of the microphone
SPEAKER = """(sound) => {
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext(), source = context.createBufferSource();
    const bytes = Uint8Array.from(atob(sound), (one) => one.charCodeAt(0));
    source.buffer = await context.decodeAudioData(bytes.buffer);
    const end = context.createMediaStreamDestination();
    source.connect(end);
    source.start(context.currentTime + 0.3);
    return end.stream;
  };
}"""


@pytest.fixture
def app(vocabulary_file, small_generator, spoken_words):  # noqa: F811
    mover = Mover(small_generator, load_vocabularies(vocabulary_file)[0])
    return build_app(mover, UNITS, spoken=spoken_words)


@pytest.fixture(scope="module")
def said():
    """A WAV file of "cube", spoken by a voice that the encoder does not know."""
    content = io.BytesIO()
    soundfile.write(content, Synthesiser().speak("cube", voice(5)).samples, 16000, format="WAV")
    return content.getvalue()


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


def test_a_spoken_word_is_ranked(client, said):
    found = client.post("/api/speak", content=said, headers={"content-type": "audio/wav"}).json()
    assert found["word"] == found["ranking"][0]["word"] == "cube"
    assert len(found["ranking"]) == 3


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"GIF89a", 422, "the sound is no WAV file"),
        (b"", 400, "found no body"),
        (b"RIFF" + bytes(4) + b"WAVEfmt ", 422, "the sound cannot be decoded"),
        (bytes(2**21 + 1), 413, "the body has more than the 2097152 bytes that are read"),
    ],
)
def test_sounds_that_cannot_be_heard_are_one_sentence(content, status, message, client):
    reply = client.post("/api/speak", content=content, headers={"content-type": "audio/wav"})
    assert reply.status_code == status
    assert message in reply.json()["detail"]


def test_a_page_that_hears_nothing_has_no_microphone(vocabulary_file, small_generator):
    with TestClient(build_app(Mover(small_generator, load_vocabularies(vocabulary_file)[0]), UNITS)) as deaf:
        assert "Speak a concept" not in deaf.get("/").text
        assert deaf.post("/api/speak", content=b"RIFF").status_code == 404


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
        page.locator("#region").scroll_into_view_if_needed()
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


def test_a_file_and_the_microphone_move_the_slider_in_a_browser(app, listening, open_page, said):
    still, heard = "document.getElementById('after').src === document.getElementById('before').src", "#heard"
    with listening(app) as address:
        page = open_page(address)
        eventually(page, f"document.getElementById('after').naturalWidth === 16 && {still}")
        page.set_input_files("#sound", {"name": "../../etc/passwd", "mimeType": "audio/wav", "buffer": said})
        eventually(page, f"!({still})")
        assert page.input_value('[data-word="cube"]') == "6"
        assert page.locator(heard).inner_text().startswith("cube 0.")
        page.set_input_files("#sound", {"name": "text.wav", "mimeType": "audio/wav", "buffer": b"no sound"})
        eventually(page, "document.getElementById('problem').textContent.includes('is no sound that the browser')")
        page.click("#zero")
        eventually(page, still)
        page.evaluate(SPEAKER, base64.b64encode(said).decode())
        page.click("#record")
        eventually(page, f"!({still})")
        assert page.input_value('[data-word="cube"]') == "6"
        assert not page.is_disabled("#record")
        assert page.script_errors == []

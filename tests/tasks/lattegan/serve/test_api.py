"""The addresses: a scene is drawn as at the terminal, is undone and chosen in; one sentence for what cannot be."""

import base64
import io
import json
import threading
import time

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from PIL import Image

from datasets.dialogue.records import to_bytes
from tasks.lattegan.serve.api import POST
from tasks.lattegan.serve.open_scenes import BusyError, ClosedError
from tasks.lattegan.turn_by_turn.scene import Scene

FIRST, SECOND = "add a red cube", "add a blue sphere on the left of it"


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def begun(client, **given):
    reply = client.post(POST, json=given)
    assert reply.status_code == 201
    return f"{POST}/{reply.json()['id']}"


def say(client, name, text, **given):
    return client.post(f"{name}/turns", json={"instruction": text, **given})


def test_a_scene_is_drawn_undone_and_chosen_in(client, model):
    name = begun(client, seed=3)
    scene = Scene(model, 3)
    first = say(client, name, f"{FIRST}, please").json()
    assert (first["number"], first["unknown_words"], first["chosen"], first["seed"]) == (1, ["please"], 0, 3)
    assert np.array_equal(pixels(first["images"][0]), scene.say(FIRST).image)
    assert pixels(first["gate"]).shape == (64, 64, 3)
    second = say(client, name, SECOND, candidates=2, seed=9).json()
    scene.seed = 9
    expected = scene.say(SECOND, 2)
    assert [pixels(one).tolist() for one in second["images"]] == to_bytes(expected.images).tolist()
    assert second["chosen"] == expected.chosen
    other = client.put(f"{name}/turns/last", json={"chosen": 1 - expected.chosen}).json()
    assert (other["chosen"], other["images"]) == (1 - expected.chosen, second["images"])
    state = client.get(name).json()
    assert [turn["instruction"] for turn in state["turns"]] == [f"{FIRST}, please", SECOND]
    assert (state["seed"], pixels(state["background"]).shape) == (9, (64, 64, 3))
    assert len(client.delete(f"{name}/turns/last").json()["turns"]) == 1
    assert say(client, name, SECOND, candidates=2).json()["images"] == second["images"]
    assert client.delete(name).status_code == 204
    closed = client.get(name)
    assert (closed.status_code, closed.json()["detail"]) == (
        404,
        "there is no such dialogue, or it was closed: begin another one",
    )
    assert client.delete(name).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 400, "found no instruction; expected a JSON object such as"),
        ([], 400, "found a body of another type"),
        ({"instruction": ""}, 422, "found no word in ''"),
        ({"instruction": "elephants fly"}, 422, "no word of 'elephants fly' is known (elephants, fly)"),
        ({"instruction": "add " * 13}, 422, "has 13 words or parts of words, the text encoder reads 12"),
        ({"instruction": "x" * 1001}, 422, "instruction: found 'xxx"),
        ({"instruction": "\ud800"}, 422, "instruction: found '\\ud800'"),
        ({"instruction": 7}, 422, "instruction: found 7"),
        ({"instruction": FIRST, "candidates": 9}, 422, "candidates: found 9"),
        ({"instruction": FIRST, "seed": -1}, 422, "seed: found -1"),
        ({"instruction": FIRST, "file": "/etc/passwd"}, 422, "file: found '/etc/passwd'"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence_and_changes_nothing(body, status, sentence, client):
    name = begun(client, seed=4)
    headers = {"Content-Type": "application/json"}
    reply = client.post(f"{name}/turns", content=json.dumps(body), headers=headers)
    assert reply.status_code == status
    assert sentence in reply.json()["detail"]
    state = client.get(name).json()
    assert (state["turns"], state["seed"]) == ([], 4)


def test_what_is_no_request(client):
    name = begun(client)
    assert client.post(f"{name}/turns", content=b"x" * 20_000).status_code == 413
    assert client.post(f"{name}/speech", content=b"x" * 5_000_000).status_code == 413
    broken = client.post(f"{name}/turns", content=b"{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["detail"][:19]) == (400, "the body is no JSON")
    for other in ("../../etc/passwd", "0" * 32, "%2e%2e"):
        assert client.get(f"{POST}/{other}").status_code == 404
    assert "the scene is empty" in client.delete(f"{name}/turns/last").json()["detail"]
    assert client.put(f"{name}/turns/last", json={"chosen": 0}).status_code == 422
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_the_least_recently_used_dialogue_makes_room_after_a_minute(client, clock):
    first, second = begun(client), begun(client)
    refused = client.post(POST, json={})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["detail"] == "2 dialogues are open and all are in use: try again in a minute"
    clock.now = 61
    assert client.get(first).status_code == 200
    third = begun(client)
    assert [client.get(name).status_code for name in (first, second, third)] == [200, 404, 200]
    clock.now = 61 + 600
    assert client.get(third).status_code == 404
    assert client.get("/healthz").json()["open_dialogues"] == 0


def test_only_so_many_wait_for_their_turn(scenes):
    name, _ = scenes.open(0)
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with scenes.use(name):
            inside.set()
            leave.wait(20)

    def ask():
        with scenes.use(name):
            pass

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert inside.wait(20)
    for _ in range(2):
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    while scenes._waiting._value:
        time.sleep(0.01)
    with pytest.raises(BusyError, match="3 requests wait for their turn"):
        scenes.open(0)
    leave.set()
    for thread in threads:
        thread.join(20)
    with pytest.raises(ClosedError), scenes.use("x"):
        pass


def recording(seconds, volume=0.5):
    buffer = io.BytesIO()
    wave = volume * np.sin(np.arange(int(seconds * 16000)) / 10)
    soundfile.write(buffer, wave, 16000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def test_spoken_instructions(client, hearing):
    refused = client.post(f"{begun(client)}/speech", content=recording(1))
    assert (refused.status_code, refused.json()["detail"][:38]) == (422, "this model reads written instructions:")
    with TestClient(hearing, raise_server_exceptions=False) as other:
        name = begun(other)
        said = other.post(f"{name}/speech?candidates=2&seed=5", content=recording(1.0))
        assert said.status_code == 201
        turn = said.json()
        assert (turn["instruction"], turn["seed"], len(turn["images"])) == ("(spoken)", 5, 2)
        assert "the recording is silent" in other.post(f"{name}/speech", content=recording(1, 0)).json()["detail"]
        assert "the recording is no sound" in other.post(f"{name}/speech", content=b"RIFF").json()["detail"]
        assert "candidates: found '9'" in other.post(f"{name}/speech?candidates=9", content=b"").json()["detail"]
        assert "hears spoken instructions and reads none" in say(other, name, FIRST).json()["detail"]
        assert len(other.get(name).json()["turns"]) == 1

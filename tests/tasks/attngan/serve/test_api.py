"""The server's addresses: published shapes with the right images, newer answers, and one sentence for bad input."""

import io
import re
import threading
from unittest.mock import Mock

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from common.disk_space import NoRoomError
from tasks.attngan.sampling.text_to_image import Draw
from tasks.attngan.serve import messages
from tasks.attngan.serve.api import Server, build_app
from tasks.attngan.serve.image_files import ImageFiles
from tests.tasks.attngan.random_models import RESOLUTIONS, nodes_of, random_model

BIRD, BIRDS, GENERATE = (f"/api/v1.0/{name}" for name in ("bird", "birds", "generate"))
SIZES = ("small", "medium", "large")


@pytest.fixture
def model(random_text_to_image):
    return random_text_to_image


def picture(client, url):
    reply = client.get(url)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(reply.content)))


def drawn(model, answer, copy=0):
    return next(model.draw([Draw(answer["caption"], answer["seed"], 0, copy)]))


def test_the_version_is_the_published_one(client):
    assert client.get("/").text == "Version 1"


def test_a_bird_has_the_published_shape_and_the_right_images(client, model):
    reply = client.post(BIRD, json={"caption": "a Red cube, a purple bird."})
    assert reply.status_code == 201
    (bird,) = reply.json().values()
    assert list(reply.json()) == ["bird"]
    assert {"small", "medium", "large", "map1", "map2", "caption", "elapsed"} <= bird.keys()
    assert bird["caption"] == "a Red cube, a purple bird."
    assert bird["unknown_words"] == ["purple"]
    assert bird["elapsed"] > 0
    expected = drawn(model, bird)
    for name, image in zip(SIZES, expected.images, strict=True):
        np.testing.assert_array_equal(picture(client, bird[name]), image)
    for stage, name in enumerate(("map1", "map2")):
        np.testing.assert_array_equal(picture(client, bird[name]), expected.sheet(stage))


def test_six_birds_are_six_images(client, model):
    reply = client.post(BIRDS, json={"caption": "a red cube", "anything": "else"})
    assert reply.status_code == 201
    bird = reply.json()["bird"]
    assert [set(bird[f"bird{number}"]) for number in range(1, 7)] == [set(SIZES)] * 6
    for copy in range(6):
        made = drawn(model, bird, copy)
        for name, image in zip(SIZES, made.images, strict=True):
            np.testing.assert_allclose(picture(client, bird[f"bird{copy + 1}"][name]).astype(int), image, atol=1)
    assert len({client.get(bird[f"bird{number}"]["large"]).content for number in range(1, 7)}) == 6


def test_generate_answers_with_every_stage_the_attention_and_the_words(client, model):
    wanted = {"caption": "a small red cube with a big sphere and bird", "copies": 2, "seed": 5}
    reply = client.post(GENERATE, json=wanted)
    assert reply.status_code == 201
    answer = reply.json()
    assert (answer["words"], answer["unknown_words"]) == (["a", "small", "red", "cube", "with", "a"], ["big"])
    assert answer["words_left_out"] == ["sphere", "and", "bird"]
    assert answer["seed"] == 5
    for copy, image in enumerate(answer["images"]):
        made = drawn(model, answer, copy)
        assert [stage["resolution"] for stage in image["stages"]] == RESOLUTIONS
        for stage, expected in zip(image["stages"], made.images, strict=True):
            np.testing.assert_allclose(picture(client, stage["url"]).astype(int), expected, atol=1)
        assert [attention["stage"] for attention in image["attention"]] == [1, 2]
        for attention, maps in zip(image["attention"], made.attention, strict=True):
            found = picture(client, attention["url"]).reshape(maps.shape) / 255 * attention["largest"]
            np.testing.assert_allclose(found, maps, atol=attention["largest"] / 255)
            assert len(attention["best"]) == 5


def test_a_seed_gives_the_same_images_again_and_none_gives_others(client):
    def content(**wanted):
        answer = client.post(GENERATE, json={"caption": "a red cube"} | wanted).json()
        return client.get(answer["images"][0]["stages"][-1]["url"]).content

    assert content(seed=1) == content(seed=1) != content(seed=2)
    assert content() != content()


def test_models_of_one_stage_have_one_image_and_no_maps(tmp_path):
    nodes = nodes_of() | {
        "generator": {
            "type": "gan.attngan.one_stage.OneStageGenerator", "resolution": 8, "width": 2, "embedding_dim": 8,
            "noise_dim": 3,
        }
    }  # fmt: skip
    server = Server(random_model(tmp_path, nodes), ImageFiles(tmp_path / "images", 10**8), 64, 0.0)
    with TestClient(build_app(server, "one stage")) as client:
        bird = client.post(BIRD, json={"caption": "a red cube"}).json()["bird"]
        assert bird["small"] == bird["medium"] == bird["large"]
        assert bird["map1"] is bird["map2"] is None
        assert client.post(GENERATE, json={"caption": "bird"}).json()["images"][0]["attention"] == []


TOO_LARGE = b'{"caption": "' + b"a " * 5 * 10**6 + b'"}'


@pytest.mark.parametrize("path", [BIRD, BIRDS, GENERATE])
@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "found no caption; expected a JSON object such as"),
        (b"{}", 400, "found no caption; expected a JSON object such as"),
        (b"not json", 400, r"the body is no JSON \(Expecting value\); expected"),
        (b'{"caption": "\xff\xfe"}', 400, "the body cannot be read as JSON in UTF-8; expected"),
        (b"[" * 60_000, 400, "the body cannot be read as JSON in UTF-8; expected"),
        (b'["a red cube"]', 400, r"found \['a red cube'\]; expected a JSON object"),
        (b"17", 400, r"found 17; expected a JSON object"),
        (b'{"caption": 5}', 422, "caption: found 5; input should be a valid string"),
        (b'{"caption": null}', 422, "caption: found None; input should be a valid string"),
        (b'{"caption": ""}', 422, "no word of '' is among the 14 that the model knows"),
        (b'{"caption": "unheard of"}', 422, "no word of 'unheard of' is among the 14 that the model knows"),
        (b'{"caption": "\\ud800"}', 422, "."),
        (
            b'{"caption": "%s"}' % (b"red " * 251),
            422,
            r"caption: found 'red .* \.\.\.; string should have at most 1000",
        ),
        (TOO_LARGE, 413, "the body has more than the 65536 bytes that are read"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_bad_bodies_get_one_sentence(client, path, body, status, sentence):
    reply = client.post(path, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert list(reply.json()) == ["detail"]
    detail = reply.json()["detail"]
    assert re.match(sentence, detail)
    assert "\n" not in detail
    assert len(detail) < 400


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"copies": 0}, "copies: found 0; input should be greater than or equal to 1"),
        ({"copies": 17}, "copies: found 17; input should be less than or equal to 16"),
        ({"copies": "2"}, "copies: found '2'; input should be a valid integer"),
        ({"copies": True}, "copies: found True; input should be a valid integer"),
        ({"seed": -1}, "seed: found -1; input should be greater than or equal to 0"),
        ({"seed": 2**53}, "seed: found 9007199254740992; input should be less than or equal to 9007199254740991"),
        ({"sead": 1}, "sead: found 1; extra inputs are not permitted"),
    ],
)
def test_values_beyond_the_limits_are_named(client, wanted, sentence):
    reply = client.post(GENERATE, json={"caption": "a red cube"} | wanted)
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(sentence)


def test_bodies_of_another_type_are_refused(client):
    reply = client.post(BIRD, content=b'{"caption": "a red cube"}', headers={"content-type": "text/plain"})
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith("found a body of another type; expected a JSON object")


def test_a_body_without_a_declared_length_is_limited_too(client):
    reply = client.post(BIRD, content=iter([b" " * 10**5] * 30), headers={"content-type": "application/json"})
    assert reply.status_code == 413


@pytest.mark.parametrize(
    "name", ["../../secret.png", "..%2F..%2Fsecret.png", "%00.png", "a" * 32 + ".png", "secret.png"]
)
def test_no_name_of_a_request_becomes_a_path(client, tmp_path, name):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "images" / "secret.png").write_bytes(b"secret")
    reply = client.get(f"/images/{name}")
    assert reply.status_code == 404
    assert b"secret" not in reply.content


def test_addresses_that_there_are_not_get_one_sentence(client):
    assert client.get("/nothing").json() == {"detail": "Not Found"}
    assert client.get(BIRD).status_code == 405


def test_a_full_queue_is_said_and_nothing_of_the_request_is_queued(client, server, model, monkeypatch):
    let_go, begun, draw = threading.Event(), threading.Event(), model.draw

    def slow(draws):
        begun.set()
        assert let_go.wait(20)
        yield from draw(draws)

    monkeypatch.setattr(model, "draw", slow)
    first = threading.Thread(target=client.post, args=(GENERATE,), kwargs={"json": {"caption": "a red cube"}})
    first.start()
    assert begun.wait(20)
    waiting = server.worker.submit([Draw("a red cube")] * 60)
    refused = client.post(BIRDS, json={"caption": "a red cube"})
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["detail"] == "60 images are waited for and the queue holds 64: try again soon"
    assert server.worker.queued == 60
    let_go.set()
    first.join()
    assert len([future.result(20) for future in waiting]) == 60
    assert client.post(BIRDS, json={"caption": "a red cube"}).status_code == 201


def test_failures_of_the_generator_and_of_the_disk_are_answers(client, model, server, monkeypatch):
    monkeypatch.setattr(server.files, "add", Mock(side_effect=NoRoomError("no room in there")))
    reply = client.post(BIRD, json={"caption": "a red cube"})
    assert (reply.status_code, reply.json()) == (507, {"detail": "no room in there"})
    monkeypatch.setattr(model, "draw", Mock(side_effect=RuntimeError("CUDA out of memory")))
    reply = client.post(BIRD, json={"caption": "a red cube"})
    assert reply.status_code == 500
    assert reply.json() == {"detail": "the server failed (RuntimeError); its log has the reason"}
    monkeypatch.undo()
    assert client.post(BIRD, json={"caption": "a red cube"}).status_code == 201


def test_health_and_counts(client, server):
    client.post(GENERATE, json={"caption": "a red cube", "copies": 3})
    client.post(GENERATE, json={"caption": 1})
    client.get("/wp-login.php")
    health = client.get("/healthz")
    assert health.status_code == 200
    assert health.json()["status"] == "ok"
    assert health.json()["resolutions"] == RESOLUTIONS
    text = client.get("/metrics").text
    for line in (
        f'drawl_requests_total{{path="{GENERATE}",status="201"}} 1.0',
        f'drawl_requests_total{{path="{GENERATE}",status="422"}} 1.0',
        'drawl_requests_total{path="other",status="404"} 1.0',
        "drawl_batch_images_sum 3.0",
        "drawl_queued_images 0.0",
        f"drawl_file_bytes {float(server.files.bytes)}",
        f'drawl_request_seconds_count{{path="{GENERATE}"}} 2.0',
    ):
        assert line in text.splitlines()
    server.worker.close()
    assert client.get("/healthz").status_code == 503


def test_openapi_describes_every_address(client):
    found = client.get("/openapi.json").json()
    assert {"/", "/page", BIRD, BIRDS, GENERATE, "/images/{name}", "/healthz", "/metrics"} == found["paths"].keys()
    limits = found["components"]["schemas"]["Wanted"]["properties"]
    assert limits["caption"]["maxLength"] == messages.LONGEST
    assert limits["copies"]["maximum"] == messages.MOST_COPIES


def test_addresses_of_images_begin_as_the_owner_says(model, tmp_path):
    server = Server(model, ImageFiles(tmp_path, 10**8), 64, 0.0, address="https://birds.example/")
    with TestClient(build_app(server, "random")) as client:
        small = client.post(BIRD, json={"caption": "bird"}).json()["bird"]["small"]
    assert re.fullmatch(r"https://birds\.example/images/[0-9a-f]{32}\.png", small)


def test_the_page_fetches_nothing_from_elsewhere_and_shows_titles_as_text(client):
    page = client.get("/page")
    assert "random &lt;networks&gt;" in page.text
    assert "default-src 'none'; img-src data: 'self'; connect-src 'self'" in page.text
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"

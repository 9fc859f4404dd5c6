"""The command that serves: a real server over a real socket, the page in a real browser, ports, the end."""

import asyncio
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from benchmarks.serve import load
from common.errors import UserError
from config import PROJECT_ROOT
from engine.context import Context
from tasks.attngan.serve.server import serve
from tasks.attngan.trained import TextImageSource
from tests.tasks.attngan.random_models import write_random_export


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return TextImageSource(run=write_random_export(tmp_path_factory.mktemp("export") / "model.json"))


@pytest.fixture(scope="module")
def served(source, tmp_path_factory):
    """The address of a server in a process of its own, which ends cleanly at the first Ctrl-C."""
    folder = tmp_path_factory.mktemp("served")
    arguments = [f"model.run={source.run}", f"folder={folder}", "port=0"]
    process = subprocess.Popen(
        [sys.executable, "run.py", "-f", "serve/attngan.yaml", *arguments],
        cwd=PROJECT_ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    found = next((match[0] for line in process.stderr if (match := re.search(r"http://[\d.]+:\d+", line))), None)
    assert found is not None, f"the server ended with {process.wait(20)}"
    yield found
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(20) == 128 + signal.SIGINT
    assert "the same command serves again" in rest
    assert "Traceback" not in rest


def test_a_real_server_listens_here_alone_and_answers(served):
    assert served.startswith("http://127.0.0.1:")
    body = json.dumps({"caption": "a red cube"}).encode()
    request = urllib.request.Request(f"{served}/api/v1.0/bird", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        bird = json.load(reply)["bird"]
        assert reply.status == 201
    with urllib.request.urlopen(bird["large"]) as reply:
        assert reply.read().startswith(b"\x89PNG")


def test_ten_megabytes_get_their_sentence_over_a_socket(served):
    request = urllib.request.Request(f"{served}/api/v1.0/bird", bytes(10**7), {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 413
    assert json.load(caught.value)["detail"] == "the body has more than the 65536 bytes that are read"


def test_many_clients_at_once_all_get_their_images(served):
    found = asyncio.run(load(served, "/api/v1.0/generate", clients=64, requests=2))
    assert (found.requests, len(found.latencies), found.failures) == (128, 128, 0)
    with urllib.request.urlopen(f"{served}/metrics") as reply:
        text = reply.read().decode()
    batches, images = (float(re.search(rf"^drawl_batch_images_{end} (.*)$", text, re.M)[1]) for end in ("count", "sum"))
    assert images > batches  # some requests shared one


@pytest.fixture
def page(open_page, served):
    """The page in a window that may reach nothing but the server."""
    return open_page(served, "/page")


def darkness(page, stage):
    """The mean opacity, 0-255, of what lies over a stage's image."""
    return page.evaluate(
        """stage => {
            const canvas = document.querySelectorAll(".generated figure")[stage].querySelector("canvas");
            const values = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return values.reduce((sum, value, i) => i % 4 == 3 ? sum + value : sum, 0) / (values.length / 4);
        }""",
        stage,
    )


def test_a_caption_gives_every_stage_and_a_word_shows_its_attention(page):
    page.fill("#caption", "a small red cube, purple")
    page.fill("#copies", "2")
    page.fill("#seed", "4")
    page.click("#send")
    page.locator("canvas[data-ready]").nth(3).wait_for()
    assert page.locator(".generated").count() == 2
    assert page.locator(".generated").first.locator("figure").count() == 3
    assert page.evaluate("[...document.images].map(one => one.naturalWidth)") == [8, 16, 32, 8, 16, 32]
    assert page.locator(".word").all_inner_texts() == ["a", "small", "red", "cube"]
    assert page.locator("#note").inner_text().startswith("seed 4, ")
    assert "not known: purple" in page.locator("#note").inner_text()
    assert darkness(page, 1) == darkness(page, 2) == 0
    page.hover(".word:nth-child(3)")
    over = [darkness(page, stage) for stage in (1, 2)]
    assert all(0 < one < 255 for one in over)
    page.hover(".word:nth-child(4)")
    assert [darkness(page, stage) for stage in (1, 2)] != over
    page.hover("h1")
    assert darkness(page, 1) == 0
    page.click(".word:nth-child(3)")  # keeps it
    page.hover("h1")
    assert [darkness(page, stage) for stage in (1, 2)] == over
    assert page.script_errors == []


def test_problems_are_shown_as_text(page):
    page.fill("#caption", "<img src=x onerror=alert(1)>")
    page.press("#caption", "Enter")
    page.locator("#problem:not(:empty)").wait_for()
    assert "<img src=x onerror=alert(1)>" in page.locator("#problem").inner_text()
    assert page.locator("#problem img").count() == 0
    assert page.is_enabled("#send")


def context_of(**values):
    return Context("serve/attngan", {"entry": "tasks.attngan.serve.server.serve", **values}, ["run.py"])


def test_a_port_that_is_taken_is_named(source, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"host 127.0.0.1, port {port}: cannot be listened at \(.*\); give another"
        ):
            serve(source, context_of(), port=port, folder=tmp_path)


def test_a_host_that_is_none_is_named(source, tmp_path):
    with pytest.raises(UserError, match=r"host nowhere\.invalid, port 0: cannot be listened at"):
        serve(source, context_of(), host="nowhere.invalid", port=0, folder=tmp_path)


def test_a_dry_run_generates_and_leaves_nothing(source, tmp_path, caplog):
    context = context_of()
    context.dry_run = True
    with caplog.at_level("INFO"):
        serve(source, context, folder=tmp_path / "images")
    assert "images of [8, 16, 32] pixels, 14 words" in caplog.text
    assert not (tmp_path / "images").exists()

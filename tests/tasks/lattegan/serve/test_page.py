"""The page in a real browser: turns, candidates, undo, gates, problems; recordings and files where the model hears."""

import pytest

from tasks.lattegan.serve.api import build_app
from tests.tasks.conftest import eventually
from tests.tasks.lattegan.serve.test_api import recording

FIRST, SECOND = "add a red cube", "add a blue sphere on the left of it"


@pytest.fixture
def page(open_page, listening, model, scenes):
    """The page of a model that reads."""
    with listening(build_app(model, scenes)) as address:
        yield open_page(address)


def turns(page, count):
    """Wait for ``count`` turns behind the empty scene."""
    eventually(page, f"document.querySelectorAll('#turns figure').length === {count + 1}")
    eventually(page, "!document.getElementById('send').disabled || document.getElementById('instruction').disabled")


def draw(page, text, count):
    page.fill("#instruction", text)
    page.press("#instruction", "Enter")
    turns(page, count)


def shown(page, turn):
    return page.locator("#turns figure").nth(turn).locator(".frame img").first.get_attribute("src")


def test_a_scene_is_drawn(page):
    assert page.is_disabled("#undo")
    draw(page, f"{FIRST}, please", 1)
    page.fill("#candidates", "3")
    page.fill("#seed", "6")
    draw(page, SECOND, 2)
    captions = page.locator("#turns figcaption").all_inner_texts()
    assert captions[0] == "the empty scene"
    assert captions[1].split("\n") == [f"1. {FIRST}, please", "seed 0; not known: please"]
    assert captions[2].split("\n") == [f"2. {SECOND}", "seed 6"]
    assert page.evaluate("document.querySelector('#turns img').naturalWidth") == 64
    buttons = page.locator(".candidates button")
    assert buttons.count() == 3
    before = shown(page, 2)
    other = page.locator(".candidates button[aria-pressed=false]").first
    wanted = other.locator("img").get_attribute("src")
    other.click()
    eventually(page, f"document.querySelectorAll('#turns figure')[2].querySelector('img').src === '{wanted}'")
    assert shown(page, 2) != before
    page.check("#gates")
    assert page.evaluate("document.getElementById('turns').className") == "gates"
    page.uncheck("#gates")
    page.click("#undo")
    turns(page, 1)
    assert page.locator(".candidates").count() == 0
    draw(page, SECOND, 2)
    assert page.script_errors == []
    page.click("#new")
    turns(page, -1)
    draw(page, FIRST, 1)


def test_problems_are_shown_as_text_and_a_closed_dialogue_begins_anew(page, scenes, clock):
    page.fill("#instruction", "<img src=x onerror=alert(1)>")
    page.press("#instruction", "Enter")
    page.locator("#problem:not(:empty)").wait_for()
    assert "no word of '<img src=x onerror=alert(1)>' is known" in page.locator("#problem").inner_text()
    assert page.locator("#problem img").count() == 0
    assert page.input_value("#instruction").startswith("<img")
    draw(page, FIRST, 1)
    assert page.locator("#problem").inner_text() == ""
    clock.now = 10_000
    page.fill("#instruction", SECOND)
    page.press("#instruction", "Enter")
    page.locator("#problem:not(:empty)").wait_for()
    assert "it was closed: begin another one" in page.locator("#problem").inner_text()
    draw(page, FIRST, 1)
    assert len(scenes) == 1


def test_a_model_that_reads_says_why_it_does_not_hear(page):
    assert page.is_disabled("#record")
    assert page.is_disabled("#sound")
    assert page.locator("#deaf").inner_text() == (
        "this model reads written instructions: spoken ones need a model whose text encoder is a speech encoder"
    )
    assert page.locator("#known").text_content().startswith("add a red blue green")


def test_spoken_instructions_come_from_a_file_or_the_microphone(open_page, listening, hearing, tmp_path):
    with listening(hearing) as address:
        page = open_page(address)
        assert page.is_disabled("#instruction")
        assert page.is_disabled("#send")
        (tmp_path / "said.wav").write_bytes(recording(0.5))
        page.set_input_files("#sound", tmp_path / "said.wav")
        turns(page, 1)
        assert "1. (spoken)" in page.locator("#turns figcaption").nth(1).inner_text()
        (tmp_path / "silent.wav").write_bytes(recording(0.5, 0))
        page.set_input_files("#sound", tmp_path / "silent.wav")
        page.locator("#problem:not(:empty)").wait_for()
        assert page.locator("#problem").inner_text() == "the recording is silent"
        (tmp_path / "text.wav").write_text("no sound")
        page.set_input_files("#sound", tmp_path / "text.wav")
        eventually(page, "document.getElementById('problem').textContent.includes('no sound that the browser can')")
        eventually(page, "!document.getElementById('record').disabled")
        page.click("#record")
        eventually(page, "document.getElementById('record').textContent === 'Stop and draw'")
        page.wait_for_timeout(1200)  # the microphone of the browser beeps once a second
        page.click("#record")
        turns(page, 2)
        assert [error for error in page.script_errors if "422" not in error] == []

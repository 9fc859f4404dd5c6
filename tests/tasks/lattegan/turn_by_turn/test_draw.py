"""The command: images of each turn from a list, a file and what is typed; errors say where and why."""

import io
import json

import numpy as np
import pytest

from common.errors import UserError
from datasets.images import read_image
from datasets.media_files import encode_audio
from models.instruction_encoders import GruInstructionEncoder
from run import main
from tasks.lattegan.turn_by_turn.draw import draw
from tasks.lattegan.turn_by_turn.model import Written, network_nodes
from tasks.lattegan.turn_by_turn.scene import Scene
from tests.tasks.lattegan.small_models import write_run, write_vectors
from tests.tasks.lattegan.worlds import write_squares

FIRST, SECOND = "add a red cube", "add a blue sphere on the left of it"


class Context:
    """What run.py gives."""

    dry_run = False
    after_stop = None


def image(path):
    return np.asarray(read_image(path, allow_blank=True))


def test_a_run_is_drawn_with_from_a_list(tmp_path):
    write_squares(tmp_path, "val", 1, 0)
    made = write_run(tmp_path / "run")
    node = {
        "type": "tasks.lattegan.turn_by_turn.model.of_run",
        "run": str(tmp_path / "run"),
        "encoder": {"type": "models.instruction_encoders.GruInstructionEncoder", "word_dim": 5, "text_dim": 8},
        "texts": {"type": "datasets.dialogue.texts.WordVectors", "path": str(write_vectors(tmp_path / "vectors.txt"))},
        "dialogues": str(tmp_path / "clevr_val.h5"),
    }
    arguments = [
        f"model={json.dumps(node)}", f"output={tmp_path / 'out'}", f"instructions=[{FIRST}, {SECOND}]", "candidates=2",
        "threads=1",
    ]  # fmt: skip
    assert main(["-f", "lattegan/draw.yaml", *arguments]) == 0
    folder = tmp_path / "out" / "0001"
    assert {path.name for path in folder.iterdir()} == {
        "0.png", "0_candidate0.png", "0_candidate1.png", "1.png", "1_candidate0.png", "1_candidate1.png", "sheet.png"
    }  # fmt: skip
    assert (tmp_path / "out" / "0001.txt").read_text() == f"0: {FIRST}\n1: {SECOND}\n"
    assert image(folder / "0.png").shape == (64, 64, 3)
    assert image(folder / "0.png").std() > 0  # of the averaged weights: the others are 0
    assert made.generator.resolution == 64


def test_a_run_hears_recordings(tmp_path):
    write_squares(tmp_path, "val", 1, 0)
    write_run(tmp_path / "run")
    for number in range(2):
        noise = np.random.default_rng(number).normal(0, 0.2, 12000).astype(np.float32)
        (tmp_path / f"{number}.wav").write_bytes(encode_audio(noise, 16000, "wav"))
    encoder = "{type: models.spoken_instruction_encoders.UnitInstructionEncoder, vector_dim: 6, text_dim: 8}"
    model = (
        f"{{type: tasks.lattegan.turn_by_turn.model.of_spoken_run, run: {tmp_path / 'run'}, encoder: {encoder}, "
        f"speech: {{run: models/shipped/resdavenet_vq_world.json}}, dialogues: {tmp_path / 'clevr_val.h5'}}}"
    )
    sounds = f"instructions=[{tmp_path / '0.wav'}, {tmp_path / '1.wav'}]"
    assert main(["-f", "lattegan/draw.yaml", f"model={model}", f"output={tmp_path / 'out'}", sounds, "threads=1"]) == 0
    assert (tmp_path / "out" / "0001.txt").read_text() == f"0: {tmp_path / '0.wav'}\n1: {tmp_path / '1.wav'}\n"
    assert image(tmp_path / "out" / "0001" / "1.png").shape == (64, 64, 3)


def test_a_file_gives_what_a_scene_gives_and_nothing_is_written_over(model, tmp_path):
    (tmp_path / "scene.txt").write_text(f"{FIRST}\n\n  {SECOND}, please\n")
    for number in ("0001", "0002"):
        draw(model, tmp_path / "out", Context(), file=tmp_path / "scene.txt", seed=3, threads=1)
        scene = Scene(model, 3)
        for turn, text in enumerate((FIRST, SECOND)):
            assert np.array_equal(image(tmp_path / "out" / number / f"{turn}.png"), scene.say(text).image)


def test_what_is_typed(model, tmp_path, monkeypatch, caplog, capsys):
    lines = [
        FIRST,
        "elephants",
        SECOND,
        "undo",
        "seed 7",
        "seed x",
        "choose 1",
        "Undo",
        "undo",
        f"{SECOND} , dear",
        "quit",
        "no",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    context = Context()
    draw(model, tmp_path, context, candidates=2, threads=1)
    told = capsys.readouterr().err
    for part in (
        "seed 0; say what comes next",
        "1: add a red cube  [candidate ",
        "no word of 'elephants' is known",
        "1 turns are left",
        "seed 7 from the next turn on",
        "found seed x, expected seed and a whole number",
        "candidate 1 of the last turn",
        "the scene is empty",
        "not known, left out: dear",
        "sheet.png",
    ):
        assert part in told, part
    scene = Scene(model, 7)
    assert np.array_equal(image(tmp_path / "0001" / "0.png"), scene.say(SECOND, 2).image)
    assert not (tmp_path / "0001" / "1.png").exists()
    assert "what was drawn is in" in context.after_stop()


def test_a_sheet_goes_with_its_last_turn(model, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{FIRST}\nundo\n"))
    draw(model, tmp_path, Context(), threads=1)
    assert list((tmp_path / "0001").iterdir()) == []
    assert (tmp_path / "0001.txt").read_text() == ""


def test_bytes_that_are_no_text(model, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"add a cube \xff\n"), "utf-8"))
    with pytest.raises(UserError, match="what is typed holds bytes that are not utf-8: write it in UTF-8"):
        draw(model, tmp_path, Context(), threads=1)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{FIRST} \udcff\n"))
    draw(model, tmp_path, Context(), threads=1)
    assert (tmp_path / "0001.txt").read_text(encoding="utf-8") == f"0: {FIRST} \ufffd\n"


def test_a_run_of_geneva_is_not_drawn_with(tmp_path):
    write_squares(tmp_path, "val", 1, 0)
    write_run(tmp_path / "run", "tasks.lattegan.geneva.Geneva")
    with pytest.raises(UserError, match=r"is of tasks.lattegan.geneva.Geneva, .*give a run of tasks.lattegan.task"):
        network_nodes(tmp_path / "run", GruInstructionEncoder(5, 8), tmp_path / "clevr_val.h5")


def test_nothing_typed_writes_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    draw(model, tmp_path, Context(), threads=1)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(model, tmp_path, caplog):
    context = Context()
    context.dry_run = True
    with caplog.at_level("INFO"):
        draw(model, tmp_path / "out", context, instructions=[FIRST], candidates=3, threads=1)
    assert "3 candidates of 64 pixels" in caplog.text
    assert not (tmp_path / "out").exists()


def test_errors(model, tmp_path):
    def drawn(**given):
        draw(model, tmp_path / "out", Context(), threads=1, **given)

    with pytest.raises(UserError, match="instruction 2: no word of 'zzz' is known"):
        drawn(instructions=[FIRST, "zzz"])
    with pytest.raises(UserError, match="found both instructions and file"):
        drawn(instructions=[FIRST], file=tmp_path / "x.txt")
    with pytest.raises(UserError, match="instructions is empty"):
        drawn(instructions=[])
    with pytest.raises(UserError, match=r"there is no file .*x\.txt: expected a text file"):
        drawn(file=tmp_path / "x.txt")
    (tmp_path / "x.txt").write_text("\n \n")
    with pytest.raises(UserError, match="holds no instruction, expected one a line"):
        drawn(file=tmp_path / "x.txt")
    (tmp_path / "x.txt").write_text(f"\n{FIRST}\n?\n")
    with pytest.raises(UserError, match=r"x\.txt, line 3: found no word in '\?'"):
        drawn(file=tmp_path / "x.txt")


def test_a_reader_for_another_encoder(model):
    class Pieces:
        names = ("tokens", "mask", "types")

    with pytest.raises(UserError, match="texts has a reader that makes tokens, mask, types, the encoder takes prev"):
        Written(model.reads.encoder, Pieces(), "iclevr")

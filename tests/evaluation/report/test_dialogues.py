"""Sheets and tables of drawn dialogues."""

import numpy as np

from evaluation.report.dialogues import (
    EDGE,
    GAP,
    LETTERS,
    LINES,
    DrawnDialogue,
    dialogue_sheet,
    dialogues_html,
    gate_images,
)

HEAD = LINES * (LETTERS + 2) + GAP


def dialogue(turns, gates=True, truth=True):
    images = np.full((turns, 8, 8, 3), 10, np.uint8)
    gates = np.full((turns, 2, 2), 0.5) if gates else None
    return DrawnDialogue(["add <it>"] * turns, images if truth else None, images + 20, gates)


def test_a_sheet_has_rows_of_instructions_truth_images_and_gates():
    sheet = dialogue_sheet([dialogue(2), dialogue(1, gates=False)])
    row = EDGE + GAP
    first = HEAD + 3 * row
    assert sheet.shape == (first + GAP + HEAD + 2 * row, 2 * row - GAP, 3)
    below = [HEAD, HEAD + row, HEAD + 2 * row, first, first + GAP + HEAD, first + GAP + HEAD + row]
    assert [int(sheet[at, 0, 0]) for at in below] == [10, 30, 128, 255, 10, 30]
    assert int(sheet[first + GAP + HEAD, row, 0]) == 255  # the shorter dialogue
    for left in (0, row):
        assert sheet[:HEAD, left : left + EDGE].min() < 100  # letters
    assert gate_images(dialogue(1, gates=False)) is None


def test_a_scene_without_truth_has_no_row_of_it():
    sheet = dialogue_sheet([dialogue(1, truth=False, gates=False)])
    assert sheet.shape == (HEAD + EDGE + GAP, EDGE, 3)
    assert int(sheet[HEAD, 0, 0]) == 30
    assert ">true<" not in dialogues_html([dialogue(1, truth=False)])


def test_long_instructions_end_in_dots():
    long, short = (
        dialogue_sheet([dialogue(1)._replace(texts=[" ".join(["cylinder"] * count)])])[:HEAD] for count in (100, 2)
    )
    assert (long < 100).sum() > 3 * (short < 100).sum()


def test_html_escapes_the_instructions():
    html = dialogues_html([dialogue(2)])
    assert "add &lt;it&gt;" in html
    assert html.count("<img") == 6

"""Sheets and tables of drawn dialogues."""

import numpy as np

from evaluation.report.dialogues import GAP, DrawnDialogue, dialogue_sheet, dialogues_html, gate_images


def dialogue(turns, gates=True):
    images = np.full((turns, 8, 8, 3), 10, np.uint8)
    return DrawnDialogue(["add <it>"] * turns, images, images + 20, np.full((turns, 2, 2), 0.5) if gates else None)


def test_a_sheet_has_rows_of_truth_images_and_gates():
    sheet = dialogue_sheet([dialogue(2), dialogue(1, gates=False)])
    assert sheet.shape == (24 + GAP + 16, 16, 3)
    assert [int(sheet[row, 0, 0]) for row in (0, 8, 16, 24, 28, 36)] == [10, 30, 128, 255, 10, 30]
    assert int(sheet[28, 8, 0]) == 255
    assert gate_images(dialogue(1, gates=False)) is None


def test_html_escapes_the_instructions():
    html = dialogues_html([dialogue(2)])
    assert "add &lt;it&gt;" in html
    assert html.count("<img") == 6

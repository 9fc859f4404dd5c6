"""The originals' edits and dissection: stored cases."""

import json

import pytest

from tests.parity import __main__ as parity


@pytest.mark.parametrize("name", ["progan_ablation_tiny", "progan_ablation_128", "dissection_iou"])
def test_case(assets, name):
    path = assets / "parity" / f"{name}.json"
    fractions = parity.run_case(path)
    assert list(fractions) == list(json.loads(path.read_text())["outputs"])
    assert not {output: found for output, found in fractions.items() if found[0] is None or found[0] > 1}

"""One sentence for whatever pydantic has against a body."""

import pytest

from tasks.serving.problems import problem_of


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "json_invalid", "loc": ("body", 1), "ctx": {"error": "Expecting value"}}, (400, "is no JSON")),
        ({"type": "missing", "loc": ("body", "row")}, (400, "found no row; expected such")),
        ({"type": "missing", "loc": ("body",)}, (400, "found no body; expected such")),
        ({"type": "dict_type", "loc": ("body",), "input": 3}, (400, "found a body of another type")),
        (
            {"type": "int_type", "loc": ("body", "path"), "input": "x", "msg": "Not a number"},
            (422, "path: found 'x'; not a number"),
        ),
    ],
)
def test_every_kind_has_its_sentence(error, expected):
    number, sentence = problem_of([error], "expected such")
    assert number == expected[0]
    assert expected[1] in sentence

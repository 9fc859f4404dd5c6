"""Long JSON lists read in pieces: the same values and the same errors as json.loads, whatever the pieces' ends cut."""

import json

import pytest

from datasets.loading.rows import ManifestError
from datasets.spoken_captions import json_rows
from datasets.spoken_captions.json_rows import read_json_rows

ROWS = [
    {"uttid": "a", "text": 'quotes " and \\ and },{ and ],[', "n": 1},
    {"uttid": "é 語 \U0001f600", "text": "", "nested": {"list": [{"x": 1}, {"y": [2, {}]}], "e": {}}},
    {},
    "a row },{ of text",
    -12.5e3,
    None,
    [{"a": 1}, {"b": 2}],
    {"last": True, "long": "x" * 300},
]
GOOD = {
    "rows": {"before": "b", "data": ROWS, "after": {"data": [1, 2]}},
    "rows alone": {"data": ROWS * 5},
    "no rows": {"data": [], "number": 123456},
    "no list": {"data": {"a": 1}, "x": [1]},
    "nothing": {},
    "another key": {"items": ROWS},
    "a list": ROWS,
    "a number": 1234567,
}
BAD = (
    *("", " ", "{", "[", "{]", '{"data"}', '{"data": [}', '{"data": [1 2]}', '{"data": [1,]}', '{"data": [{"a": 1},]}'),
    *(
        '{"data": [1], }',
        '{"data": [1]} 2',
        '{"data": [{"a": "},{"}',
        '{"data": [{"a": 1}}',
        "{1: 2}",
        '{"a": 1 "b": 2}',
    ),
    *('{"data": [{"a": 1}, {"b": "\n"}]}', '{"data": [{"a": tru}]}', '{"data": [{"a": 1}, 5', '{"data": [{"a": 1},{'),
)


def read(path):
    """Everything that the file holds, its rows put back."""
    rows, groups = [], []
    content = read_json_rows(path, "data", lambda found: (rows.extend(found), groups.append(len(found))))
    if rows:
        assert content["data"] == []
        content["data"] = rows
    return content, groups


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("name", GOOD)
def test_it_is_what_json_reads(name, piece, tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "PIECE", piece)
    path = tmp_path / "a.json"
    for settings in ({}, {"indent": 1, "ensure_ascii": False}, {"separators": (",", ":")}):
        path.write_text(json.dumps(GOOD[name], **settings), encoding="utf-8")
        assert read(path)[0] == GOOD[name]


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize("text", BAD)
def test_what_is_no_json_is_reported_as_json_tells_it(text, piece, tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "PIECE", piece)
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    with pytest.raises(json.JSONDecodeError) as found:
        read(path)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_it_may_be_any_encoding_that_json_takes(encoding, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD["rows"], ensure_ascii=False), encoding=encoding)
    assert read(path)[0] == GOOD["rows"]
    path.write_bytes(b'{"data": ["\xff\xfe"]}')
    with pytest.raises(UnicodeDecodeError):
        read(path)


def test_most_rows_are_parsed_by_few_calls_and_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "PIECE", 1000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"row": row, "text": "x" * 50} for row in range(500)]}))
    content, groups = read(path)
    assert [row["row"] for row in content["data"]] == list(range(500))
    assert len(groups) < 100
    assert max(groups) < 50


def test_a_list_twice_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"data": [1], "data": [2]}')
    with pytest.raises(ValueError, match="the key 'data' stands twice"):
        read(path)


@pytest.mark.parametrize("piece", [7, json_rows.PIECE])
def test_a_key_twice_in_a_row_is_refused(tmp_path, monkeypatch, piece):
    """The last one would count, and nobody would know."""
    monkeypatch.setattr(json_rows, "PIECE", piece)
    path = tmp_path / "a.json"
    path.write_text('{"data": [{"wav": "a"}, {"uttid": "b", "wav": "b", "captions": [{"wav": "c", "wav": "d"}]}]}')
    with pytest.raises(ValueError, match=r"the key 'wav' stands twice in \{\"wav\": \"d\"\}"):
        read(path)
    path.write_text('{"wav": "a"}\n{"wav": "b", "wav": "c"}\n')
    with pytest.raises(ManifestError, match=r"line 2: is not JSON \(the key 'wav' stands twice"):
        list(json_rows.read_json_lines(path, "correct it"))

"""Phone times of a world's utterances, read from what every built world has."""

import json

import pytest

from datasets.loading.rows import ManifestError
from datasets.spoken_captions.gan_clevr import read_gan_clevr
from datasets.spoken_captions.phones import read_phones
from datasets.spoken_captions.records import check_words
from datasets.world.build import ensure_world
from datasets.world.settings import World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return ensure_world(World(folder, scenes=6, size=16, speakers=2, splits=(0.5, 0.0, 0.5), workers=1)) / "places"


def test_the_phones_of_a_split(world):
    found = list(read_phones(world / "test.json"))
    assert len(found) == 3
    for spoken in found:
        assert spoken.uttid.startswith(spoken.speaker)
        assert spoken.phones[0][0] == 0
        assert all(before[1] == after[0] for before, after in zip(spoken.phones, spoken.phones[1:], strict=False))
    assert {spoken.uttid for spoken in found}.isdisjoint(spoken.uttid for spoken in read_phones(world / "train.json"))


def test_phones_that_are_missing_or_damaged(world, tmp_path, assets):
    with pytest.raises(
        ManifestError, match=r"there is no .*phones.jsonl: phone times are known of embedded worlds alone"
    ):
        list(read_phones(assets / "formats" / "places" / "metadata.json"))
    copy = tmp_path / "test.json"
    copy.write_bytes((world / "test.json").read_bytes())
    lines = (world / "phones.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "phones.jsonl").write_text(lines[0] + "\n{", encoding="utf-8")
    with pytest.raises(
        ManifestError, match=r"phones.jsonl, line 2: is not JSON .*, expected a mapping; build the world"
    ):
        list(read_phones(copy))
    (tmp_path / "phones.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"phones.jsonl lacks the utterance en-.* of test.json; build the world"):
        list(read_phones(copy))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_every_encoding_of_unicode_is_read(world, tmp_path, encoding):
    (tmp_path / "test.json").write_bytes((world / "test.json").read_bytes())
    (tmp_path / "phones.jsonl").write_text((world / "phones.jsonl").read_text(encoding="utf-8"), encoding=encoding)
    assert list(read_phones(tmp_path / "test.json")) == list(read_phones(world / "test.json"))


DEEP = "[" * 100_000 + "]" * 100_000
ODD_LINES = {
    "{": r"is not JSON \(.*\), expected a mapping",
    "5": r"holds 5, expected a mapping",
    "[[1]]": r"holds \[\[1\]\], expected a mapping",
    DEEP: "holds lists or mappings nested too deeply to be read, expected a mapping",
    '{"%s": [], "KEY": NAME, "TIMES": ' + DEEP + "}": "holds lists or mappings nested too deeply to be read",
    '{"KEY": NAME, "TIMES": [[0, ' + "9" * 5000 + ', "A"]]}': "holds a whole number of 5000 digits, expected at most",
    '{"TIMES": []}': "KEY is null, expected text",
    '{"KEY": [[1]], "TIMES": []}': r"KEY is \[\[1\]\], expected text",
    '{"KEY": NAME, "TIMES": 5}': r"TIMES is no list, expected \[start, end, text\] each",
    '{"KEY": NAME, "TIMES": "abc"}': r"TIMES is no list",
} | {
    f'{{"KEY": NAME, "TIMES": [[0, 1, "A"], {entry}]}}': r"TIMES\[1\] is not \[start, end, text\] with finite times in"
    for entry in (
        "[1]", "5", '{"0": 1}', '[0, 1, 2, "A"]', '[0, 1, 2]', '[NaN, 1, "A"]', '[0, Infinity, "A"]', '[0, 1e999, "A"]',
        f'[0, {"9" * 400}, "A"]', '[0, true, "A"]', '[0, "1", "A"]', '[0, [[1]], "A"]',
    )
}  # fmt: skip


@pytest.mark.parametrize("line", ODD_LINES, ids=lambda line: line[:50])
def test_a_line_that_is_no_row_of_times_is_named(world, tmp_path, line):
    """In phones.jsonl, and in alignments.jsonl of a GAN-CLEVR folder, where words are optional."""
    (tmp_path / "test.json").write_bytes((world / "test.json").read_bytes())
    first = (world / "phones.jsonl").read_text(encoding="utf-8").splitlines()[0]
    uttid = json.loads((world / "test.json").read_text(encoding="utf-8"))["data"][0]["uttid"]
    odd = line.replace("KEY", "uttid").replace("TIMES", "phones").replace("NAME", json.dumps(uttid))
    (tmp_path / "phones.jsonl").write_text(f"{first}\n\n{odd}\n", encoding="utf-8")
    message = ODD_LINES[line].replace("KEY", "uttid").replace("TIMES", "phones")
    with pytest.raises(ManifestError, match=rf"phones\.jsonl, line 3: {message}.*; build the world again$"):
        list(read_phones(tmp_path / "test.json"))
    (tmp_path / "name_list_val.txt").write_text("7\n")
    good = '{"id": "6", "words": null}\n{"id": "5", "speaker": "me", "words": [[0, 0.5, "A"]]}\n'
    odd = line.replace("KEY", "id").replace("TIMES", "words").replace("NAME", '"7"')
    (tmp_path / "alignments.jsonl").write_text(good + odd)
    message = ODD_LINES[line].replace("KEY", "id").replace("TIMES", "words")
    with pytest.raises(ManifestError, match=rf"alignments\.jsonl, line 3: {message}.*; delete the file \(it is opt"):
        read_gan_clevr(tmp_path, "val", images=False)


def test_halves_of_characters_can_be_written():
    assert check_words([[0, 1, "a\ud83d"]], "words", "") == [(0.0, 1.0, "a\ufffd")]


def test_utterances_of_one_name_are_refused(world, tmp_path):
    """Phones are found by the uttid: the second utterance would be given those of the first."""
    content = json.loads((world / "test.json").read_text(encoding="utf-8"))
    content["data"][2]["uttid"] = content["data"][0]["uttid"]
    (tmp_path / "test.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "phones.jsonl").write_bytes((world / "phones.jsonl").read_bytes())
    with pytest.raises(
        ManifestError, match=r"test\.json: 1 problem; .*\n  uttid 'en-.*' stands for captions \[0, 2\]$"
    ):
        list(read_phones(tmp_path / "test.json"))

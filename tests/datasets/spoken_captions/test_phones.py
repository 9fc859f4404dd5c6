"""Phone times of a world's utterances, read from what every built world has."""

import json

import pytest

from datasets.loading.rows import ManifestError
from datasets.spoken_captions.phones import read_phones
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
    with pytest.raises(ManifestError, match=r"phones.jsonl, line 2: expected an uttid and its phones"):
        list(read_phones(copy))
    (tmp_path / "phones.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"phones.jsonl lacks the utterance en-.* of test.json; build the world"):
        list(read_phones(copy))


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

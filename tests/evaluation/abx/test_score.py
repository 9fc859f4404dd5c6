"""ABX errors: against a plain loop, on features that know the phones and on noise, and everything that is refused."""

import functools
import math
import random
from collections import defaultdict
from decimal import Decimal

import numpy as np
import pytest

from evaluation.abx import score as abx
from evaluation.abx.frames import FrameFile
from evaluation.abx.items import AbxError, Item, Items, read_items, write_items
from evaluation.abx.score import Comparing, find_triplets, needed_utterances, score

SECONDS = 0.02
PHONES = ("a", "b", "c")


@pytest.fixture
def _library():
    pytest.importorskip("fastabx", reason="fastabx needs Python 3.12")


@pytest.fixture
def items(tmp_path):
    """Forty tokens of three phones in two contexts, of two speakers in four files, with lengths of 1 to 7 frames."""
    draw = random.Random(3)
    rows = []
    for index in range(40):
        speaker = f"s{index % 2}"
        onset = Decimal(index // 4) / 5 + Decimal(draw.randrange(40)) / 1000
        offset = onset + Decimal(draw.randrange(20, 140)) / 1000
        context = draw.choice(("xy", "uv"))
        rows.append(Item(f"{speaker}_{index // 2 % 2}", onset, offset, draw.choice(PHONES), *context, speaker))
    path = tmp_path / "tiny.item"
    write_items(path, rows)
    return read_items(path)


def stored(tmp_path, features, name="test"):
    """A frame file of features by utterance."""
    frames = FrameFile(tmp_path / f"{name}.frames", name)
    for utterance, values in features.items():
        frames.add(utterance, values, SECONDS)
    return frames


def noise(items, channels=5, seed=0, low=0.0):
    draw = np.random.default_rng(seed)
    names = sorted({item.file for item in items.rows})
    return {name: (draw.random((120, channels)) + low).astype(np.float32) for name in names}


# --- the plain loop: float64, one pair of frames, one pair of tokens, one triplet at a time


def angle(p, q):
    return math.acos(max(-1.0, min(1.0, float(p @ q / math.sqrt((p @ p) * (q @ q)))))) / math.pi


def divergence(p, q):
    p, q = p / p.sum(), q / q.sum()
    logs = [math.log(a + 1e-6) - math.log(b + 1e-6) for a, b in zip(p, q, strict=True)]
    return 0.5 * sum((a - b) * log for a, b, log in zip(p, q, logs, strict=True))


def warp(one, other, distance):
    """The mean distance along the best path; of paths that are equally good the diagonal step counts."""
    costs, steps = {}, {}
    for i, p in enumerate(one):
        for j, q in enumerate(other):
            before = [(costs[at], k, steps[at]) for k, at in enumerate(((i - 1, j - 1), (i, j - 1), (i - 1, j)))
                      if at in costs]  # fmt: skip
            cost, _, length = min(before, default=(0.0, 0, 0))
            costs[i, j], steps[i, j] = cost + distance(p, q), length + 1
    return costs[i, j] / steps[i, j]


def loop_errors(items, features, distance, across):
    """The error as ZeroSpeech averages it, all triplets, nothing drawn."""

    def token(row):
        first = next(t for t in range(1000) if (t + 0.5) * SECONDS >= float(row.onset))
        last = next(t for t in range(1000, -1, -1) if (t + 0.5) * SECONDS <= float(row.offset))
        return features[row.file][first : last + 1].astype(np.float64)

    @functools.cache
    def far(one, other):
        return warp(tokens[one], tokens[other], distance)

    tokens = [token(row) for row in items.rows]
    cells = defaultdict(list)
    for a, b, x in ((a, b, x) for a in range(40) for b in range(40) for x in range(40) if a != x):
        A, B, X = items.rows[a], items.rows[b], items.rows[x]
        if not A.phone == X.phone != B.phone or A.speaker != B.speaker or (A.speaker == X.speaker) == across:
            continue
        if not A[4:6] == B[4:6] == X[4:6]:
            continue
        to_a, to_b = far(x, a), far(x, b)
        wrong = 1.0 if to_a > to_b else 0.5 if to_a == to_b else 0.0
        cells[A.phone, B.phone, A.speaker, X.speaker, A[4:6]].append(wrong)
    for level in (4, 3, 2):  # over contexts, over speakers (of X with those of A), over pairs of phones
        means = defaultdict(list)
        for key, values in cells.items():
            means[key[:2] + key[2:3] * (level > 2) if level < 4 else key[:4]].append(np.mean(values))
        cells = means
    return float(np.mean([np.mean(values) for values in cells.values()]))


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("speakers", ["within", "across"])
@pytest.mark.parametrize(("name", "distance"), [("cosine", angle), ("kl", divergence)])
def test_the_same_as_a_plain_loop(items, tmp_path, name, distance, speakers):
    features = noise(items)
    everything = Comparing(max_size_group=None, max_x_across=None)
    triplets = find_triplets(items, speakers, everything)
    found = score(triplets, stored(tmp_path, features), name)
    assert found.error == pytest.approx(loop_errors(items, features, distance, speakers == "across"), abs=1e-6)
    assert found.error != pytest.approx(0.5, abs=1e-3)
    assert found.triplets > 100
    assert needed_utterances([triplets]) == {"s0_0", "s0_1", "s1_0", "s1_1"}


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("speakers", ["within", "across"])
@pytest.mark.parametrize("distance", ["cosine", "kl"])
def test_features_that_are_the_phone_make_no_error(tmp_path, speakers, distance):
    items, known = spoken(tmp_path)
    triplets = find_triplets(items, speakers, Comparing())
    assert score(triplets, stored(tmp_path, known), distance).error == 0


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("speakers", ["within", "across"])
def test_noise_is_at_chance(tmp_path, speakers):
    items, known = spoken(tmp_path, utterances=40)
    draw = np.random.default_rng(0)
    random_features = {name: draw.normal(size=(len(v), 8)).astype(np.float32) for name, v in known.items()}
    found = score(find_triplets(items, speakers, Comparing()), stored(tmp_path, random_features), "cosine")
    assert found.error == pytest.approx(0.5, abs=0.03)


def spoken(tmp_path, utterances=12):
    """Utterances of five-frame phones, all triphones, and features that are one-hot of the phone."""
    draw = random.Random(0)
    rows, features = [], {}
    for index in range(utterances):
        said = [draw.choice(PHONES) for _ in range(20)]
        name = f"u{index}"
        features[name] = np.eye(3, dtype=np.float32)[[PHONES.index(phone) for phone in said for _ in range(5)]]
        for place in range(1, 19):
            times = Decimal(place) / 10, Decimal(place + 1) / 10
            rows.append(Item(name, *times, said[place], said[place - 1], said[place + 1], f"s{index % 3}"))
    return Items(tmp_path / "spoken.item", rows, list(range(2, len(rows) + 2))), features


@pytest.mark.usefixtures("_library")
def test_the_same_as_fastabx_with_its_own_reader(items, tmp_path):
    """The frames of an item, drawing, and averages are those of ``fastabx.zerospeech_abx``."""
    torch = pytest.importorskip("torch")
    library = abx.fastabx()
    features = noise(items, seed=4, low=-0.4)
    (tmp_path / "pt").mkdir()
    for name, values in features.items():
        torch.save(torch.from_numpy(values), tmp_path / "pt" / f"{name}.pt")
    for speakers in ("within", "across"):
        few = Comparing(max_size_group=3, max_x_across=2, seed=5)
        ours = score(find_triplets(items, speakers, few), stored(tmp_path, features), "cosine").error
        how = {"max_size_group": 3, "max_x_across": 2, "seed": 5, "frequency": 50, "device": "cpu", "progress": False}
        theirs = library.zerospeech_abx(items.path, tmp_path / "pt", speaker=speakers, **how)
        assert ours == pytest.approx(theirs, abs=1e-6)
        every = Comparing(max_size_group=None, max_x_across=None)
        assert ours != score(find_triplets(items, speakers, every), stored(tmp_path, features), "cosine").error


@pytest.mark.usefixtures("_library")
def test_the_same_triplets_every_time(tmp_path):
    """fastabx alone draws other speakers of X in every run: its cells come from its threads in any order."""
    draw = random.Random(0)
    names = ("abcd", "xy", "uv")
    rows = [
        Item(f"u{k}", Decimal(0), Decimal(1), *(draw.choice(some) for some in names), f"s{draw.randrange(30)}")
        for k in range(2000)
    ]
    items = Items(tmp_path / "many.item", rows, [])
    for speakers in ("within", "across"):
        first, *others = (find_triplets(items, speakers, Comparing()) for _ in range(4))
        assert all(first.task.cells.equals(other.task.cells) for other in others)
        assert not first.task.cells.equals(find_triplets(items, speakers, Comparing(seed=1)).task.cells)


@pytest.mark.usefixtures("_library")
def test_a_small_budget_gives_the_same(tmp_path):
    items, known = spoken(tmp_path)
    draw = np.random.default_rng(1)
    features = {name: draw.random((len(values), 2000)).astype(np.float32) for name, values in known.items()}
    frames = stored(tmp_path, features)
    large, small = (score(find_triplets(items, "within", Comparing(budget_mb=mb)), frames, "cosine") for mb in (256, 1))
    assert large.error == pytest.approx(small.error, abs=1e-6)
    assert [pair[::3] for pair in large.pairs] == [pair[::3] for pair in small.pairs]


@pytest.mark.usefixtures("_library")
def test_no_triplets(tmp_path):
    rows = [Item("u", Decimal(k) / 10, Decimal(k + 1) / 10, "abc"[k], "x", "y", "s") for k in range(3)]
    items = Items(tmp_path / "few.item", rows, [2, 3, 4])
    with pytest.raises(AbxError, match=r"few.item gives no triplets within speakers \(3 items, 1 speakers\): expected"):
        find_triplets(items, "within", Comparing())
    with pytest.raises(AbxError, match=r"no triplets across speakers .* and the first also of another; give more"):
        find_triplets(items, "across", Comparing(neighbours="any"))


def test_old_pythons_get_a_sentence(monkeypatch):
    monkeypatch.setattr(abx, "PYTHON", (3, 11, 9))
    with pytest.raises(AbxError, match=r"fastabx, which needs Python 3.12 or newer, and this is 3.11.9: make .venv"):
        abx.fastabx()


def test_a_missing_library_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(abx, "PYTHON", (3, 12, 0))
    monkeypatch.setitem(__import__("sys").modules, "fastabx", None)
    with pytest.raises(AbxError, match=r"fastabx, which cannot be imported .*pip install -r requirements-abx.txt"):
        abx.fastabx()

import csv
import json
import math

import numpy as np
import pytest
import torch

from evaluation.retrieval import ranks as ranking
from evaluation.retrieval.ranks import RetrievalError
from evaluation.retrieval.recall import (
    Retrieval,
    ranks,
    recall_metrics,
    recalls_from_matrix,
    retrieve,
)
from evaluation.retrieval.tables import query_rows, write_retrieval
from models.matchmap import similarity

KEYS = ("A_r1", "A_r5", "A_r10", "I_r1", "I_r5", "I_r10")


def scores(rows, columns=None, levels=None, seed=0):
    """Random scores; with ``levels`` only so many different values, so that there are many ties."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, columns or rows)
    return (
        torch.randint(levels, shape, generator=generator).float() if levels else torch.randn(shape, generator=generator)
    )


def slow_direction(table, query_ids, answer_ids):
    """Sort each row, equal scores by index, and look for right and wrong answers."""
    rows = []
    for row, own in zip(table.tolist(), query_ids.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda j: (-row[j], j))
        right = [j for j in order if answer_ids[j] == own]
        wrong = [j for j in order if answer_ids[j] != own]
        rank = sum(1 for j in order[: order.index(right[0])] if answer_ids[j] != own)
        rows.append((rank, right[0], wrong[0] if wrong else -1))
    return rows


def as_rows(direction):
    return list(zip(direction.rank.tolist(), direction.match.tolist(), direction.wrong.tolist(), strict=True))


def ranks_in_tiles(table, step, groups=None):
    return Retrieval(*ranking.rank_tiles(lambda rows, columns: table[rows, columns], table.shape, step, groups))


@pytest.fixture(params=["compiled", "torch"])
def counted(request, monkeypatch):
    """Count tiles of any size in compiled code, or none."""
    monkeypatch.setattr(ranking, "LARGE", 0 if request.param == "compiled" else math.inf)


@pytest.mark.parametrize("name", ["S50", "S12"])
def test_published_recalls_of_a_matrix(published, name):
    metrics = recalls_from_matrix(published[name])
    assert [metrics[key] for key in KEYS] == pytest.approx(published[f"recalls_{name}"].tolist(), rel=1e-12)


@pytest.mark.parametrize("chunk", [1, 5, 14, 100])
def test_published_recalls_of_features(published, chunk):
    found = retrieve(
        published["recall_image"], published["recall_audio"].squeeze(2), published["recall_nframes"], chunk=chunk
    )
    metrics = recall_metrics(found)
    assert [metrics[key] for key in KEYS] == pytest.approx(published["recalls_surisdi"].tolist(), rel=1e-12)


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("step", [(1, 1), (3, 5), (64, 64), (300, 400)])
def test_pairs_against_sorting(counted, step, levels):
    table, ids = scores(17, levels=levels), torch.arange(17)
    found = ranks_in_tiles(table, step)
    assert as_rows(found.speech) == slow_direction(table, ids, ids)
    assert as_rows(found.image) == slow_direction(table.T, ids, ids)
    assert torch.equal(found.speech.match_score, table.diagonal())
    assert torch.equal(found.image.wrong_score, table[found.image.wrong, torch.arange(17)])


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("step", [(1, 1), (3, 5), (64, 64), (300, 400)])
def test_groups_against_sorting(counted, step, levels):
    table = scores(6, 19, levels, seed=1)
    image_ids = torch.tensor([30, 10, 20, 40, 10, 50])  # image 10 is there twice
    speech_ids = torch.tensor([10, 20, 30, 40, 50] * 4)[:19]
    found = ranks_in_tiles(table, step, (image_ids, speech_ids))
    assert as_rows(found.speech) == slow_direction(table, image_ids, speech_ids)
    assert as_rows(found.image) == slow_direction(table.T, speech_ids, image_ids)
    assert found.speech.matches.tolist() == [4, 4, 4, 4, 4, 3]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 3), (251, 2001), (600, 4100), (1200, 2003)])
@pytest.mark.parametrize("levels", [1, 5, None])
@pytest.mark.parametrize("aligned", [True, False])
def test_both_ways_to_count_agree(rows, columns, levels, aligned):
    table = scores(rows, columns, levels)
    labels = [torch.arange(rows, dtype=torch.int32), torch.arange(columns, dtype=torch.int32)]
    if not aligned:
        labels = [labels[0] % 400, labels[1] // 3]
    # Scores no entry exceeds, that every entry exceeds, and in between.
    for score in (9.0, -9.0, 0.0 if levels is None else 2.0):
        known = []
        for own, other in (labels, labels[::-1]):
            same = own[:, None] == other
            match = torch.where(same.any(1), same.int().argmax(1), len(other))
            level = torch.full((len(own),), score)
            known.append(ranking.Queries(level, torch.nextafter(level, level - 1), match, own))
        fast = ranking.count_on_cpu(table, *known, (0, 0), True)
        slow = ranking.count_with_torch(table, *known, (0, 0), True)
        assert fast[2] == slow[2] is True
        for one, other in zip(fast[:2], slow[:2], strict=True):
            assert torch.equal(one.before, other.before)
            assert torch.equal(one.wrong_score, other.wrong_score)
            real = one.wrong_score > -torch.inf
            assert torch.equal(one.wrong[real], other.wrong[real])


def test_ties_by_hand():
    found = ranks(torch.ones(4, 4))
    assert found.speech.rank.tolist() == [0, 1, 2, 3]  # equal scores: the lower index comes first
    assert found.image.rank.tolist() == [0, 1, 2, 3]
    assert found.speech.wrong.tolist() == [1, 0, 0, 0]


def test_metrics_by_hand():
    table = torch.tensor([[9.0, 1.0, 0.0], [5.0, 4.0, 6.0], [7.0, 8.0, 6.5]])
    # Rows: ranks 0, 2, 2. Columns: 9 > 7 > 5 -> 0; 4 after 8 -> 1; 6.5 > 6 -> 0.
    metrics = recalls_from_matrix(table)
    assert metrics["A_r1"] == pytest.approx(1 / 3)
    assert metrics["I_r1"] == pytest.approx(2 / 3)
    assert metrics["recall@1"] == pytest.approx(1 / 2)
    assert (metrics["median_rank_A"], metrics["median_rank_I"]) == (3, 1)
    assert metrics["mean_rank_A"] == pytest.approx(7 / 3)
    assert metrics["A_r10"] == metrics["I_r5"] == metrics["chance_recall@10"] == 1
    assert metrics["n"] == 3


def test_chance_is_what_random_scores_reach():
    metrics = recalls_from_matrix(scores(200))
    assert [metrics[f"chance_recall@{k}"] for k in (1, 5, 10)] == pytest.approx([1 / 200, 5 / 200, 10 / 200])
    assert "chance" not in metrics  # of what?
    image_ids, speech_ids = torch.arange(20), torch.arange(100) // 5
    expected = (1 - math.comb(95, 10) / math.comb(100, 10) + 10 / 20) / 2
    metrics = [recall_metrics(ranks(scores(20, 100, seed=s), image_ids, speech_ids)) for s in range(100)]
    assert metrics[0]["chance_recall@10"] == pytest.approx(expected)
    assert np.mean([m["recall@10"] for m in metrics]) == pytest.approx(expected, abs=0.02)


def test_features_give_the_ranks_of_their_matrix():
    generator = torch.Generator().manual_seed(0)
    image, speech = torch.randn(9, 4, 2, 2, generator=generator), torch.randn(23, 4, 5, generator=generator)
    image_ids, speech_ids, nframes = torch.arange(9), torch.arange(23) % 9, torch.arange(23) % 5 + 1
    whole = ranks(similarity(image, speech, nframes), image_ids, speech_ids)
    for chunk in (2, 7, 50):
        found = retrieve(image, speech, nframes, chunk=chunk, image_ids=image_ids, speech_ids=speech_ids)
        assert as_rows(found.speech) == as_rows(whole.speech)
        assert as_rows(found.image) == as_rows(whole.image)


def test_many_pairs_in_small_tiles():
    sizes = []

    def compare(image, speech, nframes):
        assert nframes is None
        sizes.append(len(image) * len(speech))
        return image @ speech.T

    features = torch.randn(3000, 8, generator=torch.Generator().manual_seed(0))
    features /= features.norm(dim=1, keepdim=True)
    metrics = recall_metrics(retrieve(features, features, None, compare, chunk=256))
    assert metrics["A_r1"] == metrics["I_r1"] == 1
    assert max(sizes) <= 256 * 256
    assert sum(sizes) < 1.1 * 3000**2  # only tiles on the diagonal are computed twice


@pytest.mark.parametrize("n", [1, 2, 9])
def test_fewer_pairs_than_ten(n):
    found = ranks(torch.eye(n))
    assert recall_metrics(found)["recall@1"] == 1
    if n == 1:
        assert found.speech.wrong.tolist() == [-1]
        assert found.speech.wrong_score.isnan().all()


def test_half_and_double_precision():
    table = scores(30)
    assert torch.equal(ranks(table.double()).speech.rank, ranks(table).speech.rank)
    assert torch.equal(ranks(table.bfloat16()).image.rank, ranks(table.bfloat16().float()).image.rank)


def test_written_files(tmp_path):
    table = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [0.0, 0.0, 4.0]])
    found = ranks(table)
    metrics = write_retrieval(tmp_path / "new", found, ["cube", "ball", "cone"], ["a,b", "c", 'd "e"'])
    assert metrics == recall_metrics(found)
    written = json.loads((tmp_path / "new" / "retrieval.json").read_text())
    assert written.keys() == metrics.keys()
    assert written == pytest.approx(metrics, rel=1e-5)
    assert (written["n"], written["A_r1"], written["I_r1"]) == (3, 0.666667, 1.0)
    with (tmp_path / "new" / "queries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[0] == {
        "direction": "image_to_speech",
        "query": "0",
        "query_name": "cube",
        "rank": "2",
        "match": "0",
        "match_name": "a,b",
        "match_score": "1.0",
        "wrong": "1",
        "wrong_name": "c",
        "wrong_score": "2.0",
    }
    assert rows[5]["query_name"] == 'd "e"'
    assert json.loads((tmp_path / "new" / "queries.json").read_text()) == query_rows(
        found, ["cube", "ball", "cone"], ["a,b", "c", 'd "e"']
    )
    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert written == ["queries.csv", "queries.json", "retrieval.json"]


def test_rows_without_a_wrong_answer():
    for row in query_rows(ranks(torch.ones(1, 1))):
        assert (row["rank"], row["wrong"], row["wrong_name"], row["wrong_score"]) == (1, None, None, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [(0, 0), (2, 600), (599, 1)])
def test_scores_must_be_finite(counted, bad, place):
    table = scores(700)
    table[place] = bad
    assert ranks(scores(700)).speech.rank.max() < 700
    with pytest.raises(RetrievalError, match=f"image {place[0]} and spoken caption {place[1]} is {bad}"):
        ranks(table)


def test_errors_say_what_is_wrong():
    with pytest.raises(RetrievalError, match="3 images and 4 spoken captions are not pairs"):
        ranks(scores(3, 4))
    with pytest.raises(RetrievalError, match="there are no pairs"):
        ranks(torch.ones(0, 0))
    with pytest.raises(RetrievalError, match="both image_ids and speech_ids"):
        ranks(scores(3), torch.arange(3))
    with pytest.raises(RetrievalError, match="label for each of 3 images"):
        ranks(scores(3), torch.arange(4), torch.arange(3))
    with pytest.raises(RetrievalError, match="1 queries have no right answer, the first is spoken caption 2"):
        ranks(scores(2, 3), torch.arange(2), torch.tensor([0, 1, 7]))
    with pytest.raises(RetrievalError, match=r"matrix \(I, S\), got \(3,\)"):
        ranks(torch.ones(3))
    with pytest.raises(RetrievalError, match="chunk must be at least 1, got 0"):
        retrieve(torch.ones(2, 3), torch.ones(2, 3), chunk=0)

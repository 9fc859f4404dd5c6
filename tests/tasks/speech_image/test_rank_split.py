"""Images with several captions: each is one candidate, every caption of its own is right; maps are pooled once."""

import pytest
import torch

from evaluation.retrieval.recall import recall_metrics, retrieve
from models.matchmap import similarity
from models.similarity import Similarity
from tasks.speech_image.encode_split import Encoded
from tasks.speech_image.rank_split import rank_split

CPU = torch.device("cpu")
SEVERAL = torch.tensor([70, 10, 70, 30, 10, 10, 50])  # 4 images with 2, 3, 1 and 1 captions


def split(ids, perfect=False, seed=0):
    """Encoded rows; the maps of rows with the same id are the same, as those of one image are."""
    generator = torch.Generator().manual_seed(seed)
    maps = {int(one): torch.randn(6, 2, 3, generator=generator) for one in ids.unique()}
    image = torch.stack([maps[int(one)] for one in ids])
    speech = torch.randn(len(ids), 6, 5, generator=generator)
    if perfect:
        image = torch.nn.functional.normalize(image.mean((2, 3)), dim=1)[:, :, None, None].expand(-1, -1, 2, 3)
        speech = image[:, :, 0, :1].expand(-1, -1, 5)
    nframes = torch.randint(1, 6, (len(ids),), generator=generator)
    return Encoded(image, speech, nframes, torch.arange(len(ids)), 8)


def by_hand(table, ids):
    """Recalls at 1 of both ways from the scores (N, N) of all rows, by looking at each query."""
    images = list(dict.fromkeys(ids.tolist()))
    rows = [ids.tolist().index(one) for one in images]
    found = [images[max(range(len(rows)), key=lambda m: table[rows[m], caption])] for caption in range(len(ids))]
    image_recall = sum(one == int(own) for one, own in zip(found, ids, strict=True)) / len(ids)
    best = [ids[table[row].argmax()] for row in rows]
    return sum(int(one) == own for one, own in zip(best, images, strict=True)) / len(images), image_recall


def test_a_perfect_model_is_perfect_whatever_the_captions_of_an_image():
    """20 images with 5 captions each, as in SpokenCOCO and Flickr8k, in any order."""
    ids = torch.arange(20).repeat_interleave(5)[torch.randperm(100, generator=torch.Generator().manual_seed(2))]
    found = rank_split(split(ids, perfect=True), ids, Similarity(), CPU)
    metrics = recall_metrics(found.retrieval)
    assert metrics["recall@1"] == metrics["median_rank_A"] == metrics["median_rank_I"] == 1
    assert (metrics["n"], metrics["n_captions"]) == (20, 100)
    assert metrics["chance_I_r5"] == pytest.approx(5 / 20)
    assert metrics["chance_A_r5"] == pytest.approx(1 - 95 * 94 * 93 * 92 * 91 / (100 * 99 * 98 * 97 * 96))
    assert metrics["chance_recall@1"] == pytest.approx(1 / 20)
    assert found.what("test") == "100 test captions of 20 images"


@pytest.mark.parametrize("kind", ["MISA", "SIMA", "SISA", "pooled"])
@pytest.mark.parametrize("measure", ["dot", "cosine"])
@pytest.mark.parametrize("seed", [0, 1])
def test_recalls_by_hand(kind, measure, seed):
    encoded = split(SEVERAL, seed=seed)
    found = rank_split(encoded, SEVERAL, Similarity(kind, measure), CPU)
    assert found.images.tolist() == [0, 1, 3, 6]
    assert found.image_of.tolist() == [0, 1, 0, 2, 1, 1, 3]
    table = similarity(encoded.image, encoded.speech, encoded.nframes, kind, measure)
    metrics = recall_metrics(found.retrieval)
    assert (metrics["A_r1"], metrics["I_r1"]) == pytest.approx(by_hand(table, SEVERAL))
    right = found.retrieval.speech.match_score
    assert right == pytest.approx(torch.stack([table[r][SEVERAL[r] == SEVERAL].max() for r in (0, 1, 3, 6)]), abs=1e-5)


@pytest.mark.parametrize("kind", ["MISA", "pooled"])
def test_one_caption_each_is_a_retrieval_of_pairs(kind):
    ids = torch.tensor([5, 3, 9, 1])
    encoded = split(ids)
    found = rank_split(encoded, ids, Similarity(kind), CPU)
    plain = retrieve(encoded.image, encoded.speech, encoded.nframes, Similarity(kind))
    assert found.retrieval.speech.rank.tolist() == plain.speech.rank.tolist()
    assert found.retrieval.image.rank.tolist() == plain.image.rank.tolist()
    assert found.what("test") == "4 test pairs"
    assert "n_captions" not in recall_metrics(found.retrieval)


def test_what_fits_into_one_chunk_is_compared_once():
    sizes = []

    def compare(image, speech, _nframes):
        sizes.append((len(image), len(speech)))
        return image @ speech.T

    features = torch.eye(30)
    ids = torch.arange(30) % 7
    retrieve(features, features, None, compare, chunk=30)
    retrieve(features, features, None, compare, 30, ids, ids)
    assert sizes == [(30, 30)] * 2

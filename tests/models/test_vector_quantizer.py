"""The EMA quantiser: codes, gradients, averages, masks, several ranks; temporal jitter."""

import pytest
import torch

from models.vector_quantizer import CodebookConfig, TemporalJitter, VectorQuantizer
from tests.ranks import on_two_ranks

CONFIG = CodebookConfig(commitment_cost=0.5, decay=0.9, epsilon=1e-3)


def quantizer(config=CONFIG, codes=4):
    torch.manual_seed(0)
    made = VectorQuantizer(codes, 3, config)
    made.codebook.copy_(torch.eye(3).repeat(2, 1)[:codes] * torch.tensor([1.0, 1, 1, 5])[:codes, None])
    made.sums.copy_(made.codebook)
    return made


def test_nearest_code_straight_through_and_commitment():
    made, frames = quantizer().eval(), torch.tensor([[[0.9, 0.0], [0.2, 0.1], [0.0, 2.0]]], requires_grad=True)
    found = made(frames)
    assert found.codes.tolist() == [[0, 2]]
    torch.testing.assert_close(found.values.detach(), torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]]))
    expected = 0.5 * ((0.1**2 + 0.2**2) + (0.1**2 + 1.0)) / 6
    torch.testing.assert_close(found.loss, torch.tensor(expected))
    torch.testing.assert_close(found.perplexity, torch.tensor(2.0))
    trained = quantizer().train()(frames)
    weight = torch.tensor([[[1.0, 2], [3, 4], [5, 6]]])
    (gradient,) = torch.autograd.grad((trained.values * weight).sum(), frames)
    torch.testing.assert_close(gradient, weight)


def test_averages_follow_the_published_formula():
    made = quantizer().train()
    frames = torch.tensor([[2.0, 0, 0], [3, 0, 0], [0, 1, 0]])
    made(frames.T[None])
    counts = 0.9 * torch.ones(4) + 0.1 * torch.tensor([2.0, 1, 0, 0])  # 3 is as near to 1 as to 5: the lower code
    counts = (counts + 1e-3) / (counts.sum() + 4e-3) * counts.sum()
    sums = 0.9 * torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [5, 0, 0]])
    sums += 0.1 * torch.tensor([[5.0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(made.counts, counts)
    torch.testing.assert_close(made.sums, sums)
    torch.testing.assert_close(made.codebook, sums / counts[:, None])


def test_padding_reaches_neither_codebook_nor_loss():
    frames = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))
    other = frames.clone()
    other[0, :, 4:], other[1, :, 2:] = 100.0, -50.0
    states = []
    for given in (frames, other):
        made = quantizer().train()
        found = made(given, torch.tensor([4, 2]))
        states.append([*made.state_dict().values(), found.loss, found.perplexity, found.codes[0, :4]])
    for one, two in zip(*states, strict=True):
        torch.testing.assert_close(one, two)
    made = quantizer().train()
    before = made.codebook.clone()
    found = made(frames, torch.tensor([0, 0]))
    assert float(found.loss) == 0
    assert torch.isfinite(made.codebook).all()
    assert not torch.equal(before, torch.zeros_like(before))


def test_evaluation_changes_nothing():
    made = quantizer().eval()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made(torch.randn(2, 3, 6))
    for name, value in made.state_dict().items():
        assert torch.equal(value, before[name])


def test_unused_codes_start_anew_only_when_asked():
    frames = torch.rand(1, 3, 50, generator=torch.Generator().manual_seed(2)) + 10
    for below, moved in ((None, False), (0.95, True)):
        made = quantizer(CodebookConfig(decay=0.9, restart_below=below)).train()
        made(frames)
        distances = torch.cdist(made.codebook, frames[0].T).amin(1)
        assert bool((distances[:3] < 1e-5).all()) is moved


def test_k_means_places_the_codes_once():
    source = torch.Generator().manual_seed(3)
    middles = torch.tensor([[0.0, 0, 9], [0, 9, 0], [9, 0, 0], [-9, 0, 0]])
    frames = (middles.repeat_interleave(20, 0) + 0.1 * torch.randn(80, 3, generator=source))[None].transpose(1, 2)
    made = quantizer(CodebookConfig(kmeans_rounds=5)).train()
    found = made(frames)
    assert len(set(found.codes[0].tolist())) == 4
    assert float(found.loss) < 0.02
    assert bool(made.placed)
    again = made.codebook.clone()
    made(frames + 50)
    torch.testing.assert_close(made.codebook[3], again[3])  # nobody's: placed again it would have moved as well
    assert (made.codebook[:3] - again[:3]).norm(dim=1).min() > 5


def two_items(rank, world):
    """Three updates on two items, shared out among ranks; codes restart, so that frames travel too."""
    made = quantizer(CodebookConfig(decay=0.9, restart_below=0.92, kmeans_rounds=2)).train()
    frames = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(4))
    nframes = torch.tensor([7, 3])
    mine = slice(None) if world == 1 else slice(rank, rank + 1)
    for step in range(3):
        found = made((frames + step)[mine], nframes[mine])
    return made.state_dict() | {"loss": found.loss, "perplexity": found.perplexity}


def test_two_ranks_are_one(tmp_path):
    alone = two_items(0, 1)
    for found in on_two_ranks(two_items, tmp_path):
        for name, value in alone.items():
            torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize(("published", "shifts"), [(False, {-1, 0, 1}), (True, {0, 1, 2})])
def test_jitter_moves_frames_by_one(published, shifts):
    torch.manual_seed(0)
    frames = torch.arange(2000.0).expand(2, 3, -1)
    jitter = TemporalJitter(0.12, published)
    assert torch.equal(jitter.eval()(frames), frames)
    moved = jitter.train()(frames) - frames
    assert torch.equal(moved[0], moved[1])
    inner = moved[0, 0, 2:-2]
    assert set(inner.int().tolist()) == shifts
    assert abs(float((inner == min(shifts)).float().mean()) - 0.12) < 0.03
    assert abs(float((inner == max(shifts)).float().mean()) - 0.12) < 0.03
    with pytest.raises(ValueError, match=r"expected 0 to 0\.5"):
        TemporalJitter(0.6)

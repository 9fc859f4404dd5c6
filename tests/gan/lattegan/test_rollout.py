"""Dialogues drawn together are those drawn alone, turn by turn; the last turn's score chooses among candidates."""

import pytest
import torch

from gan.lattegan.discriminators import LatteganDiscriminator
from gan.lattegan.generator import ImageEncoder, LatteganGenerator
from gan.lattegan.layers import Instructions, LatteganError
from gan.lattegan.rollout import Networks, RollOuts, roll_out, truncated_normal
from tests.gan.lattegan.small import FUSIONS, IMAGE, SMALL, TEXT, images

LENGTHS = (1, 3)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    generator = LatteganGenerator(fusion=FUSIONS["TirgSpade concat"], **SMALL)
    judge = LatteganDiscriminator(TEXT, 3, width=4, resolution=64)
    return Networks(ImageEncoder(IMAGE, 4).eval(), generator.eval(), judge.eval())


def dialogues(rows=(0, 1)):
    draws = torch.Generator().manual_seed(4)
    words = torch.randn(2, 3, 5, TEXT, generator=draws)
    lengths = torch.tensor([[4, 1, 1], [2, 5, 3]])
    parts = (words.mean(dim=2), words, lengths)
    return Instructions(*(part[list(rows)] for part in parts)), torch.tensor(LENGTHS)[list(rows)]


def draw(networks, settings, rows=(0, 1)):
    told, nturns = dialogues(rows)
    draws = [torch.Generator().manual_seed(row) for row in rows]
    return roll_out(networks, images(1)[0], told, nturns, draws, settings)


def test_dialogues_are_drawn_alike_alone_and_together(networks):
    both = draw(networks, RollOuts(candidates=2))
    for row in (0, 1):
        (alone,) = draw(networks, RollOuts(candidates=2), (row,))
        assert alone.images.shape == (LENGTHS[row], 3, 64, 64)
        assert alone.gates.shape == (LENGTHS[row], 8, 8)
        torch.testing.assert_close(both[row].images, alone.images, rtol=0, atol=1e-3)  # instance norms enlarge rounding
        torch.testing.assert_close(both[row].scores, alone.scores, rtol=1e-3, atol=1e-3)


def test_against_a_loop_over_turns(networks):
    found = draw(networks, RollOuts(truncation=None), (1,))[0].images
    told, _ = dialogues((1,))
    draws, before = torch.Generator().manual_seed(1), images(1)
    with torch.no_grad():
        for turn in range(3):
            before = before + torch.rand(1, 3, 64, 64, generator=draws) / 64
            noise, variation = (torch.randn(1, size, generator=draws) for size in (5, 6))
            now = Instructions(*(part[:, turn] for part in told))
            before = networks.generator(noise, now, networks.image_encoder(before), variation).images
            torch.testing.assert_close(found[turn], before[0], rtol=1e-4, atol=1e-5)


def test_the_last_turn_chooses(networks):
    class Judge(torch.nn.Module):
        """Score the candidates of a call in rising order, at the last turn in falling order."""

        def __init__(self):
            super().__init__()
            self.calls, self.seen = 0, []

        def forward(self, previous, made, now):
            self.calls += 1
            self.seen.append(made)
            order = torch.arange(float(len(previous)))
            return networks.discriminator(previous, made, now)._replace(fitting=-order if self.calls == 3 else order)

    judge = Judge()
    (found,) = draw(networks._replace(discriminator=judge), RollOuts(candidates=3), (1,))
    assert found.scores.tolist() == [0, 0, 0]
    assert all(torch.equal(found.images[turn], judge.seen[turn][0]) for turn in range(3))


def test_truncated_noise():
    values = truncated_normal((20000,), 2.0, torch.Generator().manual_seed(0))
    assert values.abs().max() <= 2
    assert values.std().item() == pytest.approx(0.8796, abs=0.01)  # of the normal within two standard deviations
    assert truncated_normal((3,), None, torch.Generator().manual_seed(1)).shape == (3,)


def test_dialogues_without_a_turn_are_refused(networks):
    told, _ = dialogues()
    with pytest.raises(LatteganError, match=r"dialogues of \[0, 3\] turns, expected 1 to 3"):
        roll_out(networks, images(1)[0], told, torch.tensor([0, 3]), [torch.Generator()] * 2, RollOuts())

"""ResDAVEnet with quantisers: where they sit, what is masked, what training adds."""

import pytest
import torch

from models.resdavenet import ResDavenet
from models.resdavenet_vq import ResDavenetVq, TurnOnError
from models.vector_quantizer import CodebookConfig
from tests.models.networks import mel

WIDTHS, DEPTHS = (6, 8, 8, 12, 20), (1, 2, 1, 1)


def network(turn_on="01100", **changed):
    torch.manual_seed(0)
    return ResDavenetVq(turn_on, (3, 4, 5, 6, 7), WIDTHS, DEPTHS, kernel=5, **changed)


def test_without_quantisers_it_is_resdavenet():
    plain, spectrogram = ResDavenet(WIDTHS, DEPTHS, 5).eval(), mel(2, 96)
    made = network("00000").eval()
    made.load_state_dict(plain.state_dict())
    found, expected = made(spectrogram, torch.tensor([96, 40])), plain(spectrogram, torch.tensor([96, 40]))
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.nframes, expected.nframes)
    assert not found.losses
    assert not found.notes


def test_each_digit_is_a_place():
    made = network("10011")
    assert {name: tuple(one.codebook.shape) for name, one in made.quantizers.items()} == {
        "quant1": (3, 6),
        "quant4": (6, 12),
        "quant5": (7, 20),
    }
    found = made.eval()(mel(2, 96), torch.tensor([96, 40]))
    assert set(found.losses) == {"commitment/quant1", "commitment/quant4", "commitment/quant5"}
    assert set(found.notes) == {"perplexity/quant1", "perplexity/quant4", "perplexity/quant5"}
    rows = set(map(tuple, found.features.transpose(1, 2).flatten(0, 1).tolist()))
    assert rows <= set(map(tuple, made.quantizers["quant5"].codebook.tolist()))


def test_layers_before_and_behind_a_quantiser():
    made, spectrogram, nframes = network().eval(), mel(2, 96), torch.tensor([96, 41])
    before, codes = made.layer("conv2", spectrogram, nframes)
    behind, same = made.layer("quant2", spectrogram, nframes)
    assert before.features.shape == behind.features.shape == (2, 8, 48)
    assert before.nframes.tolist() == [48, 20]
    assert torch.equal(codes, same)
    assert torch.equal(behind.features.transpose(1, 2), made.quantizers["quant2"].codebook[codes])
    assert made.layer("conv5", spectrogram)[1] is None
    with pytest.raises(ValueError, match=r"'quant4'; expected one of conv1, .* quant2, quant3 \(turn-on 01100\)"):
        made.layer("quant4", spectrogram)


def test_padding_reaches_no_codebook():
    """The first convolution is one frame wide; with its batch norm held, what is padded may not matter at all."""
    spectrogram, nframes = mel(2, 96), torch.tensor([96, 40])
    other = spectrogram.clone()
    other[1, :, 40:] = 300.0
    states = []
    for given in (spectrogram, other):
        made = network("10000", jitter=0.0, freeze_batch_norm=True).train()
        before = made.quantizers["quant1"].codebook.clone()
        loss = made(given, nframes).losses["commitment/quant1"]
        assert not torch.equal(made.quantizers["quant1"].codebook, before)
        states.append([loss, *made.quantizers["quant1"].state_dict().values()])
    for one, two in zip(*states, strict=True):
        torch.testing.assert_close(one, two)


def test_jitter_only_in_training_and_only_behind_the_first_two_stages():
    made, spectrogram = network("00000", jitter=0.5, freeze_batch_norm=True), mel(1, 96)
    seen = []
    for index, stage in enumerate(made.stages):
        stage.register_forward_hook(lambda _, given, out, index=index: seen.append((index, given[0], out)))

    def jittered():
        seen.clear()
        made(spectrogram)
        return [not torch.equal(seen[i][2], seen[i + 1][1]) for i in range(4)]

    made.train()
    assert jittered() == [True, True, False, False]
    made.eval()
    assert jittered() == [False] * 4


@pytest.mark.parametrize("code", ["0110", "011000", "01120", "abcde", "", "-1100", 1100, True, 576.0, None])
def test_turn_on_codes(code):
    with pytest.raises(TurnOnError, match="expected five digits of 0 and 1, for the first convolution and each of the"):
        ResDavenetVq(code)


def test_a_number_that_yaml_made_of_five_digits_is_that_code():
    made = network(10100)
    assert made.turn_on == "10100"
    assert list(made.quantizers) == ["quant1", "quant3"]


@pytest.mark.parametrize("codes", [0, (4, 4), (4, 4, 0, 4, 4)])
def test_numbers_of_codes(codes):
    with pytest.raises(ValueError, match="expected one positive number, or five"):
        ResDavenetVq("00000", codes)


def test_settings_reach_the_quantisers():
    made = network(codebook=CodebookConfig(commitment_cost=0.25, nonneg_init=True))
    assert all(one.config.commitment_cost == 0.25 and (one.codebook >= 0).all() for one in made.quantizers.values())

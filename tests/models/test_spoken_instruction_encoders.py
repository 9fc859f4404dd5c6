"""Encoders of spoken instructions: padding changes nothing, what was said before counts, other layers are refused."""

import pytest
import torch

from models.instruction_encoders import InstructionError
from models.spoken_instruction_encoders import FeatureInstructionEncoder, UnitInstructionEncoder

LENGTHS = torch.tensor([5, 0, 9]), torch.tensor([7, 8, 3])  # before, now


def inputs(encoder, extra=0):
    draws = torch.Generator().manual_seed(1)
    shape = (3, 9) if isinstance(encoder, UnitInstructionEncoder) else (3, 9, 6)
    made = []
    for lengths in LENGTHS:
        values = torch.randint(0, 6, shape, generator=draws)
        values = values if isinstance(encoder, UnitInstructionEncoder) else values.float()
        made += [torch.cat((values, values[:, :extra]), dim=1), lengths]
    return made


@pytest.fixture(params=[1, 3])
def stride(request):
    return request.param


@pytest.fixture(params=["units", "features"])
def encoder(request, stride):
    torch.manual_seed(0)
    if request.param == "units":
        return UnitInstructionEncoder(codes=6, vector_dim=5, text_dim=8, stride=stride).eval()
    return FeatureInstructionEncoder(channels=6, vector_dim=5, text_dim=8, stride=stride).eval()


def test_what_stands_behind_an_instruction_changes_nothing(encoder, stride):
    found, padded = encoder(*inputs(encoder)), encoder(*inputs(encoder, extra=4))
    lengths = (~found.ignored).sum(dim=1)
    assert lengths.tolist() == [-(-length // stride) for length in LENGTHS[1].tolist()]
    torch.testing.assert_close(found.sentences, padded.sentences)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found.memory[row, :length], padded.memory[row, :length])
    first, before, second, now = inputs(encoder)
    alone = encoder(first[2:], before[2:], second[2:, :3], now[2:])
    torch.testing.assert_close(alone.sentences, found.sentences[2:])


def test_what_was_said_before_counts(encoder):
    first, before, second, now = inputs(encoder)
    found, other = encoder(first, before, second, now), encoder(first.flip(1), before, second, now)
    assert not torch.allclose(found.sentences[0], other.sentences[0])
    torch.testing.assert_close(found.sentences[1], other.sentences[1])  # nothing was


def test_gradients_reach_all_parameters(encoder):
    found = encoder.train()(*inputs(encoder))
    (found.sentences.square().sum() + found.memory.square().sum()).backward()
    without = {name for name, one in encoder.named_parameters() if one.grad is None or not one.grad.isfinite().all()}
    assert without == {f"reader.words.previous.outputs.{name}" for name in ("weight", "bias")}  # as published


def test_layers_of_other_sizes():
    with pytest.raises(InstructionError, match=r"up to 5, expected \(B, L\) below 4: give the encoder the number"):
        UnitInstructionEncoder(codes=4, text_dim=8)(*inputs(UnitInstructionEncoder(text_dim=8)))
    with pytest.raises(InstructionError, match=r"found features \(3, 9, 6\), expected \(B, L, 7\)"):
        FeatureInstructionEncoder(channels=7, text_dim=8)(*inputs(FeatureInstructionEncoder(text_dim=8)))

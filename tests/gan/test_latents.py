import numpy as np
import pytest
import torch

from gan.latents import LatentError, Latents, implied_number, latents


def test_stored_values():
    """The numbers that RandomState(1) has always given: captions' names are rows of this table."""
    table = latents(3, 4)
    stored = [
        [1.6243454, -0.6117564, -0.5281718, -1.0729686],
        [0.8654076, -2.3015387, 1.7448118, -0.7612069],
        [0.3190391, -0.2493704, 1.4621079, -2.0601407],
    ]
    assert table.dtype == torch.float32
    np.testing.assert_allclose(table.numpy(), stored, rtol=0, atol=1e-6)


def test_a_row_does_not_depend_on_their_number():
    assert torch.equal(latents(3, 512), latents(50, 512)[:3])
    assert not torch.equal(latents(3, 8), latents(3, 8, seed=2))
    assert latents(50, 512)[49, 511].item() == pytest.approx(0.133555979, abs=1e-7)


def test_rows_are_taken_by_id():
    table = Latents(10, 4)
    assert len(table) == 10
    assert torch.equal(table.take([7, 0]), latents(10, 4)[[7, 0]])
    assert torch.equal(table.take(torch.tensor([9])), latents(10, 4)[9:])


@pytest.mark.parametrize("wrong", [10, -1, 10**30])
def test_an_id_out_of_range_is_named(wrong):
    with pytest.raises(LatentError, match=f"latent id {wrong} is out of range: there are 10 latents, 0 to 9"):
        Latents(10, 4).take([3, wrong])


def test_captions_imply_at_most_the_published_table():
    assert implied_number([3, 199999, 7], "latents.number") == 200000
    with pytest.raises(LatentError, match=r"caption 99999999999 asks for 100000000000 latents.*set latents\.number to"):
        implied_number([3, 99999999999], "latents.number")


@pytest.mark.parametrize(("number", "rows"), [(None, 8), (20, 20)])
def test_the_table_of_captions_has_all_their_ids(number, rows):
    table = Latents.of_captions([3, 7], 4, number, 2, "latents.number")
    assert len(table) == rows
    assert torch.equal(table.take([7]), latents(8, 4, 2)[7:])
    with pytest.raises(LatentError, match="latent id 7 is out of range: there are 7 latents"):
        Latents.of_captions([3, 7], 4, 7, 2, "latents.number")


def test_an_empty_table_is_refused():
    with pytest.raises(LatentError, match="number=0"):
        Latents(0, 4)

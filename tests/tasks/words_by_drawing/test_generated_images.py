"""Images that are kept once generated do not depend on what was generated with them, as a resumed run needs."""

import pytest
import torch

from tests.tasks.words_by_drawing.generated_data import images_of, make_data, write_captions

IDS = list(range(40))


def image_source(folder, kept):
    dataset = make_data(folder).train_loader.dataset
    return images_of(dataset, kept=kept)


@pytest.mark.parametrize("kept", [5, 40])
def test_an_image_is_the_same_bit_for_bit_whatever_was_generated_before_or_with_it(tmp_path, kept):
    folder = write_captions(tmp_path, [str(name) for name in IDS])
    one, other = image_source(folder, kept), image_source(folder, kept)
    whole = one.generate({"latent": torch.tensor(IDS)}).images
    again = one.generate({"latent": torch.tensor(IDS)}).images
    assert torch.equal(whole, again)
    for rows in ([7], [39, 3, 11], [3, 5, 3, 20], IDS[::-1]):
        images = other.generate({"latent": torch.tensor(rows)}).images
        assert torch.equal(images, whole[rows])
    assert len(one.kept) == len(other.kept) == kept
    assert not torch.equal(whole[0], whole[1])


def test_another_generator_has_another_digest(tmp_path):
    folder = write_captions(tmp_path, ["0", "1"])
    one, other = image_source(folder, 0), image_source(folder, 0)
    assert one.digests() == other.digests()
    with torch.no_grad():
        next(other.generator.parameters()).add_(1e-3)
    assert one.digests() != other.digests()

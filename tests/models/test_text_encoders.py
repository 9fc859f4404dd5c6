import pytest
import torch

from models.text_encoders import DavenetText, DavenetTextLarge
from tests.models.networks import check_gradients


@pytest.mark.parametrize(("encoder", "reach"), [(DavenetText, 2), (DavenetTextLarge, 10)])
def test_text(encoder, reach):
    torch.manual_seed(0)
    network = encoder(vocab_size=30, embedding_dim=24)
    tokens = torch.randint(1, 30, (2, 25))
    maps = network(tokens, torch.tensor([25, 7]))
    assert maps.features.shape == (2, 24, 25)
    assert maps.nframes.tolist() == [25, 7]
    assert network(tokens).nframes.tolist() == [25, 25]
    changed = tokens.clone()
    changed[:, 12] = (changed[:, 12] % 29) + 1  # one word reaches as many places as the windows allow
    differs = (network(changed).features != maps.features).any(1).any(0)
    assert differs.nonzero().min() >= 12 - reach
    assert differs.nonzero().max() <= 12 + reach
    check_gradients(network, maps.features)


def test_padding_embedding_stays_zero():
    network = DavenetText(vocab_size=5, embedding_dim=8)
    network(torch.zeros(1, 4, dtype=torch.int64)).features.sum().backward()
    assert not network.words.weight[0].any()
    assert not network.words.weight.grad[0].any()


def test_padding_outside_the_vocabulary():
    with pytest.raises(ValueError, match="got 5 words and index 5"):
        DavenetText(vocab_size=5, padding_idx=5)

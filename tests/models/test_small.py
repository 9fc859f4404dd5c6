import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.small import SmallImageEncoder, SmallSpeechEncoder
from tests.models.networks import check_gradients, mel


def test_speech():
    torch.manual_seed(0)
    network = SmallSpeechEncoder(embedding_dim=24, width=16)
    maps = network(mel(3, 203), torch.tensor([203, 100, 9]))
    assert maps.features.shape == (3, 24, 26)
    assert maps.nframes.tolist() == [25, 12, 1]
    check_gradients(network, maps.features)


def test_speech_ignores_neighbours_and_padding():
    """An utterance alone, and the same one padded with 0 dB beside a longer one, have the same valid features."""
    torch.manual_seed(0)
    network = SmallSpeechEncoder(embedding_dim=8, width=16).eval()
    long = mel(1, 240)
    short = long[:, :, :101]
    batch = torch.cat([long, F.pad(short, (0, 139))])
    together = network(batch, torch.tensor([240, 101]))
    alone = network(short, torch.tensor([101]))
    frames = int(alone.nframes)
    assert frames == int(together.nframes[1]) == 12
    assert torch.allclose(together.features[1, :, :frames], alone.features[0, :, :frames], atol=1e-5)


@pytest.mark.parametrize(("size", "downsample"), [(128, 16), (64, 8)])
def test_image(size, downsample):
    torch.manual_seed(0)
    network = SmallImageEncoder(embedding_dim=24, width=8, downsample=downsample)
    maps = network(torch.randn(2, 3, size, size))
    assert maps.shape == (2, 24, 8, 8)
    check_gradients(network, maps)
    network.eval()
    alone = network(torch.zeros(1, 3, size, size))
    pair = network(torch.stack([torch.zeros(3, size, size), torch.randn(3, size, size)]))
    assert torch.allclose(alone[0], pair[0], atol=1e-5)


def test_dot_products_start_near_one():
    torch.manual_seed(0)
    image, speech = SmallImageEncoder(), SmallSpeechEncoder()
    with torch.no_grad():
        products = torch.einsum("bdhw,cdt->bchwt", image(torch.randn(4, 3, 128, 128)), speech(mel(4, 400)).features)
    assert 0.2 < products.std() < 5


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (SmallSpeechEncoder, {"kernel": 4}, "an odd kernel, got 128, 64, 3 and 4"),
        (SmallSpeechEncoder, {"stages": 0}, "positive embedding_dim, width and stages"),
        (SmallImageEncoder, {"width": 0}, "positive width and embedding_dim"),
        (SmallImageEncoder, {"downsample": 6}, "a multiple of 4, got 32, 128 and 6"),
    ],
)
def test_impossible_sizes(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(**arguments)


def test_speech_learns_words_by_order_of_magnitude():
    """Three made-up words, distinguished after twenty steps on a linear read-out of the mean feature."""
    torch.manual_seed(0)
    words = 15 * torch.randn(3, 40, 30)
    labels = torch.arange(24) % 3
    background = mel(24, 120)
    background[:, :, 40:70] = (words[labels] - 40).clamp(-80, 0)
    network = nn.ModuleDict({"speech": SmallSpeechEncoder(embedding_dim=16, width=16), "read": nn.Linear(16, 3)})
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    history = []
    for _ in range(20):
        loss = F.cross_entropy(network["read"](network["speech"](background).features.mean(2)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.1 * history[0]

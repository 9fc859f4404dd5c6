"""The encoders and scores of AttnGAN's matching model: order, padding, bad captions. Values are in the parity cases."""

import pytest
import torch
from torch.nn import functional as F

from losses import matching_losses
from models.damsm import CaptionEncoder, EncoderInputError, ImageRegionEncoder
from models.word_region_similarity import attention, cosine, region_context, sentence_scores, word_scores


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return CaptionEncoder(20, embedding_dim=8, word_dim=5).eval()


def test_captions_in_any_order(encoder):
    tokens = torch.randint(1, 20, (4, 7), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([2, 6, 1, 4])
    found = encoder(tokens, lengths)
    assert tuple(found.words.shape) == (4, 8, 6)
    assert torch.equal(found.padding.sum(dim=1), 6 - lengths)
    assert found.words.masked_select(found.padding[:, None]).abs().sum() == 0
    for row, length in enumerate(lengths):
        alone = encoder(tokens[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(found.words[row : row + 1, :, :length], alone.words)
        torch.testing.assert_close(found.sentences[row : row + 1], alone.sentences)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_sentences_are_both_ways_last_states(cell):
    model = CaptionEncoder(20, embedding_dim=8, word_dim=5, cell=cell).eval()
    found = model(torch.tensor([[3, 4, 5]]), torch.tensor([3]))
    assert torch.equal(found.sentences[0, :4], found.words[0, :4, -1])
    assert torch.equal(found.sentences[0, 4:], found.words[0, 4:, 0])


@pytest.mark.parametrize("lengths", [[0, 2], [2, 4], [2]])
def test_lengths_that_do_not_fit(encoder, lengths):
    with pytest.raises(EncoderInputError, match=r"captions of \[.*\] words in tokens \(2, 3\); expected one length"):
        encoder(torch.ones(2, 3, dtype=torch.int64), torch.tensor(lengths))


def test_an_odd_embedding():
    with pytest.raises(EncoderInputError, match="embedding_dim is 7, expected an even number"):
        CaptionEncoder(5, embedding_dim=7)


def test_images_of_any_side():
    model = ImageRegionEncoder(4).eval()
    with torch.no_grad():
        found = model(torch.zeros(1, 3, 40, 40))
    assert tuple(found.regions.shape) == (1, 4, 17, 17)
    assert tuple(found.images.shape) == (1, 4)


def test_scores_are_those_of_each_caption_and_image_alone():
    draws = torch.Generator().manual_seed(4)
    words = torch.randn(3, 6, 5, generator=draws, dtype=torch.float64, requires_grad=True)
    regions = torch.randn(2, 6, 4, 3, generator=draws, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 1, 3])

    def slowly(image, caption):
        own = words[caption : caption + 1, :, : lengths[caption]]
        context, _ = region_context(own, regions[image : image + 1], 4.0)
        return (5.0 * cosine(context, own.transpose(1, 2))).logsumexp(dim=1)

    found = word_scores(words, lengths, regions)
    expected = torch.stack([torch.cat([slowly(image, caption) for caption in range(3)]) for image in range(2)])
    torch.testing.assert_close(found, expected)
    weights = torch.randn(2, 3, generator=draws, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((one * weights).sum(), (words, regions)) for one in (found, expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_large_similarities_of_one_caption_do_not_silence_another(scale):
    """exp of their difference is 0 in float32 from 104 on."""
    words = torch.tensor([[[scale, scale]], [[0.1, 0.2]]])  # (2, 1, 2)
    regions = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    found = word_scores(words, torch.tensor([2, 2]), regions)
    assert found.isfinite().all()
    torch.testing.assert_close(found[:, 1:], word_scores(words[1:], torch.tensor([2]), regions))


def test_words_attend_to_their_own_image():
    draws = torch.Generator().manual_seed(4)
    words, regions = torch.randn(2, 6, 5, generator=draws), torch.randn(2, 6, 4, 3, generator=draws)
    found = attention(words, torch.tensor([5, 3]), regions)
    assert tuple(found.shape) == (2, 5, 4, 3)
    assert found[1, 3:].abs().sum() == 0
    torch.testing.assert_close(found[1, :3].flatten(1).sum(dim=1), torch.ones(3))
    torch.testing.assert_close(found[1, :3], attention(words[1:, :, :3], torch.tensor([3]), regions[1:])[0])


def test_half_precision_is_scored_in_full():
    words, regions = torch.randn(2, 6, 5), torch.randn(2, 6, 4, 3)
    lengths = torch.tensor([5, 3])
    with torch.autocast("cpu", torch.bfloat16):
        found = word_scores(words.bfloat16(), lengths, regions.bfloat16())
    torch.testing.assert_close(found, word_scores(words.bfloat16().float(), lengths, regions.bfloat16().float()))


def test_a_batch_of_one_has_losses():
    scores = sentence_scores(torch.ones(1, 4), torch.ones(1, 4))
    assert [float(loss) for loss in matching_losses(scores)] == [0.0, 0.0]


def test_pairs_of_one_class_are_no_impostors():
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.2, 0.3, 0.1], [0.0, 0.0, 0.5]])
    both = matching_losses(scores, classes=torch.tensor([7, 7, 8]))
    without = matching_losses(scores.masked_fill(torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]]).bool(), -torch.inf))
    for one, other in zip(both, without, strict=True):
        assert one == other
        assert one.isfinite()
    assert both[0] < matching_losses(scores)[0]


def test_the_cosine_of_nothing_is_zero():
    assert cosine(torch.zeros(3), torch.ones(3)) == 0


def test_words_of_another_vocabulary(encoder):
    with pytest.raises(EncoderInputError, match="tokens from 3 to 20, expected 0 to 19: the captions were numbered"):
        encoder(torch.tensor([[3, 20]]), torch.tensor([2]))


def test_no_images():
    with pytest.raises(EncoderInputError, match=r"found images \(1, 1, 8, 8\), expected \(B, 3, R, R\)"):
        ImageRegionEncoder(4)(torch.zeros(1, 1, 8, 8))


def test_every_weight_of_the_caption_encoder_learns(encoder):
    found = encoder(torch.arange(1, 20)[None], torch.tensor([19]))
    (found.words.square().mean() + found.sentences.square().mean()).backward()
    assert not [name for name, value in encoder.named_parameters() if value.grad is None or not value.grad.any()]


def test_words_are_reduced_before_dropout():
    torch.manual_seed(0)
    model = CaptionEncoder(20, embedding_dim=8, word_dim=6, dropout=0.5, reduced_dim=3)
    tokens, lengths = torch.randint(1, 20, (2, 4)), torch.tensor([4, 4])
    torch.manual_seed(1)
    found = model(tokens, lengths)
    torch.manual_seed(1)
    read = F.dropout(model.embedding(tokens) @ model.reduce.weight.T + model.reduce.bias, 0.5)
    assert tuple(read.shape) == (2, 4, 3)
    expected, (last, _) = model.rnn(read)
    torch.testing.assert_close(found.words, expected.transpose(1, 2))
    torch.testing.assert_close(found.sentences, torch.cat([last[0], last[1]], dim=1))


def test_every_weight_of_a_reduced_encoder_learns():
    torch.manual_seed(0)
    model = CaptionEncoder(20, embedding_dim=8, word_dim=6, reduced_dim=3).eval()
    found = model(torch.arange(1, 20)[None], torch.tensor([19]))
    (found.words.square().mean() + found.sentences.square().mean()).backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]

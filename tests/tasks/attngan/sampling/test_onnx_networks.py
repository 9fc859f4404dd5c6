"""AttnGAN's networks as ONNX can hold them compute the same."""

import pytest
import torch

import config
from models.tfidf_captions import TfidfCaptionEncoder
from tasks.attngan.sampling.onnx_networks import OnnxError, masked
from tasks.attngan.trained import TEXT
from tests.tasks.attngan.random_models import KNOWN, nodes_of

TOKENS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 0, 0, 0], [6, 0, 0, 0, 0], [5, 3, 5, 8, 0]])
LENGTHS = torch.tensor([5, 2, 1, 4])


@pytest.mark.parametrize("own", [{}, {"cell": "gru"}, {"reduced_dim": 5}, {"cell": "gru", "reduced_dim": 3}])
def test_masks_compute_what_packed_sequences_do(own):
    torch.manual_seed(0)
    encoder = config.build(nodes_of(**own)[TEXT]).eval()
    expected = encoder(TOKENS, LENGTHS)
    words, sentences, padding = masked(encoder)(TOKENS, LENGTHS)
    torch.testing.assert_close(words, expected.words)
    torch.testing.assert_close(sentences, expected.sentences)
    assert torch.equal(padding, expected.padding)


def test_weighed_word_counts_are_computed_too():
    torch.manual_seed(0)
    encoder = TfidfCaptionEncoder(len(KNOWN) + 1, embedding_dim=8, word_dim=6, reduced_dim=4).eval()
    encoder.fit(["<end>", *KNOWN], [row[:length].numpy() for row, length in zip(TOKENS, LENGTHS, strict=True)])
    expected = encoder(TOKENS, LENGTHS)
    words, sentences, padding = masked(encoder)(TOKENS, LENGTHS)
    torch.testing.assert_close(words, expected.words)
    torch.testing.assert_close(sentences, expected.sentences)
    assert torch.equal(padding, expected.padding)


def test_encoders_of_other_classes_are_refused():
    with pytest.raises(OnnxError, match="the text encoder is a Identity; expected one of CaptionEncoder, Tfidf"):
        masked(torch.nn.Identity())

"""TF-IDF in torch against scikit-learn's on stemmed text; what fitting, the penalty and bad captions do."""

import math

import numpy as np
import pytest
import snowballstemmer
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from losses import group_lasso
from models.damsm import EncoderInputError
from models.tfidf_captions import TfidfCaptionEncoder, stems

WORDS = ["<end>", "bird", "flying", "birds", "flies", "red", "the", "flight", "reddish", "fly"]
CAPTIONS = [[1, 2, 6], [3, 5, 6, 6], [3, 4, 1], [6, 7, 9, 2], [5, 5, 1]]


def padded(captions):
    longest = max(map(len, captions))
    tokens = torch.tensor([caption + [0] * (longest - len(caption)) for caption in captions])
    return tokens, torch.tensor([len(caption) for caption in captions])


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    model = TfidfCaptionEncoder(len(WORDS), embedding_dim=6, word_dim=4, reduced_dim=3)
    model.fit(WORDS, [np.array(caption) for caption in CAPTIONS])
    return model.eval()


def stemmed(captions):
    porter = snowballstemmer.stemmer("porter")
    return [" ".join(porter.stemWord(WORDS[number]) for number in caption) for caption in captions]


def test_words_of_one_stem_share_the_first_words_number():
    assert stems(WORDS).tolist() == [0, 1, 2, 1, 4, 5, 6, 7, 8, 2]  # birds: bird; fly: flying
    assert stems(["<end>"]).tolist() == [0]


def test_weights_equal_scikit_learns_on_stemmed_text(encoder):
    oracle = TfidfVectorizer(analyzer=str.split).fit(stemmed(CAPTIONS))
    others = [*CAPTIONS, [8, 1], [9, 4, 4, 3], [8]]  # 8 (reddish) is in no fitted caption
    expected = torch.from_numpy(oracle.transform(stemmed(others)).toarray()).float()
    found = encoder.weights(*padded(others))
    porter = snowballstemmer.stemmer("porter")
    columns = [oracle.vocabulary_.get(porter.stemWord(word)) for word in WORDS]
    for number, column in enumerate(columns):
        first = stems(WORDS)[number] == number
        wanted = expected[:, column] if column is not None and first else torch.zeros(len(others))
        torch.testing.assert_close(found[:, number], wanted, msg=WORDS[number])
    assert found[-1].abs().sum() == 0


def test_weights_by_hand():
    model = TfidfCaptionEncoder(3, embedding_dim=2, word_dim=2, reduced_dim=2)
    model.fit(["<end>", "red", "cube"], [np.array([1, 2]), np.array([1, 1, 1])])
    often, rare = math.log(3 / 3) + 1, math.log(3 / 2) + 1
    norm = math.hypot(2 * often, rare)
    torch.testing.assert_close(
        model.weights(*padded([[1, 2, 1]])), torch.tensor([[0.0, 2 * often / norm, rare / norm]])
    )


def test_the_sentence_is_linear_in_the_weights_and_knows_no_order(encoder):
    tokens, lengths = padded(CAPTIONS)
    found = encoder(tokens, lengths)
    assert tuple(found.words.shape) == (5, 6, 4)
    inner = encoder.weights(tokens, lengths) @ encoder.reducing_weight.T + encoder.reduce.bias
    torch.testing.assert_close(found.sentences, inner @ encoder.sentence.weight.T + encoder.sentence.bias)
    torch.testing.assert_close(found.words, encoder.recurrent(tokens, lengths).words)
    turned = encoder(*padded([caption[::-1] for caption in CAPTIONS]))
    torch.testing.assert_close(turned.sentences, found.sentences)
    assert not torch.allclose(turned.words, found.words)


def test_state_holds_what_fitting_found(encoder):
    again = TfidfCaptionEncoder(len(WORDS), embedding_dim=6, word_dim=4, reduced_dim=3).eval()
    again.load_state_dict(encoder.state_dict())
    for one, other in zip(again(*padded(CAPTIONS)), encoder(*padded(CAPTIONS)), strict=True):
        torch.testing.assert_close(one, other)


def test_every_weight_learns(encoder):
    found = encoder(*padded([list(range(1, len(WORDS)))]))
    (found.words.square().mean() + found.sentences.square().mean()).backward()
    without = [name for name, value in encoder.named_parameters() if value.grad is None or not value.grad.any()]
    assert not [name for name in without if not name.endswith("embedding.weight")]


def test_columns_out_of_reach_are_zero(encoder):
    norms = encoder.reducing_weight.norm(dim=0)
    reached = [number for number in range(len(WORDS)) if norms[number] > 0]
    assert reached == [1, 2, 4, 5, 6, 7]  # not the padding, birds (bird), reddish (in no caption), fly (flying)


def test_group_lasso():
    weight = torch.tensor([[3.0, 0.0, -1.0], [4.0, 0.0, 0.0]], requires_grad=True)
    loss = group_lasso(weight)
    assert loss.item() == pytest.approx(5 + 0 + 1)
    loss.backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[0.6, 0.0, -1.0], [0.8, 0.0, 0.0]]))


def test_silenced_words_are_listed_by_what_passes(encoder):
    with torch.no_grad():
        norms = {1: 2.0, 2: 0.5, 4: 0.001, 5: 1.0, 6: 0.0, 7: 0.02}
        for number, norm in norms.items():
            column = encoder.reduce.weight[:, number]
            column.mul_(norm / column.norm())
    found = encoder.silenced(WORDS, threshold=0.005)
    assert found.kept == pytest.approx({"bird": 1.0, "red": 0.5, "flying": 0.25, "flight": 0.01})
    assert list(found.kept) == ["bird", "red", "flying", "flight"]
    assert list(found.silenced) == ["flies", "the"]
    with pytest.raises(EncoderInputError, match="found 1 words with the padding, expected the 10"):
        encoder.silenced(["<end>"])


def test_the_penalty_silences_the_word_that_tells_nothing():
    """Sentences learn to tell "red" from "cube"; "the" stands in every caption, with a weight of its own."""
    torch.manual_seed(0)
    words = ["<end>", "red", "cube", "the"]
    model = TfidfCaptionEncoder(4, embedding_dim=2, word_dim=2, dropout=0.0, reduced_dim=2)
    model.fit(words, [np.array([1, 3]), np.array([2, 3])])
    tokens, lengths = padded([[1, 3], [2, 3]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        fit = (model(tokens, lengths).sentences - torch.tensor([[1.0, 0.0], [0.0, 1.0]])).square().sum()
        (fit + 0.02 * group_lasso(model.reducing_weight)).backward()
        optimizer.step()
    found = model.silenced(words, threshold=0.1)
    assert set(found.kept) == {"red", "cube"}
    assert list(found.silenced) == ["the"]


def test_an_encoder_that_was_not_fitted():
    model = TfidfCaptionEncoder(3, embedding_dim=2, word_dim=2, reduced_dim=2)
    with pytest.raises(EncoderInputError, match="has no weights yet; call fit with the vocabulary's words"):
        model(*padded([[1]]))


@pytest.mark.parametrize(
    ("words", "captions", "message"),
    [
        (WORDS[:3], CAPTIONS, "found 3 words with the padding, expected the 10 of vocab_size"),
        (WORDS, [[1], [4, 10]], "caption 2 has word numbers from 4 to 10, expected 1 to 9: it was numbered by another"),
        (WORDS, [[0, 4]], "caption 1 has word numbers from 0 to 4, expected 1 to 9"),
        (WORDS, [], "found no word in 0 captions, expected the captions of the training split"),
        (WORDS, [[]], "found no word in 1 captions"),
    ],
)
def test_what_cannot_be_fitted(words, captions, message):
    model = TfidfCaptionEncoder(len(WORDS), embedding_dim=6, word_dim=4, reduced_dim=3)
    with pytest.raises(EncoderInputError, match=message):
        model.fit(words, [np.array(caption, dtype=np.int64) for caption in captions])
    assert not model.idf.any()


def test_captions_that_do_not_fit(encoder):
    with pytest.raises(EncoderInputError, match="tokens from 3 to 10, expected 0 to 9"):
        encoder(torch.tensor([[3, 10]]), torch.tensor([2]))
    with pytest.raises(EncoderInputError, match="expected one length for each row"):
        encoder(torch.tensor([[3, 4]]), torch.tensor([0]))

"""Agreement of annotators: by hand, at its ends, and against sacrebleu itself."""

import builtins

import pytest
import torch

from evaluation.agreement import AgreementError, bert_score, bleu, language_model, word_overlap

SAME = [["a red cube", "a red cube"], ["blue sky", "blue sky"]]


def test_overlap_is_the_mean_share_of_words_that_both_wrote():
    """{more, red} and {more, cube} share one of three; {sky} and {sky} all: (1/3 + 1) / 2."""
    found = word_overlap([["more red", "more cube"], ["sky", "sky"]], str.split)
    assert found.value == pytest.approx(2 / 3)
    assert found.chance == 0
    assert word_overlap(SAME, str.split).value == 1
    assert word_overlap([["a b", "b c", "b"]], str.split).value == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)


def test_nothing_to_compare_is_one_sentence():
    for measure in (lambda texts: word_overlap(texts, str.split), bleu):
        with pytest.raises(AgreementError, match="nothing has two texts, so that there is no agreement"):
            measure([["alone"], []])


def test_bleu_is_that_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu", reason="the extra of requirements-language.txt")
    texts = [["the red cube grows larger", "the red cube gets larger now"], ["less sky above", "less sky"]]
    hypotheses = [texts[0][0], texts[0][1], texts[1][0], texts[1][1]]
    references = [[texts[0][1], texts[0][0], texts[1][1], texts[1][0]]]
    metric = sacrebleu.metrics.BLEU(lowercase=True, effective_order=True)
    expected = metric.corpus_score(hypotheses, references).score / 100
    found = bleu(texts)
    assert found.value == pytest.approx(expected)
    assert found.chance < found.value
    assert "sacrebleu nrefs:" in found.protocol
    assert bleu(SAME).value == pytest.approx(1)
    assert bleu([["a b c d", "a b c d", "x y z w"], ["q"]]).value > 0  # any number of annotators


def test_bleu_without_its_program_is_one_sentence(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("sacrebleu"):
            raise ImportError("no sacrebleu here", name="sacrebleu")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(AgreementError, match=r"pip install -r requirements-language\.txt"):
        bleu(SAME)


def test_bert_score_matches_tokens_greedily():
    """Tokens are axes: "a b" against "a c" has precision 1/2 and recall 1/2; against itself 1."""
    axes = torch.eye(4)

    def embed(text):
        return torch.stack([axes["abcd".index(word)] for word in text.split()])

    assert bert_score([["a b", "a c"]], embed, "axes").value == pytest.approx(0.5)
    assert bert_score([["a b", "b a"]], embed, "axes").value == pytest.approx(1)
    found = bert_score([["a", "a b"], ["c", "d"]], embed, "axes")  # precision 1, recall 1/2: 2/3; and 0
    assert found.value == pytest.approx(1 / 3)
    assert "by axes" in found.protocol


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(AgreementError, match=r"has no config\.json; give the folder of a model"):
        language_model(tmp_path)


def test_a_small_language_model_of_a_folder(tmp_path):
    transformers = pytest.importorskip("transformers", reason="compares texts by a language model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "more", "red", "cube"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    embed = language_model(tmp_path)
    assert embed("more red").shape == (4, 8)
    assert bert_score([["more red", "more red"]], embed, "small").value == pytest.approx(1, abs=1e-5)

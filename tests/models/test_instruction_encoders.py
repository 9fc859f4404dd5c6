"""Encoders of instructions: padding, order, folders of BERT. Values are in the parity case ``tirg_text``."""

import json

import pytest
import torch
from safetensors.torch import save_file

from models.bert import NAMES, Bert, load_bert, own_names
from models.instruction_encoders import BertInstructionEncoder, GruInstructionEncoder, InstructionError
from models.weights import WeightsError

CONFIG = {
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
    "model_type": "bert",
}


def test_the_recurrent_one_reads_history_first():
    torch.manual_seed(0)
    encoder = GruInstructionEncoder(3, 8).eval()
    previous, words = torch.randn(2, 4, 3), torch.randn(2, 5, 3)
    lengths = torch.tensor([4, 2]), torch.tensor([3, 5])
    found = encoder(previous, lengths[0], words, lengths[1])
    assert found.ignored.tolist() == [[False] * 3 + [True] * 2, [False] * 5]
    alone = encoder(previous[:1], lengths[0][:1], words[:1, :3], lengths[1][:1])
    torch.testing.assert_close(found.sentences[:1], alone.sentences)
    torch.testing.assert_close(found.memory[:1, :3], alone.memory)
    other = encoder(previous.flip(1), lengths[0], words, lengths[1])
    assert not torch.allclose(other.sentences, found.sentences)
    assert torch.equal(lengths[0], torch.tensor([4, 2]))  # the public code changes the caller's


def test_no_history_is_one_vector():
    torch.manual_seed(1)
    encoder = GruInstructionEncoder(3, 8)
    words = torch.randn(1, 2, 3)
    found = [encoder(torch.zeros(1, 1, 3), torch.tensor([n]), words, torch.tensor([2])).sentences for n in (0, 1)]
    assert torch.equal(*found)


def test_bert_sees_what_the_mask_says():
    torch.manual_seed(2)
    encoder = BertInstructionEncoder(bert=Bert(11, 8, 2, 2, 12, 9)).eval()
    tokens = torch.tensor([[2, 4, 3, 5, 6, 3, 0, 0], [2, 4, 7, 3, 5, 6, 8, 3]])
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]])
    found = encoder(tokens, (tokens > 0).long(), types)
    assert found.ignored[0].tolist() == [False, True, True, False, False, False, True, True]
    alone = encoder(tokens[:1, :6], torch.ones(1, 6, dtype=torch.int64), types[:1, :6])
    torch.testing.assert_close(found.memory[:1, :6], alone.memory)
    torch.testing.assert_close(found.sentences[:1], alone.memory[:, 0])
    with pytest.raises(InstructionError, match=r"found tokens \(1, 10\), expected \(B, L\), L up to 9"):
        encoder(torch.zeros(1, 10, dtype=torch.int64), torch.ones(1, 10), torch.zeros(1, 10, dtype=torch.int64))


def published_names(bert, old=False):
    """A BertModel's state dict: by our names, theirs."""
    theirs = {}
    forms = {
        "word.weight": "embeddings.word_embeddings.weight",
        "position.weight": "embeddings.position_embeddings.weight",
        "token_type.weight": "embeddings.token_type_embeddings.weight",
    }
    parts = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
             "output": "attention.output.dense", "norm": "attention.output.LayerNorm", "widen": "intermediate.dense",
             "narrow": "output.dense", "last_norm": "output.LayerNorm"}  # fmt: skip
    for name, value in bert.state_dict().items():
        pieces = name.split(".")
        if pieces[0] == "layers":
            full = f"encoder.layer.{pieces[1]}.{parts[pieces[2]]}.{pieces[3]}"
        else:
            full = forms.get(name, f"embeddings.LayerNorm.{pieces[-1]}")
        if old and "LayerNorm" in full:
            full = full.replace("weight", "gamma").replace("bias", "beta")
        theirs[f"bert.{full}" if old else full] = value
    return theirs


@pytest.mark.parametrize("old", [False, True])
def test_folders_as_transformers_saves_them(tmp_path, old):
    torch.manual_seed(3)
    bert = Bert(11, 8, 2, 2, 12, 9)
    state = published_names(bert, old) | {
        "pooler.dense.weight": torch.zeros(8, 8),
        "cls.predictions.bias": torch.zeros(11),
    }
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    if old:
        torch.save(state, tmp_path / "pytorch_model.bin")
    else:
        save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "model.safetensors")
    loaded = load_bert(tmp_path).eval()
    bert.eval()
    tokens, ones = torch.tensor([[2, 4, 3]]), torch.ones(1, 3, dtype=torch.int64)
    assert torch.equal(loaded(tokens, ones, 0 * ones), bert(tokens, ones, 0 * ones))
    assert BertInstructionEncoder(tmp_path).text_dim == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "is of 'roberta', expected a model of type 'bert'"),
        ({"hidden_act": "relu"}, "has hidden_act 'relu', which is not carried"),
        ({"vocab_size": None}, "lacks vocab_size"),
        ({"num_hidden_layers": 10**9}, "has num_hidden_layers 1000000000"),
        ({"num_attention_heads": 3}, "found 3 heads of a width of 8"),
        ({"hidden_size": 10}, "do not fit Bert"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, change, message):
    save_file(published_names(Bert(11, 8, 2, 2, 12, 9)), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(WeightsError, match=message):
        load_bert(tmp_path)


def test_other_folders(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no .*config.json: give the folder of a model"):
        load_bert(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(WeightsError, match=r"There is no weight file .*model.safetensors"):
        load_bert(tmp_path)
    with pytest.raises(WeightsError, match=r"a file holds decoder.weight, which BertModel does not have"):
        own_names({"decoder.weight": torch.zeros(1)}, "a file")
    with pytest.raises(InstructionError, match="text_dim is 7"):
        GruInstructionEncoder(3, 7)
    assert len(NAMES) == 8

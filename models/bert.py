"""BERT (arXiv:1810.04805) and its relatives of the same layout: states of the tokens of two texts.

Must match ``BertModel`` of Hugging Face's transformers (parity kind ``tirg_text``), whose folders it reads: exact GELU,
post-norm layers, no pooler.

Shape letters: B texts, L tokens, D width.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Count, Depth, Width
from models.weights import WeightsError, build_for, read_card, read_state_dict

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
NOT_USED = (r"(?:bert\.)?pooler\..+", r"(?:bert\.)?embeddings\.position_ids", r"cls\..+")
NAMES = (  # theirs, ours
    (r"embeddings\.(word|position|token_type)_embeddings\.weight", r"\1.weight"),
    (r"embeddings\.LayerNorm\.(weight|gamma|bias|beta)", r"norm.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.(weight|bias)", r"layers.\1.\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(weight|bias)", r"layers.\1.output.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(weight|gamma|bias|beta)", r"layers.\1.norm.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(weight|bias)", r"layers.\1.widen.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(weight|bias)", r"layers.\1.narrow.\2"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.(weight|gamma|bias|beta)", r"layers.\1.last_norm.\2"),
)
OLD_ENDS = {"gamma": "weight", "beta": "bias"}  # of norms, in files from TensorFlow's time
CONFIG = {  # keys of config.json: arguments here
    "vocab_size": "vocab_size",
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "intermediate_size": "inner_width",
    "max_position_embeddings": "positions",
    "type_vocab_size": "types",
    "layer_norm_eps": "norm_eps",
}
Chance = Annotated[float, Field(ge=0, lt=1)]


class BertLayer(nn.Module):
    """Attend to all tokens, then transform each alone."""

    def __init__(self, width: int, heads: int, inner_width: int, norm_eps: float, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise WeightsError(f"found {heads} heads of a width of {width}, expected a divisor")
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.widen, self.narrow = nn.Linear(width, inner_width), nn.Linear(inner_width, width)
        self.norm, self.last_norm = (nn.LayerNorm(width, eps=norm_eps) for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Transform states (B, L, D); ``mask`` (B, 1, 1, L) bool is true where there is a token."""
        query, key, value = (
            project(states).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        dropout = self.drop.p if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        states = self.norm(states + self.drop(self.output(attended.transpose(1, 2).flatten(2))))
        return self.last_norm(states + self.drop(self.narrow(F.gelu(self.widen(states)))))


class Bert(nn.Module):
    """Encode the tokens of one or two texts.

    Args:
        vocab_size: tokens.
        width: D.
        depth: layers.
        heads: of each layer's attention.
        inner_width: numbers between the two linear layers of a layer.
        positions: the longest input, in tokens.
        types: first and second text.
        norm_eps: epsilon of the layer norms.
        dropout: share dropped in training.
    """

    def __init__(
        self,
        vocab_size: Count,
        width: Width = 768,
        depth: Depth = 12,
        heads: Count = 12,
        inner_width: Width = 3072,
        positions: Width = 512,
        types: Width = 2,
        norm_eps: float = 1e-12,
        dropout: Chance = 0.1,
    ) -> None:
        super().__init__()
        self.width, self.positions = width, positions
        self.word, self.position = nn.Embedding(vocab_size, width), nn.Embedding(positions, width)
        self.token_type = nn.Embedding(types, width)
        self.norm, self.drop = nn.LayerNorm(width, eps=norm_eps), nn.Dropout(dropout)
        self.layers = nn.ModuleList(BertLayer(width, heads, inner_width, norm_eps, dropout) for _ in range(depth))

    def forward(self, tokens: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        """Return states (B, L, D) of tokens (B, L) int64.

        ``mask`` (B, L) is 1 where there is a token, ``types`` (B, L) 1 in the second text.
        """
        places = torch.arange(tokens.shape[1], device=tokens.device)
        states = self.drop(self.norm(self.word(tokens) + self.token_type(types) + self.position(places)))
        mask = mask.bool()[:, None, None]
        for layer in self.layers:
            states = layer(states, mask)
        return states


def own_names(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Rename the entries of a ``BertModel``, pooler and heads of other tasks left out.

    ``source`` is named in the WeightsError that an unknown entry ends in.
    """
    own: dict[str, Tensor] = {}
    for name, value in state.items():
        if any(re.fullmatch(pattern, name) for pattern in NOT_USED):
            continue
        bare = name.removeprefix("bert.")
        match = next(((m, ours) for theirs, ours in NAMES if (m := re.fullmatch(theirs, bare))), None)
        if match is None:
            raise WeightsError(f"{source} holds {name}, which BertModel does not have: is it another kind of model?")
        stem, _, end = match[0].expand(match[1]).rpartition(".")
        own[f"{stem}.{OLD_ENDS.get(end, end)}"] = value
    return own


def load_bert(folder: Path) -> Bert:
    """Load a model of BERT's family from a folder as transformers saves it.

    Args:
        folder: ``config.json`` beside ``model.safetensors`` or ``pytorch_model.bin``.

    Raises:
        WeightsError: A file is missing, damaged, or of a layout that is not BERT's.
    """
    config = read_card(folder / "config.json", "give the folder of a model that transformers saved")
    if not isinstance(config, Mapping) or config.get("model_type", "bert") != "bert":
        found = config.get("model_type") if isinstance(config, Mapping) else type(config).__name__
        raise WeightsError(f"{folder / 'config.json'} is of {found!r}, expected a model of type 'bert'.")
    _check(config, folder)
    file = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), folder / WEIGHT_FILES[0])
    own = own_names(read_state_dict(file), str(file))
    sizes: dict[str, Any] = {ours: config[theirs] for theirs, ours in CONFIG.items() if theirs in config}
    sizes["dropout"] = config.get("hidden_dropout_prob", 0.1)
    return build_for(lambda: Bert(**sizes), own, str(file))


def _check(config: Mapping[str, Any], folder: Path) -> None:
    """Raise a WeightsError for what a config lacks, or has and this implementation has not."""
    lacking = [name for name in ("vocab_size", "hidden_size") if not isinstance(config.get(name), int)]
    wrong = [
        f"{name} {config[name]!r}"
        for name, carried in (("hidden_act", "gelu"), ("position_embedding_type", "absolute"))
        if config.get(name, carried) != carried
    ]
    sizes = [
        f"{name} {config[name]!r}"
        for name in CONFIG
        if name in config and not (isinstance(config[name], int | float) and 0 < config[name] < 10**7)
    ]
    if lacking or wrong or sizes:
        what = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(wrong or sizes)}, which is not carried"
        raise WeightsError(
            f"{folder / 'config.json'} {what}: expected a config of BertModel ({json.dumps(sorted(CONFIG))})."
        )

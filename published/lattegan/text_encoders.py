"""Text encoders that LatteGAN trains in TIRG: ``{codraw,iclevr}_pretrain_models_epoch_N.pth``.

A dict of two state dicts, ``rnn_prev`` and ``rnn_curr``, or of one, ``bert``: a ``BertModel`` of transformers. The
number of its heads is not in the weights: it comes from a ``config.json`` beside the file, else heads have 64 numbers,
as those of ``bert-base-uncased``.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from models.bert import Bert, own_names
from models.instruction_encoders import BertInstructionEncoder, GruInstructionEncoder
from models.weights import WeightsError, as_state_dict, build_for, read_card, read_torch_file, strip_prefix
from published.key_map import Rule, rename

HEAD = 64  # numbers of a head
READERS = {"rnn_prev": "previous", "rnn_curr": "current"}
READER_RULES: list[Rule] = [
    (r"rnn\.(.+)", r"rnn.\1"),
    (r"norm1\.(.+)", r"outputs.\1"),
    (r"norm2\.(.+)", r"states.\1"),
]
BERT = "bert"


def load(path: Path) -> GruInstructionEncoder | BertInstructionEncoder:
    """Load a text encoder, in evaluation mode on the CPU.

    Raises WeightsError where the file is missing, damaged, of another kind, or does not fit.
    """
    content = read_torch_file(path)
    keys = set(content) if isinstance(content, Mapping) else set()
    if BERT in keys:
        return _bert(strip_prefix(as_state_dict(content[BERT], path)), path).eval()
    if not set(READERS) <= keys:
        raise WeightsError(
            f"{path} holds {sorted(map(str, keys))[:4]}, expected bert, or rnn_prev and rnn_curr: a file of LatteGAN's "
            "pre-training"
        )
    own = {
        f"{ours}.{name}": value
        for theirs, ours in READERS.items()
        for name, value in rename(strip_prefix(as_state_dict(content[theirs], path)), READER_RULES, str(path)).items()
    }
    gates, inner = (_entry(own, f"current.rnn.weight_{part}_l0", path) for part in ("ih", "hh"))
    sizes = {"word_dim": gates.shape[1], "text_dim": 2 * inner.shape[1]}
    return build_for(lambda: GruInstructionEncoder(**sizes), own, str(path)).eval()


def _bert(state: Mapping[str, Tensor], path: Path) -> BertInstructionEncoder:
    own = own_names({name.removeprefix("model."): value for name, value in state.items()}, str(path))
    words, positions, types, inner = (
        _entry(own, name, path)
        for name in ("word.weight", "position.weight", "token_type.weight", "layers.0.widen.weight")
    )
    vocab_size, width = words.shape
    depth = len({name.split(".")[1] for name in own if name.startswith("layers.")})
    card = path.with_name("config.json")
    config = read_card(card, "") if card.is_file() else {}
    heads = config.get("num_attention_heads") if isinstance(config, Mapping) else None
    if heads is None:
        heads = max(width // HEAD, 1)
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise WeightsError(f"{card} says {heads!r} heads of a width of {width}, expected a divisor.")
    bert = build_for(
        lambda: Bert(vocab_size, width, depth, heads, len(inner), len(positions), len(types)), own, str(path)
    )
    return BertInstructionEncoder(bert=bert)


def _entry(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """Return a weight that tells sizes, of two axes."""
    if name not in state or state[name].dim() != 2:
        raise WeightsError(f"{path} lacks {name} (by this project's names): it is a file of another kind.")
    return state[name]

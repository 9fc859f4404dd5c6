"""LatteGAN's text encoders as their files hold them, and the network they are trained in, which it never saved."""

import json

import torch
from torch import Tensor

from models.tirg import Tirg
from models.weights import load_strictly
from published import load_published
from published.key_map import rename
from tests.parity.case import Case
from tests.parity.fill import fill_state
from tests.parity.kinds import Arrays, Groups

RULES = [
    (r"w_gate", "gate_weight"),
    (r"w_res", "residual_weight"),
    (r"st_attn\.emb_query\.(.+)", r"attention.query.\1"),
    (r"st_attn\.attn\.(.+)", r"attention.attention.\1"),
    (r"st_attn\.norm\.(.+)", r"attention.norm.\1"),
    (r"st_attn\.pos_emb\.(.+)", r"attention.position.\1"),
    (r"conv_gate1\.(.+)", r"before.\1"),
    (r"conv_gate2\.0\.(.+)", r"gate.\1"),
    (r"conv_res\.(.+)", r"residual.\1"),
    (r"(detector\..+)", r"\1"),
]


def groups(case: Case) -> Groups:
    """Write the files, load them, encode; compose with BERT's states, by its mask and by lengths."""
    hyper, salt = case.hyper, case.spec.get("salt", "")
    folder = case.folder / "bert"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": hyper["bert_heads"]}))

    def loaded(kind: str) -> torch.nn.Module:
        name = case.file_like(f"({kind})")
        content = {part: fill_state(rows, salt) for part, rows in case.files[name]["entries"].items()}
        torch.save(content, folder / f"{kind}.pth")
        return load_published("lattegan_text", folder / f"{kind}.pth")

    @torch.no_grad()
    def recurrent() -> Arrays:
        encoder = loaded("rnn")
        previous, words = ((case.tensor(f"{p}embs"), case.tensor(f"{p}lengths")) for p in ("prev_", ""))
        _, context = encoder.previous(*previous)
        _, last = encoder.current(*words, context)
        found = encoder(*previous, *words)
        return {
            "rnn_context": context.numpy(),
            "rnn_memories": found.memory.numpy(),
            "rnn_feature": found.sentences.numpy(),
            "rnn_h_n": last.numpy(),
        }

    @torch.no_grad()
    def bert() -> Arrays:
        found = read_by_bert()
        ignored = found.ignored.numpy().astype("uint8")
        return {
            "bert_last_hidden": found.memory.numpy(),
            "bert_cls": found.sentences.numpy(),
            "bert_key_padding_mask": ignored,
        }

    def read_by_bert() -> tuple[Tensor, Tensor, Tensor]:
        return loaded("bert")(*(case.tensor(name) for name in ("input_ids", "attention_mask", "token_type_ids")))

    @torch.no_grad()
    def composed() -> Arrays:
        network = Tirg(hyper["image_dim"], hyper["bert_hidden"], hyper["num_objects"], hyper["hidden_dim"]).eval()
        load_strictly(network, rename(case.state(case.file_like("tirg.pth")), RULES, "the case"), "the case")
        found, image = read_by_bert(), case.tensor("image_map").relu()
        by_mask = network(image, found.sentences, found.memory, found.ignored)
        lengths = case.tensor("tirg_lengths")
        memory = found.memory[:, : int(lengths.max())]
        by_length = network(image, found.sentences, memory, torch.arange(memory.shape[1]) >= lengths[:, None])
        return {
            "tirg_map": by_mask.maps[:, ::4].numpy(),
            "tirg_gate": by_mask.gate[:, ::8].numpy(),
            "tirg_detection": by_mask.objects.numpy(),
            "tirg_map_lengths": by_length.maps[:, ::8].numpy(),
            "tirg_detection_lengths": by_length.objects.numpy(),
        }

    return {"recurrent": recurrent, "bert": bert, "composed": composed}

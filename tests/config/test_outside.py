"""Networks that a file from outside describes: those of the project, nothing else, whatever it names."""

import json
import time

import pytest
from safetensors.torch import save_file
from torch import nn

import config
from common.errors import UserError
from gan import shipped
from models.segmenter.file import SHIPPED, load_segmenter
from models.small import SmallSpeechEncoder
from tasks.resdavenet_vq.encoder_file import load_encoder

ENCODER = {"type": "models.small.SmallSpeechEncoder", "embedding_dim": 8, "width": 4}


def encoder_card(folder, node):
    save_file(SmallSpeechEncoder(embedding_dim=8, width=4).state_dict(), folder / "x.safetensors")
    path = folder / "x.json"
    path.write_text(node if isinstance(node, str) else json.dumps({"speech_encoder": node}))
    return path


def test_a_card_builds_its_network(tmp_path):
    assert load_encoder(encoder_card(tmp_path, ENCODER)).state_dict().keys()


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"type": "evaluation.report.parts.page.write_page", "path": "OUT"}, "expected a network of models or gan"),
        ({"type": "engine.checkpoint.write", "path": "OUT"}, "expected a network of models or gan"),
        ({"type": "models.segmenter.file.load_segmenter"}, "expected a network of models or gan"),
        ({"type": "published.words_by_drawing.progan.load", "path": "OUT"}, "expected a network of models or gan"),
        ({"type": "os.system", "command": "touch OUT"}, "not on the allow-list"),
        ({"type": "models.weights.WeightsError"}, "exception"),
        ({**ENCODER, "kernel": {"type": "evaluation.report.parts.page.write_page"}}, "expected a network of models or"),
        ({**ENCODER, "width": 10**30}, "found 1000000"),
        ({**ENCODER, "width": 5_000}, "do not fit SmallSpeechEncoder"),
        ({**ENCODER, "width": "4"}, r"width: found '4' \(str\), expected int"),
        ({**ENCODER, "width": [4]}, "width: found"),
        ({**ENCODER, "stages": 10**6}, "stages: found"),
        ({**ENCODER, "nonsense": 1}, "unknown key"),
        ({"type": ["models.small.SmallSpeechEncoder"]}, "expected a dotted path"),
        ({"type": "models.image_encoders.Resnet50Encoder", "pretrained": "/etc/passwd"}, "do not fit"),
        ([], "does not describe a speech encoder"),
        ("[" * 100_000, "is not JSON"),
        ('{"speech_encoder": {"type": ' + "9" * 5000 + "}}", "is not JSON|dotted path"),
    ],
)
def test_a_card_can_name_networks_only(tmp_path, node, message):
    text = json.dumps(node) if not isinstance(node, str) else node
    node = json.loads(text.replace("OUT", str(tmp_path / "out"))) if not isinstance(node, str) else node
    start = time.process_time()
    with pytest.raises(UserError, match=message):
        load_encoder(encoder_card(tmp_path, node))
    assert not (tmp_path / "out").exists()
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "change",
    [{"latent_dim": "x"}, {"latent_dim": 10**9}, {"widths": [10**9]}, {"widths": [[1]]}, {"widths": []},
     {"latent_dim": True}, {"widths": [8000] * 9}],
)  # fmt: skip
def test_the_card_of_a_generator_has_sizes_of_one(tmp_path, change):
    card = shipped.card("progan_world") | change
    (tmp_path / "g.json").write_text(json.dumps(card))
    (tmp_path / "g.safetensors").write_bytes((shipped.FOLDER / "progan_world.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"does not describe a generator|do not fit"):
        shipped.load("g", tmp_path)


@pytest.mark.parametrize(
    "network",
    [{"type": ["SmallSegmenter"]}, {"type": "Module"}, {"type": "SmallSegmenter", "widths": "abc"},
     {"type": "SmallSegmenter", "widths": [10**6, 10**6, 10**6]}, {"type": "SmallSegmenter", "widths": [10**30, 1, 1]}],
)  # fmt: skip
def test_the_card_of_a_segmenter_likewise(tmp_path, network):
    card = json.loads(SHIPPED.with_suffix(".json").read_text()) | {"network": network}
    (tmp_path / "s.json").write_text(json.dumps(card))
    (tmp_path / "s.safetensors").write_bytes(SHIPPED.read_bytes())
    with pytest.raises(UserError, match=r"names the network|cannot be built|do not fit"):
        load_segmenter(tmp_path / "s.safetensors")


def test_only_networks_of_the_project_and_no_files():
    with pytest.raises(config.ConfigError, match=r"x\.pretrained names the file"):
        node = {"type": "models.image_encoders.Resnet50Encoder", "pretrained": "runs/other.pt"}
        config.check_outside(node, nn.Module, "x")
    with pytest.raises(config.ConfigError, match="expected a network of models or gan"):
        config.check_outside({"type": "torch.optim.SGD"}, nn.Module, "x")

"""An exported speech encoder is the trained one, and the configs of the measurements run on what they name."""

import json
import shutil

import pytest
import torch

import config
import run as program
from common.errors import UserError
from engine.checkpoint import CheckpointError
from engine.init_from import read_checkpoint
from models.weights import WeightsError
from tasks.resdavenet_vq.export import export
from tasks.resdavenet_vq.layers import load_speech
from tasks.speech_image.trained import ModelSource

CPU = torch.device("cpu")
SHIPPED = config.PROJECT_ROOT / "models" / "shipped" / "resdavenet_vq_world.json"


@pytest.fixture
def exported(vq_run, context, tmp_path):
    """The description of the exported run."""
    run = tmp_path / "run"
    shutil.copytree(vq_run, run)
    (run / "metrics.json").write_text('{"recall@10": 0.5}')
    (run / "tests" / "words").mkdir(parents=True)
    (run / "tests" / "words" / "metrics.json").write_text('{"words": 3}')
    export(run, tmp_path / "shipped" / "mine.json", context, "by hand")
    return tmp_path / "shipped" / "mine.json"


def test_features_and_codes_are_those_of_the_run(exported, vq_run):
    mel = (20 * torch.randn(1, 40, 64) - 40).clamp(-80, 0)
    ours, theirs = (load_speech(ModelSource(run=path), CPU) for path in (exported, vq_run))
    for name, (features, codes) in ours.encode(["conv1", "quant3"], mel).items():
        other, other_codes = theirs.encode([name], mel)[name]
        assert torch.equal(features, other)
        assert codes is other_codes is None or torch.equal(codes, other_codes)
    assert ours.name == "mine"


def test_it_says_how_it_was_made(exported, vq_run):
    card = json.loads(exported.read_text())
    assert card["speech_encoder"]["turn_on"] == "01100"
    assert (card["made_by"], card["step"]) == ("by hand", 7)
    assert card["figures"] == {"training": {"recall@10": 0.5}, "words": {"words": 3}}
    assert str(vq_run.parent) not in exported.read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no .*mine.json: give the .json of an exported encoder, or a run folder"),
        ("{", "mine.json is not JSON"),
        ('{"network": {}}', "does not describe a speech encoder: expected an entry speech_encoder with its type"),
    ],
)
def test_a_bad_description_is_refused(exported, content, message):
    exported.unlink()
    if content is not None:
        exported.write_text(content)
    with pytest.raises(WeightsError, match=message):
        load_speech(ModelSource(run=exported), CPU)


def test_weights_of_another_shape_are_refused(exported):
    card = json.loads(exported.read_text())
    card["speech_encoder"]["codes"] = 13
    exported.write_text(json.dumps(card))
    with pytest.raises(WeightsError, match=r"mine.safetensors"):
        load_speech(ModelSource(run=exported), CPU)
    exported.with_suffix(".safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no weight file .*mine.safetensors"):
        load_speech(ModelSource(run=exported), CPU)


def test_a_card_that_describes_no_network_is_named(exported):
    card = json.loads(exported.read_text())
    card["speech_encoder"]["codes"] = "many"
    exported.write_text(json.dumps(card))
    with pytest.raises(WeightsError, match=r"mine.json describes no network: .*speech_encoder.codes: found 'many'"):
        load_speech(ModelSource(run=exported), CPU)


def test_an_exported_encoder_is_no_start_of_a_training(exported):
    with pytest.raises(CheckpointError, match=r"mine.json is an exported encoder, which only measurements take"):
        read_checkpoint(exported)


def test_other_names_and_lost_runs_are_refused(vq_run, context, tmp_path):
    with pytest.raises(UserError, match=r"output: found mine.pt; expected a name that ends in .json"):
        export(vq_run, tmp_path / "mine.pt", context)
    with pytest.raises(UserError, match=r"There is no trained run at .*gone"):
        export(tmp_path / "gone", tmp_path / "mine.json", context)
    assert not list(tmp_path.glob("mine*"))


def test_the_shipped_encoder_is_built_and_has_both_quantisers():
    model = load_speech(ModelSource(run=SHIPPED), CPU)
    assert model.quantised() == ["quant2", "quant3"]
    assert json.loads(SHIPPED.read_text())["figures"]["training"]["n"] == 500


def test_the_measurements_read_the_world_that_the_training_makes():
    built = config.load("world/units.yaml", []).values["world"]
    prepared = config.load("resdavenet_vq/world_cpu.yaml", []).values["prepare"]["world"]
    assert {name: built[name] for name in prepared} == prepared
    for name in ("units", "abx", "word_detection"):
        data = config.load(f"resdavenet_vq/{name}.yaml", []).values["data"]
        assert data["manifest"] == f"{built['folder']}/places/test.json"


@pytest.mark.parametrize("name", ["units", "abx", "word_detection", "word_detection_world", "dump", "abx_items"])
def test_configs_of_the_measurements_run(world, tmp_path, name):
    """Every command with the shipped encoder on a small world: a try first, which writes nothing, then really."""
    words = [f"data.manifest={world}", f"run.folder={tmp_path / 'runs'}"]
    if name == "dump":
        words = [f"data={{type: datasets.spoken_captions.PlacesFiles, manifest: {world}, image: null}}"]
        words += [f"output={tmp_path / 'dumped'}"]
    elif name == "abx_items":
        words = [f"manifest={world}", f"output={tmp_path / 'made.item'}"]
    elif name == "units":
        words += ["shown=1", "codes=1", "snippets=1"]
    elif name == "abx":
        pytest.importorskip("fastabx", reason="fastabx needs Python 3.12")
    arguments = ["-f", f"resdavenet_vq/{name}.yaml", *words]
    assert program.main([*arguments, "--dry-run"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert program.main(arguments) == 0
    assert list(tmp_path.iterdir())

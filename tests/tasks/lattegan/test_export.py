"""The export: what it draws is what the run draws, another training starts from it, and files that are no export."""

import json

import numpy as np
import pytest
import torch

from common.errors import UserError
from engine import checkpoint
from engine.init_from import InitFrom, start_from
from models.instruction_encoders import GruInstructionEncoder
from models.object_localizer import ObjectLocalizer, PointsTrunk, load_localizer, save_localizer
from run import main
from tasks.lattegan.exported import ExportError, read_export, save_export, text_encoder, text_reader
from tasks.lattegan.task import Lattegan
from tasks.lattegan.turn_by_turn.model import of_export, of_run
from tasks.lattegan.turn_by_turn.scene import Scene
from tests.tasks.lattegan.small_models import networks, write_run, write_vectors
from tests.tasks.lattegan.worlds import write_squares


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An export of a small run, written by the command, and what the run itself is."""
    folder = tmp_path_factory.mktemp("export")
    write_squares(folder, "val", 1, 0)
    write_run(folder / "run")
    localizer = ObjectLocalizer(24, 2, PointsTrunk(32, 4, 6), [8, 8])
    save_localizer(localizer, folder / "localizer.safetensors", [f"class {at}" for at in range(24)], {"seed": 4})
    torch.manual_seed(5)
    encoder = GruInstructionEncoder(5, 8)
    (folder / "text" / "checkpoints").mkdir(parents=True)
    config = "data: {batch_size: 2}\ntask: {}\n"
    checkpoint.write(
        folder / "text" / "checkpoints" / "best.pt",
        {"modules": {"text": encoder.state_dict()}, "averages": {}, "config": config, "step": 4, "seconds": 6.0},
    )
    arguments = [
        f"output={folder / 'small.json'}", f"run={folder / 'run'}", "encoder.word_dim=5", "encoder.text_dim=8",
        f"texts.path={write_vectors(folder / 'vectors.txt')}", f"dialogues={folder / 'clevr_val.h5'}",
        f"text_run={folder / 'text'}", f"localizer={folder / 'localizer.safetensors'}",
    ]  # fmt: skip
    assert main(["-f", "lattegan/export.yaml", *arguments]) == 0
    return folder


def test_the_export_draws_what_the_run_draws(made):
    exported = of_export(made / "small.json")
    texts = exported.reads.texts
    run = of_run(made / "run", GruInstructionEncoder(5, 8), texts, made / "clevr_val.h5", made / "text")
    for say in ("add a red cube", "add a blue sphere on the left of it"):
        assert np.array_equal(Scene(exported, 3).say(say).image, Scene(run, 3).say(say).image)
    card = json.loads((made / "small.json").read_text())
    assert card["classes"][0] == "cube gray"
    assert card["trainings"]["drawing"]["steps"] == 3
    assert card["trainings"]["text"]["turns_seen"] == 8
    assert load_localizer(made / "small_localizer.safetensors").num_objects == 24
    assert json.loads((made / "small_localizer.json").read_text())["seed"] == 4


def test_instructions_are_embedded_by_what_is_exported(made):
    path = made / "small.json"
    encoder, texts, exported = text_encoder(path), text_reader(path), of_export(path)
    found = texts("ready", "add a red cube")
    expected = exported.reads.encode([], exported.reads.hear("add a red cube"))
    assert torch.equal(encoder(*(found[name][None] for name in encoder.inputs)).sentences, expected.sentences)


def test_another_training_starts_from_it(made):
    class Task:
        modules = networks()._asdict()
        read_export = staticmethod(Lattegan.read_export)

    for network in Task.modules.values():
        for value in network.parameters():
            value.data.zero_()
    start_from(InitFrom(made / "small.json"), Task())
    expected = read_export(made / "small.json").networks
    for name, network in Task.modules.items():
        assert all(torch.equal(v, expected[name].state_dict()[k]) for k, v in network.state_dict().items())


def test_an_export_goes_on_from_the_text_encoder_of_another(made):
    """Its card describes the encoder, not the file that it came from."""
    node = f"{{type: tasks.lattegan.exported.text_encoder, path: {made / 'small.json'}}}"
    reader = f"{{type: tasks.lattegan.exported.text_reader, path: {made / 'small.json'}}}"
    arguments = [f"output={made / 'next.json'}", f"run={made / 'run'}", f"encoder={node}", f"texts={reader}",
                 f"dialogues={made / 'clevr_val.h5'}", "text_run=null", "localizer=null"]  # fmt: skip
    assert main(["-f", "lattegan/export.yaml", *arguments]) == 0
    expected, found = (read_export(made / name) for name in ("small.json", "next.json"))
    assert found.card["networks"] == expected.card["networks"]
    for key, value in found.networks["text"].state_dict().items():
        assert torch.equal(value, expected.networks["text"].state_dict()[key])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": {}}, "describes no LatteGAN"),
        ({"texts": {"words": ["a"], "max_words": 2, "max_previous": 2}}, "holds 1 words and vectors"),
        ({"corpus": "places"}, "describes no LatteGAN"),
    ],
)
def test_files_that_are_no_export(made, tmp_path, change, message):
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"other{suffix}").write_bytes((made / f"small{suffix}").read_bytes())
    card = json.loads((tmp_path / "other.json").read_text()) | change
    (tmp_path / "other.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=message):
        of_export(tmp_path / "other.json")


def test_what_cannot_be_exported(made, tmp_path):
    found = read_export(made / "small.json")
    rest = (found.card["networks"], found.texts, "iclevr", found.background, {})
    with pytest.raises(ExportError, match=r"expected one that ends in \.json"):
        save_export(tmp_path / "model.pt", found.networks, *rest)
    with pytest.raises(ExportError, match="the text encoder is a Linear, expected a GruInstructionEncoder"):
        save_export(tmp_path / "model.json", found.networks | {"text": torch.nn.Linear(1, 1)}, *rest)

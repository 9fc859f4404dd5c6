"""The JSON Schema for editors agrees with what the config check accepts."""

import json
import re

import jsonschema
import pytest

import config
from config import parse_yaml
from config.schema import schema


@pytest.fixture(scope="module")
def drawn():
    return json.loads(json.dumps(schema()))


@pytest.fixture(scope="module")
def validator(drawn):
    jsonschema.Draft202012Validator.check_schema(drawn)
    return jsonschema.Draft202012Validator(drawn)


def test_an_editor_can_hold_it_and_follow_its_references(drawn):
    text = json.dumps(drawn)
    assert len(text) < 2_000_000
    references = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', text))
    assert references <= set(drawn["$defs"])
    assert all(re.fullmatch(r"[\w.-]+", name) for name in references)


def test_every_config_file_fits(validator):
    for path in config.list_configs():
        values = parse_yaml(path.read_text(encoding="utf-8"), path.name)
        assert [error.message for error in validator.iter_errors(values)] == [], path


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("trainer.epochs", "ten"),
        ("trainer.epoch", 3),
        ("task.speech_encoder.widht", 3),
        ("task.optimization.optimizer.type", "torch.optim.Adamm"),
        ("data.on_error", "ignore"),
        ("task.objective.losses", []),
        ("nonsense", 1),
    ],
)
def test_errors_are_marked(validator, override, value):
    values = config.load("quickstart").values
    assert validator.is_valid(values)
    node = values
    *parents, key = override.split(".")
    for parent in parents:
        node = node[parent]
    node[key] = value
    assert not validator.is_valid(values)

"""The numbers and names that a finished run says of itself."""

import pytest

import config
from common.errors import UserError
from tasks.speech_image.trained import run_config


def test_a_run_made_before_its_modules_moved_is_read(tmp_path):
    task = {"type": "tasks.speech_image.SpeechImage", "image_encoder": {"type": "models.small.SmallImageEncoder"}}
    (tmp_path / "config.yaml").write_text(config.dump({"task": task}))
    assert run_config(tmp_path)["task"] == task | {"type": "tasks.speech_image.SpeechImage"}


@pytest.mark.parametrize("content", [b"- a\n", b"", b"5\n", "description: caf\xe9\n".encode("latin-1")])
def test_a_config_of_a_run_that_is_none_is_one_sentence(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml"):
        run_config(tmp_path)

"""The numbers and names that a finished run says of itself."""

import config
from tasks.speech_image.trained import run_config


def test_a_run_made_before_its_modules_moved_is_read(tmp_path):
    task = {"type": "tasks.speech_image.SpeechImage", "image_encoder": {"type": "models.small.SmallImageEncoder"}}
    (tmp_path / "config.yaml").write_text(config.dump({"task": task}))
    assert run_config(tmp_path)["task"] == task | {"type": "tasks.speech_image.SpeechImage"}

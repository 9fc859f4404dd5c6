"""Trainings that cannot be as they are planned: in the one list of errors, before anything is built."""

import pytest

from tests.config.test_validate import errors_of

PLANNED = {
    "tasks.speech_image.SpeechImage": "expected a module of the task, image or speech",
    "tasks.gan.segmenter.SegmenterTraining": "expected a module of the task, segmenter",
    "tasks.gan.progan.Progan": "expected a module of the task, generator or discriminator",
}


@pytest.mark.parametrize(("task", "modules"), PLANNED.items())
def test_a_training_that_cannot_be_as_planned_is_reported_before_anything_is_built(
    tmp_path, monkeypatch, task, modules
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    warm = "{optimizer: {type: torch.optim.SGD, lr: 0.1}, schedule: {type: engine.schedules.constant, warmup_steps: 9}}"
    more = "phases: [{resolution: 4, stable_images: 1, batch_size: 8}], drawing: null, "
    drawn = f"task={{type: {task}, {more if 'progan' in task else ''}optimization: {warm}}}"
    plan = ["launch.processes=3", "trainer.ema={decay: 0.9, modules: [sppech, image]}", "trainer.max_steps=9"]
    plan.append("trainer.best_by=recal@5")
    lines = errors_of(tmp_path, drawn, *plan, "trainer.precision=fp16")

    def message(start):
        return [line for line in lines if line.startswith(start)]

    (share,) = message("data.batch_size: ")
    assert (
        "found 4 for 3 processes, which share a batch; expected a multiple of 3, or another number in launch.pro"
        in share
    )
    (average, *_) = message("trainer.ema.modules.0")
    assert f"found 'sppech', {modules}" in average
    assert ("; did you mean 'speech'?" in average) == ("speech" in modules)
    assert bool(message("trainer.ema.modules.1")) == ("image" not in modules)
    (metric,) = message("trainer.best_by")
    assert "found 'recal@5', expected one of " in metric
    assert ("; did you mean 'recall@5'?" in metric) == ("image" in modules)
    (precision,) = message("trainer.precision")
    assert "fp16 needs a GPU" in precision
    if "progan" in task:
        assert "found 8 for 3 processes" in message("task.phases.0.batch_size")[0]
    else:
        (warm_up,) = message("task.optimization.schedule.warmup_steps")
        assert "found 9, expected less than trainer.max_steps, 9" in warm_up


def test_a_training_as_it_can_be_has_no_error(tmp_path, monkeypatch):
    """Batches that the processes share evenly, whatever starts them, and a warm-up that ends."""
    plan = ["trainer.ema={decay: 0.9, modules: [speech]}", "trainer.max_steps=9", "trainer.best_by=A_r5"]
    schedule = "optimization: {schedule: {type: engine.schedules.step_decay, warmup_steps: 8}}"
    task = f"task={{type: tasks.speech_image.SpeechImage, {schedule}}}"
    lines = errors_of(tmp_path, task, *plan, "launch.processes=2")
    for rank in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(rank, "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    lines += errors_of(tmp_path, task, *plan, "launch.processes=3")  # torchrun's number wins
    assert not [line for line in lines if line.startswith(("data.", "trainer.")) or "warmup" in line], lines
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert any("found 4 for 8 processes" in line for line in errors_of(tmp_path, task))


@pytest.mark.parametrize("task", PLANNED)
def test_a_number_of_gpus_is_no_error_of_a_config(tmp_path, monkeypatch, task):
    """Nobody asked for three processes: run.py starts as many as fit."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    phases = "phases: [{resolution: 4, stable_images: 1, batch_size: 8}], drawing: null" if "progan" in task else ""
    lines = errors_of(tmp_path, f"task={{type: {task}, {phases}}}")
    assert not [line for line in lines if "batch_size" in line], lines

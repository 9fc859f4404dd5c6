"""The training loop: exact resume, budgets, guards, averages."""

import os
import signal
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from common.errors import UserError
from engine import checkpoint
from engine.ema import averaged_weights
from engine.init_from import load_run
from engine.run_folder import RunFolder
from engine.settings import CheckpointSettings, EmaSettings, TrainerSettings
from engine.update import NoGradient, NonFiniteLoss, Updater, pick_precision
from tests.engine.toy import ToyTask, weights
from trainer import Stopped, Trainer

CPU = torch.device("cpu")


def make(folder=None, epochs=3, task=None, **settings):
    task = task or ToyTask()
    if folder is not None:
        folder.mkdir(exist_ok=True)
        folder = RunFolder(folder)
        folder.checkpoints.mkdir(exist_ok=True)
    return Trainer(task, TrainerSettings(epochs=epochs, log_every_steps=4, **settings), 0, CPU, folder, "config: x")


def test_loss_falls_and_curves_are_kept(tmp_path):
    loop = make(tmp_path / "run", epochs=10)
    metrics = loop.fit()
    curves = RunFolder(tmp_path / "run").curves()
    losses = [value for _, value in curves["train/loss"]]
    assert losses[-1] < 0.5 * losses[0]
    assert metrics["accuracy"] == curves["validation/accuracy"][-1][1]
    assert loop.folder.best.exists()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "learning_rate/net", "speed/samples_per_second", "validation/accuracy"} <= set(
        tags["scalars"]
    )
    assert tags["images"] == ["example_0/image"]
    assert tags["audio"] == ["example_0/speech"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 1, "max_steps": 3}, ["epoch 1/1  step 3"]),  # shorter than log_every_steps, which is 4
        ({"epochs": 2, "max_steps": 10}, ["epoch 1/2  step 4", "epoch 1/2  step 8", "epoch 2/2  step 10"]),
        ({"epochs": 1}, ["epoch 1/1  step 4", "epoch 1/1  step 8"]),
    ],
)
def test_the_last_steps_are_logged_too(tmp_path, caplog, settings, message):
    caplog.set_level("INFO")
    loop = make(tmp_path / "run", **settings)
    loop.fit()
    assert [line.split("  loss")[0] for line in caplog.messages if line.startswith("epoch")] == message
    steps = [step for step, _ in loop.folder.curves()["train/loss"]]
    assert steps == [int(line.rsplit(" ", 1)[1]) for line in message]


@pytest.mark.parametrize(
    ("stop_after", "message"),
    [
        (3, "step 4, within epoch 1, after batch 4 of 8"),
        (7, "step 8, after epoch 1"),
        (8, "step 9, within epoch 2, after batch 1 of 8"),
        (13, "step 14, within epoch 2, after batch 6 of 8"),
    ],
)
def test_resume_in_the_middle_of_an_epoch_is_exact(tmp_path, caplog, stop_after, message):
    caplog.set_level("INFO")
    whole = make(tmp_path / "whole", ema=EmaSettings(0.9))
    whole.fit()
    first = make(tmp_path / "parts", ema=EmaSettings(0.9))
    first.task.after_step = lambda index: os.kill(os.getpid(), signal.SIGTERM) if index == stop_after else None
    with pytest.raises(Stopped, match=rf"stopped after step {stop_after + 1}; the same command goes on") as stopped:
        first.fit()
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    torch.manual_seed(99)  # whatever the new process drew before
    second = make(tmp_path / "parts", ema=EmaSettings(0.9), task=ToyTask(seed=5))
    assert second.saver.resume()
    assert caplog.messages[-1].endswith(f"last.pt: {message}")
    second.fit()
    assert torch.equal(weights(whole.task), weights(second.task))
    averages = [torch.cat([p.flatten() for p in loop.averages["net"].module.parameters()]) for loop in (whole, second)]
    assert torch.equal(*averages)
    assert whole.folder.curves().keys() == second.folder.curves().keys()
    assert whole.folder.curves()["validation/accuracy"] == second.folder.curves()["validation/accuracy"]


def test_a_damaged_last_checkpoint_falls_back_to_the_previous(tmp_path, caplog):
    loop = make(tmp_path / "run", checkpoint=CheckpointSettings(every_steps=5))
    loop.fit()
    last = loop.folder.last
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    again = make(tmp_path / "run")
    assert again.saver.resume()
    assert again.at.step < loop.at.step
    assert "truncated or no checkpoint" in caplog.text
    assert "using the newest good checkpoint instead" in caplog.text


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_last_checkpoint_never_replaces_the_good_previous(tmp_path, monkeypatch):
    loop = make(tmp_path / "run", checkpoint=CheckpointSettings(every_steps=5))
    loop.fit()
    folder = loop.folder.checkpoints
    cut(loop.folder.last)
    good = checkpoint.read(folder / "previous.pt")["step"]
    again = make(tmp_path / "run", epochs=4)
    assert again.saver.resume()
    assert (folder / "last.damaged.pt").exists()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # the process ends while it writes the next checkpoint
        patch.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            again.saver.save()
    third = make(tmp_path / "run", epochs=4)
    assert third.saver.resume()
    assert third.at.step == good
    third.fit()
    assert checkpoint.read(loop.folder.last)["step"] == third.at.step


def test_numbered_copies_are_tried_too(tmp_path):
    loop = make(tmp_path / "run", checkpoint=CheckpointSettings(every_steps=5, keep=3))
    loop.fit()
    folder = loop.folder.checkpoints
    first, second, third = sorted(folder.glob("step_*.pt"))
    cut(loop.folder.last)
    newest = make(tmp_path / "run")
    assert newest.saver.resume()
    assert newest.at.step == loop.at.step  # the copy is newer than previous.pt
    cut(third)
    cut(folder / "previous.pt")
    older = make(tmp_path / "run")
    assert older.saver.resume()
    assert second.name == checkpoint.step_name(older.at.step)
    cut(second)
    cut(first)
    for _ in range(2):  # an error does not make the files look like no run
        with pytest.raises(checkpoint.CheckpointError, match=r"no checkpoint can be read"):
            make(tmp_path / "run").saver.resume()


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "c.pt"
    checkpoint.write(path, {"weights": torch.arange(1000.0)})
    content = bytearray(path.read_bytes())
    place = content.find(torch.arange(1000.0).numpy().tobytes())
    assert place > 0
    content[place + 800] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(checkpoint.CheckpointError, match="damaged: the checksum"):
        checkpoint.read(path)


def test_foreign_files_are_no_checkpoints(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="there is no checkpoint at"):
        checkpoint.read(tmp_path / "none.pt")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint of this project"):
        checkpoint.read(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(checkpoint.CheckpointError, match="truncated or no checkpoint"):
        checkpoint.read(tmp_path / "text.pt")


def test_checkpoints_never_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    torch.save({"format": 1, "x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.read(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_non_finite_losses_stop_with_step_and_last_checkpoint(tmp_path):
    loop = make(tmp_path / "run", task=ToyTask(explode_at=10))
    with pytest.raises(
        NonFiniteLoss, match=r"step 10, epoch 2: the loss of 'net' is nan, squared_error nan; the last good .*last\.pt"
    ):
        loop.fit()
    before = checkpoint.read(loop.folder.last)["modules"]["net"]
    assert all(torch.isfinite(value).all() for value in before.values())
    assert all(torch.isfinite(p).all() for p in loop.task.net.parameters())


def test_budgets_and_numbered_checkpoints(tmp_path):
    loop = make(tmp_path / "run", max_steps=11, checkpoint=CheckpointSettings(every_steps=2, keep=2))
    loop.fit()
    assert loop.at.step == 11
    assert sorted(p.name for p in loop.folder.checkpoints.glob("step_*.pt")) == [
        "step_000000010.pt",
        "step_000000011.pt",
    ]
    assert make(tmp_path / "none", max_minutes=1e-6).fit().keys() == {"accuracy"}


def test_the_budget_of_time_counts_waiting_and_evaluation(tmp_path):
    class Slow(ToyTask):
        def batches(self, epoch, start):
            for batch in super().batches(epoch, start):
                time.sleep(0.1)
                yield batch

        def evaluate(self, limit=None):
            time.sleep(0.5)
            return super().evaluate(limit)

    loop = make(tmp_path / "run", task=Slow(), max_minutes=0.3 / 60)
    loop.fit()
    assert loop.at.step < 8
    assert loop.at.seconds > 0.3 + 0.5
    assert checkpoint.read(loop.folder.last)["seconds"] > 0.3


def test_averages_are_evaluated_and_swapped_back():
    loop = make(ema=EmaSettings(0.99))
    loop.fit()
    live = weights(loop.task).clone()
    with averaged_weights(loop.task.modules, loop.averages):
        assert not torch.equal(weights(loop.task), live)
    assert torch.equal(weights(loop.task), live)
    with pytest.raises(UserError, match=r"ema\.modules: found \['nett'\]"):
        make(ema=EmaSettings(0.9, ["nett"]))


def test_other_networks_are_refused(tmp_path):
    make(tmp_path / "run", epochs=1).fit()
    other = ToyTask()
    other.modules["net"] = torch.nn.Linear(3, 1)
    loop = make(tmp_path / "run", task=other)
    with pytest.raises(UserError, match=r"modules 'net' does not fit this config"):
        loop.saver.resume()


def test_an_update_reaches_only_its_own_parameters_and_clips():
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizers = {"a": torch.optim.SGD([a], lr=1.0), "b": torch.optim.SGD([b], lr=1.0)}
    updater = Updater(optimizers, "fp32", CPU, clip_norm=1.0)
    norm = updater("a", (30 * a[0] + 40 * a[1] + b.sum()))
    assert norm == pytest.approx(50)
    assert b.grad is None
    assert torch.allclose(a, torch.tensor([1 - 0.6, 1 - 0.8]), atol=1e-4)


def test_networks_of_two_optimisers_in_a_row_learn_what_they_would_together():
    torch.manual_seed(0)
    first, second = (torch.nn.Linear(3, 3) for _ in range(2))
    inputs = torch.randn(4, 3)
    second(first(inputs)).square().mean().backward()
    expected = [parameter.grad.clone() for parameter in first.parameters()]
    optimizers = {name: torch.optim.SGD(net.parameters(), lr=1.0) for name, net in (("a", first), ("b", second))}
    updater = Updater(optimizers, "fp32", CPU, clip_norm=None)
    made = first(inputs)
    between = made.detach().requires_grad_()
    updater("b", second(between).square().mean(), into=[between])
    updater("a", (made * between.grad).sum())
    for parameter, gradient in zip(first.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_module_is_clipped_by_its_own_norm_and_the_others_are_not():
    text, image = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for module in (text, image):
        torch.nn.init.zeros_(module.weight)
    optimizer = torch.optim.SGD([*text.parameters(), *image.parameters()], lr=1.0)
    updater = Updater({"both": optimizer}, "fp32", CPU, clip_norm=None, clipped=[(text, 0.25)])
    norm = updater("both", 3 * text.weight.sum() + 4 * image.weight.sum())
    assert norm == pytest.approx(5)  # of both, before clipping
    assert text.weight.item() == pytest.approx(-0.25)
    assert image.weight.item() == pytest.approx(-4)


def test_modules_are_clipped_before_the_whole():
    text, image = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for module in (text, image):
        torch.nn.init.zeros_(module.weight)
    optimizer = torch.optim.SGD([*text.parameters(), *image.parameters()], lr=1.0)
    updater = Updater({"both": optimizer}, "fp32", CPU, clip_norm=1.0, clipped=[(text, 3.0)])
    updater("both", 30 * text.weight.sum() + 4 * image.weight.sum())
    assert text.weight.item() == pytest.approx(-0.6, rel=1e-5)  # 3 of a norm of 5
    assert image.weight.item() == pytest.approx(-0.8, rel=1e-5)


def test_a_gradient_that_is_not_finite_leaves_the_weights_alone():
    a = torch.nn.Parameter(torch.zeros(2))
    updater = Updater({"a": torch.optim.SGD([a], lr=1.0)}, "fp32", CPU, clip_norm=1.0)
    with pytest.raises(NonFiniteLoss, match=r"the gradient of 'a' has norm nan \(its loss is 0, part 0\)"):
        updater("a", a.sum() * 0 + a.abs().sqrt().sum(), parts={"part": a.detach().sum()})
    assert torch.equal(a, torch.zeros(2))


def test_a_dead_fp16_scale_ends_the_run():
    class Halving:
        """Behaves as a gradient scaler whose gradients are infinite at every scale: steps are skipped."""

        factor = 1.0

        def scale(self, loss):
            return loss * self.factor

        def unscale_(self, optimizer):
            pass

        def step(self, optimizer):
            pass

        def update(self):
            self.factor /= 2

        def get_scale(self):
            return self.factor

    a = torch.nn.Parameter(torch.full((2,), 3.0))
    updater = Updater({"a": torch.optim.SGD([a], lr=1.0)}, "fp16", CPU, clip_norm=None)
    updater.scalers["a"] = Halving()
    updates = 0
    with pytest.raises(NonFiniteLoss, match="fp16 gradient of 'a' stays infinite at every scale; use bf16 or fp32"):
        for _ in range(50):
            assert updater("a", a.sum()) > 0
            updates += 1
    assert updates == 13  # 2 ** -14 is the first scale below 1e-4
    assert torch.equal(a, torch.full((2,), 3.0))


def test_precision_is_checked():
    assert pick_precision("auto", CPU) == "fp32"
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        pick_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("precision", "units", "found", "message"),
    [
        ("auto", True, "fp32", "computing in fp32; this CPU has avx512_bf16, where trainer.precision=bf16 is 1.3"),
        ("auto", False, "fp32", ""),
        ("fp32", True, "fp32", ""),
        ("bf16", True, "bf16", "computing in bf16 on cpu"),
        ("bf16", False, "bf16", "this CPU has no avx512_bf16: bf16 is emulated, many times slower"),
    ],
)
def test_bf16_on_a_cpu_is_reported(precision, units, found, message, caplog, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": units} if units else {})
    with caplog.at_level("INFO"):
        assert pick_precision(precision, CPU) == found
    assert message in caplog.text
    assert bool(caplog.text) == bool(message)


def test_a_step_in_bf16_on_a_cpu_multiplies_in_bf16_and_keeps_fp32_weights():
    trainer = make(precision="bf16")
    seen, net = [], trainer.task.net
    net[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    before = weights(trainer.task)
    trainer.train_step(next(iter(trainer.task.batches(0, 0))))
    assert seen == [torch.bfloat16]
    assert all(p.dtype == torch.float32 for p in net.parameters())
    assert not torch.equal(before, weights(trainer.task))


def test_snapshots_are_kept_beside_every_last_checkpoint(tmp_path):
    """Epoch 0 and every second epoch, as they were then; last.pt is as often written as without them."""
    checkpoints = CheckpointSettings(snapshot_every_epochs=2)
    loop = make(tmp_path / "run", epochs=5, checkpoint=checkpoints)
    began, written = weights(loop.task), []
    save = loop.saver.save
    loop.saver.save = lambda: (written.append(loop.at.epoch), save())
    loop.fit()
    assert written == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in loop.folder.snapshots.iterdir()) == ["e0.pt", "e2.pt", "e4.pt"]
    start = make(None)
    load_run(loop.folder.snapshots / "e0.pt", start.task)
    assert torch.equal(weights(start.task), began)
    shorter = make(tmp_path / "shorter", epochs=2, checkpoint=checkpoints)
    shorter.fit()
    state = load_run(loop.folder.snapshots / "e2.pt", start.task)
    assert torch.equal(weights(start.task), weights(shorter.task))
    assert (state["step"], state["config"]) == (16, "config: x")
    assert not {"optimizers", "random"} & set(state)
    assert not make(tmp_path / "none", epochs=1).folder.snapshots.exists()


@pytest.mark.parametrize(("max_steps", "names"), [(16, ["e0.pt", "e1.pt", "e2.pt"]), (17, ["e0.pt", "e1.pt", "e2.pt"])])
def test_a_budget_that_ends_within_an_epoch_makes_no_snapshot_of_it(tmp_path, max_steps, names):
    loop = make(tmp_path / "run", epochs=4, max_steps=max_steps, checkpoint=CheckpointSettings(snapshot_every_epochs=1))
    loop.fit()
    assert sorted(path.name for path in loop.folder.snapshots.iterdir()) == names
    assert checkpoint.read(loop.folder.snapshots / "e2.pt")["step"] == 16


class Idle(ToyTask):
    """Its losses lose their gradient at a step."""

    def __init__(self, from_step=0):
        super().__init__()
        self.from_step = from_step

    def train_step(self, batch, step):
        moving = float(step.index < self.from_step)
        loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean() * moving
        step.update("net", loss)
        step.update("critic", self.critic(batch[:, :1]).mean() * moving)
        return {"loss": loss}


@pytest.mark.parametrize(("settings", "steps"), [({}, 8), ({"max_steps": 3}, 3), ({"epochs": 1}, 8)])
def test_a_training_without_any_gradient_stops_after_an_epoch(tmp_path, settings, steps):
    loop = make(tmp_path / "run", task=Idle(), **settings)
    with pytest.raises(
        NoGradient, match=rf"^epoch 1: the gradient was 0 at each of the {steps} steps so far, so nothing"
    ):
        loop.fit()
    assert loop.at.step == steps
    assert not list(loop.folder.checkpoints.glob("*.pt"))


def test_a_schedule_that_ends_before_the_training_is_one_sentence():
    task = ToyTask()
    task.schedulers = {"net": torch.optim.lr_scheduler.OneCycleLR(task.optimizers["net"], 0.1, total_steps=8)}
    with pytest.raises(UserError, match=r"the schedule of 'net' has no learning rate after step 9: .*run\.name="):
        make(task=task, epochs=2).fit()


class OneIdle(ToyTask):
    """The critic alone loses its gradient at a step."""

    def __init__(self, from_step):
        super().__init__()
        self.from_step = from_step

    def train_step(self, batch, step):
        step.update("net", self.net(batch).square().mean())
        loss = self.critic(batch[:, :1]).mean() * float(step.index < self.from_step)
        step.update("critic", loss)
        return {"loss": loss}


def test_one_optimiser_of_several_that_never_learns_is_named(tmp_path):
    with pytest.raises(NoGradient, match="the gradient of 'critic' was 0 at each of the 8 steps so far"):
        make(tmp_path / "run", task=OneIdle(0)).fit()


def test_one_optimiser_of_several_that_has_learned_may_rest(tmp_path, caplog):
    loop = make(tmp_path / "run", epochs=5, task=OneIdle(3))
    assert loop.fit()
    assert loop.at.step == 40
    assert caplog.text.count("the gradient of 'critic' was 0 at each of its last 21 steps; the others go on") == 1
    assert "the others go on" in caplog.text
    assert "training ends here" not in caplog.text


def without_gradients(folder):
    """Make a checkpoint one of the time before gradients were counted in it."""
    state = checkpoint.read(folder.last)
    del state["gradients"]
    checkpoint.write(folder.last, state)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_resumed_training_knows_whether_it_ever_had_a_gradient(tmp_path, earlier):
    """A checkpoint that does not say so belongs to one that had."""
    saving = CheckpointSettings(every_steps=3)
    with pytest.raises(NoGradient):
        make(tmp_path / "run", task=Idle(), checkpoint=saving).fit()
    loop = make(tmp_path / "run", task=Idle(), checkpoint=saving, epochs=4)
    if earlier:
        without_gradients(loop.folder)
    assert loop.saver.resume()
    assert loop.at.step == 6
    if earlier:
        assert loop.fit()
    else:
        with pytest.raises(NoGradient, match="at each of the 8 steps so far"):
            loop.fit()


def test_a_training_that_ended_with_nothing_left_is_finished_when_it_is_resumed(tmp_path):
    make(tmp_path / "run", epochs=10, task=Idle(from_step=8)).fit()
    loop = make(tmp_path / "run", epochs=10, task=Idle(from_step=8))
    assert not loop.finished
    assert loop.saver.resume()
    assert loop.finished
    assert loop.at.step == 32


@pytest.mark.parametrize(("last", "stopped"), [(1, 24), (8, 32), (9, 32), (61, 80)])
def test_a_training_that_has_learned_ends_when_nothing_is_left(tmp_path, caplog, last, stopped):
    """20 steps and an epoch (8 steps) without a gradient, seen at the end of one of 10 epochs."""
    loop = make(tmp_path / "run", epochs=10, task=Idle(from_step=last))
    assert "accuracy" in loop.fit()
    assert loop.at.step == stopped
    assert ("training ends here" in caplog.text) == (stopped < 80)
    assert loop.folder.last.exists()
    assert loop.folder.best.exists()


def test_a_loss_of_nothing_that_is_trained_is_refused():
    task = ToyTask()
    updater = Updater(task.optimizers, "fp32", CPU, clip_norm=None)
    with pytest.raises(NoGradient, match=r"the loss of 'net' \(2, part 1\) depends on nothing that is trained"):
        updater("net", torch.tensor(2.0), parts={"part": torch.tensor(1.0)})
    for value in task.net.parameters():
        value.requires_grad_(False)
    with pytest.raises(NoGradient, match="look for frozen networks"):
        updater("net", task.critic(torch.ones(1, 1)).mean())


class Judged(ToyTask):
    """Says after each evaluation what it was asked."""

    def __init__(self, rows):
        super().__init__()
        self.rows = iter(rows)

    def evaluate(self, limit=None):
        return dict(zip(("accuracy", "other"), next(self.rows), strict=True))


@pytest.mark.parametrize(("best_by", "best"), [(None, 2), ("accuracy", 2), ("other", 1)])
def test_the_best_weights_are_chosen_by_the_metric_that_is_asked_for(tmp_path, best_by, best):
    loop = make(tmp_path / "run", task=Judged([(0.1, 0.9), (0.3, 0.5), (0.2, 0.7)]), best_by=best_by)
    loop.fit()
    assert checkpoint.read(loop.folder.best)["epoch"] == best
    assert loop.at.best == {None: 0.3, "accuracy": 0.3, "other": 0.9}[best_by]


def test_a_metric_that_the_task_does_not_give_is_named(tmp_path):
    loop = make(tmp_path / "run", best_by="recall@5")
    with pytest.raises(
        UserError, match=r"metric 'recall@5' that chooses best\.pt is not among the task's results: accuracy"
    ):
        loop.fit()

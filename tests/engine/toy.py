"""A tiny task for tests of the trainer: regression with batch norm, dropout and two optimisers."""

import numpy as np
import torch
from torch import nn

from engine.seeding import seed_all
from engine.task import Example


class Net(nn.Sequential):
    """Layers in a row with a ``forward`` of its own: torch compiles none of its own containers."""

    def forward(self, x):
        return super().forward(x)


class ToyTask:
    """Learns y = sum(x); the dropout makes the global random state matter."""

    metric = "accuracy"
    shown_metrics = ("accuracy",)
    batch_size = 4
    steps_per_epoch = 8

    def __init__(self, seed=0, explode_at=None, dropout=0.3, optimizer=torch.optim.Adam):
        seed_all(seed)
        self.net = Net(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1))
        self.critic = nn.Linear(1, 1)
        self.modules = {"net": self.net, "critic": self.critic}
        self.optimizers = {
            "net": optimizer(self.net.parameters(), lr=1e-2),
            "critic": torch.optim.SGD(self.critic.parameters(), lr=1e-2, momentum=0.9),
        }
        self.schedulers = {"net": torch.optim.lr_scheduler.LambdaLR(self.optimizers["net"], lambda step: 0.99**step)}
        self.explode_at = explode_at
        self.after_step = None

    def begin_epoch(self, epoch):
        self.epoch = epoch

    def batches(self, epoch, start):
        for position in range(start, self.steps_per_epoch):
            generator = torch.Generator().manual_seed(1000 * epoch + position)
            yield torch.randn(4, 3, generator=generator)

    def train_step(self, batch, step):
        target = batch.sum(1, keepdim=True)
        guess = self.net(batch)
        loss = (guess - target).square().mean()
        if step.index == self.explode_at:
            loss = loss * float("nan")
        step.update("net", loss, parts={"squared_error": loss})
        judged = (self.critic(guess.detach()) - target).square().mean()
        step.update("critic", judged)
        if self.after_step:
            self.after_step(step.index)
        return {"loss": loss, "critic": judged}

    def examples(self):
        return [Example(np.zeros((4, 4, 3), np.uint8), np.zeros(160, np.float32), "an example")]

    def evaluate(self, limit=None):
        x = torch.randn(64, 3, generator=torch.Generator().manual_seed(7))
        error = (self.net(x) - x.sum(1, keepdim=True)).square().mean().item()
        return {"accuracy": -error}


def weights(task):
    """All parameters and buffers of a task as one vector."""
    tensors = [t for module in task.modules.values() for t in module.state_dict().values()]
    return torch.cat([t.flatten().double() for t in tensors])

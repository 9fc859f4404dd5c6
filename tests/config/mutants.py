"""Wrong configs made of right ones: values, keys, nodes and types replaced by what people and fuzzers write."""

import copy
import random
from collections.abc import Iterator
from typing import Any

from config.schema import targets

NUMBERS = [
    0, 1, -1, 2, 3, 7, -0.5, 0.5, 1.0, 1e-300, 1e30, 1e76, -1e30, 1e308, float("inf"), float("-inf"), float("nan"),
    99_999, 100_000, 10**6, 10**9, 10**12, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64 - 1,
]  # fmt: skip
WORDS = [
    "", " ", "x", "null", "true", "yes", "12:30", "1e3", "2024-01-01", "01100", "a.b", "..", "../..", "/", "~",
    "~nobody/x",
    "$HOME", "$NOT_SET_ANYWHERE", "a" * 300, "a/" * 3000, "é", "名", "\u200b", "🙂", "q #2", "%s", "{0}", "models",
    "models.small", "models..small", ".models.small.X", "models.small.", "os.system", "torch.load", "main.train",
    "auto",
]  # fmt: skip
OTHER_TYPES = [
    "torch.optim.LBFGS", "torch.optim.SparseAdam", "torch.optim.Optimizer", "torch.optim.Muon",
    "torch.optim.Adafactor",
    "torch.optim.Rprop", "torch.optim.ASGD", "torch.optim.Adamax", "torch.optim.Adadelta",
    "torch.optim.lr_scheduler.ReduceLROnPlateau", "torch.optim.lr_scheduler.LambdaLR",
    "torch.optim.lr_scheduler.OneCycleLR",
    "torch.optim.lr_scheduler.CyclicLR", "torch.optim.lr_scheduler.SequentialLR",
    "torch.optim.lr_scheduler.MultiStepLR",
    "torch.optim.lr_scheduler.LRScheduler", "torch.optim.lr_scheduler.StepLR", "torch.optim.swa_utils.AveragedModel",
    "torch.optim.swa_utils.SWALR", "common.errors.UserError", "engine.signals.Stopped", "models.weights.WeightsError",
    "engine.task.Task", "models.segmenter.labels.Segmenter", "gan.objectives.Objective", "builtins.int",
    "main.main",
    "evaluation.report.parts.page.write_page", "engine.checkpoint.write", "torch.optim.adam.adam",
]  # fmt: skip


def nested(value: Any, levels: int) -> Any:
    """Return ``value`` in so many lists."""
    for _ in range(levels):
        value = [value]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of a config but the whole."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def at(values: Any, path: tuple[Any, ...]) -> Any:
    """Return what is at the end of a way."""
    for key in path:
        values = values[key]
    return values


class Mutator:
    """Makes mutants of one config after another.

    Args:
        configs: mappings by name, as ``config.load`` returns their values.
        seed: the same seed makes the same mutants.
        mild: replace values by others of their kind only, so that many mutants are accepted.
    """

    def __init__(self, configs: dict[str, dict[str, Any]], seed: int, mild: bool = False) -> None:
        self.configs, self.mild = list(configs.items()), mild
        self.random = random.Random(seed)
        self.types = sorted(targets()) + OTHER_TYPES

    def __call__(self) -> tuple[str, dict[str, Any]]:
        """Return the name of a config and a mutant of it."""
        name, values = self.random.choice(self.configs)
        values = copy.deepcopy(values)
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            self._mutate(values)
        return name, values

    def _mutate(self, values: dict[str, Any]) -> None:
        ways = list(places(values))
        if not ways:
            return
        path = self.random.choice(ways)
        owner, key = at(values, path[:-1]), path[-1]
        kind = self.random.random()
        if self.mild:
            owner[key] = self._near(owner[key])
        elif key == "type" and kind < 0.7:
            owner[key] = self.random.choice(self.types)
        elif kind < 0.08:
            del owner[key]
        elif kind < 0.14 and isinstance(owner, dict):
            owner[str(key)[:-1] + self.random.choice(["", "s", "x", ".", " "])] = owner.pop(key)
        elif kind < 0.2 and isinstance(owner, dict):
            owner[self.random.choice([*self._keys(), "extra"])] = self._value(owner[key])
        elif kind < 0.3:
            owner[key] = copy.deepcopy(at(values, self.random.choice(ways)))
        else:
            owner[key] = self._value(owner[key])

    def _keys(self) -> list[str]:
        words = [
            "capturable",
            "differentiable",
            "foreach",
            "fused",
            "betas",
            "momentum",
            "milestones",
            "workers",
            "seed",
            "type",
        ]
        return [
            *words,
            "precision",
            "cpu_threads",
            "launch",
            "ema",
            "schedule",
            "pretrained",
            "context",
            "params",
            "validate",
        ]

    def _near(self, old: Any) -> Any:
        if isinstance(old, bool):
            return not old
        if isinstance(old, int | float):
            kind = type(old)
            near = [
                0,
                1,
                2,
                3,
                4,
                5,
                8,
                15,
                16,
                17,
                64,
                100,
                255,
                1000,
                4096,
                10**6,
                10**9,
                -1,
                old - 1,
                old + 1,
                2 * old,
            ]
            shares = [0.0, 1e-12, 1e-3, 0.1, 0.5, 0.999, 1.0, 1.5, 10.0, 100.0, 1e6, 1e9, -0.5]
            return self.random.choice([*map(kind, near), *(shares if kind is float else [])])
        if isinstance(old, list) and old:
            return self.random.choice([old[1:], old + old[-1:], old[::-1], [*old[:-1], self._near(old[-1])], []])
        if old is None:
            return self.random.choice([1, 2, 100, 0.5, True, "auto", []])
        return None if self.random.random() < 0.5 else old

    def _value(self, old: Any) -> Any:
        pick = self.random.random()
        if isinstance(old, int | float) and not isinstance(old, bool) and pick < 0.35:
            return self.random.choice(
                [-old, old * 10**6, old * 10**15, old + 1, -1, 0, float(old), str(old), old / 3, [old]]
            )
        if pick < 0.55:
            return self.random.choice(NUMBERS)
        if pick < 0.75:
            return self.random.choice(WORDS)
        return self.random.choice(
            [None, True, False, [], {}, [old], [old, old], {"x": old}, {"type": old},
            {"type": self.random.choice(self.types)},
             [1, 2, 3], [-1.0, 2.0], ["a", "b"], [None], [[]], {"": 1}, {"a.b": {}}, {"type": []},
             {"type": {"type": "x"}},
             nested(old, 30), [0] * 3000, {f"k{i}": i for i in range(300)}]
        )  # fmt: skip

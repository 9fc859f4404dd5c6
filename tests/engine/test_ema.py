"""Averages of weights, and which running statistics their batch norms have."""

import pytest
import torch
from torch import nn

from engine.ema import averaged_weights, start_averages
from engine.settings import EmaSettings


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def trained(statistics, settles=("net",)):
    """Return a network whose weights of one input moved by 1 after its average began, and the average (decay .5)."""
    modules = {"net": network()}
    averages = start_averages(modules, EmaSettings(0.5, statistics=statistics), settles)
    inputs = torch.randn(64, 3) + 2
    averages["net"].update_parameters(modules["net"])
    with torch.no_grad():
        modules["net"][0].weight[:, 0] += 1
    for _ in range(100):
        modules["net"](inputs)
        averages["net"].settle(inputs)
    averages["net"].update_parameters(modules["net"])
    for _ in range(100):
        averages["net"].settle(inputs)
    return modules, averages, inputs


def test_statistics_are_those_of_the_averaged_weights():
    modules, averages, inputs = trained("own")
    live, mean = modules["net"], averages["net"].module
    assert torch.allclose(mean[0].weight[:, 0], live[0].weight[:, 0] - 0.5)
    assert torch.allclose(mean[1].running_mean, mean[0](inputs).mean(dim=0), atol=1e-3)
    assert torch.allclose(live[1].running_mean, live[0](inputs).mean(dim=0), atol=1e-3)


@pytest.mark.parametrize(("statistics", "settles"), [("live", ("net",)), ("own", ())])
def test_published_statistics_are_those_of_the_trained_network(statistics, settles):
    modules, averages, _ = trained(statistics, settles)
    assert torch.equal(averages["net"].module[1].running_mean, modules["net"][1].running_mean)


def test_weights_and_statistics_are_exchanged_and_put_back():
    modules, averages, inputs = trained("own")
    live, mean = modules["net"].eval(), averages["net"].module.eval()
    expected, before = mean(inputs), live(inputs)
    with averaged_weights(modules, averages):
        assert torch.equal(live(inputs), expected)
    assert torch.equal(live(inputs), before)
    assert not torch.allclose(expected, before, atol=0.1)


@pytest.mark.parametrize(("layer", "expected"), [(nn.Linear(3, 3), 0), (nn.BatchNorm1d(3), 1)])
def test_only_a_network_with_batch_norms_is_run_again(layer, expected):
    averages = start_averages({"net": layer}, EmaSettings(0.5, statistics="own"), ["net"])
    inputs = []
    averages["net"].module.register_forward_hook(lambda _module, given, _output: inputs.append(given))
    averages["net"].settle(torch.zeros(2, 3))
    assert len(inputs) == expected

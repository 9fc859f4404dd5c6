"""Localisers: the small one learns where something is; sizes and inputs that do not fit."""

import pytest
import torch

from models.object_localizer import (
    InceptionTrunk,
    LocalizerInputError,
    ObjectLocalizer,
    PointsTrunk,
    SmallTrunk,
    load_localizer,
    save_localizer,
)


@pytest.mark.parametrize("trunk", [SmallTrunk, PointsTrunk])
@pytest.mark.parametrize("coords", [2, 3])
def test_readings(coords, trunk):
    torch.manual_seed(0)
    model = ObjectLocalizer(5, coords, trunk(32, 4, 16), hidden=[8, 12])
    images = torch.rand(3, 3, 32, 32)
    readings = model(images)
    assert readings.logits.shape == (3, 5)
    assert readings.locations.shape == (3, 5, coords)
    assert torch.equal(readings.probabilities, readings.logits.sigmoid())
    (readings.logits.square().sum() + readings.locations.square().sum()).backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    model.eval()
    torch.testing.assert_close(model(images[:1]).logits, model(images).logits[:1], rtol=1e-4, atol=1e-5)
    assert model(torch.rand(1, 3, 64, 64)).logits.shape == (1, 5)  # scaled to the trunk's resolution


def test_the_small_one_learns_where_a_square_is():
    torch.manual_seed(1)
    model = ObjectLocalizer(1, 2, SmallTrunk(16, 4, 16), hidden=[8, 8])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def batch():
        images, places = torch.zeros(16, 3, 16, 16), torch.randint(0, 13, (16, 2))
        for image, (x, y) in zip(images, places.tolist(), strict=True):
            image[:, y : y + 4, x : x + 4] = 1
        return images, (places + 2) / 16

    for _ in range(30):
        images, places = batch()
        loss = (model(images).locations[:, 0] - places).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.04  # the variance of the places is 0.055


def test_points_are_where_the_maps_are_high():
    trunk = PointsTrunk(32, 4, 2)
    maps = torch.full((1, 2, 8, 8), -50.0)
    maps[0, 0, 2, 5], maps[0, 1, 7, 0] = 30.0, 40.0
    trunk.maps = lambda _: maps
    most, points = trunk(torch.zeros(1, 3, 32, 32))
    assert most.tolist() == [[30.0, 40.0]]
    torch.testing.assert_close(points, torch.tensor([[5.5, 2.5, 0.5, 7.5]]) / 8)


def test_a_localiser_of_points_is_read_back(tmp_path):
    torch.manual_seed(4)
    model = ObjectLocalizer(3, 2, PointsTrunk(32, 4, 6), hidden=[8, 8]).eval()
    read = load_localizer(save_localizer(model, tmp_path / "localizer.safetensors", ["a", "b", "c"], {}))
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(read(images).locations, model(images).locations)


def test_the_auxiliary_head_of_inception_counts_for_locations_alone():
    torch.manual_seed(2)
    model = ObjectLocalizer(4, 2, InceptionTrunk()).eval()
    with torch.no_grad():
        images = torch.rand(1, 3, 64, 64)
        before = model(images)
        model.trunk.auxiliary.fc.bias.add_(1.0)
        after = model(images)
    assert torch.equal(before.logits, after.logits)
    assert not torch.equal(before.locations, after.locations)


def test_weights_of_torchvisions_layout(tmp_path):
    torch.manual_seed(3)
    trunk = InceptionTrunk()
    state = {**trunk.trunk.state_dict(), **trunk.top.state_dict(), "fc.weight": torch.zeros(1000, 2048)}
    state |= {f"AuxLogits.{name}": value for name, value in trunk.auxiliary.state_dict().items()}
    torch.save(state, tmp_path / "inception.pth")
    model = ObjectLocalizer(2, 2, InceptionTrunk(), pretrained=tmp_path / "inception.pth")
    for name in (
        "trunk.Mixed_6e.branch1x1.conv.weight",
        "top.Mixed_7c.branch1x1.bn.weight",
        "auxiliary.conv1.conv.weight",
    ):
        assert torch.equal(model.trunk.state_dict()[name], trunk.state_dict()[name])
    with pytest.raises(LocalizerInputError, match="pretrained weights are of Inception, found a SmallTrunk"):
        ObjectLocalizer(2, 2, SmallTrunk(16, 4, 8), pretrained=tmp_path / "inception.pth")


def test_images_that_do_not_fit():
    model = ObjectLocalizer(2, 2, SmallTrunk(16, 4, 8))
    for images in (torch.zeros(1, 1, 16, 16), torch.zeros(3, 16, 16), torch.zeros(1, 3, 16, 8)):
        with pytest.raises(LocalizerInputError, match=r"expected \(B, 3, R, R\) in 0-1"):
            model(images)

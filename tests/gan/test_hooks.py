import pytest
import torch
from torch import nn

from gan.hooks import Edit, LayerNameError, MaskError, edited, layer_named, recorded, resize_mask

B, C, H, W = 2, 4, 6, 5


class Network(nn.Module):
    """Two convolutions, the second inside a block that changes its input in place, and a head without space."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, C, 1)
        self.block = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(C, C, 1))
        self.head = nn.Linear(C, 2)

    def forward(self, x):
        return self.head(self.block(self.first(x)).mean((2, 3)))


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def x():
    return torch.randn(B, 3, H, W, generator=torch.Generator().manual_seed(1))


def clean(model):
    return not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


SHAPES = [(C,), (H, W), (C, H, W), (B, C, H, W), (B, 1, H, W), (B, C, 1, 1), (1, C, H, W), (C, 1, 1)]


def full(mask):
    """The mask at (B, C, H, W), written out."""
    whole = {1: lambda m: m[None, :, None, None], 2: lambda m: m[None, None], 3: lambda m: m[None], 4: lambda m: m}
    return whole[mask.dim()](mask).expand(B, C, H, W)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value_shape", [None, (C,), (B, C, H, W), 2.5])
def test_edit_is_the_formula(network, x, shape, value_shape):
    mask = torch.rand(shape)
    value = torch.randn(value_shape) if isinstance(value_shape, tuple) else value_shape
    plain = network.first(x)
    with edited(network, {"first": Edit(mask, value)}), torch.no_grad():
        found = network.first(x)
    v = 0.0 if value is None else value if isinstance(value, float) else full(value)
    torch.testing.assert_close(found, plain * (1 - full(mask)) + v * full(mask))
    assert clean(network)


def test_bool_mask_removes_units(network, x):
    with edited(network, {"first": Edit(torch.tensor([True, False, False, True]))}):
        found = network.first(x)
    plain = network.first(x)
    assert (found[:, [0, 3]] == 0).all()
    assert torch.equal(found[:, [1, 2]], plain[:, [1, 2]])


def test_several_layers_with_dotted_names(network, x):
    edits = {"first": Edit(torch.ones(C), 1.0), "block.1": Edit(torch.ones(H, W), torch.arange(C).float())}
    with edited(network, edits), recorded(network, ["first", "block.1", "head"]) as record:
        out = network(x)
    assert (record["first"] == 1).all()
    assert torch.equal(record["block.1"], torch.arange(C).float()[None, :, None, None].expand(B, C, H, W))
    assert torch.equal(record["head"], out)
    assert list(record) == ["first", "block.1", "head"]


def test_record_is_after_the_edit_whichever_is_inside(network, x):
    edit = {"first": Edit(torch.ones(C), 7.0)}
    with recorded(network, ["first"]) as outer, edited(network, edit), recorded(network, ["first"]) as inner:
        network(x)
    assert (outer["first"] == 7).all()
    assert (inner["first"] == 7).all()
    assert clean(network)


def test_record_is_not_changed_by_later_layers_in_place(network, x):
    plain = network.first(x)
    with recorded(network, ["first"]) as record, torch.no_grad():
        out = network(x)
    assert torch.equal(record["first"], plain)
    assert (record["first"] < 0).any()
    assert torch.equal(out, network(x))


def test_nested_edits_of_one_layer_act_one_after_the_other(network, x):
    with edited(network, {"first": Edit(torch.ones(C), 2.0)}):
        with edited(network, {"first": Edit(torch.full((C,), 0.25), 6.0)}):
            assert (network.first(x) == 3).all()
        assert (network.first(x) == 2).all()
    assert clean(network)


def test_gradients_reach_mask_value_layer_and_record(network, x):
    mask, value = torch.full((C,), 0.5, requires_grad=True), torch.zeros(C, requires_grad=True)
    with edited(network, {"first": Edit(mask, value)}), recorded(network, ["first"]) as record:
        total = network(x).sum()
    grads = torch.autograd.grad(total, [mask, value, network.first.weight, record["first"]])
    assert all(torch.isfinite(grad).all() and grad.abs().sum() > 0 for grad in grads)


def test_nothing_is_left_after_an_error(network, x):
    with pytest.raises(ZeroDivisionError), edited(network, {"first": Edit(torch.ones(C))}), recorded(network, ["head"]):
        raise ZeroDivisionError
    assert clean(network)
    with pytest.raises(MaskError), edited(network, {"first": Edit(torch.ones(C + 1))}):
        network(x)
    assert clean(network)
    with pytest.raises(LayerNameError), edited(network, {"first": Edit(torch.ones(C)), "last": Edit(torch.ones(C))}):
        pass
    assert clean(network)


def test_unknown_layers_are_reported_with_the_valid_ones(network):
    with pytest.raises(LayerNameError, match=r"no layer 'frist': Network has first, block, head; did you mean 'first'"):
        layer_named(network, "frist")
    with pytest.raises(LayerNameError, match=r"no layer 'block.7': Network.block has 0, 1"):
        layer_named(network, "block.7")
    with pytest.raises(LayerNameError, match=r"no layer ''"):
        layer_named(network, "")
    with pytest.raises(LayerNameError, match=r"no layer 'head.x': Network.head has no layers"):
        layer_named(network, "head.x")


@pytest.mark.parametrize(
    "shape", [(C - 1,), (1,), (H + 1, W), (W, H), (1, 1), (C, H, W + 1), (B + 1, C, H, W), (1,) * 5, ()]
)
def test_masks_that_do_not_fit(network, x, shape):
    with pytest.raises(
        MaskError, match=r"a mask of shape \(.*'first' with 2 images, 4 channels and 6 x 5 .*resize_mask"
    ):
        Edit(torch.ones(shape)).apply(network.first(x), "first")
    with pytest.raises(MaskError, match="a replacement of shape"):
        Edit(torch.ones(C), torch.ones(shape)).apply(network.first(x), "first")


def test_layers_without_space_take_masks_of_channels(network, x):
    with edited(network, {"head": Edit(torch.tensor([1.0, 0.0]), 9.0)}):
        out = network(x)
    assert (out[:, 0] == 9).all()
    assert torch.equal(out[:, 1], network(x)[:, 1])


def test_a_layer_that_does_not_put_out_a_tensor():
    model = nn.Sequential(nn.LSTM(3, 4))
    with (
        pytest.raises(LayerNameError, match="'0' puts out tuple, expected a tensor"),
        recorded(model, ["0"]),
    ):
        model(torch.zeros(2, 1, 3))
    assert clean(model)


def test_resize_mask_takes_the_largest_and_replicates():
    mask = torch.zeros(2, 3, 4, 4)
    mask[0, 1, 3, 0] = 0.5
    small = resize_mask(mask, 2)
    assert small.shape == (2, 3, 2, 2)
    assert small[0, 1].tolist() == [[0, 0], [0.5, 0]]
    assert small.sum() == 0.5
    assert torch.equal(resize_mask(mask, (8, 4)), mask.repeat_interleave(2, dim=2))
    assert resize_mask(torch.eye(4, dtype=torch.bool), 2).tolist() == [[True, False], [False, True]]


def test_resize_mask_refuses_what_has_no_rows():
    with pytest.raises(MaskError, match=r"shape \(4,\) has no rows and columns"):
        resize_mask(torch.ones(4), 8)
    with pytest.raises(MaskError, match="0 x 3"):
        resize_mask(torch.ones(4, 4), (0, 3))

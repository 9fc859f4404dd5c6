"""Key maps and their way back."""

import pytest

from published.key_map import inverse, rename
from published.resdavenet_vq import experiment as resdavenet_vq
from published.words_by_drawing import davenet


@pytest.mark.parametrize(
    ("rule", "back"),
    [
        ((r"conv1\.weight", r"stages.0.0.weight"), (r"stages\.0\.0\.weight", "conv1.weight")),
        ((r"(\d+)\.(weight|bias)", r"trunk.\1.\2"), (r"trunk\.(\d+)\.(weight|bias)", r"\1.\2")),
        ((r"a([1-4])\.(\w+)", r"\2.b\1"), (r"(\w+)\.b([1-4])", r"a\2.\1")),
        ((r"((?:conv1|layer[1-4])\..+)", r"trunk.\1"), (r"trunk\.((?:conv1|layer[1-4])\..+)", r"\1")),
    ],
)
def test_the_way_back_of_a_rule(rule, back):
    assert inverse([rule]) == [back]
    assert inverse([back]) == [rule]


@pytest.mark.parametrize(
    "rule",
    [
        (r"layer\d", "layer"),  # what the digit was is lost
        (r"a.b", "c"),
        (r"(a|b)\.c", "c"),
        (r"(a|b)\.c", r"\1.\1"),
        (r"(a)(b)", r"\2"),
    ],
)
def test_rules_without_a_way_back_are_refused(rule):
    with pytest.raises(ValueError, match=r"found the rule .*expected one whose way back is known"):
        inverse([rule])


LAYERS = ["bn1.weight", "layer3.1.conv2.weight", "layer2.0.downsample.1.running_var", "layer4.1.bn2.bias"]
CODES = ["quant3._ema_cluster_size", "quant2._embedding.weight", "quant2._ema_w"]
NAMES = {
    "speech": (resdavenet_vq.SPEECH_RULES, LAYERS + CODES),
    "resnet": (resdavenet_vq.IMAGE_RULES, ["embedder.bias", "layer4.2.conv3.weight", "bn1.num_batches_tracked"]),
    "vgg": (davenet.IMAGE_RULES, ["30.bias", "3.weight", "28.bias"]),
}


@pytest.mark.parametrize("kind", NAMES)
def test_published_names_come_back(kind):
    rules, names = NAMES[kind]
    own = rename(dict.fromkeys(names), rules, "test")
    assert list(rename(own, inverse(rules), "test")) == names


# The way back as it was once written by hand.
BLOCK = r"stages\.([1-4])\.(\d+)\."
WRITTEN = [
    (r"stages\.0\.0\.weight", "conv1.weight"),
    (r"stages\.0\.1\.(\w+)", r"bn1.\1"),
    (BLOCK + r"conv([12])\.weight", r"layer\1.\2.conv\3.weight"),
    (BLOCK + r"norm([12])\.(\w+)", r"layer\1.\2.bn\3.\4"),
    (BLOCK + r"shortcut\.([01])\.(\w+)", r"layer\1.\2.downsample.\3.\4"),
    (r"quantizers\.quant([1-5])\.codebook", r"quant\1._embedding.weight"),
    (r"quantizers\.quant([1-5])\.sums", r"quant\1._ema_w"),
    (r"quantizers\.quant([1-5])\.counts", r"quant\1._ema_cluster_size"),
]


def test_the_derived_rules_are_those_written_by_hand():
    assert inverse(resdavenet_vq.SPEECH_RULES) == WRITTEN

import torch

from models.image_classifier import SmallClassifier


def test_shapes_and_gradients():
    torch.manual_seed(0)
    network = SmallClassifier([4, 8], num_classes=5)
    logits = network(torch.randn(3, 3, 16, 16))
    assert logits.shape == (3, 5)
    logits.square().sum().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in network.parameters())

import pytest
import torch

from datasets.world.attribute_images import AttributeImages, SegmentationData
from datasets.world.render.artefacts import like_generated
from datasets.world.render.ray_cast import render
from datasets.world.scene.near import near_scene
from datasets.world.scene.objects import SceneError
from models.segmenter.labels import label_maps
from tests.datasets.world.channels import attribute_channels


def data(**changes):
    settings = {"batch_size": 4, "size": 16, "train_scenes": 12, "validation_scenes": 5, "test_scenes": 6, "seed": 3}
    return SegmentationData(**(settings | changes))


def test_images_are_those_of_the_scenes():
    dataset = AttributeImages(6, first_seed=40, size=32, view="near", max_objects=2)
    batch = dataset.take(torch.tensor([4, 1]))
    scenes = [near_scene(44, 1, 2), near_scene(41, 1, 2)]
    rendered = render(scenes, 32)
    assert torch.allclose((batch.images + 1) * 127.5, rendered.image.permute(0, 3, 1, 2).float(), atol=1e-3)
    assert torch.equal(label_maps(batch.numbers), attribute_channels(scenes, rendered.instances))
    assert dataset.rendered.tolist() == [False, True, False, False, True, False]
    assert torch.equal(dataset.take(torch.tensor([1])).images[0], batch.images[1])


def test_batches_are_a_function_of_seed_epoch_and_position():
    first, again = data(), data()
    epoch = list(first.batches(1))
    assert len(epoch) == first.steps_per_epoch == 3
    resumed = list(again.batches(1, start=2))
    assert torch.equal(epoch[2].images, resumed[0].images)
    assert torch.equal(epoch[2].numbers, resumed[0].numbers)
    assert not torch.equal(next(first.batches(2)).images, epoch[0].images)
    assert not torch.equal(next(data(seed=4).batches(1)).images, epoch[0].images)


def test_ranks_share_the_global_batch():
    whole = next(data().batches(0))
    parts = [next(data(rank=rank, world_size=2).batches(0)) for rank in range(2)]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    seen = [b for rank in range(2) for b in (lambda d: d.evaluation_batches(d.test))(data(rank=rank, world_size=2))]
    assert sum(len(batch.images) for batch in seen) == 6


def test_sets_do_not_overlap():
    sets = data(first_seed=100)
    starts = [(part.first_seed, len(part)) for part in (sets.train, sets.validation, sets.test)]
    assert starts == [(100, 12), (112, 5), (117, 6)]
    assert sum(len(batch.images) for batch in sets.evaluation_batches(sets.test, limit=1)) == 4


def test_artefacts_bend_labels_with_images():
    dataset = AttributeImages(8, first_seed=0, size=64, view="near")
    images, numbers = dataset.take(torch.arange(8))
    spoilt, bent = like_generated(images, numbers, torch.Generator().manual_seed(0))
    assert spoilt.shape == images.shape
    assert spoilt.abs().max() <= 1
    assert not torch.equal(spoilt, images)
    assert bent.dtype == numbers.dtype
    share = (bent == numbers).float().mean()
    assert 0.9 < share < 1
    one, other = ((label[:, 4] > 0).float().mean((1, 2)) for label in (bent, numbers))
    assert torch.allclose(one, other, atol=0.02)
    same, labels = like_generated(images, numbers, torch.Generator().manual_seed(0), strength=0.0)
    assert torch.allclose(same, images, atol=1e-5)
    assert torch.equal(labels, numbers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 13}, "batch_size=13 with 12 training scenes"),
        ({"batch_size": 5, "world_size": 2}, "a multiple of the number of processes"),
        ({"artefacts": 1.5}, "artefacts=1.5; expected a number from 0 to 1"),
        ({"size": 8}, "12 scenes of 8 pixels"),
        ({"min_objects": 3, "max_objects": 2}, "min_objects=3"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(SceneError, match=message):
        data(**changes)

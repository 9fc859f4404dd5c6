import numpy as np
import pytest

from datasets.class_images.build import ClassImagesError
from datasets.class_images.dataset import ClassImages
from datasets.world.class_images import ClassWorld, ensure_class_world


def test_the_class_is_what_the_largest_object_is(tmp_path):
    world = ClassWorld(tmp_path, images=12, validation=6, size=24, workers=1)
    ensure_class_world(world)
    data = ClassImages(tmp_path, 4)
    assert len(data.class_names) == data.num_classes == 24
    for row in range(12):
        scene = world.scene("train", row)
        large = [item for item in scene.objects if item.size == "large"]
        assert len(large) == 1
        assert data.class_names[data.train_classes[row]] == f"{large[0].colour} {large[0].shape}"
    again = world.make("train", range(3, 5))
    assert np.array_equal(again[0], data.train[3:5])


def test_shapes_alone_may_be_classes():
    world = ClassWorld(None, images=1, classes="shape", sizes="any")
    assert world.names == ["cube", "sphere", "cylinder"]
    _, classes = world.make("train", range(6))
    assert set(classes) <= {0, 1, 2}


def test_a_dry_run_makes_few_and_another_set_is_refused(tmp_path):
    world = ClassWorld(tmp_path / "whole", images=1000, validation=1000, size=16)
    ensure_class_world(world, dry_folder=tmp_path / "dry")
    assert len(ClassImages(tmp_path / "dry", 1).train) == 64
    assert not (tmp_path / "whole").exists()
    with pytest.raises(ClassImagesError, match="size is 16 there, 8 asked for"):
        ensure_class_world(ClassWorld(tmp_path / "dry", images=64, validation=64, size=8))
    with pytest.raises(ClassImagesError, match="found 3 to 2 objects"):
        ClassWorld(tmp_path, images=1, min_objects=3)

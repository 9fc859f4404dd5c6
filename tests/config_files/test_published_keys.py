"""The head of words_by_drawing/base.yaml says where each key of the original is found here."""

import re

import config

# the arguments of surisdi/learning-by-drawing's main.py, and the folder of clusters that its README names
KEYS = (
    "evaluate experiment experiment_name model name_dataset margin embedding_dim loss_type audio_model clustering "
    "epochs batch_size lr lrdecay momentum weight_decay expdir seed submodels_load name_checkpoint resume "
    "path_model_gan path_model_segmenter path_negatives_test path_repeated_attributes path_cluster_load "
    "epochs_clustering workers print_freq folder_dataset use_cpu layers symfun loading_image results results/clusters "
    "active_learning generate_active_learning active_learning_name active_learning_path"
)


def mapped(text):
    """Return the keys in the first column of the key map: two spaces or more end it, and a counterpart follows."""
    head = text.split("The original's keys are these here:\n")[1].split("\ndescription:")[0]
    rows = [re.fullmatch(r"#   (\S.*?) {2,}(\S.*)", line) for line in head.splitlines()]
    assert all(rows), head
    return [key for row in rows for key in row[1].split(", ")]


def test_every_published_key_is_mapped_once():
    text = config.find("words_by_drawing/base").read_text(encoding="utf-8")
    assert sorted(mapped(text)) == sorted(KEYS.split())


def test_words_of_the_second_column_are_no_keys():
    rows = "#   lr, seed  model: of the clustering\n#   resume     run.resume"
    assert mapped(f"# The original's keys are these here:\n{rows}\ndescription: x") == ["lr", "seed", "resume"]


def test_the_published_protocol():
    """Windows of 1,024 frames in training, 2,048 elsewhere; the last 500 of 504 pairs; VGG16 without ImageNet."""
    training = config.load("words_by_drawing/train_published").values
    data, task = training["data"], training["task"]
    assert (data["target_length"], data["evaluation_target_length"], data["batch_size"]) == (1024, 2048, 8)
    assert [data[split]["max_frames"] for split in ("train", "validation", "test")] == [1024, 2048, 2048]
    assert task["image_encoder"]["pretrained"] is None
    assert task["objective"]["negatives"]["clustering"]["dissected"] == "published"
    assert training["trainer"]["best_by"] == "recall@5"
    chosen, evaluated = data["validation"], config.load("words_by_drawing/evaluate").values["data"]
    for split in (chosen, evaluated):
        assert (split["split"], split["first"], split["last"], split["max_frames"]) == ("val", 504, 500, 2048)
    for name in ("recall", "recall_selected", "test_synthetic", "repeated_attributes", "videos"):
        assert config.load(f"words_by_drawing/{name}").values["data"]["max_frames"] == 2048

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


def test_every_published_key_is_mapped():
    text = config.find("words_by_drawing/base").read_text(encoding="utf-8")
    head = text.split("The original's keys are these here:")[1].split("\ndescription:")[0]
    named = set(re.findall(r"[\w/]+", head))
    assert [key for key in KEYS.split() if key not in named] == []

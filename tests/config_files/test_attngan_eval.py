"""Configs that generate images with published models: the values of taoxugit/AttnGAN ``code/cfg/eval_*.yml``."""

import pytest

import config

PUBLISHED = {  # NET_G, NET_E, DATA_DIR, BATCH_SIZE, CAPTIONS_PER_IMAGE, WORDS_NUM
    "eval_birds": ("bird_AttnGAN2", "bird/text_encoder200.pth", "birds", 100, 10, 25),
    "eval_coco": ("coco_AttnGAN2", "coco/text_encoder100.pth", "coco", 100, 5, 20),
    "eval_birds_attndcgan": ("bird_AttnDCGAN2", "bird/text_encoder200.pth", "birds", 100, 10, 25),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_are_the_published_ones(name):
    generator, encoder, folder, batch_size, captions, words = PUBLISHED[name]
    values = config.check(config.load(f"attngan/{name}"))
    assert values["model"]["run"] is None
    assert values["model"]["published"] == {
        "encoders": f"DAMSMencoders/{encoder}",
        "vocabulary": f"data/{folder}/captions.pickle",
        "generator": f"models/{generator}.pth",
        "max_words": words,
        "captions_per_image": captions,
    }
    data = values["data"]
    assert (data["folder"], data["split"]) == (f"data/{folder}", "test")
    assert (data["captions_per_image"], data["max_words"]) == (captions, words)
    assert values["captions"] == f"data/{folder}/example_filenames.txt"
    assert (values["batch_size"], values["seed"], values["validation"]) == (batch_size, 100, False)
    assert values["output"] == f"models/{generator}"

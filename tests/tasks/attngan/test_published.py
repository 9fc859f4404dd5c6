"""Trainings that start from the published files of AttnGAN."""

import re

import pytest
import torch

from engine import checkpoint
from gan.attngan.discriminators import AttnganDiscriminator
from gan.attngan.generator import AttnganGenerator
from tests.tasks.attngan.commands import refused, run

GENERATOR = [
    (r"augmentation\.", "ca_net."),
    (r"first\.fc\.", "h_net1.fc."),
    (r"first\.blocks\.(\d)\.", lambda found: f"h_net1.upsample{int(found[1]) + 1}."),
    (r"images\.0\.", "img_net1.img."),
]
FEATURES = {"0.0": "0", "1.0": "2", "1.1": "3", "2.0": "5", "2.1": "6", "3.0": "8", "3.1": "9"}
DISCRIMINATOR = [
    (r"features\.(\d\.\d)\.", lambda found: f"img_code_s16.{FEATURES[found[1]]}."),
    (r"with_sentence\.joint\.", "COND_DNET.jointConv."),
    (r"with_sentence\.logit\.", "COND_DNET.outlogits.0."),
    (r"alone\.logit\.", "UNCOND_DNET.outlogits.0."),
]


def published(model, rules):
    """Return a state dict by the names of the public code."""
    state = {}
    for name, value in model.state_dict().items():
        (theirs,) = {re.sub(f"^{ours}", new, name) for ours, new in rules if re.match(ours, name)}
        state[theirs] = value
    return state


@pytest.fixture
def folder(tmp_path):
    """A generator of one stage and its discriminator as a training of the public code leaves them."""
    torch.manual_seed(7)
    generator = AttnganGenerator(width=2, embedding_dim=32, condition_dim=8, noise_dim=8, stages=1)
    discriminator = AttnganDiscriminator(64, width=2, embedding_dim=32)
    path = tmp_path / "Model"
    path.mkdir()
    for epoch in (50, 550):
        torch.save(published(generator, GENERATOR), path / f"netG_epoch_{epoch}.pth")
        torch.nn.init.zeros_(generator.images[0][0].weight) if epoch == 50 else None
    torch.save(published(discriminator, DISCRIMINATOR), path / "netD0.pth")
    return path, generator, discriminator


@pytest.fixture
def one_stage(with_damsm):
    """A config with these networks, which learns nothing."""
    task = with_damsm["task"]
    task["generator"] |= {"width": 2, "stages": 1, "first_resolution": 64}
    discriminator = {"type": "gan.attngan.discriminators.AttnganDiscriminator", "resolution": 64, "width": 2}
    task["discriminators"] = [discriminator]
    task["objective"] = {"type": "gan.attngan.objectives.Published"}
    for split in ("train", "validation", "test"):
        with_damsm["data"][split]["resolutions"] = [64]
    with_damsm["trainer"] = {"epochs": 1, "max_steps": 1}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        task[name]["lr"] = 0.0
    return with_damsm


def test_a_folder_gives_the_newest_generator_and_its_discriminators(one_stage, folder, tmp_path):
    path, generator, discriminator = folder
    one_stage["init_from"] = {"path": str(path), "modules": ["generator", "discriminator_64"]}
    state = checkpoint.read(run(one_stage, tmp_path, "run") / "checkpoints" / "last.pt")["modules"]
    for name, network in (("generator", generator), ("discriminator_64", discriminator)):
        for key, value in network.named_parameters():
            assert torch.equal(state[name][key], value), (name, key)


def test_a_file_gives_the_generator(one_stage, folder, tmp_path):
    path, generator, discriminator = folder
    one_stage["init_from"] = {"path": str(path / "netG_epoch_550.pth"), "modules": ["generator"]}
    state = checkpoint.read(run(one_stage, tmp_path, "run") / "checkpoints" / "last.pt")["modules"]
    assert torch.equal(state["generator"]["first.fc.0.weight"], generator.first.fc[0].weight)
    assert not torch.equal(state["discriminator_64"]["features.0.0.weight"], discriminator.features[0][0].weight)


def test_a_generator_of_other_sizes_is_refused(one_stage, folder, tmp_path, capsys):
    one_stage["task"]["generator"]["width"] = 4
    one_stage["init_from"] = {"path": str(folder[0] / "netG_epoch_550.pth"), "modules": ["generator"]}
    assert "in the checkpoint, (64,) in this model" in refused(one_stage, tmp_path, capsys)

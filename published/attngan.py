"""AttnGAN of taoxugit/AttnGAN: generators, discriminators, and the encoders of its matching model.

* ``text_encoder200.pth`` and ``image_encoder200.pth`` beside each other (COCO: 100), also with the noise-reducing layer
  of GolemXlV/AttnGAN (``linear.*``) or AWin9/AttnGAN-additional-fc-layer (``rdc_text.*``);
* ``bird_AttnGAN2.pth``, ``coco_AttnGAN2.pth``, ``bird_AttnDCGAN2.pth`` and the ``netG_epoch_N.pth`` of trainings;
* ``netD0.pth`` ... of trainings.

Widths and depths are read off the weights.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from gan.attngan.discriminators import AttnganDiscriminator
from gan.attngan.generator import AttnganGenerator
from models.damsm import TOP, TRUNK, CaptionEncoder, ImageRegionEncoder
from models.weights import WeightsError, load_strictly, read_state_dict, sized, strip_prefix
from published.key_map import laid_out, rename

Rules = list[tuple[str, str]]
TEXT, IMAGE = "text_encoder", "image_encoder"
WITHOUT_DROPOUT = "rdc_text.weight"  # AWin9's name: that variant left dropout out
TEXT_RULES: Rules = [
    (r"encoder\.weight", "embedding.weight"),
    (r"(?:linear|rdc_text)\.(\w+)", r"reduce.\1"),
    (r"(rnn\..+)", r"\1"),
]
IMAGE_RULES: Rules = [
    (rf"({'|'.join(TRUNK)})(\..+)", r"trunk.\1\2"),
    (rf"({'|'.join(TOP)})(\..+)", r"top.\1\2"),
    (r"emb_features\.(\w+)", r"region.\1"),
    (r"emb_cnn_code\.(\w+)", r"image.\1"),
]
GENERATOR_RULES: Rules = [
    (r"ca_net\.(.+)", r"augmentation.\1"),
    (r"h_net1\.(fc\..+)", r"first.\1"),
    *((rf"h_net1\.upsample{n}\.(.+)", rf"first.blocks.{n - 1}.\1") for n in range(1, 5)),
    *(
        rule
        for n in range(2, 4)
        for rule in (
            (rf"h_net{n}\.att\.conv_context\.(\w+)", rf"next.{n - 2}.attention.project.\1"),
            (rf"h_net{n}\.((residual|upsample)\..+)", rf"next.{n - 2}.\1"),
        )
    ),
    *((rf"img_net{n}\.img\.(.+)", rf"images.{n - 1}.\1") for n in range(1, 4)),
    (r"img_net\.img\.(.+)", r"images.0.\1"),
]
SCORES = {"UNCOND_DNET": "alone", "COND_DNET": "with_sentence"}
SCORE_RULES: Rules = [
    rule
    for theirs, ours in SCORES.items()
    for rule in (
        (rf"{theirs}\.jointConv\.(.+)", rf"{ours}.joint.\1"),
        (rf"{theirs}\.outlogits\.0\.(.+)", rf"{ours}.logit.\1"),
    )
]
FIRST_FEATURES = {"0": "0.0", "2": "1.0", "3": "1.1", "5": "2.0", "6": "2.1", "8": "3.0", "9": "3.1"}
FURTHER = {64: (), 128: ("s32", "s32_1"), 256: ("s32", "s64", "s64_1", "s64_2")}  # after img_code_s16's four


class PublishedDamsm(NamedTuple):
    """The encoders of a matching model."""

    text: CaptionEncoder  # of captions
    image: ImageRegionEncoder


def load_damsm(path: Path) -> PublishedDamsm:
    """Load both encoders, in evaluation mode on the CPU, from either file, or the folder of one pair.

    Images are scaled as torch scales them today (``image.align_corners`` has the older way). Raises WeightsError where
    a file is missing, damaged, of another kind, or does not fit; or a folder holds several pairs.
    """
    text_file = _text_file(path)
    image_file = text_file.with_name(text_file.name.replace(TEXT, IMAGE))
    text, image = _load_text(text_file), _load_image(image_file)
    if text.embedding_dim != image.embedding_dim:
        raise WeightsError(
            f"{text_file} has embeddings of {text.embedding_dim} numbers, {image_file} of {image.embedding_dim}; "
            "expected a pair of one training."
        )
    return PublishedDamsm(text, image)


def load_generator(path: Path) -> AttnganGenerator:
    """Load a generator, or its DCGAN variant, in evaluation mode on the CPU.

    It masks each caption by its own padding, see ``mixed_masks`` of the class for the public code. Raises WeightsError
    where the file is missing, damaged, of another kind, or does not fit.
    """
    state = _read(path)
    with laid_out(path):
        own = {
            name: value.flatten(2) if name.endswith("project.weight") else value  # 1 x 1 over words: of one axis here
            for name, value in rename(state, GENERATOR_RULES, str(path)).items()
        }
    fc, heads = sized(own, "augmentation.fc.weight", path), [name for name in own if name.startswith("images.")]
    head = sized(own, heads[0] if heads else "images.0.0.weight", path)
    with laid_out(path):
        model = AttnganGenerator(
            width=head.shape[1],
            embedding_dim=fc.shape[1],
            condition_dim=fc.shape[0] // 4,
            noise_dim=sized(own, "first.fc.0.weight", path).shape[1] - fc.shape[0] // 4,
            residuals=_count(own, r"next\.0\.residual\.(\d+)\..+"),
            stages=1 + _count(own, r"next\.(\d+)\..+"),
            every_stage="img_net.img.0.weight" not in state,
        )
    load_strictly(model, own, str(path))
    return model.eval()


def load_discriminators(path: Path) -> list[AttnganDiscriminator]:
    """Load the discriminators of a folder with ``netD0.pth`` ..., that of the smallest images first, or of one file.

    They are in evaluation mode on the CPU. Raises WeightsError where a file is missing, damaged, of another kind, or
    does not fit.
    """
    files = sorted(path.glob("netD[0-9].pth")) if path.is_dir() else [path]
    if not files:
        raise WeightsError(f"{path} holds no netD0.pth: give the folder that a training wrote, or one file.")
    return [_load_discriminator(file) for file in files]


def _load_discriminator(path: Path) -> AttnganDiscriminator:
    state = _read(path)
    resolution = next((resolution for resolution, names in FURTHER.items() if set(names) == _blocks(state)), None)
    if resolution is None:
        raise WeightsError(f"{path} has blocks {sorted(_blocks(state))}, expected those of 64, 128 or 256 pixels.")
    own = rename(state, [*_feature_rules(resolution), *SCORE_RULES], str(path))
    first = sized(own, "features.0.0.weight", path)
    joint = sized(own, "with_sentence.joint.0.weight", path)
    width = len(first)
    with laid_out(path):
        model = AttnganDiscriminator(resolution, width, joint.shape[1] - 8 * width, "alone.logit.weight" in own)
    load_strictly(model, own, str(path))
    return model.eval()


def _feature_rules(resolution: int) -> Rules:
    rules = [(rf"img_code_s16\.{theirs}\.(.+)", rf"features.{ours}.\1") for theirs, ours in FIRST_FEATURES.items()]
    further = enumerate(FURTHER[resolution], start=4)
    return rules + [(rf"img_code_{name}\.([01])\.(.+)", rf"features.{position}.\1.\2") for position, name in further]


def _blocks(state: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the blocks behind the first four."""
    return {match[1] for name in state if (match := re.match(r"img_code_(\w+)\.", name))} - {"s16"}


def _load_text(path: Path) -> CaptionEncoder:
    state = _read(path)
    own = rename(state, TEXT_RULES, str(path))
    words, inner = sized(own, "embedding.weight", path), sized(own, "rnn.weight_hh_l0", path)
    gates = inner.shape[0] // inner.shape[1]
    if gates not in (3, 4):
        raise WeightsError(f"{path} has {gates} gates, expected 4 of an LSTM or 3 of a GRU.")
    with laid_out(path):
        model = CaptionEncoder(
            vocab_size=words.shape[0],
            embedding_dim=2 * inner.shape[1],
            word_dim=words.shape[1],
            dropout=0.0 if WITHOUT_DROPOUT in state else 0.5,
            cell="lstm" if gates == 4 else "gru",
            reduced_dim=len(sized(own, "reduce.weight", path)) if "reduce.weight" in own else None,
        )
    load_strictly(model, own, str(path))
    return model.eval()


def _load_image(path: Path) -> ImageRegionEncoder:
    own = rename(_read(path), IMAGE_RULES, str(path))
    with laid_out(path):
        model = ImageRegionEncoder(len(sized(own, "region.weight", path)))
    load_strictly(model, own, str(path))
    return model.eval()


def _text_file(path: Path) -> Path:
    """Return the text encoder's file, given it, its neighbour or their folder."""
    if not path.is_dir():
        if TEXT not in path.name and IMAGE not in path.name:
            raise WeightsError(
                f"{path} is neither {TEXT}N.pth nor {IMAGE}N.pth: give one of the pair, or their folder."
            )
        return path.with_name(path.name.replace(IMAGE, TEXT))
    files = sorted(path.glob(f"{TEXT}*.pth"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise WeightsError(f"{path} holds {names}, expected one {TEXT}N.pth: give the file itself.")
    return files[0]


def _read(path: Path) -> dict[str, Tensor]:
    return strip_prefix(read_state_dict(path))


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many different numbers there are in the names."""
    return len({match[1] for name in state if (match := re.fullmatch(pattern, name))})

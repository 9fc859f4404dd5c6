"""Edits with two guidance scales: how much of the picture stays, how much the word counts.

For generators trained with dropped conditions, which know what images look like without a class (``null_class``, the
number of the class that stands for none). As in InstructPix2Pix (arXiv:2211.09800, equation 3), with a latent as the
picture and a class as the word:

    G(0, none) + s_picture (G(z, none) - G(0, none)) + s_word (G(z, word) - G(z, none))

At (1, 1) that is G(z, word); a word scale above 1 exaggerates the word, a picture scale below 1 leaves less of z. The
sum is taken of images, or of a layer's output, behind which the generator goes on with z and the word.

Shape letters: B images, D numbers in a latent, R pixels high and wide.
"""

import torch
from torch import Tensor, nn

from gan.directions.directions import DirectionError, check_inputs
from gan.directions.subjects import class_index
from gan.hooks import Edit, edited, recorded


def guided(nothing: Tensor, picture: Tensor, both: Tensor, picture_scale: float, word_scale: float) -> Tensor:
    """Combine what comes of no condition, of the picture alone, and of picture and word; all of one shape."""
    return nothing + picture_scale * (picture - nothing) + word_scale * (both - picture)


def null_class(generator: nn.Module) -> int:
    """Return the class that stands for none.

    Raises DirectionError where the generator tells none, since it was not trained with dropped conditions.
    """
    found = getattr(generator, "null_class", None)
    if not isinstance(found, int):
        raise DirectionError(
            f"{type(generator).__name__} has no null_class: guidance needs a generator that was trained with dropped "
            "conditions, which knows images without a class"
        )
    return class_index(generator, found)


@torch.no_grad()
def guided_images(
    generator: nn.Module,
    latents: Tensor,
    classes: Tensor,
    picture_scale: float = 1.0,
    word_scale: float = 1.0,
    layer: str | None = None,
) -> Tensor:
    """Generate images (B, 3, R, R) with two guidance scales.

    Args:
        generator: in evaluation mode, with ``null_class``.
        latents: (B, D), the pictures.
        classes: (B,), the words.
        picture_scale: of the picture; 1 leaves it as it is.
        word_scale: of the word; 0 leaves it out.
        layer: name of the layer whose outputs are combined; None combines images, cut at [-1, 1].

    Raises:
        DirectionError: the generator was not trained with dropped conditions, or sizes do not fit.
        LayerNameError: there is no such layer.
    """
    check_inputs(generator, latents, classes)
    none = torch.full_like(classes, null_class(generator))
    conditions = ((torch.zeros_like(latents), none), (latents, none), (latents, classes))
    if layer is None:
        return guided(*(generator(*one) for one in conditions), picture_scale, word_scale).clamp(-1, 1)
    outputs = []
    for one in conditions:
        with recorded(generator, [layer]) as record:
            generator(*one)
        outputs.append(record[layer])
    combined = guided(*outputs, picture_scale, word_scale)
    with edited(generator, {layer: Edit(torch.ones_like(combined), combined)}):
        return generator(latents, classes)

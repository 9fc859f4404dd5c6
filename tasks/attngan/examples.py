"""The pairs of captions and images that TensorBoard shows at the start of a training."""

import numpy as np

from datasets.loading.loader import Loader
from datasets.loading.rows import SampleError
from engine.task import Example

EXAMPLES = 3


def first_examples(loader: Loader) -> list[Example]:
    """Return the first pairs of captioned images that can be read; others are noted, as ``on_error`` says."""
    found: list[Example] = []
    for row in range(len(loader.dataset)):
        if len(found) == EXAMPLES:
            break
        try:
            found.append(Example(np.asarray(loader.dataset.stored_image(row)), None, loader.dataset.text(row)))
        except SampleError as error:
            loader.note(error)
    return found

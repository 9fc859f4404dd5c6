"""Embeddings of the coloured squares' instructions, and small networks to draw them."""

import numpy as np

from datasets.dialogue.embeddings import EmbeddedTurns, embedding_name, write_embeddings
from datasets.dialogue.records import DialogueFile

TEXT = 8


def write_embedded(folder, split):
    """Write ``iclevr_{split}_embeddings_x.h5``: each word has the same random vector everywhere."""
    file = DialogueFile(folder / f"clevr_{split}.h5")

    def vector(word):
        return np.random.default_rng(list(word.encode())).standard_normal(TEXT).astype(np.float32)

    def embedded(row):
        words = np.stack([[vector(word) for word in text.split()] for text in file.dialogue(row).texts])
        return EmbeddedTurns(words.mean(axis=1), words, np.full(len(words), words.shape[1]))

    path = folder / embedding_name("iclevr", split, "x")
    write_embeddings(path, file, embedded)
    return path

"""The layout of the CUB birds with ten captions an image, as taoxugit/AttnGAN reads it.

A scene's class is the colour and shape of the object that shows the most pixels; its box holds all objects, so that
what the captions say stays in the image when a loader crops to the box. The published data has two splits: val
scenes have a ``val/filenames.pickle`` of their own and are in no other list.
"""

import pickle
import re
from pathlib import Path

from common.files import write_whole
from datasets.media_files import write_lines, write_media
from datasets.world.export.records import SPLITS, Media, Record, Records

CAPTIONS = 10
_EXAMPLES = 20
_PROTOCOL = 2  # the published files come from Python 2


def birds_media(root: Path, record: Record, media: Media) -> None:
    """Write ``CUB_200_2011/images/<class>/<name>.jpg`` and ``text/<class>/<name>.txt``, ten captions, one a line."""
    key = _key(record)
    write_media(root / "CUB_200_2011" / "images" / f"{key}.jpg", media.image_bytes("jpg"))
    write_media(root / "text" / f"{key}.txt", "".join(f"{text}\n" for text in record["captions"][:CAPTIONS]).encode())


def birds_finish(root: Path, records: Records) -> None:
    """Write images.txt, bounding_boxes.txt, filenames and class_info pickles, captions.pickle and the examples."""
    entries = [(record["split"], _key(record), record["box"], record["captions"][:CAPTIONS]) for record in records()]
    cub = root / "CUB_200_2011"
    write_lines(cub / "images.txt", (f"{number} {key}.jpg" for number, (_, key, _, _) in enumerate(entries, 1)))
    boxes = (" ".join(f"{float(value)}" for value in box) for _, _, box, _ in entries)
    write_lines(cub / "bounding_boxes.txt", (f"{number} {box}" for number, box in enumerate(boxes, 1)))
    for split in SPLITS:
        keys = [key for where, key, _, _ in entries if where == split]
        _write_pickle(root / split / "filenames.pickle", keys)
        _write_pickle(root / split / "class_info.pickle", [int(key[:3]) for key in keys])
    words = sorted({word for *_, texts in entries for text in texts for word in tokens(text)})
    word_to_id = {word: number for number, word in enumerate(["<end>", *words])}
    captions = [
        [
            [word_to_id[word] for word in tokens(text)]
            for where, _, _, texts in entries
            if where == split
            for text in texts
        ]
        for split in ("train", "test")
    ]
    id_to_word = {number: word for word, number in word_to_id.items()}
    _write_pickle(root / "captions.pickle", [*captions, id_to_word, word_to_id])
    examples = [texts[0] for where, _, _, texts in entries if where == "test"][:_EXAMPLES]
    write_lines(root / "example_captions.txt", examples)
    write_lines(root / "example_filenames.txt", ["example_captions"])


def tokens(text: str) -> list[str]:
    """Split the caption ``text`` as AttnGAN does: lower case, runs of letters, digits and underscores."""
    return re.findall(r"\w+", text.lower())


def _key(record: Record) -> str:
    main = max(record["scene"]["objects"], key=lambda item: item["pixels"])
    name = f"{main['colour'].capitalize()}_{main['shape'].capitalize()}"
    return f"{main['kind'] + 1:03d}.{name}/{name}_{record['id']}"


def _write_pickle(path: Path, value: list) -> None:
    write_whole(path, pickle.dumps(value, protocol=_PROTOCOL))

"""Captions to generate images of, in AttnGAN's files (taoxugit/AttnGAN ``code/main.py``, ``gen_example``).

``example_filenames.txt`` names files of captions, one a line, without .txt and relative to its own folder;
``example_captions.txt`` is such a file: captions, one a line.
"""

from pathlib import Path, PurePosixPath

from common.text_files import TextError, read_text
from datasets.loading.rows import ManifestError, report_problems
from datasets.text_image.vocabulary import words

LIST = "filenames.txt"  # how the name of a list ends


def read_example_captions(path: Path) -> dict[str, list[str]]:
    """Read the captions of the files that a list names, or of one file that is no list.

    Args:
        path: a list, whose name ends in ``filenames.txt``; or a file of captions.

    Returns:
        The captions of each file by its name without folder and ending, lines without a word left out, as published.

    Raises:
        ManifestError: a file is missing, no text, outside the list's folder, or without captions; or two of them have
            the same name.
    """
    if not path.name.endswith(LIST):
        return {path.stem: _captions(path)}
    names = [line.strip().replace("\\", "/") for line in _lines(path) if line.strip()]
    if not names:
        raise ManifestError(f"{path} names no file; expected names such as example_captions, one a line, without .txt")
    outside = (name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts)
    report_problems(path, (f"{name} lies outside" for name in outside), "name files below the folder of the list")
    keys = [PurePosixPath(name).name for name in names]
    twice = (name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1)
    report_problems(path, (f"{name}: another has this name" for name in twice), "their images would have one folder")
    return {key: _captions(path.parent / f"{name}.txt") for key, name in zip(keys, names, strict=True)}


def _captions(path: Path) -> list[str]:
    captions = [line.strip() for line in _lines(path) if words(line)]
    if not captions:
        raise ManifestError(f"{path} holds no caption; expected captions, one a line")
    return captions


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).split("\n")
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read ({error.strerror or error}); expected example_filenames.txt, which names files of "
            "captions, or a file of captions, one a line"
        ) from error
    except TextError as error:
        raise ManifestError(str(error)) from error

"""Key maps from published state dicts to this project's names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from models.weights import WeightsError

Rule = tuple[str, str]


def rename(state: Mapping[str, Tensor], rules: Sequence[Rule], source: str) -> dict[str, Tensor]:
    """Rename every entry by the one rule that matches its whole name.

    ``rules`` are ``(pattern, replacement)`` pairs of regular expressions, of which the first that matches counts;
    ``source`` is where the weights come from, for messages. Raises WeightsError where no rule knows an entry.
    """
    renamed: dict[str, Tensor] = {}
    unknown: list[str] = []
    for name, value in state.items():
        for pattern, replacement in rules:
            match = re.fullmatch(pattern, name)
            if match:
                renamed[match.expand(replacement)] = value
                break
        else:
            unknown.append(name)
    if unknown:
        raise WeightsError(
            f"The weights in {source} hold {len(unknown)} entries this kind does not have: {', '.join(unknown[:4])}"
            f"{', ...' if len(unknown) > 4 else ''}. Is it a checkpoint of another kind?"
        )
    return renamed


@contextmanager
def laid_out(source: Path | str) -> Iterator[None]:
    """Turn what torch raises while weights of ``source`` are laid in another form into a WeightsError."""
    try:
        yield
    except (RuntimeError, IndexError) as error:
        reason = str(error).split("\n")[0]
        raise WeightsError(
            f"{source}: a weight has another shape than its layout has ({reason}); fetch the file again, or give one "
            "of the same kind."
        ) from error


def inverse(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules of the way back, for maps that are one to one.

    Outside its groups a pattern is plain text with its dots escaped; the replacement names each outermost group once,
    and groups within groups do not capture. Raises ValueError for a rule of another form, whose way back is unknown.
    """
    return [_inverse(*rule) for rule in rules]


def _inverse(pattern: str, replacement: str) -> Rule:
    texts, groups = _split(pattern)
    made = re.split(r"\\(\d)", replacement)  # text, number of a group, text, ...
    numbers = [int(number) for number in made[1::2]]
    plain = [text.replace(r"\.", ".") for text in texts]
    if [re.escape(text) for text in plain] != texts or sorted(numbers) != list(range(1, len(groups) + 1)):
        raise ValueError(f"found the rule {pattern!r} -> {replacement!r}, expected one whose way back is known")
    named = [*(groups[number - 1] for number in numbers), ""]
    back = "".join(re.escape(text) + group for text, group in zip(made[::2], named, strict=True))
    ahead = "".join(text + f"\\{numbers.index(n) + 1}" for n, text in enumerate(plain[:-1], start=1)) + plain[-1]
    return back, ahead


def _split(pattern: str) -> tuple[list[str], list[str]]:
    """Return the texts of a pattern outside its outermost groups, one more than groups, and those groups."""
    texts, groups, depth = [""], [], 0
    for mark in pattern:
        if mark == "(" and depth == 0:
            groups.append("")
            texts.append("")
        depth += mark == "("
        if depth:
            groups[-1] += mark
        else:
            texts[-1] += mark
        depth -= mark == ")"
    return texts, groups


def convolutions_1d(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the singleton axis of convolutions published as 2-D ones over ``(1, T)`` or ``(mel, 1)`` windows.

    A kernel ``(C, 1, 40, 1)`` over all mel bins of one frame becomes ``(C, 40, 1)``; a kernel ``(C, C_in, 1, K)`` over
    K frames becomes ``(C, C_in, K)``. Other tensors stay; changed ones are views.
    """
    return {name: _convolution_1d(value) for name, value in state.items()}


def _convolution_1d(value: Tensor) -> Tensor:
    if value.dim() != 4:
        return value
    if value.shape[2] == 1:
        return value.squeeze(2)
    return value.squeeze(1) if value.shape[1] == 1 else value


def convolutions_2d(state: Mapping[str, Tensor], stem: str) -> dict[str, Tensor]:
    """Undo :func:`convolutions_1d`; changed tensors are views.

    The kernel ``stem`` (C, 40, 1) is over all mel bins; the others (C, C_in, K) are over frames.
    """
    return {
        name: value.unsqueeze(1 if name == stem else 2) if value.dim() == 3 else value for name, value in state.items()
    }

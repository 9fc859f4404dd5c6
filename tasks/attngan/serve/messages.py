"""The JSON that the server reads and writes, as OpenAPI describes it, and one sentence for what it cannot read."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import status
from pydantic import BaseModel, ConfigDict, Field

from config.resolve import shortened

LONGEST = 1000  # characters of a caption
MOST_COPIES = 16
MOST_SEED = 2**53 - 1  # the largest integer that JavaScript reads exactly
LARGEST_BODY = 2**16  # bytes
EXAMPLE = 'expected a JSON object such as {"caption": "a red cube"} with the header Content-Type: application/json'


class Captioned(BaseModel):
    """A request of the published addresses."""

    model_config = ConfigDict(strict=True)
    caption: str = Field(max_length=LONGEST, description="words that the image is to show")


class Wanted(Captioned):
    """A request for images of one caption."""

    model_config = ConfigDict(extra="forbid")
    copies: int = Field(1, ge=1, le=MOST_COPIES, description="number of images")
    seed: int | None = Field(None, ge=0, le=MOST_SEED, description="of the noise; null draws one, which is answered")


class Problem(BaseModel):
    """Why there are no images."""

    detail: str = Field(description="one sentence")


class Stage(BaseModel):
    """An image of one stage."""

    resolution: int = Field(description="height and width in pixels")
    url: str


class Attention(BaseModel):
    """Attention of a stage to each word."""

    stage: int = Field(description="index among the image's stages")
    url: str = Field(description="the words' maps below each other, grey, in the order of the words")
    largest: float = Field(description="the weight that is white")
    best: list[int] = Field(description="indices of the words with the highest scores, the highest first")


class Image(BaseModel):
    """An image with all its stages, the smallest first."""

    stages: list[Stage]
    attention: list[Attention]


class About(BaseModel):
    """Facts that all answers with images hold."""

    caption: str
    seed: int
    words: list[str] = Field(description="words that were read")
    unknown_words: list[str] = Field(description="words that the model does not know")
    words_left_out: list[str] = Field(description="known words behind the most that the model reads")
    elapsed: float = Field(description="seconds")


class Answer(About):
    """Images of one caption."""

    images: list[Image]


class Sizes(BaseModel):
    """The published names of an image's stages; a model of fewer stages repeats its largest image."""

    small: str
    medium: str
    large: str


class Bird(About, Sizes):
    """The published answer of one image, and what else is known of it."""

    map1: str | None = Field(description="sheet of the second stage's attention: the five best words")
    map2: str | None = Field(description="the same of the third stage; null of a model without attention")


class BirdAnswer(BaseModel):
    """The published answer of one image."""

    bird: Bird


class Birds(About):
    """The published answer of six images, and what else is known of them."""

    bird1: Sizes
    bird2: Sizes
    bird3: Sizes
    bird4: Sizes
    bird5: Sizes
    bird6: Sizes


class BirdsAnswer(BaseModel):
    """The published answer of six images."""

    bird: Birds


def problem(errors: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Return status and sentence for pydantic's errors: 400 without a caption, 422 for values of other kinds."""
    first = errors[0]
    kind, where = first["type"], [str(part) for part in first["loc"] if part != "body"]
    if kind == "json_invalid":
        return status.HTTP_400_BAD_REQUEST, f"the body is no JSON ({first['ctx']['error']}); {EXAMPLE}"
    if kind == "missing":
        return status.HTTP_400_BAD_REQUEST, f"found no caption; {EXAMPLE}"
    if not where:
        found = first.get("input")
        shown = "a body of another type" if isinstance(found, bytes) else shortened(found)
        return status.HTTP_400_BAD_REQUEST, f"found {shown}; {EXAMPLE}"
    return 422, f"{'.'.join(where)}: found {shortened(first.get('input'))}; {first['msg'].lower()}"

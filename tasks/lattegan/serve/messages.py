"""The JSON that the server reads and writes, as OpenAPI describes it."""

from pydantic import BaseModel, ConfigDict, Field

from datasets.dialogue.typed import LONGEST

MOST_CANDIDATES = 8
MOST_SEED = 2**53 - 1  # the largest integer that JavaScript reads exactly
LARGEST_BODY, LARGEST_SOUND = 2**14, 2**22  # bytes
EXAMPLE = 'expected a JSON object such as {"instruction": "add a red cube"} with Content-Type: application/json'


class Begun(BaseModel):
    """A dialogue that is to be opened."""

    model_config = ConfigDict(strict=True, extra="forbid")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="of the noise")


class Said(BaseModel):
    """A turn that is to be drawn."""

    model_config = ConfigDict(strict=True, extra="forbid")
    instruction: str = Field(max_length=LONGEST, description="what changes in the scene")
    candidates: int = Field(1, ge=1, le=MOST_CANDIDATES, description="images, of which one is chosen")
    seed: int | None = Field(None, ge=0, le=MOST_SEED, description="from this turn on; null: as before")


class Choice(BaseModel):
    """Another candidate of the last turn."""

    model_config = ConfigDict(strict=True, extra="forbid")
    chosen: int = Field(ge=0, lt=MOST_CANDIDATES, description="its index")


class TurnMessage(BaseModel):
    """One turn that was drawn; images are data URIs of PNG."""

    number: int = Field(description="1 of the first turn")
    instruction: str
    unknown_words: list[str] = Field(description="words that the model does not know and did not read")
    seed: int
    images: list[str] = Field(description="the candidates; of earlier turns the chosen one alone")
    scores: list[float] = Field(description="of the discriminator, higher is better")
    chosen: int = Field(description="index of the candidate that the next turn begins with")
    gate: str | None = Field(description="of the chosen one, bright where nothing changes")


class SceneMessage(BaseModel):
    """An open dialogue."""

    id: str
    seed: int = Field(description="of the next turn")
    background: str = Field(description="the empty scene")
    turns: list[TurnMessage]


class Problem(BaseModel):
    """Why nothing was done."""

    detail: str = Field(description="one sentence")

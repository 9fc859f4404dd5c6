"""Numbers with the limits that a reader of a config expects; for annotations of what configs name.

Limits that belong to one class only stand in its own annotations. A number without an upper limit there may be at most
:data:`MOST`: no count or weight of a config is larger, and a larger one is a slip.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

MOST = 1e9

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(gt=0)]
CountOrZero = Annotated[int, Field(ge=0)]
"""A count that may be 0."""
BatchSize = Annotated[int, Field(gt=0, le=100_000)]
Workers = Annotated[int, Field(ge=0, le=256)]
"""Processes beside the training's own; each has its copy of the program."""
Processes = Annotated[int, Field(gt=0, le=256)]
Threads = Annotated[int, Field(gt=0, le=512)]
Megabytes = Annotated[int, Field(gt=0, le=10**7)]
Resolution = Annotated[int, Field(gt=0, le=8192)]
"""Rows and columns of an image or map, pixels."""
Frames = Annotated[int, Field(gt=0, le=10**7)]
"""Frames of speech, usually 100 a second."""
Width = Annotated[int, Field(gt=0, le=2**16)]
"""Channels, features, codes or dimensions of a layer."""
Depth = Annotated[int, Field(gt=0, le=256)]
"""Layers or blocks in a row."""
Kernel = Annotated[int, Field(gt=0, le=1025)]
Chance = Annotated[float, Field(ge=0, le=1)]
"""A probability, or a share of a whole."""
Weight = Annotated[float, Field(ge=0)]
"""A factor of a loss or term, or a margin."""
Positive = Annotated[float, Field(gt=0)]

_Decay = Annotated[float, Field(ge=0, lt=1)]
TORCH_OPTIM: dict[str, Any] = {
    "lr": Annotated[float, Field(ge=0, le=100)],
    "weight_decay": Annotated[float, Field(ge=0, le=100)],
    "momentum": Annotated[float, Field(ge=0, le=1)],
    "betas": tuple[_Decay, _Decay],
    "rho": _Decay,
    "eps": Annotated[float, Field(ge=0, le=1)],
    "lr_decay": Annotated[float, Field(ge=0)],
    "capturable": Literal[False],  # for CUDA graphs, which the trainer does not make
    "differentiable": Literal[False],
}
"""Annotations of keywords of ``torch.optim`` that torch checks in its constructors only, or not at all."""

"""Find objects in an image: is one of each class there, and where; for the scores of systems that draw turn by turn.

Must match Maluuba/GeNeVA ``geneva/models/object_localizer.py`` (parity kind ``geneva_localizer``): no activation stands
between the two linear layers of either head, and Inception's auxiliary head is used in evaluation too.

Shape letters: B images, R height and width of an image, K classes, N coordinates, F size of the trunk's features, A of
its earlier ones.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from config.limits import Width
from models.batch_norm import BatchNorm
from models.damsm import INPUT_RESOLUTION, TOP, TRUNK
from models.image_encoders import Pretrained, trunk_weights
from models.imagenet import MEAN, STD
from models.weights import WeightsError, build_for, load_strictly, read_card, read_state_dict, write_weights

INCEPTION_FEATURES = 512


class LocalizerInputError(UserError, ValueError):
    """Images that a localiser cannot take."""


class Readings(NamedTuple):
    """What a localiser sees."""

    logits: Tensor  # (B, K) that an object of each class is there
    locations: Tensor  # (B, K, N): x, y and, of three, depth, as shares of the image's width, height and depth
    maps: Tensor | None = None  # (B, F, R / 4, R / 4) of a PointsTrunk, the first K of the classes

    @property
    def probabilities(self) -> Tensor:
        """(B, K) in 0-1."""
        return self.logits.sigmoid()


class InceptionTrunk(nn.Module):
    """Inception v3 with two heads of 512 features: of its last maps, and of its auxiliary classifier's."""

    features, earlier_features = INCEPTION_FEATURES, INCEPTION_FEATURES

    def __init__(self) -> None:
        from torchvision.models import inception_v3  # takes seconds

        super().__init__()
        inception = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
        self.trunk = nn.ModuleDict({name: inception.get_submodule(name) for name in TRUNK})
        self.top = nn.ModuleDict({name: inception.get_submodule(name) for name in TOP})
        self.auxiliary = inception.AuxLogits
        self.auxiliary.fc = nn.Linear(self.auxiliary.fc.in_features, INCEPTION_FEATURES)
        self.fc = nn.Linear(inception.fc.in_features, INCEPTION_FEATURES)
        # values of 0-1 normalised as ImageNet's, and from there to [-1, 1], as torchvision's transform_input
        self.register_buffer("scale", torch.tensor(STD).view(3, 1, 1) / 0.5, persistent=False)
        self.register_buffer("shift", (torch.tensor(MEAN).view(3, 1, 1) - 0.5) / 0.5, persistent=False)

    def load_pretrained(self, pretrained: Literal["imagenet"] | Path) -> None:
        """Load torchvision's weights, but for the last layers; errors as of :class:`ObjectLocalizer`."""
        from torchvision.models import Inception_V3_Weights

        url = Inception_V3_Weights.IMAGENET1K_V1.url
        state = trunk_weights(pretrained, url, keep="", drop=("fc.", "AuxLogits.fc."))
        for part, names in ((self.trunk, TRUNK), (self.top, TOP)):
            own = {name: value for name, value in state.items() if name.partition(".")[0] in names}
            load_strictly(part, own, str(pretrained))
        last = {f"fc.{name}": value for name, value in self.auxiliary.fc.state_dict().items()}
        auxiliary = {n.removeprefix("AuxLogits."): v for n, v in state.items() if n.startswith("AuxLogits.")}
        load_strictly(self.auxiliary, auxiliary | last, str(pretrained))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, 512) of both heads of images (B, 3, R, R) in 0-1, which are scaled to 299 pixels."""
        if images.shape[-1] != INPUT_RESOLUTION:
            images = F.interpolate(images, INPUT_RESOLUTION, mode="bilinear", antialias=True)
        maps = images * self.scale + self.shift
        for layer in self.trunk.values():
            maps = layer(maps)
        earlier = self.auxiliary(maps)
        for layer in self.top.values():
            maps = layer(maps)
        return self.fc(F.dropout(maps.mean(dim=(2, 3)), training=self.training)), earlier


class SmallTrunk(nn.Module):
    """Convolutions that halve the resolution down to 4 pixels, for images of the embedded world on a CPU.

    The features keep where they come from: the last maps are flattened, not averaged.

    Args:
        resolution: R, a power of two from 16 on; other images are scaled to it.
        width: channels of the first layer; each later one has twice as many, 8 times at most.
        features: F and A.
    """

    def __init__(
        self,
        resolution: Literal[16, 32, 64, 128] = 64,
        width: Width = 24,
        features: Width = 256,
    ) -> None:
        super().__init__()
        self.resolution, self.width, self.features, self.earlier_features = resolution, width, features, features
        layers: list[nn.Module] = []
        channels, pixels = 3, resolution
        while pixels > 4:
            wider = min(width if channels == 3 else 2 * channels, 8 * width)
            for stride, before in ((1, channels), (2, wider)):
                layers += [
                    nn.Conv2d(before, wider, 3, stride, padding=1, bias=False),
                    BatchNorm(wider),
                    nn.ReLU(),
                ]
            channels, pixels = wider, pixels // 2
        self.convolutions = nn.Sequential(*layers)
        self.last = nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, features), BatchNorm(features), nn.ReLU())
        self.earlier = nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, features), BatchNorm(features), nn.ReLU())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, F) and (B, A) of images (B, 3, R, R) in 0-1."""
        if images.shape[-1] != self.resolution:
            images = F.interpolate(images, self.resolution, mode="bilinear", antialias=True)
        maps = self.convolutions(2 * images - 1)
        return self.last(maps), self.earlier(maps)


class PointsTrunk(nn.Module):
    """Convolutions whose last maps say how much of something there is, and where (soft-argmax, arXiv:1509.06113).

    An object counts the same wherever it stands, so fewer images teach it than :class:`SmallTrunk`. The features are
    the maxima of the maps, the earlier ones the means of the positions, weighted by the softmax of each map.

    Args:
        resolution: R; other images are scaled to it.
        width: channels of the first layer, twice as many in the second, four times in the others.
        features: number of maps, of a quarter of the resolution.
    """

    def __init__(self, resolution: Literal[32, 64, 128] = 64, width: Width = 16, features: Width = 96) -> None:
        super().__init__()
        self.resolution, self.width, self.features, self.earlier_features = resolution, width, features, 2 * features
        layers: list[nn.Module] = []
        plan = ((3, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 2), (4, 4, 1), (4, 4, 1))
        for number, (before, after, stride) in enumerate(plan):
            channels = 3 if not number else before * width
            layers += [
                nn.Conv2d(channels, after * width, 3, stride, padding=1, bias=False),
                BatchNorm(after * width),
                nn.ReLU(),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.points = nn.Conv2d(4 * width, features, 1)
        self.sharpness = nn.Parameter(torch.ones(features, 1))
        axis = (torch.arange(resolution // 4) + 0.5) / (resolution // 4)
        self.register_buffer("places", torch.stack(torch.meshgrid(axis, axis, indexing="xy")).flatten(1), False)

    def maps(self, images: Tensor) -> Tensor:
        """Return maps (B, F, R / 4, R / 4) of images (B, 3, R, R) in 0-1."""
        if images.shape[-1] != self.resolution:
            images = F.interpolate(images, self.resolution, mode="bilinear", antialias=True)
        return self.points(self.convolutions(2 * images - 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return maxima (B, F) and positions (B, 2F) in 0-1 of images (B, 3, R, R) in 0-1."""
        return self.read(self.maps(images))

    def read(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return maxima and positions of maps, as :meth:`forward`."""
        maps = maps.flatten(2)
        weights = (maps * self.sharpness).softmax(dim=2)
        return maps.amax(dim=2), (weights @ self.places.T.to(weights)).flatten(1)


class ObjectLocalizer(nn.Module):
    """Detect objects of K classes and say where they are.

    Args:
        num_objects: K: 24 of i-CLEVR, 58 of CoDraw.
        num_coords: N: 2 of i-CLEVR (x, y), 3 of CoDraw (x, y, depth).
        trunk: images to features.
        hidden: sizes of the layers before detections and before locations.
        pretrained: of Inception: ``imagenet`` for torchvision's weights, the path of a file in torchvision's layout, or
            None for a random start.

    Raises:
        WeightsError: The weights cannot be fetched or do not fit.
        LocalizerInputError: another trunk has no such weights.
    """

    def __init__(
        self,
        num_objects: Width = 24,
        num_coords: Literal[2, 3] = 2,
        trunk: InceptionTrunk | SmallTrunk | PointsTrunk | None = None,
        hidden: Annotated[list[Width], Field(min_length=2, max_length=2)] | None = None,
        pretrained: Pretrained = None,
    ) -> None:
        super().__init__()
        self.num_objects, self.num_coords = num_objects, num_coords
        self.trunk = InceptionTrunk() if trunk is None else trunk
        if pretrained is not None:
            if not isinstance(self.trunk, InceptionTrunk):
                raise LocalizerInputError(f"pretrained weights are of Inception, found a {type(self.trunk).__name__}")
            self.trunk.load_pretrained(pretrained)
        detects, locates = self.hidden = list(hidden or (256, 512))
        both = self.trunk.features + self.trunk.earlier_features
        self.detector = nn.Sequential(nn.Linear(self.trunk.features, detects), nn.Linear(detects, num_objects))
        self.localizer = nn.Sequential(nn.Linear(both, locates), nn.Linear(locates, num_objects * num_coords))

    def forward(self, images: Tensor) -> Readings:
        """Read images (B, 3, R, R) RGB in 0-1; other shapes end in a LocalizerInputError."""
        if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise LocalizerInputError(f"found images {tuple(images.shape)}, expected (B, 3, R, R) in 0-1")
        maps = self.trunk.maps(images) if isinstance(self.trunk, PointsTrunk) else None
        features, earlier = self.trunk(images) if maps is None else self.trunk.read(maps)
        locations = self.localizer(torch.cat((features, earlier), dim=1))
        return Readings(self.detector(features), locations.unflatten(1, (self.num_objects, self.num_coords)), maps)


def save_localizer(localizer: ObjectLocalizer, path: Path, classes: list[str], about: dict[str, Any]) -> Path:
    """Write a localiser to ``path`` (``.safetensors``) and its card beside it (``.json``); return ``path``.

    ``classes`` are the names of what it detects; ``about`` says how it was made, in plain values.
    """
    trunk = localizer.trunk
    small = isinstance(trunk, SmallTrunk | PointsTrunk)
    sizes = {"resolution": trunk.resolution, "width": trunk.width, "features": trunk.features} if small else {}
    card = {
        "trunk": {"type": type(trunk).__name__, **sizes},
        "num_coords": localizer.num_coords,
        "hidden": localizer.hidden,
        "classes": classes,
        **about,
    }
    write_weights(path, localizer.state_dict(), card)
    return path


def load_localizer(path: Path) -> ObjectLocalizer:
    """Read a localiser, in evaluation mode on the CPU, that :func:`save_localizer` wrote.

    Args:
        path: the ``.safetensors`` file; its ``.json`` lies beside it.

    Raises:
        WeightsError: a file is missing, damaged, or of another kind.
    """
    path = Path(path)
    state = read_state_dict(path)
    card = read_card(path.with_suffix(".json"), "it says which network the weights beside it belong to")
    try:
        sizes = dict(card["trunk"])
        make = {kind.__name__: kind for kind in (SmallTrunk, PointsTrunk, InceptionTrunk)}[sizes.pop("type")]
        classes, coords, hidden = len(card["classes"]), int(card["num_coords"]), list(card["hidden"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.with_suffix('.json')} does not describe a localiser: {error}.") from error
    try:
        return build_for(lambda: ObjectLocalizer(classes, coords, make(**sizes), hidden), state, str(path)).eval()
    except WeightsError:
        raise
    except Exception as error:  # sizes may be of any kind
        raise WeightsError(f"{path.with_suffix('.json')} describes a network that cannot be built: {error}.") from error

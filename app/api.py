"""Use trained models in a few calls: sound to units or an embedding, image to map, latent or caption to image.

Sound is a file or a waveform with its rate; an image is a file, a Pillow image or (H, W, 3) uint8; results are NumPy
arrays. Models that come with the project are named without a path, all others by their file or folder. Input that
cannot be used, or is damaged or of another kind, is a UserError.

Shape letters: N samples, T frames, C channels, D embedding size, H, W height and width, B images, R pixels high and
wide.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from common.errors import UserError
from datasets.audio.log_mel import check_usable, log_mel
from datasets.audio.read import SAMPLE_RATE, read_audio, resample
from datasets.images import ImageTransform, read_image
from gan import shipped
from gan.latents import latent_dim_of, latents
from models.segmenter.file import load_segmenter as read_segmenter
from models.segmenter.labels import ATTRIBUTE_LABELS
from models.segmenter.network import AttributeSegmenter
from models.similarity import Similarity
from published import holds_encoders, is_experiment, load_encoders, load_published
from tasks.attngan.sampling.text_to_image import BATCH, TextToImage
from tasks.attngan.trained import TextImageSource
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.speech_image.trained import ModelSource, run_config
from tasks.words_by_drawing.experiments.encoders import Trained, load_model
from tasks.words_by_drawing.experiments.images import from_u8

SHIPPED = Path(__file__).parents[1] / "models" / "shipped"
Sound = str | Path | np.ndarray | Tensor
ImageInput = str | Path | Image.Image | np.ndarray


class ApiError(UserError, ValueError):
    """Raised about a sound, image, latent or model that these calls do not take."""


class Unit(NamedTuple):
    """The code of one frame, or of several frames in a row, with its start and end in seconds of the sound."""

    code: int
    start: float
    end: float


class Matchmap(NamedTuple):
    """Similarity (H, W, T) float32 of each position of an image and each frame of a caption, ``seconds`` long."""

    values: np.ndarray
    seconds: float


class SpeechEncoder:
    """A trained speech encoder with its layers."""

    def __init__(self, model: SpeechModel) -> None:
        self.model = model

    @property
    def layers(self) -> list[str]:
        """Return the names of the layers whose features can be had, the lowest first."""
        return self.model.layers()

    @property
    def quantised(self) -> list[str]:
        """Return the names of the layers that have units, the lowest first."""
        return self.model.quantised()

    def features(self, sound: Sound, rate: int | None = None, layer: str | None = None) -> np.ndarray:
        """Return the features (T, C) float32 of a layer.

        Args:
            sound: a file, or a waveform (N,) or (N, channels), full scale 1.
            rate: of a waveform, Hz.
            layer: one of ``layers``; None for the encoder's output.
        """
        mel = _log_mel(sound, rate)
        if layer is None:
            with torch.no_grad():
                return self.model.speech(mel[None].to(self.model.device)).features[0].t().cpu().numpy()
        self.model.check([layer])
        return self.model.encode([layer], mel[None])[layer][0][0].t().cpu().numpy()

    def embedding(self, sound: Sound, rate: int | None = None) -> np.ndarray:
        """Return the mean (D,) of the encoder's output over the frames of a ``sound`` at ``rate``, as in `features`."""
        return self.features(sound, rate).mean(axis=0)

    def units(self, sound: Sound, rate: int | None = None, layer: str | None = None, merged: bool = True) -> list[Unit]:
        """Return the codes of a sound in the order of time, from a layer of ``quantised`` or the lowest of them.

        Args:
            sound: as in :meth:`features`.
            rate: of a waveform, Hz.
            layer: one of ``quantised``; None for the lowest.
            merged: whether frames in a row with the same code are one unit.
        """
        layer = layer or next(iter(self.quantised), "")
        self.model.check([layer] if layer else [], codes=True)
        codes = self.model.encode([layer], _log_mel(sound, rate)[None])[layer][1][0].tolist()
        seconds, found = self.model.seconds(layer), []
        for index, code in enumerate(codes):
            end = round((index + 1) * seconds, 6)
            if merged and found and found[-1].code == code:
                found[-1] = found[-1]._replace(end=end)
            else:
                found.append(Unit(code, round(index * seconds, 6), end))
        return found


class Pair:
    """Trained image and speech encoders; ``resize`` cuts and scales images, None leaves them as they are."""

    def __init__(self, trained: Trained, resize: ImageTransform | None) -> None:
        self.trained, self.resize = trained, resize

    def image_map(self, image: ImageInput) -> np.ndarray:
        """Return the map (D, H, W) of an ``image``."""
        return self.trained.encode_images(self._scaled(image)[None])[0].cpu().numpy()

    def matchmap(self, image: ImageInput, sound: Sound, rate: int | None = None) -> Matchmap:
        """Compare each position of an image with each frame of a sound, as in :meth:`SpeechEncoder.features`."""
        mel = _log_mel(sound, rate)
        values, seconds = self.trained.matchmap(self._scaled(image), mel, mel.shape[-1])
        return Matchmap(values.numpy(), seconds)

    def _scaled(self, image: ImageInput) -> Tensor:
        found = _image(image)
        return from_u8(found if self.resize is None else self.resize.crop(found, train=False))


class Generator:
    """A trained generator of images (B, 3, R, R), about -1 to 1, from latents (B, D)."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network, self.latent_dim = network, latent_dim_of(network)

    def latents(self, number: int) -> np.ndarray:
        """Return the first ``number`` rows (number, D) of the published table of latents, the same every time."""
        return latents(number, self.latent_dim).numpy()

    @torch.no_grad()
    def images(self, given: np.ndarray | Tensor | Sequence[Sequence[float]]) -> np.ndarray:
        """Generate images (B, R, R, 3) uint8 from latents (B, D), standard normal."""
        rows = torch.as_tensor(np.asarray(given, dtype=np.float32))
        if rows.dim() != 2 or rows.shape[1] != self.latent_dim:
            raise ApiError(f"found latents {tuple(rows.shape)}, expected (B, {self.latent_dim}): one row an image")
        made = self.network(rows).clamp(-1, 1)
        return ((made + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


class Segmenter:
    """A trained segmenter of the attributes in images."""

    def __init__(self, network: AttributeSegmenter) -> None:
        self.network = network

    def label_maps(self, image: ImageInput) -> dict[str, np.ndarray]:
        """Return for each label, such as ``red`` or ``cube``, where it is in an ``image``: (H, W) bool."""
        found = self.network.segment(from_u8(_image(image))[None])[0].cpu().numpy()
        return dict(zip(ATTRIBUTE_LABELS, found, strict=True))


def load_encoder(source: str | Path = "resdavenet_vq_world", device: str = "cpu") -> SpeechEncoder:
    """Load a speech encoder in evaluation mode.

    Args:
        source: the name of one that comes with the project, a run folder, the ``.json`` of an exported encoder, a
            published experiment of ResDAVEnet-VQ, or a published ``model_best_*.pth.tar`` or its folder.
        device: its device.
    """
    path, on = Path(source), torch.device(device)
    if not path.exists() and (SHIPPED / f"{source}.json").is_file():
        return SpeechEncoder(load_speech(ModelSource(run=SHIPPED / f"{source}.json"), on))
    _check_there(path, [one.stem for one in SHIPPED.glob("resdavenet*.json")])
    if _is_published(path):
        return SpeechEncoder(SpeechModel(load_encoders(path).speech, on, path.name))
    return SpeechEncoder(load_speech(ModelSource(run=path), on))


def load_pair(source: str | Path, image_size: int | None = None, device: str = "cpu") -> Pair:
    """Load an image and a speech encoder that were trained together, in evaluation mode.

    Args:
        source: a run folder, a published ``model_best_*.pth.tar`` or its folder, or a published experiment of
            ResDAVEnet-VQ.
        image_size: pixels that images are cut and scaled to; None for that of the run's images from files, and for no
            scaling where the run's images were generated or the encoders are published.
        device: their device.
    """
    path = Path(source)
    _check_there(path, [])
    on, size = torch.device(device), (image_size, image_size) if image_size else None
    if is_experiment(path):
        found = load_encoders(path)
        trained = Trained(found.image, found.speech, Similarity(), None, on, path.name)
    elif _is_published(path):
        trained = load_model(ModelSource(published=path), on)
    else:
        trained = load_model(ModelSource(run=path), on)
        size = size or _size_in_training(path)
    return Pair(trained, size and ImageTransform(size=size[0], resize=size[1], random_crop=False))


def load_generator(source: str | Path = "progan_world") -> Generator:
    """Load a generator on the CPU: one that comes with the project, or a published ``generator.pth``."""
    if str(source) in shipped.names():
        return Generator(shipped.load(str(source)))
    _check_there(Path(source), shipped.names())
    return Generator(load_published("progan", source))


def load_segmenter(source: str | Path = "segmenter_world") -> Segmenter:
    """Load a segmenter on the CPU: one that comes with the project, or the ``.safetensors`` file of another."""
    own = SHIPPED / f"{source}.safetensors"
    if not own.is_file():
        _check_there(Path(source), [one.stem for one in SHIPPED.glob("segmenter*.json")])
    return Segmenter(read_segmenter(own if own.is_file() else Path(source)))


def load_text_to_image(
    source: str | Path | TextImageSource = "attngan_world", device: str = "cpu", batch_size: int = BATCH
) -> TextToImage:
    """Load a text encoder and a generator of images from captions.

    Args:
        source: name of one that comes with the project, run folder or checkpoint of a training of AttnGAN, ``.json`` of
            an export, or a source with published files.
        device: of the networks.
        batch_size: images generated at a time.

    Returns:
        The model, whose ``generate(captions, copies, seed)`` gives images of every stage with the attention of each
        word.
    """
    if not isinstance(source, TextImageSource):
        own = SHIPPED / f"{source}.json"
        if not own.is_file():
            _check_there(Path(source), [one.stem for one in SHIPPED.glob("attngan*.json")])
        source = TextImageSource(run=own if own.is_file() else Path(source))
    return TextToImage.of(source, device, batch_size)


def _is_published(path: Path) -> bool:
    """Return whether a file or folder is of one of the originals, not a run of this project."""
    return path.name.endswith(".pth.tar") or is_experiment(path) or (path.is_dir() and holds_encoders(path))


def _check_there(path: Path, names: list[str]) -> None:
    """Refuse a file or folder that does not exist, naming what comes with the project."""
    if not path.exists():
        own = f", or one of those that come with the project: {', '.join(names)}" if names else ""
        raise ApiError(f"there is no model {path}; expected the path of a file or run folder{own}")


def _size_in_training(run: Path) -> tuple[int, int] | None:
    """Return crop and shorter edge before it, in pixels, of a run's images from files."""
    data = run_config(run).get("data") or {}
    for split in ("validation", "train"):
        if node := (data.get(split) or {}).get("image"):
            return node["size"], node["resize"]
    return None


def _log_mel(sound: Sound, rate: int | None) -> Tensor:
    """Return the log-mels (40, T) in dB of a file or a waveform."""
    if isinstance(sound, str | Path):
        if rate is not None:
            raise ApiError(f"found rate={rate} with the file {sound}, which has its own; leave rate out")
        name, samples = str(sound), read_audio(Path(sound))
    else:
        name, samples = "the waveform", _mono(np.asarray(sound), rate)
    mel = log_mel(torch.from_numpy(samples)).values
    check_usable(mel, name)
    return mel


def _mono(samples: np.ndarray, rate: int | None) -> np.ndarray:
    """Return a waveform at ``rate`` as (N,) float32 at 16 kHz."""
    if rate is None or rate < 1:
        raise ApiError(f"found rate={rate} for a waveform; expected its sample rate in Hz, such as 16000")
    if samples.dtype.kind != "f":
        raise ApiError(f"found samples of type {samples.dtype}, expected floats; divide int16 by 32768")
    if samples.ndim not in (1, 2) or samples.size == 0 or (samples.ndim == 2 and samples.shape[0] < samples.shape[1]):
        raise ApiError(f"found a waveform {samples.shape}, expected (N,) or (N, channels); transpose (channels, N)")
    if not np.isfinite(samples).all():
        raise ApiError("the waveform holds NaN or infinity, expected numbers; look at where it comes from")
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    return resample(np.ascontiguousarray(mono, dtype=np.float32), rate, SAMPLE_RATE)


def _image(image: ImageInput) -> Image.Image:
    """Return the RGB image of a file, a Pillow image or an array."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ApiError(f"found an image {image.shape} of type {image.dtype}, expected (H, W, 3) uint8, RGB")
    return Image.fromarray(image)

"""Learn words by drawing images: triplets whose negatives a generator draws, changed where the caption's answer is.

"Learning Words by Drawing Images" (CVPR 2019, Suris et al.); public code surisdi/learning-by-drawing ``trainer.py`` and
``losses.py``. ``python run.py -f words_by_drawing/train_random.yaml`` (and train_clusters, train_regular, train_both).

Shape letters: B global batch, b batch of this rank, D embedding size, T frames, H, W image map, R pixels a side.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from common import distributed
from common.errors import UserError
from config import Fault, Offers
from config.limits import Weight
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import SpeechImageData
from engine.optimization import Length, Optimization
from engine.run_folder import RunFolder
from engine.task import Step
from gan.editing.regenerate import Negatives
from gan.editing.regions import resized_region
from gan.images import encoder_input, picture
from losses import edited_and_hard, edited_negatives, hard_negative, masked_margin_softmax, sampled_margin_rank
from models.matchmap import aligned_similarity
from models.similarity import PUBLISHED_MINING, Similarity
from models.speech_maps import SpeechMaps
from tasks.checks import plan_faults
from tasks.fitting import Node, few_pairs, no_pictures
from tasks.speech_image.impostors import draw_imposters
from tasks.speech_image.task import SpeechImage
from tasks.words_by_drawing.clustering import DrawingClusters
from tasks.words_by_drawing.edited_examples import edited_section
from tasks.words_by_drawing.generated_images import Drawing, Drawn, Studio
from tasks.words_by_drawing.negatives import Editing
from tasks.words_by_drawing.training_pairs import TrainingPairs

Mining = Literal["configured", "published"]
Impostors = Literal["sampled", "all"]
LossType = Literal["regular", "negatives_edited", "negatives_hard", "negatives_both"]
EDITED = ("negatives_edited", "negatives_both")


def _undrawable(loss_type: str, drawing: Any, editing: Any) -> Iterator[Fault]:
    """Name what edited negatives lack."""
    needed = {"drawing": (drawing, "the generator"), "editing": (editing, "the layers, as {layers: [layer4]}")}
    for key, (value, expected) in needed.items():
        if loss_type in EDITED and value is None:
            yield key, f"found null with loss_type {loss_type}, whose negatives are drawn; expected {expected}"


class WordsByDrawing(SpeechImage):
    """Trains both encoders on pairs of captions and pictures that a generator draws or that are read from files.

    Args:
        image_encoder: (b, 3, R, R) to (b, D, H, W).
        loss_type: as published: ``regular`` a sampled impostor; ``negatives_edited`` that and the edited picture;
            ``negatives_hard`` that and the hardest impostor of the batch; ``negatives_both`` that and the harder of
            edited picture and hardest impostor, each of the two sums cut at ``largest_loss``.
        optimization: optimiser and schedule of both encoders' trainable parameters.
        speech_encoder: (b, 40, T0), frames to SpeechMaps.
        text_encoder: instead of it, reads the captions as words.
        drawing: draws the pictures; None: they are read from files (the published ``loading_image``).
        editing: how negatives are drawn; needed with the edited losses.
        margin: how much better a match must be, in units of similarity.
        impostors: what ``regular``, a part of every loss, compares a pair with: one ``sampled`` impostor each way, as
            published, or ``all`` of the batch by masked margin softmax, from which small encoders learn at once and
            which a sampled impostor makes them forget.
        largest_loss: of hinges in ``negatives_both``; there is no gradient beyond, as published. None: no such bound.
        similarity: how maps are compared; where to edit is always chosen by the dot product, as published.
        mining: what finds the hardest impostors of ``negatives_hard`` and ``negatives_both``: the ``configured``
            similarity, or, as ``published``, MISA with the dot product whatever ``similarity`` says.
        same_picture: whether another caption of the same picture in a batch counts as an impostor or is ``left_out``.
        data: given by main.
        device: given by main.
        length: given by main.
        folder: given by main; the run folder, where clusters are left as they are found.
        dry_run: given by main; clusters and dissects at a small size.

    Raises:
        UserError: parts that do not fit each other.
        LayerNameError: the generator has no such layer.
    """

    module_names = (*SpeechImage.module_names, "clusters")

    def __init__(
        self,
        image_encoder: nn.Module,
        loss_type: LossType,
        optimization: Optimization,
        data: SpeechImageData,
        device: torch.device,
        length: Length,
        speech_encoder: nn.Module | None = None,
        text_encoder: Annotated[Callable[..., nn.Module], Offers("vocab_size")] | None = None,
        drawing: Drawing | None = None,
        editing: Editing | None = None,
        margin: Weight = 1.0,
        impostors: Impostors = "sampled",
        largest_loss: Annotated[float, Field(gt=0)] | None = 5.0,
        similarity: Similarity = Similarity(),  # noqa: B008  never changed
        mining: Mining = "configured",
        same_picture: Literal["impostor", "left_out"] = "impostor",
        folder: RunFolder | None = None,
        dry_run: bool = False,
    ) -> None:
        self.folder = folder
        self.loss_type, self.margin, self.largest_loss = loss_type, margin, largest_loss
        self.editing, self.mining, self.impostors = editing, mining, impostors
        self.studio: Studio | None = None
        self._edited: tuple[Tensor, Tensor] | None = None  # negatives and regions of the last step
        if drawing is not None:
            sets = [data.train_loader.dataset, *(loader.dataset for loader in data.loaders.values())]
            layers = editing.layers if editing is not None else []
            active = editing.active_learning if editing is not None else None
            self.studio = Studio(drawing, sets, layers, active, device)
        for key, message in _undrawable(loss_type, drawing, editing):
            raise UserError(f"task.{key}: {message}")
        captions = (speech_encoder, text_encoder)
        super().__init__(
            image_encoder, [], optimization, data, device, length, *captions, similarity, same_picture, folder
        )
        self.clusters: DrawingClusters | None = None
        if editing is not None and editing.clustering is not None and loss_type in EDITED:
            self._add_clusters(editing, dry_run)

    def _add_clusters(self, editing: Editing, dry_run: bool) -> None:
        """Make room for clusters among the modules, so that checkpoints keep them."""
        clustering = editing.clustering.with_selection(editing.active_learning)
        clustering = clustering.for_dry_run() if dry_run else clustering
        self.clusters = DrawingClusters(clustering, self.image_encoder.embedding_dim, self.studio)
        self.modules["clusters"] = self.clusters.found
        self.pairs = TrainingPairs(self.data, self.encode, self.image_encoder, self.studio, self.captions.spoken)

    @staticmethod
    def faults(
        image_encoder: Node,
        speech_encoder: Node | None,
        text_encoder: Node | None,
        loss_type: str,
        drawing: Node | None,
        editing: Node | None,
    ) -> Iterator[Fault]:
        """Refuse what SpeechImage refuses, and edited negatives that nobody can draw (nodes as the config has them).

        Args:
            image_encoder: its node.
            speech_encoder: its node, or None.
            text_encoder: its node, or None.
            loss_type: name of the loss.
            drawing: its node, or None.
            editing: its node, or None.

        Returns:
            A fault for each thing that cannot be.
        """
        yield from SpeechImage.faults(image_encoder, speech_encoder, text_encoder)
        yield from _undrawable(loss_type, drawing, editing)

    @staticmethod
    def given_faults(
        data: Node,
        drawing: Node | None,
        optimization: Node | None = None,
        trainer: Node | None = None,
        launch: Node | None = None,
    ) -> Iterator[Fault]:
        """Refuse what SpeechImage refuses, except data without pictures where those are drawn.

        Args:
            data: its node.
            drawing: its node, or None.
            optimization: its node.
            trainer: its node.
            launch: its node.

        Returns:
            A fault for each thing that cannot be.
        """
        yield from few_pairs(data)
        if drawing is None:
            yield from no_pictures(data)
        yield from plan_faults(WordsByDrawing.module_names, SpeechImage.metrics, data, trainer, launch, optimization)

    # -- where the pictures come from ----------------------------------------------------------------------------

    def check_data(self) -> None:
        """Check that the data can serve this task.

        Raises:
            UserError: they cannot.
        """
        if self.studio is None:
            super().check_data()
            return
        for key, message in few_pairs({"batch_size": self.data.batch_size}):
            raise UserError(f"{key}: {message}")

    def pictures(self, batch: dict[str, Any], dataset: SpokenCaptions) -> Tensor:
        """Return the pictures of ``batch``, rows of ``dataset``: (b, 3, R, R) normalised on the device."""
        if self.studio is None:
            return super().pictures(batch, dataset)
        drawn = batch["drawn"] if "drawn" in batch else self.studio.draw(batch)
        return encoder_input(drawn.images)

    def picture_u8(self, dataset: SpokenCaptions, row: int) -> np.ndarray:
        """Return the picture of ``row`` of ``dataset`` as people see it, (R, R, 3) uint8."""
        return super().picture_u8(dataset, row) if self.studio is None else self.studio.picture_u8(dataset, row)

    def image_ids(self, dataset: SpokenCaptions, rows: Sequence[int]) -> Tensor:
        """Return numbers of the pictures of ``rows`` of ``dataset`` (n,) int64; those of one latent are the same."""
        return super().image_ids(dataset, rows) if self.studio is None else self.studio.image_ids(dataset, rows)

    # -- training ------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Cluster the feature units anew when it is time."""
        if self.clusters is None or not self.clusters.due(epoch):
            return
        modes = {module: module.training for module in self.modules.values()}
        for module in modes:
            module.eval()
        self.pairs.renew(self.clusters, epoch, self.folder)
        for module, training in modes.items():
            module.train(training)

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of the rows of each split, and what draws and edits the pictures."""
        return super().learns_from() | ({} if self.studio is None else self.studio.digests())

    def report_sections(self, folder: RunFolder) -> list[tuple[str, str]]:
        """Show edited pictures, name the clusters and link to their pages in ``folder``, the run's."""
        clusters = [] if self.clusters is None else self.pairs.report(self.clusters, folder)
        return [*edited_section(self), *clusters] if self.loss_type in EDITED else clusters

    def train_step(self, batch: dict[str, Any], step: Step) -> dict[str, Tensor | float]:
        """Draw, compare, and draw negatives where the loss wants them."""
        notes: dict[str, Tensor | float] = {}
        if self.studio is not None:
            batch = batch | {"drawn": self.studio.draw(batch), "notes": notes}
        values = super().train_step(batch, step) | notes
        if step.wants_images:
            for name, image in self._images_of_step(batch).items():
                step.show(name, image)
        return values

    def _images_of_step(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """The batch's first image, its negative and the region of it, (H, W, 3) uint8 by their published names."""
        if self.studio is None:
            return {"positive": self.picture_u8(self.data.train_loader.dataset, int(batch["index"][0]))}
        positive = batch["drawn"].images[0]
        shown = {"positive": picture(positive).numpy()}
        if self._edited is not None:
            images, regions = (values[:1] for values in self._edited)
            inside = resized_region(regions, tuple(positive.shape[1:]))[0].cpu().numpy()
            shown["negative"] = picture(images[0]).numpy()
            shown["Images/region"] = np.repeat(255 * inside.astype(np.uint8)[:, :, None], 3, axis=2)
        return shown

    def loss_parts(self, image: Tensor, speech: SpeechMaps, batch: dict[str, Any], step: Step) -> dict[str, Tensor]:
        """Return the parts of the published loss; their sum is minimised.

        Args:
            image: (b, D, H, W) maps of this rank.
            speech: maps of this rank's captions.
            batch: what they were encoded from.
            step: whose generator draws the impostors.
        """
        scores = self.without_same_picture(self.similarity.of_all_ranks(image, speech), batch)
        parts = {"regular": self._regular(scores, step.generator)}
        if self.loss_type == "negatives_hard":
            parts["hard"] = hard_negative(scores, self.margin, self._mined(image, speech, batch))
        if self.loss_type in EDITED:
            edited = self.edited_similarity(image, speech, batch, step)
            if self.loss_type == "negatives_edited":
                parts["edited"] = edited_negatives(scores, edited, self.margin)
            else:
                mined = self._mined(image, speech, batch)
                parts["edited_or_hard"] = self._cut(edited_and_hard(scores, edited, self.margin, mined))
        return parts

    def _regular(self, scores: Tensor, generator: torch.Generator) -> Tensor:
        """The loss () of ``scores`` (B, B) against impostors of the batch, both ways."""
        if self.impostors == "all":
            return masked_margin_softmax(scores, self.margin) + masked_margin_softmax(scores.T, self.margin)
        imposters = [draw_imposters(len(scores), generator).to(scores.device) for _ in range(2)]
        loss = sampled_margin_rank(scores, *imposters, self.margin)
        return self._cut(loss) if self.loss_type == "negatives_both" else loss

    def _cut(self, loss: Tensor) -> Tensor:
        return loss if self.largest_loss is None else loss.clamp(max=self.largest_loss)

    @torch.no_grad()
    def _mined(self, image: Tensor, speech: SpeechMaps, batch: dict[str, Any]) -> Tensor | None:
        """The matrix (B, B) that chooses the hardest impostors; None: the one that the loss compares."""
        if self.mining == "configured":
            return None
        mined = replace(self.similarity, **PUBLISHED_MINING).of_all_ranks(image.detach(), speech)
        return self.without_same_picture(mined, batch)

    def edited_similarity(self, image: Tensor, speech: SpeechMaps, batch: dict[str, Any], step: Step) -> Tensor:
        """Draw this rank's negatives and compare them with their captions.

        Args:
            image: (b, D, H, W) maps of this rank.
            speech: maps of this rank's captions.
            batch: with ``drawn``.
            step: whose generator draws the edits.

        Returns:
            (B,) similarity of each caption of the global batch with its negative, the same on every rank.
        """
        drawn: Drawn = batch["drawn"]
        negatives = self.negatives(image, speech, drawn, step.generator)
        told = {name: getattr(negatives, name).float().mean() for name in ("change", "retries", "reached")}
        batch["notes"].update({f"negatives/{name}": value for name, value in told.items()})
        # A caption collected for an edited picture has the picture before the edit as its negative.
        images = torch.where(drawn.active[:, None, None, None], drawn.positives.images, negatives.images)
        self._edited = images, negatives.measured
        maps = self.image_encoder(encoder_input(images))
        with torch.autocast(self.device.type, enabled=False):
            kind, measure = self.similarity.kind, self.similarity.measure
            edited = aligned_similarity(maps.float(), speech.features.float(), speech.nframes, kind, measure)
        return distributed.gather_rows(edited)

    def negatives(self, image: Tensor, speech: SpeechMaps, drawn: Drawn, generator: torch.Generator) -> Negatives:
        """Edit this rank's pictures where their captions' answers are strongest, see :meth:`Editing.negatives`.

        Args:
            image: (b, D, H, W) maps.
            speech: maps of the captions.
            drawn: the pictures to edit.
            generator: of the random choices.

        Returns:
            The edited pictures.
        """
        clusters = None if self.clusters is None else self.clusters.found.get()
        return self.editing.negatives(self.studio.generator, drawn, image, speech, clusters, generator)

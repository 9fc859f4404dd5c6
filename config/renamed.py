"""Former names of classes and of keys, which saved runs and cards hold, and the names of today.

When a class, a function or a keyword of one gets another name, its former name is added here.
"""

RENAMED_CLASSES = {
    "datasets.text_image.dataset.CaptionedPictures": "datasets.text_image.dataset.CaptionedImages",
    "datasets.world.attribute_images.AttributePictures": "datasets.world.attribute_images.AttributeImages",
    "datasets.world.attribute_images.LabelledPictures": "datasets.world.attribute_images.LabelledImages",
    "evaluation.word_detection.detect.Detecting": "evaluation.word_detection.detect.DetectionRules",
    "models.vector_quantizer.Quantizing": "models.vector_quantizer.CodebookConfig",
    "tasks.resdavenet_vq.layers.SpeechSource": "tasks.speech_image.trained.ModelSource",
}
"""Class or function by its former name, in its module of today."""

_CONVOLUTIONS = {"depth": "convolutions"}
_RESOLUTION = {"side": "resolution"}

RENAMED_KEYS = {
    "datasets.text_image.dataset.CaptionedImages": {"sides": "resolutions"},
    "gan.attngan.discriminators.AttnganDiscriminator": _RESOLUTION,
    "gan.clusters.segmenter.ClusterSegmenter": _RESOLUTION,
    "gan.progan.growing.ProganDiscriminator": _CONVOLUTIONS,
    "gan.progan.projected.ProjectedDiscriminator": _CONVOLUTIONS,
    "models.resdavenet_vq.ResDavenetVq": {"quantizing": "codebook"},
    "models.segmenter.network.AttributeSegmenter": _RESOLUTION,
    "models.vector_quantizer.VectorQuantizer": {"how": "config"},
    "tasks.gan.dissection.dissect": {"level_seed": "threshold_seed"},
    "tasks.resdavenet_vq.unit_report.unit_report": {"how": "rules"},
    "tasks.resdavenet_vq.word_detection.word_detection": {"how": "rules"},
    "tasks.speech_image.task.SpeechImage": {"same_picture": "same_image"},
    "tasks.words_by_drawing.experiments.make_negatives.make_negatives": {"pictures": "images"},
    "tasks.words_by_drawing.experiments.repeated_attributes.repeated_attributes": {"pictures_each": "images_each"},
    "tasks.words_by_drawing.synthetic_shards.SyntheticSet": {
        "pictures": "candidates",
        "least_sureness": "least_confidence",
    },
}
"""Keywords of a class or function: former name to the name of today."""


def renamed_keys(target: object) -> dict[str, str]:
    """Return the former names of the keywords of a class or function, and those of today."""
    module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", "")
    return RENAMED_KEYS.get(f"{module}.{name}", {})

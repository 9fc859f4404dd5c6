"""Former modules, by which configs and saved runs name classes and functions.

When a module moves, its former name is added here, and the values that led to it are corrected.
"""

from typing import Any

from config.renamed import RENAMED_CLASSES

MOVED = {
    "datasets.active_learning": "datasets.spoken_captions.active_learning",
    "datasets.audio": "datasets.audio.read",
    "datasets.augment": "datasets.audio.spec_augment",
    "datasets.batch_sizes": "datasets.loading.batch_sizes",
    "datasets.batches": "datasets.loading.collate",
    "datasets.broken_off": "datasets.audio.truncation",
    "datasets.captioned.data": "datasets.text_image.splits",
    "datasets.captioned.files": "datasets.text_image.files",
    "datasets.captioned.pictures": "datasets.text_image.dataset",
    "datasets.captioned.vocabulary": "datasets.text_image.vocabulary",
    "datasets.features": "datasets.audio.log_mel",
    "datasets.gan_clevr": "datasets.spoken_captions.gan_clevr",
    "datasets.hdf5": "datasets.hdf5.write",
    "datasets.hdf5_mending": "datasets.hdf5.repair",
    "datasets.hdf5_pair": "datasets.spoken_captions.hdf5_pair",
    "datasets.hdf5_parts": "datasets.hdf5.shards",
    "datasets.json_rows": "datasets.spoken_captions.json_rows",
    "datasets.kept": "datasets.decoded_cache",
    "datasets.loading": "datasets.loading.loader",
    "datasets.manifest": "datasets.spoken_captions.places_manifest",
    "datasets.mp3_frames": "datasets.audio.mp3_frames",
    "datasets.negative_pictures": "tasks.words_by_drawing.experiments.negative_images",
    "datasets.ogg_pages": "datasets.audio.ogg_pages",
    "datasets.prepared": "datasets.sharded_build",
    "datasets.records": "datasets.spoken_captions.records",
    "datasets.renders": "datasets.world.renders",
    "datasets.samples": "datasets.spoken_captions.dataset",
    "datasets.skipped": "datasets.loading.skipped",
    "datasets.sound_folder": "datasets.spoken_captions.sound_folder",
    "datasets.sound_streams": "datasets.audio.sound_streams",
    "datasets.speech_image": "datasets.spoken_captions.splits",
    "datasets.splits": "datasets.loading.splits",
    "datasets.spoken_captions": "datasets.spoken_captions.readers",
    "datasets.tuxpaint": "datasets.tuxpaint.stamps",
    "datasets.tuxpaint_export": "datasets.tuxpaint.export",
    "datasets.tuxpaint_media": "datasets.tuxpaint.media",
    "datasets.windows": "datasets.audio.windows",
    "datasets.words": "datasets.spoken_captions.vocabulary",
    "datasets.world.artefacts": "datasets.world.render.artefacts",
    "datasets.world.attribute_pictures": "datasets.world.attribute_images",
    "datasets.world.attributes": "datasets.world.scene.attributes",
    "datasets.world.captions": "datasets.world.language.captions",
    "datasets.world.draws": "datasets.world.scene.random_stream",
    "datasets.world.espeak": "datasets.world.speech.espeak",
    "datasets.world.export": "datasets.world.export.records",
    "datasets.world.export_birds": "datasets.world.export.birds",
    "datasets.world.export_iclevr": "datasets.world.export.iclevr",
    "datasets.world.files": "datasets.media_files",
    "datasets.world.instructions": "datasets.world.language.instructions",
    "datasets.world.intersect": "datasets.world.render.intersect",
    "datasets.world.near": "datasets.world.scene.near",
    "datasets.world.objects": "datasets.world.scene.objects",
    "datasets.world.phones": "datasets.spoken_captions.phones",
    "datasets.world.phrases": "datasets.world.language.phrases",
    "datasets.world.relations": "datasets.world.scene.relations",
    "datasets.world.render": "datasets.world.render.ray_cast",
    "datasets.world.scenes": "datasets.world.scene.sample",
    "datasets.world.seen": "datasets.world.scene.seen",
    "datasets.world.shading": "datasets.world.render.shading",
    "datasets.world.speech": "datasets.world.speech.synthesise",
    "datasets.world.truth": "datasets.world.export.truth",
    "datasets.world.voices": "datasets.world.speech.voices",
    "datasets.world.world": "datasets.world.settings",
    "engine.averages": "engine.ema",
    "engine.initialise": "engine.init_from",
    "engine.partial_weights": "engine.partial_loading",
    "engine.saving": "engine.training_state",
    "engine.stop": "engine.signals",
    "evaluation.abx": "evaluation.abx.score",
    "evaluation.abx_frames": "evaluation.abx.frames",
    "evaluation.abx_items": "evaluation.abx.items",
    "evaluation.abx_tables": "evaluation.abx.tables",
    "evaluation.clusters_report": "evaluation.report.clusters",
    "evaluation.code_segments": "evaluation.word_detection.segments",
    "evaluation.comparison": "tasks.comparison.summary",
    "evaluation.counting": "evaluation.retrieval.ranks",
    "evaluation.counting_loop": "evaluation.retrieval.counting_loop",
    "evaluation.dissection_report": "evaluation.report.dissection",
    "evaluation.generation": "evaluation.frechet",
    "evaluation.generation.frechet": "evaluation.frechet",
    "evaluation.queries": "evaluation.retrieval.queries",
    "evaluation.ranking": "evaluation.retrieval.ranks",
    "evaluation.report": "evaluation.report.retrieval",
    "evaluation.report.parts.left_out": "evaluation.report.parts.left_out_samples",
    "evaluation.report_parts.cards": "evaluation.report.parts.cards",
    "evaluation.report_parts.content": "evaluation.report.parts.content",
    "evaluation.report_parts.curves": "evaluation.report.parts.curves",
    "evaluation.report_parts.labels": "evaluation.report.parts.labels",
    "evaluation.report_parts.left_out": "evaluation.report.parts.left_out_samples",
    "evaluation.report_parts.media": "evaluation.report.parts.media",
    "evaluation.report_parts.page": "evaluation.report.parts.page",
    "evaluation.report_parts.plots": "evaluation.report.parts.plots",
    "evaluation.report_parts.tables": "evaluation.report.parts.tables",
    "evaluation.report_parts.words": "evaluation.report.parts.words",
    "evaluation.retrieval": "evaluation.retrieval.recall",
    "evaluation.retrieval_tables": "evaluation.retrieval.tables",
    "evaluation.segmentation_report": "evaluation.report.segmentation",
    "evaluation.unit_plots": "evaluation.report.unit_plots",
    "evaluation.units_report": "evaluation.report.units",
    "evaluation.video": "evaluation.report.video",
    "evaluation.word_alignments": "evaluation.word_detection.alignments",
    "evaluation.word_counts": "evaluation.word_detection.counts",
    "evaluation.word_detection": "evaluation.word_detection.detect",
    "evaluation.word_tables": "evaluation.word_detection.tables",
    "evaluation.zerospeech": "evaluation.abx.zerospeech",
    "gan.adversarial": "losses",
    "gan.attngan.objective": "losses",
    "gan.cluster_names": "gan.clusters.names",
    "gan.cluster_segmenter": "gan.clusters.segmenter",
    "gan.clustering": "gan.clusters.clustering",
    "gan.datapoints": "gan.clusters.datapoints",
    "gan.dissection": "gan.dissection.dissect",
    "gan.dissection_file": "gan.dissection.json_file",
    "gan.editing": "gan.editing.strategies",
    "gan.growth": "gan.progan.schedule",
    "gan.information": "gan.dissection.information",
    "gan.label_maps": "gan.dissection.label_maps",
    "gan.levels": "gan.dissection.thresholds",
    "gan.progan": "gan.progan.generator",
    "gan.progan.objectives": "gan.objectives",
    "gan.progan_growing": "gan.progan.growing",
    "gan.projected": "gan.progan.projected",
    "gan.quantiles": "gan.dissection.quantiles",
    "gan.redraw": "gan.editing.regenerate",
    "gan.regions": "gan.editing.regions",
    "gan.samples": "gan.dissection.activations",
    "gan.scene_description": "models.segmenter.objects",
    "gan.unit_ranking": "gan.dissection.unit_ranking",
    "models.segmentation": "models.segmenter.labels",
    "models.segmenter": "models.segmenter.network",
    "models.segmenter_file": "models.segmenter.file",
    "published.clevr_segmenter": "published.words_by_drawing.clevr_segmenter",
    "published.clusters": "published.words_by_drawing.clusters",
    "published.davenet": "published.words_by_drawing.davenet",
    "published.drawing_files": "published.words_by_drawing.files",
    "published.drawing_options": "published.words_by_drawing.options",
    "published.drawing_set": "published.words_by_drawing.prepare",
    "published.keys": "published.key_map",
    "published.negatives": "published.words_by_drawing.negatives",
    "published.progan": "published.words_by_drawing.progan",
    "published.resdavenet_vq": "published.resdavenet_vq.experiment",
    "published.resdavenet_vq_files": "published.resdavenet_vq.files",
    "published.resdavenet_vq_options": "published.resdavenet_vq.options",
    "published.speech_image": "published.encoders",
    "tasks.captions": "tasks.speech_image.caption_encoder",
    "tasks.cluster_buffers": "tasks.words_by_drawing.cluster_buffers",
    "tasks.cluster_page": "tasks.words_by_drawing.cluster_report",
    "tasks.cluster_record": "tasks.words_by_drawing.cluster_report",
    "tasks.comparison.made_from": "tasks.comparison.provenance",
    "tasks.dissection": "tasks.gan.dissection",
    "tasks.drawing": "tasks.words_by_drawing.generated_images",
    "tasks.drawing_clusters": "tasks.words_by_drawing.clustering",
    "tasks.drawing_negatives": "tasks.words_by_drawing.negatives",
    "tasks.edited_examples": "tasks.words_by_drawing.edited_examples",
    "tasks.encoding": "tasks.speech_image.encode_split",
    "tasks.imposters": "losses",
    "tasks.planned": "tasks.checks",
    "tasks.progan": "tasks.gan.progan",
    "tasks.progan_export": "tasks.gan.progan_export",
    "tasks.ranked": "tasks.speech_image.rank_split",
    "tasks.retrieval": "tasks.speech_image.report",
    "tasks.segmenter": "tasks.gan.segmenter",
    "tasks.similarity": "models.similarity",
    "tasks.speech_image": "tasks.speech_image.task",
    "tasks.speech_image.ranked": "tasks.speech_image.rank_split",
    "tasks.synthetic_captions": "tasks.words_by_drawing.synthetic_captions",
    "tasks.synthetic_shards": "tasks.words_by_drawing.synthetic_shards",
    "tasks.trained_run": "tasks.speech_image.trained",
    "tasks.units.abx": "tasks.resdavenet_vq.abx",
    "tasks.units.abx_items": "tasks.resdavenet_vq.abx_items",
    "tasks.units.dump": "tasks.resdavenet_vq.dump",
    "tasks.units.encoder_file": "tasks.resdavenet_vq.encoder_file",
    "tasks.units.examples": "tasks.resdavenet_vq.examples",
    "tasks.units.export": "tasks.resdavenet_vq.export",
    "tasks.units.extraction": "tasks.resdavenet_vq.extraction",
    "tasks.units.model": "tasks.resdavenet_vq.layers",
    "tasks.units.naming": "tasks.resdavenet_vq.utterances",
    "tasks.units.unit_report": "tasks.resdavenet_vq.unit_report",
    "tasks.units.word_detection": "tasks.resdavenet_vq.word_detection",
    "tasks.words_by_drawing.experiments.negative_pictures": "tasks.words_by_drawing.experiments.negative_images",
    "tasks.words_by_drawing_experiments.active_learning": "tasks.words_by_drawing.experiments.active_learning",
    "tasks.words_by_drawing_experiments.choosing": "tasks.words_by_drawing.experiments.choice",
    "tasks.words_by_drawing_experiments.clusters": "tasks.words_by_drawing.experiments.run_clusters",
    "tasks.words_by_drawing_experiments.descriptions": "tasks.words_by_drawing.experiments.scene_changes",
    "tasks.words_by_drawing_experiments.evaluate": "tasks.words_by_drawing.experiments.evaluate",
    "tasks.words_by_drawing_experiments.experiment": "tasks.words_by_drawing.experiments.experiment",
    "tasks.words_by_drawing_experiments.make_negatives": "tasks.words_by_drawing.experiments.make_negatives",
    "tasks.words_by_drawing_experiments.model": "tasks.words_by_drawing.experiments.encoders",
    "tasks.words_by_drawing_experiments.origin": "tasks.words_by_drawing.experiments.provenance",
    "tasks.words_by_drawing_experiments.pictures": "tasks.words_by_drawing.experiments.images",
    "tasks.words_by_drawing_experiments.recall": "tasks.words_by_drawing.experiments.recall",
    "tasks.words_by_drawing_experiments.recall_selected": "tasks.words_by_drawing.experiments.recall_selected",
    "tasks.words_by_drawing_experiments.repeated_attributes": "tasks.words_by_drawing.experiments.repeated_attributes",
    "tasks.words_by_drawing_experiments.searched": "tasks.words_by_drawing.experiments.search_log",
    "tasks.words_by_drawing_experiments.synthetic": "tasks.words_by_drawing.experiments.one_against_one",
    "tasks.words_by_drawing_experiments.videos": "tasks.words_by_drawing.experiments.videos",
}


OFFERED = {
    "datasets.speech_image.HeldOut": "datasets.spoken_captions.HeldOut",
    "datasets.speech_image.SpeechImageData": "datasets.spoken_captions.SpeechImageData",
    "datasets.sound_folder.SoundFolder": "datasets.spoken_captions.SoundFolder",
}
"""Names that a package offers today, shorter than those of the modules that hold them."""


FORMER_TASK = ("tasks.words_by_drawing.WordsByDrawing", "tasks.words_by_drawing.task.WordsByDrawing")
TASK = "tasks.speech_image.SpeechImage"
OBJECTIVES = {  # by the former loss_type: what it is now, and which of the former keys it takes
    "regular": ("Regular", ("margin", "impostors")),
    "negatives_edited": ("Edited", ("margin", "impostors", "negatives")),
    "negatives_hard": ("Hard", ("margin", "impostors", "mining")),
    "negatives_both": ("EditedOrHard", ("margin", "impostors", "mining", "largest_loss", "negatives")),
}


def composed(node: dict[str, Any]) -> dict[str, Any]:
    """Return a former speech-image task's node with ``objective`` and ``images``, others as they are."""
    if node.get("type") == TASK and "ranking" in node:
        rest = {key: value for key, value in node.items() if key != "ranking"}
        return rest | {"objective": {"type": "tasks.speech_image.Ranking", "losses": node["ranking"]}}
    loss_type = node.get("loss_type")
    if node.get("type") not in FORMER_TASK or not isinstance(loss_type, str) or loss_type not in OBJECTIVES:
        return node
    kind, keys = OBJECTIVES[loss_type]
    given = node | {"negatives": node.get("editing")}
    objective = {"type": f"tasks.words_by_drawing.{kind}"} | {key: given[key] for key in keys if key in given}
    drawing = node.get("drawing")
    images = drawing  # null, or nonsense that the check refuses
    if isinstance(drawing, dict):
        images = {"type": "tasks.words_by_drawing.GeneratedImages"} | drawing
    own = {"loss_type", "editing", "drawing", *(key for _, keys in OBJECTIVES.values() for key in keys)}
    rest = {key: value for key, value in node.items() if key not in own}
    return rest | {"type": TASK, "objective": objective, "images": images}


def moved(dotted: str) -> str | None:
    """Return today's name of what a dotted path named before it moved or was renamed; None where it never was."""
    module, _, name = dotted.rpartition(".")
    now = OFFERED.get(dotted) or (f"{MOVED[module]}.{name}" if module in MOVED else dotted)
    now = RENAMED_CLASSES.get(now, now)
    return None if now == dotted else now

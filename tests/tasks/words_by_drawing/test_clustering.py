"""Clusters while a task learns: found when due, kept by checkpoints, used by negatives; settings that cannot be."""

import dataclasses
import json
import logging

import pytest
import torch

from common.errors import UserError
from datasets.spoken_captions.active_learning import write_active
from engine import checkpoint
from engine.context import Context
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from gan.clusters.clustering import ClusteringError, Clusters, save_clusters
from gan.editing.regenerate import Positives, generate
from gan.images import encoder_input
from gan.latents import latents
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.cluster_buffers import ClusterBuffers, FoundClusters
from tasks.words_by_drawing.cluster_report import DatasetPairs
from tasks.words_by_drawing.clustering import DRY_PAIRS, DRY_SAMPLES, LATENT_SEED, Clustering, read_clusters
from tasks.words_by_drawing.experiments.run_clusters import clusters_of_run
from tasks.words_by_drawing.negatives import NegativeConfig
from tests.tasks.words_by_drawing.generated_data import (
    DIM,
    LATENT_DIM,
    images_of,
    make_data,
    make_generator,
    make_task,
    write_captions,
)
from trainer import Trainer

SMALL = {"clusters": 3, "datapoints": 6, "samples": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six captions of latents 0 to 5."""
    return write_captions(tmp_path_factory.mktemp("captions"), [str(number) for number in range(6)])


def task_with(folder, loss_type="negatives_edited", given=None, **settings):
    clustering = Clustering(**(SMALL | settings))
    return make_task(make_data(folder), loss_type, negatives=NegativeConfig(["layer4"], 1, clustering), **(given or {}))


def found(number=2, dim=DIM, units=12):
    units = torch.stack([torch.randperm(units) for _ in range(number)])
    return FoundClusters(torch.rand(number, dim), torch.rand(dim), torch.rand(dim), {"layer4": units})


@pytest.mark.parametrize("loss_type", ["negatives_edited", "negatives_both"])
def test_negatives_switch_off_units_of_clusters(folder, loss_type):
    task = task_with(folder, loss_type, excluded_units={"layer4": [3, 7]})
    loop = Trainer(task, TrainerSettings(epochs=1), 0, torch.device("cpu"), None)
    task.image_encoder.train()
    task.begin_epoch(0)
    assert task.image_encoder.training
    clusters = task.companion.clusters.found.get()
    assert clusters is not None
    assert clusters.centroids.shape[1] == DIM
    torch.testing.assert_close(clusters.centroids.sum(1), torch.ones(len(clusters.centroids)))
    assert clusters.units["layer4"].shape == (len(clusters.centroids), 10)
    assert not torch.isin(clusters.units["layer4"], torch.tensor([3, 7])).any()
    batch = next(iter(task.batches(0, 0)))
    values = loop.train_step(batch)
    assert torch.isfinite(values["loss"])
    generated = task.images.generate(batch)
    image, speech = task.encode(batch, task.data.train_loader.dataset)
    negatives = task.companion.negatives(image, speech, generated, torch.Generator().manual_seed(0))
    assert (negatives.clusters >= 0).all()
    assert not negatives.units["layer4"][:, [3, 7]].any()


@pytest.mark.parametrize("dissected", ["normalised", "published"])
def test_dissection_shows_the_encoder_what_the_option_says(folder, dissected):
    task = task_with(folder, dissected=dissected)
    task.begin_epoch(0)
    seen = []
    task.image_encoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].clone()))
    task.companion.clusters._rank(task.companion.clusters.found.get().clusters)
    images = generate(make_generator(), latents(6, LATENT_DIM, LATENT_SEED)).images
    expected = {"normalised": encoder_input(images), "published": images}[dissected]
    assert any(torch.allclose(shown, expected, atol=1e-5) for shown in seen)


def test_published_exclusion_puts_unit_0_in_the_places_of_noise_units(folder):
    ranked = {}
    for exclusion in ("removed", "published"):
        task = task_with(folder, excluded_units={"layer4": [3, 7]}, exclusion=exclusion)
        task.begin_epoch(0)
        ranked[exclusion] = task.companion.clusters.found.get().units["layer4"]
    published, removed = ranked["published"], ranked["removed"]
    assert published.shape == (len(removed), 12)
    assert ((published == 0).sum(1) == 3).all()  # its own place and two more
    assert not torch.isin(published, torch.tensor([3, 7])).any()
    assert torch.equal(published[published > 0], removed[removed > 0])


def test_clusters_are_found_when_they_are_due(folder):
    task = task_with(folder, epochs_clustering=3)
    clusters = task.companion.clusters
    assert clusters.due(0)
    assert clusters.due(1)  # nothing was found yet
    clusters.found.put(1, found())
    assert [clusters.due(epoch) for epoch in range(1, 7)] == [False, False, True, False, False, True]
    clusters.found.put(3, found())
    assert not clusters.due(3)  # a run that is resumed in this epoch


def test_checkpoints_keep_the_clusters_whatever_their_number(folder):
    task = task_with(folder)
    assert tuple(task.modules) == (*task.module_names, *task.objective.module_names)
    task.companion.clusters.found.put(4, found(number=2))
    fresh = task_with(folder)
    fresh.modules["clusters"].load_state_dict(task.modules["clusters"].state_dict())
    kept, original = fresh.companion.clusters.found.get(), task.companion.clusters.found.get()
    assert len(kept.centroids) == 2
    assert torch.equal(kept.centroids, original.centroids)
    assert torch.equal(kept.units["layer4"], original.units["layer4"])
    assert int(fresh.companion.clusters.found.epoch) == 4


def test_without_clusters_units_are_random(folder, caplog):
    task = task_with(folder, clusters=DIM)  # every feature unit alone
    with caplog.at_level(logging.WARNING):
        task.begin_epoch(0)
    assert "no cluster has more than 3 feature units" in caplog.text
    assert task.companion.clusters.found.get() is None
    assert not task.companion.clusters.due(0)
    batch = next(iter(task.batches(0, 0)))
    image, speech = task.encode(batch, task.data.train_loader.dataset)
    generated = task.images.generate(batch)
    assert isinstance(generated.positives, Positives)
    negatives = task.companion.negatives(image, speech, generated, torch.Generator().manual_seed(0))
    assert negatives.clusters.tolist() == [-1] * 6


def test_clusters_from_a_file_are_used_and_not_found_anew(folder, tmp_path):
    centroids = torch.zeros(2, DIM, dtype=torch.float64)
    centroids[0, :4] = centroids[1, 4:8] = 0.25
    saved = Clusters(centroids, torch.zeros(DIM, dtype=torch.float64), torch.ones(DIM, dtype=torch.float64))
    path = save_clusters(saved, tmp_path / "clusters.safetensors")
    task = task_with(folder, load=path, epochs_clustering=1)
    task.begin_epoch(0)
    torch.testing.assert_close(task.companion.clusters.found.get().centroids, centroids.float())
    assert not task.companion.clusters.due(1)
    none = save_clusters(dataclasses.replace(saved, centroids=centroids[:0]), tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"clustering\.load: .*none\.safetensors holds no cluster"):
        task_with(folder, load=none)
    other = Clusters(*(torch.ones(2, 8, dtype=torch.float64)[: 2 - k].squeeze(0) for k in (0, 1, 1)))
    path = save_clusters(other, tmp_path / "others.safetensors")
    with pytest.raises(ClusteringError, match="clusters have 8 feature units, the model 16: they are another model's"):
        task_with(folder, load=path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clusters": 99}, "clusters is 99, but the encoders have 16 feature units"),
        ({"excluded_units": {"layer2": [1]}}, r"names 'layer2', expected one of the edited layers \['layer4'\]"),
        ({"excluded_units": {"layer4": [12]}}, r"layer4 is \[12\]; the layer has the units 0 to 11"),
        ({"excluded_units": {"layer4": list(range(12))}}, "one at least must be left"),
    ],
)
def test_impossible_settings_are_named(folder, settings, message):
    with pytest.raises(UserError, match=message):
        task_with(folder, **settings)


def test_the_run_folder_keeps_clusters_names_and_pages(folder, tmp_path):
    run = RunFolder(tmp_path / "run")
    task = task_with(folder, given={"folder": run})
    task.begin_epoch(2)
    kept = run.path / "clusters" / "epoch_003"
    found = task.companion.clusters.found.get().centroids
    torch.testing.assert_close(read_clusters(kept, DIM).centroids.float(), found)
    again = task_with(folder, load=kept / "clusters.safetensors")
    again.begin_epoch(0)
    assert torch.equal(again.companion.clusters.found.get().centroids, found)
    names = json.loads((kept / "names.json").read_text())
    assert [len(entry["units"]) for entry in names] == (found > 0).sum(1).tolist()
    page = (kept / "clusters.html").read_text()
    assert page.count("data:audio/flac") >= len(names)  # the captions have sound, but no word times
    assert page.count("data:image/jpeg") >= len(names)
    run.prepare({"seed": 0}, "auto", ["run.py"])
    for module in task.modules.values():
        module.eval()
    task.report(run, Context("words_by_drawing/test", {"seed": 0}, ["run.py"]))
    report = (run.path / "report.html").read_text()
    edited = report.split("<h2>Edited negatives</h2>")[1].split("<h2>")[0]
    assert edited.count("data:image/jpeg") == 12  # six captions, each with its own image and the edited one
    assert edited.count("the region changed by") == 6
    for name in ("epoch_003", "report"):
        assert f'href="clusters/{name}/clusters.html"' in report
        assert (run.path / "clusters" / name / "clusters.html").is_file()


def test_sounds_and_word_times_of_cut_captions_are_left_out(folder):
    dataset = make_data(folder).train_loader.dataset
    draw = images_of(dataset).image
    words = [(0.0, 0.2, "a"), (0.2, 0.39, "tone")]
    dataset.records = [dataclasses.replace(record, alignment=words) for record in dataset.records]
    pairs = DatasetPairs(["4"], dataset, draw, torch.nn.Identity())
    assert pairs.words(0) == words
    assert pairs.waveform(0).shape == (6400,)
    assert pairs.text(0) == "caption 4"
    pairs.longest = 20
    assert pairs.words(0) is None
    assert pairs.waveform(0) is None
    read = DatasetPairs(["4"], dataset, draw, torch.nn.Identity(), spoken=False)
    assert read.words(0) is None
    assert read.waveform(0) is None


def test_a_dry_run_looks_at_little(folder):
    task = task_with(folder, given={"dry_run": True}, datapoints=10000, samples=1000)
    assert (task.companion.clusters.settings.datapoints, task.companion.clusters.settings.samples) == (
        DRY_PAIRS,
        DRY_SAMPLES,
    )


def test_clusters_of_a_selection_are_used(folder, tmp_path):
    centroids = torch.zeros(1, DIM, dtype=torch.float64)
    centroids[0, :4] = 0.25
    saved = Clusters(centroids, torch.zeros(DIM, dtype=torch.float64), torch.ones(DIM, dtype=torch.float64))
    save_clusters(saved, tmp_path / "cluster" / "clusters.safetensors")
    write_active(tmp_path, [], "layer4", {})
    editing = NegativeConfig(["layer4"], 1, Clustering(**SMALL), active_learning=tmp_path)
    task = make_task(make_data(folder), "negatives_edited", negatives=editing)
    task.begin_epoch(0)
    torch.testing.assert_close(task.companion.clusters.found.get().centroids, centroids.float())
    assert not task.companion.clusters.due(10)


def test_nothing_is_there_before_the_first_clustering():
    assert ClusterBuffers(3, 4, {"layer4": 5}).get() is None


def test_layers_inside_others_are_ranked_kept_and_read_back(folder, tmp_path):
    names = ["layer3", "layer4.conv"]
    task = make_task(make_data(folder), "negatives_edited", negatives=NegativeConfig(names, 0, Clustering(**SMALL)))
    assert set(task.companion.clusters.found.state_dict()) >= {
        "units_layer3",
        "units_layer4/conv",
    }  # plain names stay as they were
    units = {name: torch.stack([torch.randperm(12) for _ in range(2)]) for name in names}
    task.companion.clusters.found.put(0, found()._replace(units=units))
    run = tmp_path / "run" / "checkpoints" / "best.pt"
    modules = {"clusters": task.companion.clusters.found.state_dict()}
    checkpoint.write(run, {"modules": modules, "averages": {}, "step": 1})
    for read in (task.companion.clusters.found.get(), clusters_of_run(ModelSource(run=run.parent.parent), names)):
        assert list(read.units) == names
        for name in names:
            torch.testing.assert_close(read.units[name], units[name])
    with pytest.raises(UserError, match=r"ranks the units of layer3, layer4\.conv, not of 'layer4'"):
        clusters_of_run(ModelSource(run=run.parent.parent), ["layer4"])

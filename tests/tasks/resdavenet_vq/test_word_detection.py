"""The word detection job: what it writes, on files and on HDF5, and what it says of data that do not fit."""

import json
import logging

import numpy as np
import pytest

from common.errors import UserError
from datasets.loading.rows import ManifestError
from datasets.spoken_captions.readers import PlacesFiles, PlacesHDF5
from datasets.spoken_captions.records import Records
from evaluation.word_detection.detect import DetectionRules, chance_of_words, detect_words
from tasks.resdavenet_vq.extraction import extract_all
from tasks.resdavenet_vq.layers import LayerError, load_speech
from tasks.resdavenet_vq.word_detection import usable_alignments, word_detection
from tasks.speech_image.trained import ModelSource

RULES = DetectionRules(thresholds=(0.1, 0.5), often=1)


@pytest.fixture
def data(assets):
    """A dataset node: ``data(alignment=...)`` changes that of the second row, None removes all."""

    def node(**changes):
        def built(train, on_error):
            manifest = assets / "formats" / "places" / "metadata.json"
            dataset = PlacesFiles(manifest, None, train, max_frames=changes.get("max_frames"), on_error=on_error)
            if "alignment" in changes:
                words = changes["alignment"]
                kept = [change(record, None if words is None else record.alignment) for record in dataset.records]
                kept[1] = change(kept[1], words)
                dataset.records = Records(kept)
            return dataset

        return built

    return node


def change(record, alignment):
    return record.__class__(**{**vars(record), "alignment": alignment})


def run_job(vq_run, data, context, **settings):
    word_detection(ModelSource(run=vq_run), data, context, rules=RULES, run=context.settings, **settings)
    return json.loads((context.folder / "metrics.json").read_text())


def test_every_quantised_layer_is_analysed(vq_run, data, context, places):
    found = run_job(vq_run, data(), context)
    model = load_speech(ModelSource(run=vq_run), "cpu")
    for layer in ("quant2", "quant3"):
        codes = [one.layers[layer].codes for one in extract_all(model, places, [layer], codes=True)]
        alignments = [places.record(row).alignment for row in range(4)]
        expected = detect_words(codes, alignments, model.seconds(layer), RULES)
        for name, value in expected.metrics().items():
            assert found[f"{layer}/{name}"] == pytest.approx(value, rel=1e-5), name
        chance = chance_of_words(codes, alignments, model.seconds(layer), RULES)
        assert found[f"{layer}/chance/mean_f1"] == pytest.approx(chance.mean_f1(), rel=1e-5)
        rows = (context.folder / f"words_{layer}.csv").read_text().splitlines()
        assert len(rows) == 1 + len(expected.words()) > 8
        assert rows[1].split(",")[1] == expected.words()[0].word
        assert (context.folder / f"codes_{layer}.tex").read_text().startswith(r"\begin{tabular}")
        norms = (context.folder / f"code_norms_{layer}.csv").read_text().splitlines()[1:]
        expected_norms = model.speech.quantizers[layer].codebook.norm(dim=1).tolist()
        assert [float(row.split(",")[1]) for row in norms] == pytest.approx(expected_norms, rel=1e-5)
        kept = [json.loads(line) for line in (context.folder / f"alignments_{layer}.jsonl").read_text().splitlines()]
        assert [one["codes"] for one in kept] == [codes[row].tolist() for row in range(3)]
        assert [one["uttid"] for one in kept] == [places.record(row).uttid for row in range(3)]
    assert (found["utterances"], found["utterances_without_alignment"]) == (3, 1)
    page = (context.folder / "report.html").read_text(encoding="utf-8")
    assert "Words that codes of quant2 detect" in page
    assert "kitchen" in page


def test_hdf5_with_published_alignments(vq_run, data, context, assets):
    """The published JSON of the files has no rows; their list names the words."""
    folder = assets / "formats" / "places"
    expected = run_job(vq_run, data(), context, layers=["quant3"])
    context.settings.name, context.folder = "hdf5", context.folder.with_name("hdf5")

    def hdf5(train, on_error):
        return PlacesHDF5(folder / "metadata_hdf5.json", None, train, on_error=on_error, texts=folder / "metadata.json")

    found = run_job(vq_run, hdf5, context, layers=["quant3"])
    assert found["quant3/frames"] == expected["quant3/frames"]
    assert found["quant3/words"] == expected["quant3/words"]
    assert not any(name.startswith("quant2/") for name in found)


def test_hdf5_whose_rows_do_not_match_the_list(vq_run, context, assets, tmp_path):
    folder = assets / "formats" / "places"
    content = json.loads((folder / "metadata.json").read_text())
    content["data"] = content["data"][:3]
    (tmp_path / "texts.json").write_text(json.dumps(content))

    def hdf5(train, on_error):
        texts = tmp_path / "texts.json"
        return PlacesHDF5(folder / "metadata_hdf5.json", None, train, on_error=on_error, texts=texts)

    with pytest.raises(ManifestError, match=r"lengths differ: .*data has 3, .*melspec has 4"):
        run_job(vq_run, hdf5, context)


BAD = {
    "overlap": ([(0.1, 0.5, "A"), (0.3, 0.6, "B")], "text_alignment: 'B' begins at 0.3 s, before 'A' ends at 0.5 s"),
    "past the sound": ([(0.1, 0.5, "A"), (0.6, 9.5, "B")], "text_alignment: 'B' ends at 9.5 s, the sound at "),
}


@pytest.mark.parametrize("kind", BAD)
def test_alignments_that_do_not_fit_their_sound(vq_run, data, context, caplog, kind):
    words, message = BAD[kind]
    with pytest.raises(
        ManifestError, match=rf"(?s)metadata.json: 1 problem; .*row 1 \(SPK001-utterance_1001\): {message}"
    ):
        run_job(vq_run, data(alignment=words), context)
    assert not context.folder.exists()
    with caplog.at_level(logging.WARNING):
        found = run_job(vq_run, data(alignment=words), context, bad_alignments="skip")
    assert message in caplog.text
    assert (found["utterances"], found["utterances_with_bad_alignment"]) == (2, 1)
    assert run_job(vq_run, data(alignment=words), context, bad_alignments="keep")["utterances"] == 3


def test_no_alignment_at_all(vq_run, data, context):
    with pytest.raises(
        UserError, match=r"none of the 4 utterances of .*metadata.json has a word alignment \(text_align"
    ):
        run_job(vq_run, data(alignment=None), context)
    with pytest.raises(UserError, match="none of the 2 utterances"):
        run_job(vq_run, data(alignment=None), context, utterances=2)


def test_hdf5_without_the_list_of_its_rows(vq_run, context, assets):
    def hdf5(train, on_error):
        return PlacesHDF5(assets / "formats" / "places" / "metadata_hdf5.json", None, train, on_error=on_error)

    with pytest.raises(UserError, match=r"none of the 4 .* for HDF5 that names only its files data\.texts names"):
        run_job(vq_run, hdf5, context)


def test_words_behind_the_cut_are_left_out(data):
    """80 frames: of the second utterance there, is, a (up to 0.74 s); tall is cut through."""
    dataset = data(max_frames=80)(train=False, on_error="error")
    words, left_out = usable_alignments(dataset, None, "error")
    assert [word for _, _, word in words[1]] == ["THERE", "IS", "A"]
    assert left_out["words_behind_the_cut"] == 5 + 2 + 3
    kept, _ = usable_alignments(dataset, None, "keep")
    assert len(kept[1]) == 5
    whole, left_out = usable_alignments(data()(train=False, on_error="error"), 2, "error")
    assert sorted(whole) == [0, 1]
    assert left_out["words_behind_the_cut"] == 0
    short = data(max_frames=5)(train=False, on_error="error")
    with pytest.raises(UserError, match=r"no alignment of .* fits its sound, the first: all words lie behind the cut"):
        usable_alignments(short, None, "error")


def test_a_dry_run_writes_nothing(vq_run, data, context):
    context.dry_run = True
    word_detection(ModelSource(run=vq_run), data(), context, run=context.settings)
    assert not context.folder.exists()


def test_a_layer_without_codes(vq_run, data, context):
    with pytest.raises(LayerError, match="the layer conv2 has no codes; those of vq that do: quant2, quant3"):
        run_job(vq_run, data(), context, layers=["conv2"])


def test_hdf5_cuts_at_its_width(assets):
    manifest = assets / "formats" / "places" / "metadata_hdf5.json"
    assert PlacesHDF5(manifest, None, False).cut_at() == 2048
    assert PlacesHDF5(manifest, None, False, max_frames=100).cut_at() == 100
    assert np.all(PlacesHDF5(manifest, None, False).lengths() < 2048)

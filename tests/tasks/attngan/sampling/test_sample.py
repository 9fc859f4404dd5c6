"""Images in files: published names, what is written over or not generated again, captions that cannot be used."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from datasets.loading.rows import ManifestError
from datasets.text_image.dataset import CaptionedImages
from engine.context import Context
from tasks.attngan.sampling.sample import SamplingError, sample
from tasks.attngan.sampling.text_to_image import Draw, TextToImage
from tasks.attngan.trained import TextImageSource
from tests.tasks.attngan.random_models import RESOLUTIONS, write_random_export


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return TextImageSource(run=write_random_export(tmp_path_factory.mktemp("export") / "model.json"))


@pytest.fixture
def context():
    return Context("attngan/sample", {"entry": "tasks.attngan.sampling.sample.sample"}, ["run.py"])


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A split of four own images with one to three captions each."""
    folder = tmp_path_factory.mktemp("data")
    captions = [["a red cube", "the cube is red", "red"], ["bird"], ["a small blue sphere", "blue"], ["a green bird"]]
    rows = []
    for number, own in enumerate(captions):
        name = f"{number % 2}/image_{number}.png"
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (number * 60, 0, 0)).save(folder / name)
        rows.append({"image": name, "captions": own, "class": f"kind {number}"})
    for name in ("train", "test"):
        (folder / f"{name}.json").write_text(json.dumps(rows))
    return lambda train, on_error: CaptionedImages(folder, "test", train, [8], on_error=on_error)


def read(path):
    return np.asarray(Image.open(path))


def test_one_caption_is_written_in_every_stage_with_its_attention(source, context, tmp_path):
    sample(source, tmp_path, context, text="A small red cube", copies=2, seed=3)
    names = [f"{copy}_s_0_{kind}.png" for copy in (0, 1) for kind in ("a0", "a1", "g0", "g1", "g2", "w0", "w1")]
    assert sorted(path.name for path in (tmp_path / "text").iterdir()) == names
    for copy in (0, 1):
        (made,) = TextToImage.of(source).draw([Draw("A small red cube", 3, 0, copy)])
        for stage, size in enumerate(RESOLUTIONS):
            image = read(tmp_path / "text" / f"{copy}_s_0_g{stage}.png")
            assert image.shape == (size, size, 3)
            np.testing.assert_allclose(image.astype(int), made.images[stage], atol=1)
        best, all_words = (read(tmp_path / "text" / f"{copy}_s_0_{kind}1.png") for kind in "aw")
        np.testing.assert_allclose(best.astype(int), made.sheet(1), atol=2)
        np.testing.assert_allclose(all_words.astype(int), made.sheet(1, None), atol=2)


def test_files_of_captions_have_a_folder_each_and_are_written_over(source, context, tmp_path, caplog):
    (tmp_path / "example_filenames.txt").write_text("one\nmore/two\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "one.txt").write_text("a red cube\n\na purple bird with a small cube and a large sphere\n")
    (tmp_path / "more" / "two.txt").write_text("bird\n")
    output = tmp_path / "out"
    with caplog.at_level(logging.WARNING):
        sample(source, output, context, captions=tmp_path / "example_filenames.txt")
    assert "1 words are not read, as the model does not know them, such as purple" in caplog.text
    assert "4 words are not read, as captions have more than 6" in caplog.text
    assert sorted(path.name for path in output.glob("*/*_g2.png")) == ["0_s_0_g2.png", "0_s_0_g2.png", "0_s_1_g2.png"]
    before = read(output / "two" / "0_s_0_g2.png")
    (tmp_path / "more" / "two.txt").write_text("a green sphere\n")
    sample(source, output, context, captions=tmp_path / "example_filenames.txt")
    assert (read(output / "two" / "0_s_0_g2.png") != before).any()


def test_a_split_gets_one_image_each_by_a_caption_that_the_seed_draws(source, split, context, tmp_path, capsys):
    sample(source, tmp_path, context, data=split, validation=True, seed=1)
    assert "4 images of 4 images' captions (one caption each), 4 of them new" in capsys.readouterr().err
    rows = json.loads((tmp_path / "valid.json").read_text())
    assert [row["image"] for row in rows] == [f"valid/single/{n % 2}/image_{n}_s-1.png" for n in range(4)]
    assert [row["class"] for row in rows] == [f"kind {n}" for n in range(4)]
    data = split(train=False, on_error="error")
    drawn = []
    for index, row in enumerate(rows):
        (caption,) = row["captions"]
        own = [data.text(index, number) for number in range(len(data.captions_of(index)))]
        drawn.append(own.index(caption))
        (made,) = TextToImage.of(source).draw([Draw(caption, 1, index, drawn[-1])])
        np.testing.assert_allclose(read(tmp_path / row["image"]).astype(int), made.images[-1], atol=1)
    others = set()
    for seed in range(2, 8):
        sample(source, tmp_path / str(seed), context, data=split, validation=True, seed=seed)
        rows = json.loads((tmp_path / str(seed) / "valid.json").read_text())
        others.add(tuple(row["captions"][0] for row in rows))
    assert len(others) > 2
    assert CaptionedImages(tmp_path, "valid", False, [8]).text(1) == "bird"  # the folder is a data set


def test_a_split_gets_an_image_of_every_caption(source, split, context, tmp_path, capsys):
    sample(source, tmp_path / "every", context, data=split, validation=True, every_caption=True, seed=1)
    assert "7 images of 4 images' captions (every caption), 7 of them new" in capsys.readouterr().err
    rows = json.loads((tmp_path / "every" / "valid.json").read_text())
    assert [row["image"].split("/")[-1] for row in rows][:4] == [
        "image_0_s-1_0.png", "image_0_s-1_1.png", "image_0_s-1_2.png", "image_1_s-1_0.png",
    ]  # fmt: skip
    sample(source, tmp_path / "one", context, data=split, validation=True, seed=1)
    one = json.loads((tmp_path / "one" / "valid.json").read_text())[0]
    same = next(row for row in rows if row["captions"] == one["captions"])
    np.testing.assert_array_equal(read(tmp_path / "one" / one["image"]), read(tmp_path / "every" / same["image"]))


def test_a_stopped_run_goes_on_and_leaves_what_is_there(source, split, context, tmp_path, monkeypatch, capsys):
    whole = tmp_path / "whole"
    sample(source, whole, context, data=split, validation=True, every_caption=True)
    draw = TextToImage.draw

    def stopped(self, draws):
        for count, made in enumerate(draw(self, draws)):
            if count == 3:
                raise KeyboardInterrupt
            yield made

    monkeypatch.setattr(TextToImage, "draw", stopped)
    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        sample(source, part, context, data=split, validation=True, every_caption=True)
    assert len(list(part.rglob("*.png"))) == 3
    assert not (part / "valid.json").exists()
    assert context.after_stop() == "the same command goes on where it was"
    monkeypatch.undo()
    first = next(part.rglob("*.png"))
    first.write_bytes(b"kept")
    capsys.readouterr()
    sample(source, part, context, data=split, validation=True, every_caption=True)
    assert "4 of them new" in capsys.readouterr().err
    assert first.read_bytes() == b"kept"
    assert (part / "valid.json").read_bytes() == (whole / "valid.json").read_bytes()
    for path in whole.rglob("*.png"):
        other = part / path.relative_to(whole)
        assert other == first or other.read_bytes() == path.read_bytes()


def test_images_of_other_settings_are_not_mixed(source, split, context, tmp_path):
    sample(source, tmp_path, context, data=split, validation=True, seed=1)
    with pytest.raises(SamplingError, match="holds other samples: seed is 1 there, 2 asked for"):
        sample(source, tmp_path, context, data=split, validation=True, seed=2)
    other = TextImageSource(run=write_random_export(tmp_path / "other.json", seed=1))
    with pytest.raises(SamplingError, match="holds other samples: weights is"):
        sample(other, tmp_path, context, data=split, validation=True, seed=1)


def test_captions_without_known_words_are_all_named_before_anything_is_generated(source, context, tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_text("a red cube\nunheard of\nnor this\n")
    with pytest.raises(ManifestError, match=r"2 problems; the model knows 14 words; use some of them\n.*'unheard of'"):
        sample(source, tmp_path / "out", context, captions=captions)
    assert not (tmp_path / "out").exists()


def test_calls_that_name_no_captions_are_refused(source, context, tmp_path):
    with pytest.raises(SamplingError, match="found neither text nor captions"):
        sample(source, tmp_path, context)
    with pytest.raises(SamplingError, match="data is null with validation: true"):
        sample(source, tmp_path, context, validation=True)


@pytest.mark.parametrize("validation", [False, True])
def test_a_dry_run_writes_nothing(source, split, context, tmp_path, caplog, validation):
    context.dry_run = True
    with caplog.at_level(logging.INFO):
        sample(source, tmp_path / "out", context, text="a red cube", data=split, validation=validation)
    assert "dry run" in caplog.text
    assert not (tmp_path / "out").exists()

"""train_published.yaml fetches what is missing from a local server, and says what it cannot get."""

import io
import tarfile

import pytest
import soundfile
import torch

import config
from common.errors import UserError
from datasets.spoken_captions.readers import GanClevr
from gan.progan.generator import ProganGenerator
from published.words_by_drawing import files as drawing_files
from published.words_by_drawing.prepare import ensure_fetched
from tests.published.serving import BreakingHandler, serving
from tests.published.words_by_drawing.test_files import Handler
from tests.published.words_by_drawing.test_progan import WIDTHS, published_names


class Broken(BreakingHandler):
    """Has nothing."""

    def answer(self):
        """Answer a request."""
        self.send_error(503)


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def recordings(*ids):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ids:
            sound = io.BytesIO()
            soundfile.write(sound, torch.zeros(3200).numpy(), 16000, format="WAV")
            info = tarfile.TarInfo(f"audio_natural/{name}.wav")
            info.size = len(sound.getvalue())
            tar.addfile(info, io.BytesIO(sound.getvalue()))
    return packed.getvalue()


@pytest.fixture
def server():
    torch.manual_seed(0)
    files = {f"/data/list_natural_{split}.txt": b"12\n7\n" for split in ("train", "val", "test")}
    files["/data/audio_natural.tar.gz"] = recordings(12, 7)
    files["/files/generator.pth"] = saved(published_names(ProganGenerator(7, WIDTHS)))
    files["/files/negatives.pth.tar"] = saved({"7": [((1, 1), torch.ones(4))]})
    with serving(Handler, files=files) as running:
        yield running


def checked(folder, url):
    """The config with its folders below another one."""
    overrides = [f"prepare.server={url}", f"prepare.models={folder}/m", f"task.images.generator.folder={folder}/m"]
    overrides += [f"prepare.folder={folder}/d/audio_clevrgan_natural"]
    overrides += [f"data.{split}.folder={folder}/d/audio_clevrgan_natural" for split in ("train", "validation", "test")]
    return config.check(config.load("words_by_drawing/train_published", overrides))


def test_the_config_fetches_captions_generator_and_the_experiments_files(server, tmp_path, caplog):
    values = checked(tmp_path, server.url + "/")
    server.breaks = 1
    folder = config.build(values["prepare"], "prepare")
    dataset = config.build({**values["data"]["train"], "train": True}, "data.train")
    assert isinstance(dataset, GanClevr)
    assert [dataset.record(row).uttid for row in range(len(dataset))] == ["12", "7"]
    count = len(server.asked)
    generator = config.build(values["task"]["images"]["generator"], "generator")
    assert generator.latent_dim == 7
    assert (tmp_path / "m" / "negatives.pth.tar").is_file()
    # The server lacks the recordings of repeated words: training needs none of them.
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 1
    assert f"{server.url}/files/repetition_audios.tar.gz" in warned[0]
    assert len(server.asked) == count
    assert folder == tmp_path / "d" / "audio_clevrgan_natural"
    server.asked.clear()
    ensure_fetched(folder, tmp_path / "m", server=server.url)
    assert server.asked == []


def test_what_is_missing_offline_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing_files.fetch, "__defaults__", (drawing_files.SERVER, None, 1, 0.0))
    with serving(Broken) as running:
        address = running.url
    folder = tmp_path / "d" / "audio_clevrgan_natural"
    with pytest.raises(UserError) as error:
        config.build(checked(tmp_path, address)["prepare"], "prepare")
    assert str(error.value).startswith(f"Could not download {address}/data/list_natural_train.txt (")
    assert str(error.value).endswith(f"place it at {folder}/name_list_train.txt.")
    assert "\n" not in str(error.value)


def test_a_dry_run_and_another_folder(tmp_path):
    with pytest.raises(UserError, match="a dry run fetches nothing"):
        ensure_fetched(tmp_path / "audio_clevrgan_synth", tmp_path, dry_folder=tmp_path)
    with pytest.raises(UserError, match="expected one named audio_clevrgan_natural or audio_clevrgan_synth"):
        ensure_fetched(tmp_path / "audio", tmp_path)
    assert not list(tmp_path.iterdir())

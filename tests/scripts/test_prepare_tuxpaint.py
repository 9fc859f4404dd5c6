"""scripts/prepare_tuxpaint.py and datasets/tuxpaint*.py on a small stamp collection built here."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets.tuxpaint.export import prepare
from datasets.tuxpaint.media import UnusableImageError, check_recording, open_image
from datasets.tuxpaint.stamps import TuxPaintError, find_stamps, group_stamps, read_texts, split_groups, variant_key
from scripts import prepare_tuxpaint

NOUNS = ["cat", "dog", "bee", "key", "sun", "cup", "hat", "bus", "pig", "owl", "jar", "van"]


def write_image(path: Path, shade: int, size=(20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[2:-2, 3:-3] = (shade, 40, 200, 255)
    Image.fromarray(pixels).save(path)


def write_sound(path: Path, pitch: float, seconds: float = 0.3) -> None:
    time = np.arange(int(8000 * seconds)) / 8000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time), 8000)


def write_stamp(folder: Path, name: str, pitch: float, languages=("", "_fr"), shade: int = 100) -> None:
    write_image(folder / f"{name}.png", shade)
    (folder / f"{name}.txt").write_text(f"A {name}.\nde.utf8=Ein {name}.\nfr.utf8=Un {name}.\n", encoding="utf-8")
    for index, language in enumerate(languages):
        write_sound(folder / f"{name}_desc{language}.ogg", pitch + 37 * index)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "package" / "usr" / "share" / "tuxpaint" / "stamps" / "things"
    for index, noun in enumerate(NOUNS):
        write_stamp(folder, noun, 200 + 90 * index, shade=10 * index)
    for index, coin in enumerate(["001penny", "005nickel", "010dime"]):
        write_stamp(folder.parent / "coins", coin, 1500 + 70 * index)
    write_stamp(folder, "cat2", 2000)
    write_image(folder / "bus_mirror.png", 3)
    return tmp_path / "package"


def things(collection: Path) -> Path:
    return collection / "usr/share/tuxpaint/stamps/things"


def rows(folder: Path, name: str) -> list[dict]:
    manifest = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert (manifest["image_base_path"], manifest["audio_base_path"]) == ("images/", "audio/")
    return manifest["data"]


def test_manifests_are_complete_and_every_file_opens(collection, tmp_path):
    summary = prepare(collection, tmp_path / "out", ["all"], seed=1, val=0.2, test=0.3, size=32)
    assert summary.recordings == {"en": 16, "fr": 16}
    assert summary.seconds["fr"] == pytest.approx(16 * 0.3, abs=0.05)
    assert summary.skipped == {}
    assert set(summary.pairs) == {"train", "val", "test", "test_en", "test_fr"}
    for name, count in summary.pairs.items():
        entries = rows(tmp_path / "out", name)
        assert len(entries) == count > 0
        assert len({entry["uttid"] for entry in entries}) == count
        for entry in entries:
            assert set(entry) == {"uttid", "speaker", "asr_text", "wav", "image"}
            with Image.open(tmp_path / "out/images" / entry["image"]) as image:
                assert (image.size, image.mode) == ((32, 32), "RGB")
            assert soundfile.info(tmp_path / "out/audio" / entry["wav"]).frames > 0
            assert entry["asr_text"].startswith({"tuxpaint_en": "A ", "tuxpaint_fr": "Un "}[entry["speaker"]])
    saved = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert saved["pairs"] == summary.pairs


def test_split_is_by_image_variants_together_and_mirrored_copies_only_train(collection, tmp_path):
    for seed in range(4):
        out = tmp_path / f"out{seed}"
        prepare(collection, out, ["all"], seed=seed, val=0.2, test=0.3, size=16)
        of_split = {name: {entry["image"] for entry in rows(out, name)} for name in ("train", "val", "test")}
        keys = {name: {variant_key(image[:-4]) for image in images} for name, images in of_split.items()}
        assert not (keys["train"] & keys["val"] or keys["train"] & keys["test"] or keys["val"] & keys["test"])
        for held_out in ("val", "test"):
            assert not any("mirror" in image for image in of_split[held_out])
            assert len(rows(out, held_out)) == len(of_split[held_out])  # each image once


def test_same_seed_same_split_whatever_the_languages(collection, tmp_path):
    one = prepare(collection, tmp_path / "a", ["fr"], seed=5, val=0.2, test=0.3, size=16)
    prepare(collection, tmp_path / "b", ["all"], seed=5, val=0.2, test=0.3, size=16)
    assert set(one.pairs) == {"train", "val", "test"}
    assert rows(tmp_path / "a", "test") == rows(tmp_path / "b", "test_fr")
    prepare(collection, tmp_path / "b", ["fr"], seed=5, val=0.2, test=0.3, size=16)
    assert not list((tmp_path / "b").glob("test_*.json"))  # of the earlier call with all languages
    prepare(collection, tmp_path / "c", ["fr"], seed=6, val=0.2, test=0.3, size=16)
    assert rows(tmp_path / "a", "test") != rows(tmp_path / "c", "test")


def test_shared_recording_keeps_images_together_and_counts_once_when_held_out(collection, tmp_path):
    folder = things(collection)
    (folder / "owl_desc_fr.ogg").write_bytes((folder / "van_desc_fr.ogg").read_bytes())
    stamps, _ = find_stamps(collection)
    groups = group_stamps(stamps)
    assert ["things/owl", "things/van"] in [[stamp.name for stamp in group] for group in groups]
    for seed in range(30):  # some seed puts this pair into the test
        if "things/owl" in [stamp.name for stamp in split_groups(groups, seed, 0.2, 0.3)["test"]]:
            break
    prepare(collection, tmp_path / "out", ["fr"], seed=seed, val=0.2, test=0.3, size=16)
    test = [entry["image"] for entry in rows(tmp_path / "out", "test")]
    assert "things/owl.jpg" in test
    assert "things/van.jpg" not in test


def test_broken_silent_empty_and_lonely_files_are_counted(collection, tmp_path):
    folder = things(collection)
    (folder / "cat_desc_fr.ogg").write_bytes(b"OggS not really")
    soundfile.write(folder / "dog_desc_fr.ogg", np.zeros(8000), 8000)
    write_sound(folder / "bee_desc_fr.ogg", 300, seconds=0.02)
    write_sound(folder / "nobody_desc_fr.ogg", 300)
    (folder / "key.png").write_bytes(b"\x89PNG broken")
    Image.new("RGBA", (5, 5)).save(folder / "sun.png")
    (folder / "cup.txt").write_text("A cup.\n", encoding="utf-8")
    summary = prepare(collection, tmp_path / "out", ["fr"], val=0.2, test=0.3, size=16)
    assert summary.skipped == {
        "recording without an image": ["nobody_desc_fr.ogg"],
        "recording: broken": ["cat_desc_fr.ogg"],
        "recording: silent": ["dog_desc_fr.ogg"],
        "recording: empty": ["bee_desc_fr.ogg"],
        "image: image cannot be decoded": ["things/key"],
        "image: nothing visible": ["things/sun"],
    }
    assert summary.without_text == {"fr": 1}
    assert summary.recordings == {"fr": 11}


def test_names_that_differ_in_case_or_punctuation_meet(tmp_path):
    write_image(tmp_path / "Cherry_Stella.png", 5)
    write_sound(tmp_path / "cherry-stella_desc_pt_BR.ogg", 300)
    write_sound(tmp_path / "Cherry_Stella_desc_da.ogg.ogg", 400)
    stamps, orphans = find_stamps(tmp_path)
    assert (len(stamps), orphans) == (1, [])
    assert set(stamps[0].recordings) == {"pt_BR", "da"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/flower1", "a/flower10", True),
        ("a/flower1", "b/flower1", False),
        ("hats/brownhat", "hats/brownhat2", True),
        ("asl/asl_a", "asl/asl_b", True),
        ("coins/001penny", "coins/010dime", True),
        ("x/note_012_a", "x/note_100", True),
        ("x/padlock_open", "x/padlock_closed", True),
        ("x/apple_red", "x/apple_green", False),
        ("x/glass", "x/grass", False),
        ("x/a", "x/b", False),
    ],
)
def test_variant_key(one, other, same):
    assert (variant_key(one) == variant_key(other)) is same


def test_image_is_flattened_on_white_and_fits_the_centre_crop(tmp_path):
    write_image(tmp_path / "wide.png", 100, size=(46, 12))
    pixels = np.asarray(open_image(tmp_path / "wide.png", 64)).astype(int)
    assert (pixels[0] == 255).all()
    assert (pixels[:, :4] == 255).all()
    assert np.abs(pixels[32, 32] - (100, 40, 200)).max() <= 1
    assert pixels[32, 5, 1] < 100  # the object spans 56 of 64 pixels
    Image.new("RGB", (9, 9), "white").save(tmp_path / "white.png")
    with pytest.raises(UnusableImageError, match="nothing visible on white"):
        open_image(tmp_path / "white.png", 64)


def test_svg_is_drawn_or_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "dot.svg"
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="40pt" height="40pt"><rect x="9" y="9" width="20" '
                    'height="20" fill="#f00"/></svg>')  # fmt: skip
    pytest.importorskip("resvg_py")
    assert open_image(path, 32).getpixel((16, 16)) == (255, 0, 0)
    path.write_text("<svg")
    with pytest.raises(UnusableImageError, match="SVG cannot be drawn"):
        open_image(path, 32)
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UnusableImageError, match="resvg-py is not installed"):
        open_image(path, 32)


def test_read_texts(tmp_path):
    (tmp_path / "x.txt").write_text("\ufeffA cat.\nfr.utf8= Un chat = félin. \nnl.utf8=\nnoise\n", encoding="utf-8")
    assert read_texts(tmp_path / "x.txt") == {"en": "A cat.", "fr": "Un chat = félin."}
    assert read_texts(tmp_path / "none.txt") == {}


def test_wav_with_nans_is_broken(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.full(4000, np.nan, np.float32), 8000, subtype="FLOAT")
    assert check_recording(tmp_path / "x.wav") == (0.0, "broken")


def pages(content: bytes) -> list[int]:
    """Where the pages of an ogg begin."""
    return [at for at in range(len(content)) if content[at : at + 4] == b"OggS"]


def test_a_recording_without_end_mark_is_taken_and_one_with_an_incomplete_page_is_broken(tmp_path):
    soundfile.write(tmp_path / "a.ogg", np.random.default_rng(0).normal(0, 0.1, 160000), 8000)
    whole = (tmp_path / "a.ogg").read_bytes()
    starts = pages(whole)
    assert len(starts) > 10
    for end in (starts[len(starts) // 2] + 100, starts[-1] - 100, len(whole) - 100):
        (tmp_path / "cut.ogg").write_bytes(whole[:end])
        assert check_recording(tmp_path / "cut.ogg") == (0.0, "broken")
    (tmp_path / "open.ogg").write_bytes(whole[: starts[-1]])
    seconds, error = check_recording(tmp_path / "open.ogg")
    assert (seconds, error) == (len(soundfile.read(tmp_path / "open.ogg")[0]) / 8000, None)
    assert seconds > 15


def test_errors_tell_what_to_do(collection, tmp_path):
    with pytest.raises(TuxPaintError, match=r"language xx\. There are: (en|fr) \(16\)"):
        prepare(collection, tmp_path, ["fr", "xx"])
    with pytest.raises(TuxPaintError, match="sum below 1"):
        prepare(collection, tmp_path, ["fr"], val=0.5, test=0.5)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(TuxPaintError, match="Expected the unpacked package tuxpaint-stamps-default"):
        find_stamps(tmp_path / "nothing")


def test_script_prepares_a_folder(collection, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [
        "--folder",
        str(collection),
        "--out",
        str(out),
        "--languages",
        "en",
        "--size",
        "16",
        "--exclude",
        "coins",
    ]
    assert prepare_tuxpaint.main(arguments) == 0
    assert "train" in capsys.readouterr().out
    assert not any("coins" in entry["image"] for entry in rows(out, "train"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--deb", "gone.deb"], "gone.deb does not exist"), (["--folder", "gone"], "gone is not a folder")],
)
def test_script_says_what_is_missing(arguments, message, capsys, tmp_path):
    assert prepare_tuxpaint.main([*arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "--folder DIR" in error


def test_without_apt_the_script_says_how_to_get_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare_tuxpaint.shutil, "which", lambda _: None)
    with pytest.raises(TuxPaintError, match=r"no apt-get.*--deb FILE"):
        prepare_tuxpaint.download(tmp_path)


def test_failed_download_and_broken_package_are_explained(tmp_path, monkeypatch):
    class Failed:
        returncode, stdout, stderr = 100, "", "E: Unable to locate package\n"

    monkeypatch.setattr(prepare_tuxpaint.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(prepare_tuxpaint.subprocess, "run", lambda *_, **__: Failed())
    with pytest.raises(TuxPaintError, match=r"Unable to locate package.*apt-get update"):
        prepare_tuxpaint.download(tmp_path)
    (tmp_path / "x.deb").write_bytes(b"nonsense")
    with pytest.raises(TuxPaintError, match="could not be unpacked"):
        prepare_tuxpaint.unpack(tmp_path / "x.deb", tmp_path)


def test_a_downloaded_package_is_used_again(tmp_path):
    (tmp_path / "tuxpaint-stamps-default_1.0_all.deb").touch()
    assert prepare_tuxpaint.download(tmp_path).name == "tuxpaint-stamps-default_1.0_all.deb"

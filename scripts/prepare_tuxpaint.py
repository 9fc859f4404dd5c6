"""Real recorded speech without a licence form: Tux Paint's images and their spoken descriptions as Places manifests.

    python scripts/prepare_tuxpaint.py                          # all languages, into data/tuxpaint
    python scripts/prepare_tuxpaint.py --languages en es fr
    python scripts/prepare_tuxpaint.py --deb tuxpaint-stamps-default_2022.06.04-1_all.deb
    python scripts/prepare_tuxpaint.py --folder /usr/share/tuxpaint/stamps

Without --deb or --folder the Debian package tuxpaint-stamps-default (161 MB, GPL-2) is downloaded with apt-get and kept
in downloads/. It is unpacked with dpkg -x (or with ar and tar) and never installed.
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common.errors import UserError  # noqa: E402
from datasets.tuxpaint.export import Prepared, prepare  # noqa: E402
from datasets.tuxpaint.stamps import TuxPaintError  # noqa: E402 - needs the line above

PACKAGE = "tuxpaint-stamps-default"
ELSEWHERE = (
    f"On a machine without apt, take {PACKAGE}_*_all.deb from Debian's package archive and pass it with --deb FILE, "
    "or pass an unpacked or installed collection with --folder DIR."
)


def download(folder: Path) -> Path:
    """Download the package with apt-get, unless it is in ``folder`` already; return the .deb file."""
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob(f"{PACKAGE}_*.deb"))
    if found:
        return found[-1]
    if shutil.which("apt-get") is None:
        raise TuxPaintError(f"There is no apt-get on this machine to download {PACKAGE} with. {ELSEWHERE}")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        got = subprocess.run(["apt-get", "download", PACKAGE], cwd=scratch, capture_output=True, text=True, check=False)
        arrived = sorted(Path(scratch).glob("*.deb"))
        if got.returncode != 0 or not arrived:
            reason = (got.stderr.strip().splitlines() or ["no message"])[-1]
            raise TuxPaintError(
                f"apt-get download {PACKAGE} failed: {reason} If it is unknown, run 'apt-get update' (as root) "
                f"first; Ubuntu has it in 'universe'. {ELSEWHERE}"
            )
        return Path(shutil.move(arrived[0], folder / arrived[0].name))


def unpack(deb: Path, folder: Path) -> None:
    """Unpack a Debian package into an empty folder without installing it."""
    if not deb.is_file():
        raise TuxPaintError(f"{deb} does not exist. {ELSEWHERE}")
    if shutil.which("dpkg"):
        commands = [["dpkg", "-x", str(deb.resolve()), "."]]
    elif shutil.which("bsdtar"):
        commands = [["bsdtar", "-xf", str(deb.resolve())], ["bsdtar", "-xf", "data.tar.xz"]]
    elif shutil.which("ar") and shutil.which("tar"):
        commands = [["ar", "x", str(deb.resolve())], ["tar", "-xf", "data.tar.xz"]]
    else:
        raise TuxPaintError(f"Unpacking {deb.name} needs dpkg, bsdtar, or ar and tar. {ELSEWHERE}")
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise TuxPaintError(
                f"{deb} could not be unpacked: {done.stderr.strip()} It may be incomplete: delete it and try again."
            )


def describe(summary: Prepared) -> str:
    """Return ``summary`` as text for the terminal."""
    lines = [f"{'language':10} {'recordings':>10} {'seconds':>8} {'no text':>8}"]
    for language, count in sorted(summary.recordings.items(), key=lambda item: -item[1]):
        silent = summary.without_text.get(language, 0)
        lines.append(f"{language:10} {count:10} {summary.seconds[language]:8.0f} {silent:8}")
    lines.append(f"\n{'manifest':14} {'pairs':>6} {'images':>9}  same words in training")
    for name, count in summary.pairs.items():
        lines.append(f"{name:14} {count:6} {summary.images[name]:9}  {summary.words_seen.get(name, '')}")
    for reason, names in sorted(summary.skipped.items()):
        lines.append(f"left out, {reason}: {len(names)} (such as {', '.join(names[:3])})")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Prepare the data; return 0, or 2 after an error of the user's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--deb", type=Path, help="the package file, if it is here already")
    source.add_argument("--folder", type=Path, help="an unpacked or installed collection")
    parser.add_argument("--languages", nargs="+", default=["all"], help="codes such as en es pt_BR, or all (default)")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "tuxpaint", help="default: data/tuxpaint")
    parser.add_argument("--seed", type=int, default=1, help="of the split by image (default 1)")
    parser.add_argument("--val", type=float, default=0.1, help="share of the images for validation (default 0.1)")
    parser.add_argument("--test", type=float, default=0.15, help="share of the images for the test (default 0.15)")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images in pixels (default 256)")
    parser.add_argument("--exclude", nargs="*", default=[], help="prefixes to leave out, such as symbols/alphabets")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    choices = (args.languages, args.seed, args.val, args.test, args.size, tuple(args.exclude))
    try:
        if args.folder:
            if not args.folder.is_dir():
                raise TuxPaintError(f"{args.folder} is not a folder. {ELSEWHERE}")
            summary = prepare(args.folder, args.out, *choices)
        else:
            deb = args.deb or download(ROOT / "downloads")
            with tempfile.TemporaryDirectory() as scratch:
                print(f"Unpacking {deb} ...", flush=True)
                unpack(deb, Path(scratch))
                print("Checking every recording and drawing every image (about two minutes for all) ...", flush=True)
                summary = prepare(Path(scratch), args.out, *choices)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(describe(summary))
    print(f"Written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

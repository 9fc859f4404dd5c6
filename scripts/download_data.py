"""Fetch the published data and models of "Learning Words by Drawing Images" and of ResDAVEnet-VQ.

Called by download_data.sh. Without names: the name lists and recordings of both sets of the first, as the original's
download_data.sh does. Everything resumes.
"""

import argparse
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common.errors import UserError  # noqa: E402
from published.resdavenet_vq import files as units  # noqa: E402
from published.words_by_drawing.files import BASIC, FILES, MODELS, SERVER, fetch, read_checksums  # noqa: E402

UNITS = "resdavenet_vq"  # the group of those models, and their folder
LISTS = "places_aligned"  # the group of the lists with word times
GROUPS = {"basic": BASIC, "models": MODELS, "all": tuple(FILES), UNITS: tuple(units.MODELS), LISTS: tuple(units.LISTS)}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line ``arguments``; wrong ones end the program with code 2."""
    parser = argparse.ArgumentParser(prog="download_data.sh", description=__doc__.splitlines()[0])
    known = ", ".join((*FILES, *units.MODELS, *units.LISTS))
    parser.add_argument("names", nargs="*", default=["basic"], help=f"{', '.join(GROUPS)}, or of {known}")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder of the data sets (data/)")
    parser.add_argument("--models", type=Path, default=ROOT / "downloads", help="folder of the models (downloads/)")
    parser.add_argument("--server", default=SERVER, help=f"another address with the same layout ({SERVER})")
    parser.add_argument("--drive", default=units.SERVER, help=f"another address for RDVQ_ and lists ({units.SERVER})")
    parser.add_argument("--checksums", type=Path, help="SHA-256 of the files, as sha256sum writes them")
    parser.add_argument("--attempts", type=int, default=4, help="how often a connection is tried (4)")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Fetch what the command line ``arguments`` name; errors end in one sentence and exit code 2."""
    parsed = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = [name for asked in parsed.names for name in GROUPS.get(asked, (asked,))]
    quantised = [name for name in names if name.startswith("RDVQ")]
    lists = [name for name in names if name in units.LISTS]
    others = [name for name in names if name not in (*quantised, *lists)]
    try:
        checksums = read_checksums(parsed.checksums) if parsed.checksums else None
        fetch(others, parsed.data, parsed.models, parsed.server.rstrip("/"), checksums, parsed.attempts)
        units.fetch_models(quantised, parsed.models / UNITS, parsed.drive, parsed.attempts)
        units.fetch_lists(lists, parsed.data / "places", parsed.drive, parsed.attempts)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

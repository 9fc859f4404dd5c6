"""Opening a Places manifest of 400,000 rows with every check, against json.load of the same file.

    python -m benchmarks.manifest                      # about ten seconds
    python -m benchmarks.manifest --rows 1000000

Each call has a process of its own, so that its peak of memory is its own too. Rows name a thousand files that exist.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Row, options, print_table

FILES = 1000
WAYS = ("ours", "json")
CHILD = """
import json, resource, sys, time
from pathlib import Path
from datasets.spoken_captions.places_manifest import read_places
way, path = sys.argv[1], Path(sys.argv[2])
start = time.process_time()
found = read_places(path, need="files") if way == "ours" else json.load(path.open())
seconds = time.process_time() - start
status = Path("/proc/self/status")
if status.exists():  # what getrusage says on Linux begins with the parent's peak
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, peak / 1e6]))
"""  # without torch, whose own peak would hide the manifest's


def write_manifest(folder: Path, rows: int) -> Path:
    """Write a manifest of ``rows`` rows and the empty files that they name; return its path."""
    names = [(f"{number % 10}/utterance_{number}.wav", f"gsun_{number:016x}.jpg") for number in range(FILES)]
    for wav, image in names:
        for path in (folder / "wavs" / wav, folder / "images" / image):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    text = "a large building with a small white house in front of it and some trees"
    data = (
        {"uttid": f"A1BCDEFGHIJKLM-GSUN_{row:016X}", "speaker": f"A1BCDEFGHIJKL{row % 999}", "asr_text": text}
        | dict(zip(("wav", "image"), names[row % FILES], strict=True))
        for row in range(rows)
    )
    manifest = folder / "places.json"
    with manifest.open("w", encoding="utf-8") as file:
        file.write('{"image_base_path": "images", "audio_base_path": "wavs", "data": [')
        for row, entry in enumerate(data):
            file.write((", " if row else "") + json.dumps(entry))
        file.write("]}")
    return manifest


def measure(way: str, path: Path) -> list[float]:
    """Measure one of :data:`WAYS` in a process of its own: CPU seconds, and its peak of memory in MB."""
    command = [sys.executable, "-c", CHILD, way, str(path)]
    root = Path(__file__).resolve().parents[1]
    return json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Read the sizes, measure in turns, print the table."""
    read = options(
        __doc__,
        {"rows": (400_000, "rows of the manifest"), "repeats": (2, "timed calls, the best counts")},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_manifest(Path(folder), read.rows)
        found = [[measure(way, path) for way in WAYS] for _ in range(read.repeats)]
        empty = write_manifest(Path(folder), 1)
        before = min(measure("json", empty)[1] for _ in range(read.repeats))
    (ours, memory), (baseline, theirs) = (map(min, zip(*calls, strict=True)) for calls in zip(*found, strict=True))
    note = f"{memory - before:.0f} MB above an empty one; baseline: json.load alone, {theirs - before:.0f} MB"
    print_table("Places manifest", [Row(f"{read.rows} rows, every check", ours, baseline, note=note)])


if __name__ == "__main__":
    main()

"""CPU seconds until the command line answers, beside the import of torch.

    python -m benchmarks.first_answer

The import of torch is what every command that checks a config waits for; the rest is this project's.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.table import Row, best_times, options, print_table

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "assets" / "configs" / "tiny.yaml"
COMMANDS = {
    "--help": ["--help"],
    "--list": ["--list"],
    "--print-config of the quick-start": ["-f", "quickstart.yaml", "--print-config"],
    "the same of train_example, whose VGG16 imports torchvision": ["-f", "train_example.yaml", "--print-config"],
    "a small training's start, its first step and evaluation batch": ["-f", str(TINY), "--dry-run"],
}


def main() -> None:
    """Measure and print."""
    sizes = options(__doc__, {"repeats": (3, "timed runs of each command, the best counts")})
    programs = {"import torch": ["-c", "import torch"]}
    programs |= {name: ["run.py", *arguments] for name, arguments in COMMANDS.items()}

    def call(arguments: list[str]) -> None:
        subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)

    times = best_times(*(lambda a=arguments: call(a) for arguments in programs.values()), repeats=sizes.repeats)
    torch_alone = times[0]
    found = dict(zip(programs, times, strict=True))
    print_table(
        "the first answer", [Row(name, found[name], torch_alone, note="baseline: import torch") for name in COMMANDS]
    )


if __name__ == "__main__":
    main()

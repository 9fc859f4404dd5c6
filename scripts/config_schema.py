"""Write the JSON Schema of all configs for editors, to config_files/schema.json.

Point an editor at it with a first line ``# yaml-language-server: $schema=schema.json`` in a config, or in its settings.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.files import write_whole
from config.load import PROJECT_ROOT, short
from config.schema import schema


def main() -> None:
    """Write the file and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / "config_files" / "schema.json")
    output = parser.parse_args().output
    write_whole(output, f"{json.dumps(schema(), indent=1)}\n".encode())
    print(f"wrote {short(output.resolve())}")


if __name__ == "__main__":
    main()

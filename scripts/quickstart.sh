#!/usr/bin/env bash
# Set up everything, then run the main job on the embedded world: build, train, evaluate, report. No GPU, no download
# beyond the Python packages. Arguments are passed on: scripts/quickstart.sh seed=2 run.name=quickstart_seed2
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec "$VENV_PYTHON" run.py -f quickstart.yaml "$@"

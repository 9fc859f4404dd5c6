#!/usr/bin/env bash
# Set up everything, then run the main job on the embedded world: build, train, evaluate, report. No GPU, no download
# beyond the Python packages. Then a minute's trial of edited negatives on images of the shipped generator.
# Arguments are passed on to the main job, which then runs alone: scripts/quickstart.sh seed=2 run.name=quickstart_seed2
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
[ $# -eq 0 ] || exec "$VENV_PYTHON" run.py -f quickstart.yaml "$@"
"$VENV_PYTHON" run.py -f quickstart.yaml
echo
echo "second part: a few steps of learning words by drawing, with the generator that comes with the project; a trial of"
echo "the machinery, whose figures mean nothing yet (words_by_drawing/train_random.yaml trains in earnest)"
exec "$VENV_PYTHON" run.py -f words_by_drawing/quick.yaml

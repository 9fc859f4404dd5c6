#!/usr/bin/env bash
# Set up if needed, then run the whole test suite, a worker for each core with one thread each. Arguments are passed on
# to pytest: scripts/test.sh tests/config -k error; -n 0 runs everything in one process, as a debugger needs it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$VENV_PYTHON" -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"

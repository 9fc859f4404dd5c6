#!/usr/bin/env bash
# Set up if needed, then run the whole test suite. Arguments are passed on to pytest: scripts/test.sh tests/config
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec "$VENV_PYTHON" -m pytest "$@"

#!/usr/bin/env bash
# Fetch the published data and models of "Learning Words by Drawing Images": scripts/download_data.sh [basic|models|all|NAME ...]
# and the ten models of ResDAVEnet-VQ, into downloads/resdavenet_vq: scripts/download_data.sh resdavenet_vq|RDVQ_01100 ...
# and Places Audio's lists with word times, into data/places: scripts/download_data.sh places_aligned
# Resumes where it stopped; --help lists names and options.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" scripts/download_data.py "$@"

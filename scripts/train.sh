#!/usr/bin/env bash
# Train ResDAVEnet-VQ in the manner of the original's script of this name: scripts/train.sh CODE NAME "FLAGS" [key=value ...]
#   scripts/train.sh 01100 RDVQ_01100 ""                       quantisers 2 and 3, from scratch
#   scripts/train.sh 01100 RDVQ_01100 "--seed-dir ./exps/A --seed-epoch 30 --lr 1e-4 --save-every -1"
#   scripts/train.sh 01100 RDVQ_01100 runs/resdavenet_vq/A     the same from the weights of a run or published experiment
# All flags of the original's run_ResDavenetVQ.py are taken (scripts/train_flags.py), and key=value as run.py takes them.
# The run goes to runs/resdavenet_vq/NAME, and on from there when it is started again; relative paths start at the
# project root. Settings are those of config_files/resdavenet_vq/base.yaml, or of CONFIG:
#   CONFIG=resdavenet_vq/world_cpu.yaml scripts/train.sh 01100 small ""
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" scripts/train_flags.py "$@"

#!/usr/bin/env bash
# Train ResDAVEnet-VQ in the manner of the original's script of this name: scripts/train.sh CODE NAME SEED [key=value ...]
#   scripts/train.sh 01100 RDVQ_01100 ""                       quantisers 2 and 3, from scratch
#   scripts/train.sh 01100 RDVQ_01100 runs/resdavenet_vq/A     the same from the weights of a run or published experiment;
#   scripts/train.sh 01100 RDVQ_01100 "--seed-dir ./exps/A --seed-epoch 30"   the original's words are understood too
# The run goes to runs/resdavenet_vq/NAME, and on from there when it is started again; relative seeds start at the
# project root. Settings are those of config_files/resdavenet_vq/base.yaml, or of CONFIG:
#   CONFIG=resdavenet_vq/world_cpu.yaml scripts/train.sh 01100 small ""
set -euo pipefail

fail() {
    echo "error: $1" >&2
    exit 2
}

[ $# -ge 2 ] || fail "found $# arguments, expected a turn-on code, a name and a seed: scripts/train.sh 01100 RDVQ_01100 \"\""
code=$1 name=$2 third=${3:-}
shift $(($# < 3 ? $# : 3))
[ -n "$name" ] || fail "found an empty name, expected what the run is called, such as RDVQ_$code"

seed="" epoch="" settings=()
read -r -a words <<<"${third//--seed-dir=/--seed-dir }"
while [ ${#words[@]} -gt 0 ]; do
    word=${words[0]} value=${words[1]:-}
    case $word in
    --seed-dir | --seed_dir) seed=$value ;;
    --seed-epoch | --seed_epoch) epoch=$value ;;
    --resume) ;; # a run always goes on
    --*) fail "found $word, expected --seed-dir, --seed-epoch or key=value (the head of resdavenet_vq/base.yaml has them all)" ;;
    *)
        if [[ $word =~ ^[A-Za-z_.]+= ]]; then
            settings+=("$word")
        else
            [ -z "$seed" ] || fail "found the seeds $seed and $word, expected one, of a path without spaces"
            seed=$word
        fi
        ;;
    esac
    case $word in
    --*) [ -n "$value" ] || fail "found $word without a value" && words=("${words[@]:2}") ;;
    *) words=("${words[@]:1}") ;;
    esac
done
if [ -n "$epoch" ] && [ "$epoch" != -1 ]; then # -1: the best, the original's default
    [[ $epoch =~ ^[0-9]+$ && -n "$seed" ]] || fail "found --seed-epoch $epoch, expected a number and --seed-dir with it"
    seed=$seed/models/audio_model.e$epoch.pth
fi
[ -z "$seed" ] || settings+=("init_from.path=$seed")

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" run.py -f "${CONFIG:-resdavenet_vq/base.yaml}" "task.speech_encoder.turn_on='$code'" \
    "run.name=resdavenet_vq/$name" ${settings[@]+"${settings[@]}"} "$@"

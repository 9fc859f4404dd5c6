#!/usr/bin/env bash
# Dump features for the ABX test of ZeroSpeech 2019 in the manner of the original's script of this name:
#   scripts/dump_zs19_abx.sh MODEL LAYER OUT.zip [FOLDER] [key=value ...]
#   scripts/dump_zs19_abx.sh exps/pretrained/RDVQ_00000_01000 quant2 exps/output_zs19/RDVQ_00000_01000_quant2.zip
# MODEL is a published experiment folder, its audio_model file, a run folder, or the .json of an exported encoder such as
# models/shipped/resdavenet_vq_world.json; FOLDER holds english/test/*.wav of the
# challenge (at any depth), by default $ZS19_WAVS or data/zerospeech2019/english/test. After a stop the same command
# goes on: what is done lies in OUT.zip.parts until the zip is complete.
set -euo pipefail

fail() {
    echo "error: $1" >&2
    exit 2
}

[ $# -ge 3 ] || fail "found $# arguments, expected a model, a layer and a zip: scripts/dump_zs19_abx.sh MODEL quant2 OUT.zip"
model=$(realpath -m -- "$1") layer=$2 zip=$(realpath -m -- "$3")
shift 3
[[ $zip == *.zip ]] || fail "found $zip, expected a name that ends in .zip"
wavs=${ZS19_WAVS:-}
if [ $# -gt 0 ] && [[ $1 != *=* && $1 != --* ]]; then
    wavs=$1
    shift
fi
[ -z "$wavs" ] || wavs=$(realpath -m -- "$wavs")

cd "$(dirname "${BASH_SOURCE[0]}")/.."
wavs=${wavs:-$PWD/data/zerospeech2019/english/test}
[ -e "$model" ] || fail "there is no $model; give a published experiment folder, or a run folder"
where=$model
[ -d "$model" ] || where=$(dirname "$(dirname "$model")")
settings=("model.published=$model" model.run=null)
[[ ! -f $where/config.yaml && $model != *.json ]] || settings=("model.run=$model")

python=.venv/bin/python
[ -x "$python" ] || python=python3
"$python" run.py -f resdavenet_vq/dump.yaml "${settings[@]}" "layer=$layer" "data.folder=$wavs" \
    "output=$zip.parts" "archive=$zip" "$@"
for word in "$@"; do
    [[ $word != --* ]] || exit 0 # --dry-run and the like write nothing, and leave what is there
done
rm -rf -- "$zip.parts"
echo "Run \"bash evaluate.sh $zip test dtw_cosine\" in the docker image of ZeroSpeech 2019 for ABX error and bitrate"

#!/usr/bin/env bash
# The steps of the Dockerfile; "try" takes all of them without an engine, in a scratch copy of what the image would hold.
#   scripts/docker_steps.sh install cpu|gpu               install the packages into $PYTHON
#   scripts/docker_steps.sh serve [key=value ...]         serve on port 8080 of every network of the container
#   scripts/docker_steps.sh healthy ADDRESS               end with 0 where a server answers
#   scripts/docker_steps.sh try cpu|gpu [key=value ...]   all of it on a free port, and one caption; with
#                                                         DRAWL_INSTALLED=/path/to/python nothing is installed
set -euo pipefail
PYTHON=${PYTHON:-python3}

install() {
    case ${1:-} in
    cpu) local index=(--extra-index-url https://download.pytorch.org/whl/cpu) ;; # without CUDA's libraries, 3 GB less
    gpu) local index=() ;;
    *)
        echo "error: found '${1:-}', expected cpu or gpu" >&2
        exit 2
        ;;
    esac
    "$PYTHON" -m pip install --no-cache-dir --disable-pip-version-check "${index[@]}" -r requirements.txt
}

serve() {
    exec "$PYTHON" run.py -f serve/attngan.yaml host=0.0.0.0 folder="${TMPDIR:-/tmp}/drawl_images" "$@"
}

healthy() {
    "$PYTHON" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/healthz", timeout=5)' "$1"
}

# Post a caption, fetch the largest image of the answer and print how large it is.
ask() {
    "$PYTHON" - "$1" <<'PYTHON_END'
import json, sys, urllib.request

address = sys.argv[1]
body = json.dumps({"caption": "a red cube"}).encode()
request = urllib.request.Request(f"{address}/api/v1.0/bird", body, {"Content-Type": "application/json"})
bird = json.load(urllib.request.urlopen(request, timeout=60))["bird"]
image = urllib.request.urlopen(bird["large"], timeout=60).read()
assert image.startswith(b"\x89PNG"), image[:20]
print(f"answered: {bird['words']}, an image of {len(image)} bytes")
PYTHON_END
}

try() {
    local device=${1:?cpu or gpu} left_out address
    shift
    scratch=$(mktemp -d)
    server=
    trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    left_out=$(grep -v '^#' .dockerignore | paste -sd'|')
    mkdir "$scratch/drawl"
    git ls-files -z | grep -zEv "^($left_out)(/|\$)" | xargs -0 cp --parents -t "$scratch/drawl"
    cd "$scratch/drawl"
    if [ -n "${DRAWL_INSTALLED:-}" ]; then
        PYTHON=$DRAWL_INSTALLED
    else
        "$PYTHON" -m venv "$scratch/venv"
        PYTHON=$scratch/venv/bin/python
        install "$device"
    fi
    TMPDIR=$scratch PYTHON=$PYTHON bash scripts/docker_steps.sh serve port=0 "$@" 2>"$scratch/log" &
    server=$!
    for _ in $(seq 300); do
        address=$(grep -o 'http://[0-9.:]*' "$scratch/log" | head -1 || true)
        [ -n "$address" ] && break
        kill -0 "$server" 2>/dev/null || break
        sleep 1
    done
    if [ -z "$address" ]; then
        cat "$scratch/log" >&2
        echo "error: the server did not start" >&2
        exit 1
    fi
    address=${address/0.0.0.0/127.0.0.1}
    healthy "$address"
    echo "healthy: $address"
    ask "$address"
}

step=${1:-}
case $step in
install | serve | healthy | try)
    shift
    "$step" "$@"
    ;;
*)
    sed -n '2,8p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac

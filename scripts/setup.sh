# Sourced by the other scripts: finds a Python, makes .venv, installs requirements.txt when it changed, and
# the other requirements-*.txt where those can be had.
# Afterwards $VENV_PYTHON is the interpreter of .venv and the shell stands in the project root.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

_too_old='import sys; sys.exit(sys.version_info < (3, 11))'
_python=""
for _candidate in ${DRAWL_PYTHON:-python3 python3.12 python3.13 python3.11 python}; do
    if "$_candidate" -c "$_too_old" >/dev/null 2>&1; then
        _python=$_candidate
        break
    fi
done

VENV_PYTHON=$PWD/.venv/bin/python
if [ -x "$VENV_PYTHON" ] && ! "$VENV_PYTHON" -c "$_too_old" >/dev/null 2>&1; then
    echo "error: .venv holds a Python older than 3.11 or a broken one; delete the folder .venv and run this again." >&2
    exit 2
fi
if [ ! -x "$VENV_PYTHON" ]; then
    if [ -z "$_python" ]; then
        _found=$("${DRAWL_PYTHON:-python3}" --version 2>/dev/null || echo "no ${DRAWL_PYTHON:-python3}")
        echo "error: drawl needs Python 3.11 or newer and found $_found; install one, or name it with DRAWL_PYTHON=/path/to/python." >&2
        exit 2
    fi
    echo "making .venv with $("$_python" --version)"
    "$_python" -m venv .venv || {
        echo "error: $_python cannot make a virtual environment (on Debian: apt-get install python3-venv)." >&2
        exit 2
    }
fi

# Writes pip's steps as lines for a log: one for each package and for the steps that take long, without the metadata files.
_line_per_package() {
    local line
    while IFS= read -r line; do
        line=${line#"${line%%[! ]*}"}
        case $line in
        *.metadata*) ;;
        "Downloading "* | "Using cached "* | "Processing "* | "Building wheel"*) echo "  $line" ;;
        "Installing collected packages: "*) echo "  unpacking all of them (a minute or two, torch is large)" ;;
        esac
    done
}

_install() {
    if [ -t 1 ]; then # pip shows its progress bars
        "$VENV_PYTHON" -m pip install --disable-pip-version-check -c requirements.txt -r "$1"
    else
        PYTHONUNBUFFERED=1 "$VENV_PYTHON" -m pip install --disable-pip-version-check -c requirements.txt -r "$1" |
            _line_per_package
        return "${PIPESTATUS[0]}"
    fi
}

if ! cmp -s requirements.txt .venv/installed-requirements.txt; then
    if [ -f .venv/installed-requirements.txt ]; then
        echo "installing into .venv what is new in requirements.txt"
    else
        echo "installing $(grep -c == requirements.txt) packages and what they need into .venv, torch among them: on Linux"
        echo "about 3 GB to download and 6 GB on the disk (torch with its CUDA libraries, used or not), far less on macOS;"
        echo "three minutes on a fast connection, ten at 5 MB/s. It is done once."
    fi
    _install requirements.txt || {
        echo "error: the packages of requirements.txt could not be installed; see pip's message above." >&2
        exit 2
    }
    cp requirements.txt .venv/installed-requirements.txt
fi

# Installs what not every machine can have, or needs. Arguments: the file, what it is for, what will not work without it.
_install_extra() {
    cmp -s "$1" ".venv/installed-$1" && return
    echo "installing what $2 needs"
    _install "$1" || {
        echo "warning: the packages of $1 could not be installed, see pip's message above: $2" >&2
        echo "($3) will not work here, everything else does; to try again:" >&2
        echo ".venv/bin/pip install -r $1" >&2
    }
    cp "$1" ".venv/installed-$1"
}

_install_extra requirements-abx.txt "ABX scoring" resdavenet_vq/abx.yaml
_install_extra requirements-metrics.txt "comparing images by an ImageNet network" attngan/score.yaml
_install_extra requirements-onnx.txt "writing networks as ONNX" attngan/export_onnx.yaml
_install_extra requirements-browser.txt "testing the pages of servers in a browser" tests/tasks/attngan/serve
_install_extra requirements-language.txt "words and agreement of annotations" visual_vocab/annotate.yaml

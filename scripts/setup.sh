# Sourced by the other scripts: finds a Python, makes .venv, installs requirements.txt when it changed.
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

if ! cmp -s requirements.txt .venv/installed-requirements.txt; then
    echo "installing requirements.txt into .venv (about three minutes the first time)"
    "$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check -r requirements.txt || {
        echo "error: the packages of requirements.txt could not be installed; see pip's message above." >&2
        exit 2
    }
    cp requirements.txt .venv/installed-requirements.txt
fi

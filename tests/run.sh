#!/usr/bin/env bash
# Installs everything the tests need into .venv and runs them all, two files at a time; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

browser=
if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium; } &
        browser=$!  # while pip works
    else
        echo "tests/run.sh: the page's tests need a browser; install Chromium (Debian: apt-get install chromium)" >&2
        exit 1
    fi
fi
[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
# A CI machine is used once: spare its disk, and the time for modules that no test imports.
.venv/bin/pip install --quiet ${CI:+--no-cache-dir --no-compile} -r tests/requirements.txt
if [ -n "$browser" ]; then wait "$browser"; fi
unset PYTHONDONTWRITEBYTECODE  # hundreds of processes would each compile the project's modules
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"  # tests and what they start share the cores; more threads would queue
exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"

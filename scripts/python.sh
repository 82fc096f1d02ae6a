#!/usr/bin/env bash
# Makes the virtual environment .venv with the packages that requirements.lock pins, in a checkout or a distribution.
# If .venv already has them, it does nothing.
#   PYTHON=python3.12 scripts/python.sh    with that interpreter
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1msetup\033[0m %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$1" >&2; exit 2; }

python_fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && python_fits "$candidate"; then python=$candidate; break; fi
  done
fi
[ -n "$python" ] || die "no Python 3.11 to 3.13 found (TensorFlow's wheels end there): apt-get install python3 python3-venv"
python_fits "$python" || die "$python is not Python 3.11 to 3.13; name another with PYTHON=…, or: apt-get install python3 python3-venv"

if [ ! -x .venv/bin/python ] || ! python_fits .venv/bin/python; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || die "$python has no venv module: apt-get install python3-venv"
  say "virtual environment in .venv ($("$python" --version))"
  rm -rf .venv
  "$python" -m venv .venv
fi
stamp=.venv/.gavel-lock
want=$(sha256sum requirements.lock | cut -d' ' -f1)
if [ "$(cat $stamp 2>/dev/null)" != "$want" ]; then
  say "pinned Python packages (about 0.4 GB to fetch, 2.3 GB on disk; a minute or two)"
  .venv/bin/python -m pip install --disable-pip-version-check --no-deps --require-hashes \
    --progress-bar "$([ -t 2 ] && echo on || echo off)" ${CI:+--quiet} -r requirements.lock >&2
  echo "$want" >$stamp
fi

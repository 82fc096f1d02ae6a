#!/usr/bin/env bash
# Builds the binaries into a directory, with the version and commit that --version prints.
#   scripts/build.sh DIRECTORY                       all of them
#   scripts/build.sh DIRECTORY ARGUMENT…             the packages that these arguments of go build name
# scripts/setup.sh must have run once: it finds Go and TensorFlow.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(sed -n 's/^export \(GO[A-Z]*\) := \(.*\)$/export \1="\2"/p' build/go.mk)"
directory=$1
shift
commit=$(git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || true)
mkdir -p "$directory"
[ $# -gt 0 ] || set -- ./cmd/...
"$GO" build -ldflags "-X gavel/internal/process.version=$(cat VERSION) -X gavel/internal/process.commit=$commit" \
  -o "$directory/" "$@"

#!/usr/bin/env bash
# The Go suites under the race detector, then pytest. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(sed -n 's/^export \(GO[A-Z]*\) := \(.*\)$/export \1="\2"/p' build/go.mk)"
"$GO" test -race -timeout 10m ./...
.venv/bin/python -m pytest "$@"

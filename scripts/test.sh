#!/usr/bin/env bash
# The Go suites under the race detector; counts of allocations and memory without it (it makes pools drop items at random, so
# that they are skipped there), then pytest. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(sed -n 's/^export \(GO[A-Z]*\) := \(.*\)$/export \1="\2"/p' build/go.mk)"
# -count=1: go test would keep results of tests that start other programs, whatever those have read meanwhile.
"$GO" test -race -count=1 -timeout 10m ./...
"$GO" test -run "Alloc|TwentyModels" ./internal/{auction,batcher,features,httpd,iso,models,predict,scoring}
.venv/bin/python -m pytest "$@"

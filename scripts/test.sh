#!/usr/bin/env bash
# Runs the Go tests with the race detector, then the tests that count allocations and memory without it, then pytest. Under
# the race detector pools drop items at random, so these tests are skipped there. Arguments go to pytest, for all tests at once.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(sed -n 's/^export \(GO[A-Z]*\) := \(.*\)$/export \1="\2"/p' build/go.mk)"
# -count=1: go test must not cache results of tests that start other programs, since it does not see what those read.
"$GO" test -race -count=1 -timeout 10m ./...
"$GO" test -run "Alloc|TwentyModels" ./internal/{auction,batcher,features,httpd,iso,models,predict,rank/bank,scoring}
if [ $# -gt 0 ]; then
  exec .venv/bin/python -m pytest "$@"
fi
# What only computes, and what ends with a result at any speed, takes all processors, a file each. Other tests that start servers run
# one at a time.
any_speed=(tests/pytrain tests/tuning tests/peers)
.venv/bin/python -m pytest --numprocesses auto --dist loadfile --durations 15 "${any_speed[@]}"
.venv/bin/python -m pytest --durations 15 "${any_speed[@]/#/--ignore=}"

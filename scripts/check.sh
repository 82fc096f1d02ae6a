#!/usr/bin/env bash
# Checks formatting, vet and types. Run it before the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(sed -n 's/^export \(GO[A-Z]*\) := \(.*\)$/export \1="\2"/p' build/go.mk)"
unformatted=$("$("$GO" env GOROOT)/bin/gofmt" -l bench cmd internal tests)
[ -z "$unformatted" ] || { printf 'check: not gofmt-formatted (gofmt -w them):\n%s\n' "$unformatted" >&2; exit 1; }
"$GO" mod verify >/dev/null
"$GO" vet ./...
"$GO" vet -tags tensorflow ./bench/plans/driver
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy

#!/usr/bin/env bash
# Runs each fuzz target of the tree for a while: scripts/fuzz.sh [REGEXP], FUZZTIME=30s a target. REGEXP chooses targets by
# "package:name". Status 1 if one fails; the failing input is then under the package's testdata/fuzz, and go test runs it from
# then on.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(sed -n 's/^export \(GO[A-Z]*\) := \(.*\)$/export \1="\2"/p' build/go.mk)"
failed=()
while IFS=: read -r file name; do
  package=./$(dirname "$file")
  [[ "$package:$name" =~ ${1:-.} ]] || continue
  echo "fuzz: $package $name"
  # A second to minimise an input: by default Go spends a minute on each new one, and runs nothing else meanwhile.
  "$GO" test -run='^$' -fuzz="^$name\$" -fuzztime="${FUZZTIME:-30s}" -fuzzminimizetime=1s "$package" || failed+=("$package:$name")
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' cmd internal | sed 's/func //' | sort)
[ ${#failed[@]} -eq 0 ] || { printf 'fuzz: failed: %s\n' "${failed[@]}" >&2; exit 1; }

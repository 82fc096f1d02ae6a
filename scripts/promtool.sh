#!/usr/bin/env bash
# Prints the path of promtool, which checks Prometheus' rules. If it is not on PATH, this fetches Debian's package
# `prometheus` once (19 MB) and unpacks it into build/promtool. It installs nothing and needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v promtool; then exit; fi
here=$PWD/build/promtool
if [ ! -x "$here/promtool" ]; then
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    { echo "promtool: not on PATH, and this is no Debian: install Prometheus from your system's packages" >&2; exit 2; }
  rm -rf "$here"
  mkdir -p "$here/apt/lists/partial" "$here/apt/cache"
  (
    cd "$here"
    fetch() { apt-get "$@" download prometheus; }
    private=(-o "Dir::State::Lists=$here/apt/lists" -o "Dir::Cache=$here/apt/cache")
    fetch || { apt-get "${private[@]}" update && fetch "${private[@]}"; } # the machine's package lists may be empty or old
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool.new
    chmod +x promtool.new
    mv promtool.new promtool
    rm -rf apt prometheus_*.deb
  ) >&2
fi
echo "$here/promtool"

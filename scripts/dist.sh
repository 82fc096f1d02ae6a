#!/usr/bin/env bash
# Makes a distribution: a folder that runs on another machine, and a tarball of it.
#   scripts/dist.sh [--tar-only] [DIRECTORY]
# --tar-only leaves the tarball uncompressed, which is faster; DIRECTORY is dist/ if not given.
# scripts/setup.sh must have run once. docs/deploy.md lists the content of the distribution.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(sed -n 's/^export \(GO[A-Z]*\) := \(.*\)$/export \1="\2"/p' build/go.mk)"

say() { printf '\033[1mdist\033[0m %s\n' "$*" >&2; }

compress=yes
if [ "${1:-}" = --tar-only ]; then compress=no; shift; fi
out=${1:-dist}
version=$(cat VERSION)
commit=$(git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown)
name=gavel-$version-linux-$(uname -m)
root=$out/$name
rm -rf "$root" "$root.tar" "$root.tar.gz"
mkdir -p "$root"/{lib,var,models,scripts,licences/go,licences/onnxruntime,licences/tensorflow}

say "binaries of $version, commit $commit"
scripts/build.sh bin
mkdir "$root/bin"
for command in cmd/*; do cp "bin/${command#cmd/}" "$root/bin/"; done
scripts/build.sh "$root/bin" -tags dist ./cmd/bidder # the only one that links TensorFlow; its run path is ../lib

# The libraries have 0.8 GB, so use hard links if the file system allows them.
say "the libraries of TensorFlow and onnxruntime"
for library in libtensorflow_cc.so.2 libtensorflow_framework.so.2; do
  file=$(readlink -f "build/tensorflow/$library")
  ln "$file" "$root/lib/$library" 2>/dev/null || cp "$file" "$root/lib/$library"
done
cp -L build/onnxruntime/libonnxruntime.so.1 "$root/lib/" # loaded when the first ONNX model is

say "configuration, pytrain, licences"
printf '%s\n%s\n' "$version" "$commit" >"$root/VERSION"
cp -r configs deploy docs README.md requirements.lock requirements-cluster.lock "$root/"
cp -r models/{ctr,cvr,sale} "$root/models/"
cp scripts/python.sh "$root/scripts/"
find pytrain -name '*.py' | tar -cf - -T - | tar -xf - -C "$root"
mv "$root/deploy/Dockerfile" "$root/"

cp build/tensorflow/THIRD_PARTY_NOTICES.txt "$root/licences/tensorflow/"
cp -L build/onnxruntime/{LICENSE,ThirdPartyNotices.txt} "$root/licences/onnxruntime/"
cp "$("$GO" env GOROOT)/LICENSE" "$root/licences/go/LICENSE"
"$GO" list -deps -f '{{with .Module}}{{if .Version}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/... | sort -u |
  while read -r module release directory; do
    texts=$(find "$directory" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \))
    [ -n "$texts" ] || { echo "dist: $module $release has no licence file in $directory; find out what it is under" >&2; exit 1; }
    mkdir -p "$root/licences/go/$module"
    xargs -d '\n' cp -t "$root/licences/go/$module" <<<"$texts"
    echo "$module $release"
  done >"$root/licences/go/modules.txt"
cp deploy/licences.txt "$root/licences/README.txt"
rm "$root/deploy/licences.txt"
chmod -R u+w,go-w,a+rX "$root"/{licences,configs,deploy,docs,models,pytrain,scripts}

if [ $compress = yes ]; then
  say "$root.tar.gz"
  tar -C "$out" -I 'gzip -1' --owner=0 --group=0 -cf "$root.tar.gz" "$name"
  say "ready: $root.tar.gz ($(du -h "$root.tar.gz" | cut -f1))"
else
  tar -C "$out" --owner=0 --group=0 -cf "$root.tar" "$name"
  say "ready: $root.tar ($(du -h "$root.tar" | cut -f1))"
fi

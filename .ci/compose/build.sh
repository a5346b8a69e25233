#!/usr/bin/env bash
# Builds the pinned Docker Compose from its published Go module, once per version. It validates the compose files and
# needs no engine for that. Prints the folder of `docker-compose`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's|.*docker/compose/v5 v\([0-9.]*\).*|\1|p' "$here/go.mod" | head -n 1)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/topcoins/compose-$version"
if [ ! -x "$folder/docker-compose" ]; then
  mkdir -p "$folder"
  (cd "$here" && CGO_ENABLED=0 go build -ldflags "-X github.com/docker/compose/v5/internal.Version=v$version" \
    -o "$folder/docker-compose.part" github.com/docker/compose/v5/cmd) >&2
  mv "$folder/docker-compose.part" "$folder/docker-compose"
fi
echo "$folder"

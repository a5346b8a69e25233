#!/usr/bin/env bash
# Builds the pinned InfluxDB server from its published Go module, once per version.
# Prints the folder of `influxd`. Takes eight minutes on two cores when the caches are cold.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's|.*influxdata/influxdb/v2 v\([0-9.]*\).*|\1|p' "$here/go.mod" | head -n 1)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/topcoins/influxd-$version"
if [ ! -x "$folder/influxd" ]; then
  mkdir -p "$folder"
  export RUSTUP_TOOLCHAIN=stable RUSTFLAGS="--cap-lints warn" CGO_ENABLED=1
  GOBIN="$folder" go install github.com/influxdata/pkg-config@v0.3.0 >&2
  export PKG_CONFIG="$folder/pkg-config"
  (cd "$here" && go build -tags sqlite_foreign_keys,sqlite_json -o "$folder/influxd.part" \
    github.com/influxdata/influxdb/v2/cmd/influxd) >&2
  mv "$folder/influxd.part" "$folder/influxd"
fi
echo "$folder"

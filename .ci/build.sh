#!/usr/bin/env bash
# Builds a program that the tests run, `influxd`, `compose` or `seaweedfs`, from its published Go module and once per
# version. Prints the folder of the program. Takes up to eight minutes on two cores when the caches are cold.
set -euo pipefail
name=$1
cd "$(dirname "$0")/$name"
read -r module version < <(sed -n 's|^require \(\S*\) v|\1 |p' go.mod)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/topcoins/$name-$version"
export CGO_ENABLED=0
case $name in
  influxd)
    program=influxd package=cmd/influxd flags=(-tags "sqlite_foreign_keys,sqlite_json")
    # Its query engine is in Rust.
    export CGO_ENABLED=1 RUSTUP_TOOLCHAIN=stable RUSTFLAGS="--cap-lints warn" PKG_CONFIG="$folder/pkg-config"
    ;;
  compose) program=docker-compose package=cmd flags=(-ldflags "-X $module/internal.Version=v$version") ;;
  seaweedfs) program=weed package=weed flags=(-ldflags "-s -w") ;;
esac
if [ ! -x "$folder/$program" ]; then
  mkdir -p "$folder"
  [ "$name" != influxd ] || GOBIN="$folder" go install github.com/influxdata/pkg-config@v0.3.0 >&2
  go build "${flags[@]}" -o "$folder/$program.part" "$module/$package" >&2
  mv "$folder/$program.part" "$folder/$program"
fi
echo "$folder"

#!/bin/bash
# Builds the Debian package: package.sh [--build-number N] [--binaries FOLDER]
#
# Leaves target/debian/coco_VERSION_ARCHITECTURE.deb, and prints its path as the last line. With a build number N
# the version is VERSION+N, for a pipeline that builds many of one version. With a FOLDER the programs in it are
# packed, and none is built. The same programs and commit give the same package, byte for byte.
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO_DEB_VERSION=3.8.0
PROGRAMS=(coco anomalous_coco_errors anomalous_coco_send)

build='' binaries=''
while (($#)); do
  case $1 in
    --build-number) build=${2:?a number} ;;
    --binaries) binaries=${2:?a folder} ;;
    *) echo "usage: $0 [--build-number N] [--binaries FOLDER]" >&2 && exit 2 ;;
  esac
  shift 2
done
[[ $build =~ ^[0-9]*$ ]] || { echo "$0: $build is no build number" >&2 && exit 2; }

target=${CARGO_TARGET_DIR:-$PWD/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
export CARGO_TARGET_DIR=$target

# Half a minute without optimisation, and it is quick enough.
cargo_deb=$target/tools/bin/cargo-deb
if [[ $("$cargo_deb" --version 2> /dev/null) != *$CARGO_DEB_VERSION* ]]; then
  env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --no-default-features --force \
    --version "$CARGO_DEB_VERSION" --root "$target/tools" cargo-deb
fi

if [[ -z $binaries ]]; then
  COCO_BUILD=$build cargo build --locked --release --package coco-server --bins
  binaries=$target/release
fi
cargo build --locked --package coco-server --example papers

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
deb_version=$version${build:++$build}-1
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2> /dev/null || stat -c %Y CHANGELOG.md)
export SOURCE_DATE_EPOCH

# A target folder of its own, so that cargo-deb finds what is to be packed and nothing else.
stage=$target/debian/stage
rm -rf "$stage"
mkdir -p "$stage/release"
install -m 755 "${PROGRAMS[@]/#/$binaries/}" "$stage/release"
strip "${PROGRAMS[@]/#/$stage/release/}"
COCO_BUILD=$build "$target/debug/examples/papers" "$stage/release/papers"
gzip -9n "$stage"/release/papers/man/*
gzip -9n > "$stage/release/changelog.Debian.gz" << END
coco ($deb_version) unstable; urgency=medium

  * /usr/share/doc/coco/changelog.gz tells what has changed.

 -- Coco contributors <coco@example.org>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
gzip -9nc CHANGELOG.md > "$stage/release/changelog.gz"

CARGO_TARGET_DIR=$stage "$cargo_deb" --quiet --no-build --locked --no-strip --compress-system \
  --package coco-server --deb-version "$deb_version" --output "$target/debian"
rm -rf "$stage"
echo "$target/debian/coco_${deb_version}_$(dpkg --print-architecture).deb"

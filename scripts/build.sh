#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: sets up, configures where that is not done, and builds
# the targets (default: all) in build/PRESET.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1; shift

scripts/setup.sh
if [ ! -e "build/$preset/build.ninja" ]; then
  echo "build: configuring build/$preset"
  cmake --preset "$preset" >"build/configure-$preset.log" 2>&1 || { cat "build/configure-$preset.log"; exit 1; }
fi
cmake --build "build/$preset" --target "${@:-all}"

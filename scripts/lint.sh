#!/usr/bin/env bash
# The form of the code: format, layers, sizes, clang-tidy over the folders that are named
# (default: src/). Prints what is wrong; exit status 1 if anything is.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

check() {
  local name=$1; shift
  if "$@"; then echo "lint: $name: ok"; else echo "lint: $name: FAILED"; failed=1; fi
}

formatted() {
  git ls-files '*.cpp' '*.h' | xargs .venv/bin/clang-format --dry-run --Werror || {
    echo "run \`make format\`"
    return 1
  }
}

tidy() {
  # Its own compile commands: clang cannot read GCC's precompiled headers.
  cmake --preset release -B build/lint -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >build/configure-lint.log 2>&1 || {
    cat build/configure-lint.log
    return 1
  }
  python3 tools/run_tidy.py build/lint "$@"
}

check format formatted
check layers python3 tools/check_layers.py
check sizes python3 tools/check_sizes.py
check clang-tidy tidy "${@:-src/}"
exit $failed

#!/usr/bin/env bash
# Runs a command with the sanitizers' settings. MLX is not instrumented: it frees and
# grows containers that our code filled, which looks like an overflow. The stack that
# finds uses after return does not keep 64-byte vectors aligned, in GCC 12 for one
# (LLVM's runtime: fixed by its pull request 152819).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export ASAN_OPTIONS="detect_container_overflow=0:strict_string_checks=1:detect_stack_use_after_return=0"
export UBSAN_OPTIONS="print_stacktrace=1"
export LSAN_OPTIONS="suppressions=$root/tools/lsan.supp:print_suppressions=0"
export TSAN_OPTIONS="halt_on_error=1:suppressions=$root/tools/tsan.supp"
exec "$@"

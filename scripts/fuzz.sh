#!/usr/bin/env bash
# fuzz.sh [SECONDS]: runs every target of tests/fuzz that long (default 60) under
# libFuzzer with the address and undefined-behaviour sanitizers. New inputs stay in
# build/fuzz; a crash is kept there, and the exit status is then 1.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}

compiler=$(compgen -c clang++ | grep -E '^clang\+\+(-[0-9]+)?$' | sort -V | tail -1 || true)
if [ -z "$compiler" ]; then
  echo "fuzz: no clang++, which brings libFuzzer; on Debian: apt-get install clang libclang-rt-14-dev" >&2
  exit 1
fi

declare -A sources=(
  [judge_reply]="src/reward/judge_reply.cpp src/reward/judge_json.cpp src/reward/judge.cpp
                 src/reward/judge_data.cpp src/reward/chat_text.cpp src/base/quote.cpp
                 src/base/sha256.cpp"
  [chat_reply]="src/reward/chat_reply.cpp src/reward/chat_endpoint.cpp src/reward/chat_text.cpp
                src/reward/teacher_rate.cpp src/reward/teacher_retry.cpp src/base/http.cpp src/base/curl_transfer.cpp
                src/base/http_url.cpp src/base/secret.cpp"
  [tasks]="src/data/tasks.cpp src/data/jsonl.cpp src/data/task_formats.cpp
           src/data/python_calls.cpp src/data/program_tests.cpp src/data/language.cpp src/formats/input_file.cpp"
)

run() {
  local name=$1 folder=build/fuzz/$1
  mkdir -p "$folder/corpus" "$folder/crashes"
  echo "fuzz: building $name with $compiler"
  # shellcheck disable=SC2086
  "$compiler" -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    -Isrc -DPUPIL_VERSION='"fuzz"' "tests/fuzz/${name}_fuzz.cpp" ${sources[$name]} -lcurl -lcrypto \
    -o "$folder/fuzz"
  "$folder/fuzz" "$folder/corpus" "tests/fuzz/corpus/$name" -max_total_time="$seconds" \
    -timeout=10 -rss_limit_mb=1024 -max_len=65536 -artifact_prefix="$folder/crashes/" \
    -print_final_stats=1 2>"$folder/log" || { tail -40 "$folder/log"; return 1; }
  grep -E 'number_of_executed_units|peak_rss_mb|^Done' "$folder/log" | sed "s/^/fuzz: $name: /"
}

failed=0
for name in judge_reply chat_reply tasks; do run "$name" || failed=1; done
exit $failed

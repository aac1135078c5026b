#!/usr/bin/env bash
# Builds the CPU kernels and their check for arm64 and runs it under QEMU, as a processor
# without dot products, one with them, and one with all that QEMU knows. Where this
# machine is an x86-64, its own kernels must give the same bits. Needs Debian's
# g++-aarch64-linux-gnu and qemu-user-static; says so and ends well where they are not.
set -euo pipefail
cd "$(dirname "$0")/.."
compiler=aarch64-linux-gnu-g++
out=build/arm64

skip() { echo "arm64: SKIPPED: $*"; exit 0; }

case $(uname -m) in aarch64 | arm64) skip "this is one: make test runs its kernels" ;; esac
command -v $compiler >/dev/null || skip "no $compiler (apt: g++-aarch64-linux-gnu)"
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || skip "no qemu-aarch64 (apt: qemu-user-static)"

# build FOLDER [CMAKE OPTION...]
build() {
  local folder=$1; shift
  cmake -S tests/kernels -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; exit 1; }
  cmake --build "$folder" >"$folder.log" 2>&1 || { cat "$folder.log"; exit 1; }
}

# The hashes of results and the names of the tables they came from.
report() { echo "arm64: $1: $(sed 's/:.*//' "$2" | paste -sd' ')"; }

mkdir -p $out
build $out/target -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=$compiler -DCMAKE_EXE_LINKER_FLAGS=-static
build $out/host
for cpu in cortex-a57 neoverse-n1 max; do
  "$qemu" -cpu $cpu $out/target/kernel_check >$out/$cpu.hashes 2>$out/$cpu.tables || { cat $out/$cpu.tables; exit 1; }
  report "$cpu (emulated)" $out/$cpu.tables
done
$out/host/kernel_check >$out/host.hashes 2>$out/host.tables || { cat $out/host.tables; exit 1; }
report "this machine" $out/host.tables
grep -q '^fused' $out/host.hashes || skip "this machine has no fused multiply-add to compare with"
for cpu in cortex-a57 neoverse-n1 max; do
  diff <(sort $out/host.hashes) <(sort $out/$cpu.hashes) || { echo "arm64: $cpu: other bits than here"; exit 1; }
done
echo "arm64: the same bits in $(wc -l <$out/max.hashes) cases"

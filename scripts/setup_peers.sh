#!/usr/bin/env bash
# Installs the programs that tests compare Pupil with, in build/peers: those of
# requirements-peers.txt, and with the argument `long` those of requirements-peers-long.txt
# as well. Where that fails the tests that need them are skipped, and this says so.
set -euo pipefail
cd "$(dirname "$0")/.."

files=(requirements-peers.txt)
if [ "${1:-}" = long ]; then files+=(requirements-peers-long.txt); fi
stamp=build/peers/$(cat "${files[@]}" | cksum | cut -d' ' -f1)
[ -e "$stamp" ] && exit
echo "setup: installing what ${files[*]} name in build/peers, to compare with"
install() {
  python3 -m venv build/peers &&
    build/peers/bin/python -m pip install --quiet --disable-pip-version-check \
      "${files[@]/#/--requirement=}"
}
if install; then
  touch "$stamp"
else
  echo "setup: WARNING: that failed, for the reason above. Nothing will be compared with other" \
    "programs: ctest shows the tests interchange.* as skipped, and passes without them" >&2
fi

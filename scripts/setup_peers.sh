#!/usr/bin/env bash
# Installs the programs that tests compare Pupil with, pinned in requirements-peers.txt, in
# build/peers. Where that fails those tests are skipped, and this says so.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=build/peers/$(cksum <requirements-peers.txt | cut -d' ' -f1)
[ -e "$stamp" ] && exit
echo "setup: installing mlx-lm in build/peers, to compare with"
install() {
  python3 -m venv build/peers &&
    build/peers/bin/python -m pip install --quiet --disable-pip-version-check \
      -r requirements-peers.txt
}
if install; then
  touch "$stamp"
else
  echo "setup: mlx-lm is not here; tests that compare with it are skipped" >&2
fi

#!/usr/bin/env bash
# Runs a script with the Python that has the programs to compare with: PUPIL_MLX_LM_PYTHON,
# else that of scripts/setup_peers.sh, else the system's, with which such scripts say what is
# missing.
set -euo pipefail
ours=$(cd "$(dirname "$0")/.." && pwd)/build/peers/bin/python
[ -x "$ours" ] || ours=python3
exec "${PUPIL_MLX_LM_PYTHON:-$ours}" "$@"

#!/usr/bin/env bash
# The demo: fetches the default student, converts it and trains it on the project's own
# tasks. What is done already is not done again; each call is a new run.
set -euo pipefail
cd "$(dirname "$0")/.."

PUPIL=build/release/pupil
MODEL=mlx_model/smollm2-135m-q4

scripts/fetch_student.sh
if [ ! -e "$MODEL/config.json" ]; then
  "$PUPIL" convert --from models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --to "$MODEL"
fi
exec "$PUPIL" train -c configs/demo.yaml --logging.run_dir="runs/demo-$(date +%Y%m%d-%H%M%S)" "$@"

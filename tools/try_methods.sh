#!/usr/bin/env bash
# try_methods.sh [NAME...]: one run of each family of methods on the demo's tasks, 20 steps
# each, into runs/methods/NAME. Runs that are there are not repeated.
#
#   grpo                       the demo's own settings
#   rloo gspo reinforce_pp     the policy gradient by other estimators
#   online_dpo                 pairs of the best and worst answer of each group
#   sft                        imitates the student's own good answers (reward >= 1)
#   dpo                        pairs of the student's own answers, from a file
set -euo pipefail
cd "$(dirname "$0")/.."
PUPIL=${PUPIL:-build/release/pupil}
OUT=runs/methods

train() {
  local name=$1
  shift
  [ -e "$OUT/$name/metrics.jsonl" ] && return
  "$PUPIL" train -c configs/demo.yaml --train.eval_samples=8 --logging.run_dir="$OUT/$name" "$@"
}

answers() {
  mkdir -p "$OUT"
  [ -e "$OUT/$1.jsonl" ] && return
  "$PUPIL" collect -c configs/demo.yaml --out "$OUT/$1.jsonl" "${@:2}"
}

try() {
  local given=(--train.loss_type=null --train.prompts_per_step=32 --train.learning_rate=1.0e-4)
  case $1 in
    grpo) train grpo ;;
    rloo) train rloo --train.method=rloo --train.loss_type=null ;;
    gspo) train gspo --train.method=gspo --train.loss_type=null ;;
    reinforce_pp) train reinforce_pp --train.method=reinforce_pp --train.loss_type=null ;;
    online_dpo) train online_dpo --train.method=online_dpo --train.loss_type=null --train.learning_rate=1.0e-4 ;;
    sft)
      answers good --min-reward 1
      train sft --train.method=sft --data.train="$OUT/good.jsonl" --data.mask_prompt=true "${given[@]}"
      ;;
    dpo)
      answers pairs --pairs
      train dpo --train.method=dpo --data.train="$OUT/pairs.jsonl" "${given[@]}"
      ;;
    *) echo "try_methods: no method is called $1" >&2; return 1 ;;
  esac
}

for name in "${@:-grpo}"; do try "$name"; done

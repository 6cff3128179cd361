#!/usr/bin/env bash
# Makes this folder's leaderboard: router trained on ASDiv-A folds 0 to 2, tested on fold 3.
# usage: docs/results/asdiv-first/run.sh DATA_DIR WORK_DIR   (from the project's root, after make install)
set -euo pipefail
data=$(realpath "${1:?the folder with asdiv_a_fold0.jsonl to asdiv_a_fold3.jsonl}")
work=${2:?a folder for outcomes, router and results}
bin=${BIN:-.venv/bin}
model=smollm2-135m-instruct
task=asdiv_pass_at_n_fewshot
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

"$bin/sprint-eval" sweep --model $model --task $task --metadata "data_dir=$data" --pool '5/15/25:*' \
  --limit 160 --dtype bfloat16 --out "$work/outcomes"
"$bin/sprint-eval" train-router "$work/outcomes" --out "$work/router"
best=$("$bin/python" -c "
from sprint_eval import Outcomes
from sprint_eval.routing import best_single_head
print(best_single_head(Outcomes.load('$work/outcomes')))")

evaluate() { # NAME MODEL MODEL_ARGS N [MORE]
  local out="$work/results/$1"
  ls "$out"/*/results_*.json >/dev/null 2>&1 && return
  "$bin/lm_eval" --model "$2" --model_args "$3" --tasks $task --metadata "n=$4,data_dir=$data" \
    --device cpu --batch_size 32 --log_samples --output_path "$out" "${@:5}"
}
folder=$("$bin/sprint-eval" model $model)
evaluate hf-greedy hf "pretrained=$folder,dtype=bfloat16" 1
evaluate sprint-router sprint-router "pretrained=$model,dtype=bfloat16,router=$work/router" 4
evaluate random-heads random-heads "pretrained=$model,dtype=bfloat16,outcomes=$work/outcomes" 4
evaluate best-head pruned-head "pretrained=$model,dtype=bfloat16,heads=$best" 4
# The base, sampled by the built-in engine: hf would compute the worked examples anew for each of 948 draws.
evaluate sampling pruned-head "pretrained=$model,dtype=bfloat16,heads=base" 4 \
  --gen_kwargs do_sample=True,temperature=0.6,top_k=40,top_p=0.95

"$bin/sprint-eval" leaderboard "$work/results" --out "$work/site"

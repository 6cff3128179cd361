#!/usr/bin/env bash
# Everything behind docs/results/router-smollm2, by its protocol.md. Hours on two cores; every step resumes.
# Usage: DATA=folder-of-the-data benchmarks/router_evidence.sh [WORK] [SETTING…]   (all settings unless named)
#   rg-base rg-tuned asdiv-base asdiv-tuned gsm8k-tuned; mixed-rg-base mixed-rg-tuned by protocol-mixed.md if named
#   PROCESSES=2   that share each step, on OMP_NUM_THREADS=1 each
#   ONLY=seconds  trains and times the routers, and decodes no test
#   RESULTS=DIR   for tables and figures, instead of the published ones in docs/results/router-smollm2
#   DTYPE=float32 instead of the protocol's bfloat16, for processors without bfloat16 arithmetic (20 times slower there)
set -euo pipefail
data=$(realpath "${DATA:?the folder with asdiv_a_fold0.jsonl … and gsm8k_train.jsonl …}")
work=${1:-runs/router}
shift || true
bin=${BIN:-.venv/bin}
here=$(dirname "$0")
results=${RESULTS:-$here/../docs/results/router-smollm2}
mkdir -p "$results"
pool='5/10/15/20/25:*'
base=smollm2-135m-instruct
tuned=$work/tuned/teacher
dtype=${DTYPE:-bfloat16}
mixed=$([ "$dtype" = bfloat16 ] && echo bf16 || echo no)
cores=$(env -u OMP_NUM_THREADS nproc) # which heeds that variable
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
several=("$bin/torchrun" --nproc_per_node "${PROCESSES:-2}" -m)

setting() { # NAME MODEL TASK TRAIN_LIMIT TEST_LIMIT TRAIN_METADATA TEST_METADATA [FEWSHOT]
  local name=$1 model=$2 task=$3 train=$4 test=$5 shots=()
  [ -z "${8:-}" ] || shots=(--num-fewshot "$8")
  "${several[@]}" sprint_eval sweep --model "$model" --task "$task" --metadata "$6" --pool "$pool" "${shots[@]}" \
    ${train:+--limit "$train"} --dtype "$dtype" --cells-at-once 2048 --out "$work/$name/outcomes"
  for seed in 0 1 2; do
    [ -f "$work/$name/router-$seed/router.json" ] ||
      "$bin/sprint-eval" train-router "$work/$name/outcomes" --seed $seed --embedder-dtype float32 \
        --out "$work/$name/router-$seed"
  done
  if [ ! -f "$work/$name/seconds.json" ]; then # each method alone, on all cores; the embedder as it is by default
    "$bin/sprint-eval" train-router "$work/$name/outcomes" --out "$work/$name/router-default"
    OMP_NUM_THREADS=$cores "$bin/python" "$here/router_seconds.py" --model "$model" --dtype "$dtype" \
      --task "$task" --metadata "$7" ${8:+--num-fewshot "$8"} --outcomes "$work/$name/outcomes" --router "$work/$name/router-default" \
      --out "$work/$name/seconds.json"
  fi
  for kind in json md; do cp "$work/$name/seconds.$kind" "$results/seconds-$name.$kind"; done
  [ "${ONLY:-}" != seconds ] || return 0
  [ -z "${8:-}" ] || shots=(-- --num_fewshot "$8")
  local common=(--model "$model" --tasks "$task" --n 8 --outcomes "$work/$name/outcomes" --metadata "$7")
  local whole=("${common[@]}" --out "$work/$name/compare" --router "$work/$name"/router-{0,1,2}
    ${test:+--limit "$test"} --processes "${PROCESSES:-2}")
  "$bin/sprint-eval" compare "${whole[@]}" --model_args "dtype=$dtype" --methods oracle greedy best "${shots[@]}"
  "$bin/sprint-eval" compare "${whole[@]}" --model_args "dtype=$dtype,score=base_logprob" --seeds 0 1 2 \
    --methods random cover nearest coverage "${shots[@]}"
  "$bin/sprint-eval" compare "${whole[@]}" --model_args "dtype=$dtype,score=base_logprob" \
    --methods sample:0.1 sample:0.6 sample:0.9 "${shots[@]}"
  "$bin/python" "$here/router_signal.py" "$work/$name/outcomes" --test "$work/$name/compare/oracle/$task" \
    --out "$results/signal-$name.json"
  cp "$work/$name/compare/figure4.png" "$results/figure4-$name.png"
  tables+=("$name=$work/$name/compare/results/$task")
}

rg=rg_math_pass_at_n_fewshot
mixed() { # NAME MODEL: heads and draws among the candidates, on test questions that the other settings leave
  local name=$1 model=$2 candidates="base/$pool" sizes=train_size=1200,test_size=2000 t d
  for t in 0.6 0.9; do for d in 1 2 3 4 5 6 7 8; do candidates+="/base~T${t}K40P0.95D$d"; done; done
  "${several[@]}" sprint_eval sweep --model "$model" --task $rg --metadata $sizes --pool "$candidates" --limit 600 \
    --dtype "$dtype" --cells-at-once 2048 --out "$work/$name/outcomes"
  for seed in 0 1 2; do
    [ -f "$work/$name/router-$seed/router.json" ] ||
      "$bin/sprint-eval" train-router "$work/$name/outcomes" --seed $seed --embedder-dtype float32 \
        --selection mixed --out "$work/$name/router-$seed"
  done
  local fresh
  fresh=$("$bin/python" "$here/fresh_questions.py" $rg --train-size 1200 --used 1000 --of 2000)
  "$bin/sprint-eval" compare --model "$model" --tasks $rg --n 8 --outcomes "$work/$name/outcomes" --metadata $sizes \
    --out "$work/$name/compare" --router "$work/$name"/router-{0,1,2} --seeds 0 1 2 --processes "${PROCESSES:-2}" \
    --model_args "dtype=$dtype" \
    --methods greedy sample:0.6 sample:0.9 cover mixed-cover mixed -- --samples "$fresh"
  "$bin/python" "$here/mixed_table.py" "$name=$work/$name" --out "$results"
  cp "$work/$name/compare/figure4.png" "$results/figure4-$name.png"
}

"$bin/python" "$here/router_split.py" "$data" "$work/halves"
asdiv=asdiv_pass_at_n_fewshot
fold3=$data/asdiv_a_fold3.jsonl
tuning="train_file=$work/halves/tune.jsonl,test_file=$fold3"
route="train_file=$work/halves/route.jsonl,test_file=$fold3"
tune() { # the teacher alone is wanted: nothing to speak of is pruned
  [ -f "$tuned/config.json" ] ||
    OMP_NUM_THREADS=$cores "$bin/sprint-eval" distill --model $base --task $asdiv --num-fewshot 0 --metadata "$tuning" \
      --ratio 0.004 --rounds 1 --no-training --no-speed --mixed-precision "$mixed" --out "$work/tuned"
}

tables=()
[ $# -gt 0 ] || set -- rg-base rg-tuned asdiv-base asdiv-tuned gsm8k-tuned
for name in "$@"; do
  case $name in *-tuned) tune ;; esac
  case $name in
    rg-base) setting "$name" $base $rg 600 1000 train_size=1200 test_size=1000 ;;
    rg-tuned) setting "$name" "$tuned" $rg 600 1000 train_size=1200 test_size=1000 ;;
    asdiv-base) setting "$name" $base $asdiv '' '' "$route" "$route" ;;
    asdiv-tuned) setting "$name" "$tuned" $asdiv '' '' "$route" "$route" 0 ;;
    gsm8k-tuned) setting "$name" "$tuned" gsm8k_pass_at_n_fewshot 300 200 "data_dir=$data" "data_dir=$data" 0 ;;
    mixed-rg-base) mixed "$name" $base ;;
    mixed-rg-tuned) mixed "$name" "$tuned" ;;
    *) echo "no setting $name" >&2; exit 2 ;;
  esac
done
[ ${#tables[@]} -eq 0 ] || "$bin/python" "$here/router_table.py" "${tables[@]}" --out "$results"

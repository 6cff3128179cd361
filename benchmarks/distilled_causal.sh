#!/bin/bash
# The causal score beside others at 25 % of heads, from few questions and from enough to be fair to it: the runs behind
# docs/results/distilled-*/causal. The teacher is that of distilled_evidence.sh, made here where it is not there yet.
# Usage: DATA=folder-of-asdiv-files benchmarks/distilled_causal.sh asdiv|rg_math [runs]
#   QUESTIONS="32 200"   of the outcome matrices that heads are scored from
#   PROCESSES=2          that decode a matrix
set -eu
. "$(dirname "$0")/distilled_common.sh"
OUT=$OUT/causal
TEACHER=$RUNS/s0/teacher
ROWS=() PAIRS=()
point() { # name, label, options: trained for a round, and not at all
    local name=$1 label=$2; shift 2
    for training in trained untrained; do
        local options=() run=causal-$training-$name
        [ $training = trained ] || options=(--no-training)
        distill "$run" "$SMALL" --teacher "$TEACHER" "${SETTINGS[@]}" --batch-size 16 --ratio 0.25 --rounds 1 \
            --refresh-every 4 "${options[@]}" "$@"
        evaluate "$run" "$SMALL_TEST" distilled-pruned "pretrained=$RUNS/$run/student,dtype=$DTYPE"
        ROWS+=("$label, $training=$RUNS/$run:$RUNS/results/$run")
    done
    python benchmarks/distilled_table.py --teacher "$RUNS/results/teacher-small" --out "$OUT" "${PAIRS[@]}" "${ROWS[@]}"
}

if [ ! -f "$TEACHER/config.json" ]; then # nothing to speak of is pruned: the teacher alone is wanted
    distill causal-teacher "$TRAIN" "${SETTINGS[@]}" --ratio 0.004 --rounds 1 --no-training
    TEACHER=$RUNS/causal-teacher/teacher
fi
evaluate teacher-small "$SMALL_TEST" hf "pretrained=$TEACHER,dtype=$DTYPE" --batch_size 32
point taylor "first order" --score taylor
point diffuse "dpkd, alpha 0.5, diffuse" --score dpkd --direction diffuse
for questions in ${QUESTIONS:-32 200}; do
    nice torchrun --nproc_per_node "${PROCESSES:-2}" -m sprint_eval sweep --model "$TEACHER" --task "$TASK" \
        --num-fewshot 0 --metadata "$META" --dtype "$DTYPE" --pool '*:*' --limit "$questions" --cells-at-once 2048 \
        --out "$RUNS/outcomes-$questions"
    for training in trained untrained; do
        PAIRS+=(--pair "first order, $training" "causal, $questions questions, $training")
    done
    point "$questions" "causal, $questions questions" --score causal --outcomes "$RUNS/outcomes-$questions"
done

#!/bin/bash
# Every run behind docs/results/distilled-*: the teacher, five ratios, the ablations. The most important comes first,
# the table is written anew after each part, and a run that was stopped goes on where it was.
# Usage: DATA=folder-of-asdiv-files benchmarks/distilled_evidence.sh asdiv|rg_math [runs]
#   SEEDS="0 1 2"   of the headline comparison, 0 first
#   PARTS="headline control ffn ablations"
#   SCORE="--score taylor"   what heads are chosen by, but for the ablations of just that
#   TRAIN, SMALL    training questions of the headline and of an ablation; TEST, SMALL_TEST of the tests
set -eu
. "$(dirname "$0")/distilled_common.sh"
SEEDS=${SEEDS:-0 1 2} PARTS=${PARTS:-headline control ffn ablations}
# The score, too, is that of the least perplexity on held-out training questions.
read -r -a SCORE <<<"${SCORE:---score taylor}"
STAGES=0.1/0.2/0.25/0.3/0.4
PLACES=("10 %:round-1" "20 %:round-2" "25 %:round-3" "30 %:round-4" "40 %:student")
ABLATIONS=() EXTRA=()
PAIRS=(--pair "25 %, pruning only" "25 %, one round"
    --pair "25 %, one round of pruning and fine-tuning" "25 %, one round"
    --pair "25 %, one round" "25 %, three rounds of an epoch"
    --pair "25 %, one round of three epochs" "25 %, three rounds of an epoch"
    --pair "1.5 %, trained as long as 30 %" "30 %" --pair "1.5 %, trained as long as 30 %" "30 %, and neurons")

table() {
    local rows=() place seed folder runs
    for place in "${PLACES[@]}"; do
        folder=${place#*:} runs=
        for seed in $SEEDS; do
            [ ! -d "$RUNS/results/s$seed-$folder" ] || runs+=",$RUNS/s$seed/$folder:$RUNS/results/s$seed-$folder"
        done
        [ -z "$runs" ] || rows+=("${place%%:*}=${runs#,}")
    done
    python benchmarks/distilled_table.py --teacher "$RUNS/results/teacher" --out "$OUT" "${PAIRS[@]}" \
        "${rows[@]}" "${EXTRA[@]}" "${ABLATIONS[@]}"
    python benchmarks/distilled_picture.py "$OUT"
}
ablation() { # name, label, options
    local name=$1 label=$2; shift 2
    distill "$name" "$SMALL" --teacher "$RUNS/s0/teacher" "${SETTINGS[@]}" --batch-size 16 --ratio 0.25 \
        --refresh-every 4 "$@"
    evaluate "$name" "$SMALL_TEST" distilled-pruned "pretrained=$RUNS/$name/student,dtype=$DTYPE"
    ABLATIONS+=("25 %, $label=$RUNS/$name:$RUNS/results/$name")
    table
}

for seed in $SEEDS; do
    taught=(--teacher "$RUNS/s0/teacher" --seed "$seed")
    [ "$seed" != 0 ] || taught=()
    distill "s$seed" "$TRAIN" "${SETTINGS[@]}" "${SCORE[@]}" --stages "$STAGES" "${taught[@]}"
    [ "$seed" != 0 ] || evaluate teacher "$TEST" hf "pretrained=$RUNS/s0/teacher,dtype=$DTYPE" --batch_size 32
    for place in "${PLACES[@]}"; do
        folder=${place#*:}
        evaluate "s$seed-$folder" "$TEST" distilled-pruned "pretrained=$RUNS/s$seed/$folder,dtype=$DTYPE"
    done
    if [ "$seed" = 0 ]; then
        evaluate int8 "$TEST" distilled-pruned "pretrained=$RUNS/s0/round-4,dtype=float32,quantize=int8" --device cpu
        EXTRA=("30 %, int8=:$RUNS/results/int8")
    fi
    table
done
case " $PARTS " in *" control "*) # what as many epochs on top of the teacher's do with next to nothing pruned
    distill control "$TRAIN" "${SETTINGS[@]}" "${SCORE[@]}" --teacher "$RUNS/s0/teacher" --stages 0.004/0.008/0.012/0.015
    evaluate control "$TEST" distilled-pruned "pretrained=$RUNS/control/student,dtype=$DTYPE"
    EXTRA+=("1.5 %, trained as long as 30 %=$RUNS/control:$RUNS/results/control")
    table
esac
case " $PARTS " in *" ffn "*)
    distill ffn "$TRAIN" "${SETTINGS[@]}" "${SCORE[@]}" --teacher "$RUNS/s0/teacher" --stages 0.1/0.2/0.25/0.3 --also ffn
    evaluate ffn "$TEST" distilled-pruned "pretrained=$RUNS/ffn/student,dtype=$DTYPE"
    EXTRA+=("30 %, and neurons=$RUNS/ffn:$RUNS/results/ffn")
    table
esac
case " $PARTS " in *" ablations "*)
    ablation one "one round" --rounds 1 "${SCORE[@]}"
    ablation only "pruning only" --rounds 1 --no-training "${SCORE[@]}"
    ablation task "one round of pruning and fine-tuning" --rounds 1 --distill-weight 0 "${SCORE[@]}"
    ablation recursive "three rounds of an epoch" --rounds 3 "${SCORE[@]}"
    ablation long "one round of three epochs" --rounds 1 --epochs 3 "${SCORE[@]}"
    for alpha in 0.5 0 0.3 0.7; do
        for direction in focused diffuse; do
            ablation "a$alpha-$direction" "one round, alpha $alpha $direction" --rounds 1 --score dpkd \
                --alpha "$alpha" --direction "$direction"
        done
    done
    ablation a1 "one round, alpha 1" --rounds 1 --score dpkd --alpha 1
    if [ ! -f "$RUNS/outcomes/done" ]; then
        nice sprint-eval sweep --model "$RUNS/s0/teacher" --task "$TASK" --num-fewshot 0 --metadata "$META" \
            --dtype "$DTYPE" --pool '*:*' --limit "${SWEEP:-32}" --out "$RUNS/outcomes"
        touch "$RUNS/outcomes/done"
    fi
    ablation causal "one round, causal" --rounds 1 --score causal --outcomes "$RUNS/outcomes"
esac

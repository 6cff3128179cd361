#!/bin/bash
# Every run behind docs/results/distilled-*: the teacher, the ratios, the ablations. About three hours on two cores.
# Usage: DATA=folder-of-asdiv-files benchmarks/distilled_evidence.sh asdiv|rg_math [runs] ; each run goes on where it stopped.
set -eu
SETTING=${1:?asdiv or rg_math}
RUNS=${2:-runs}/distilled-$SETTING
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
MODEL=smollm2-135m-instruct
TASK=${SETTING}_pass_at_n_fewshot
if [ "$SETTING" = asdiv ]; then
    META="{\"data_dir\": \"${DATA:?folder with asdiv_a_fold0.jsonl …}\", \"n\": 1}"
else
    META='{"train_size": 4000, "test_size": 2000, "n": 1}'
fi
COMMON=(--task "$TASK" --num-fewshot 0 --metadata "$META" --mixed-precision bf16 --no-speed)
SMALL=(--ratio 0.25 --limit 320)

distill() { # name, options
    local name=$1; shift
    [ -f "$RUNS/$name/report.md" ] || nice sprint-eval distill --model "$MODEL" "${COMMON[@]}" --out "$RUNS/$name" "$@"
}
evaluate() { # label, lm_eval model, checkpoint, further model arguments
    [ -d "$RUNS/results/$1" ] || nice lm_eval --model "$2" --model_args "pretrained=$3,dtype=float32${4:-}" --tasks "$TASK" \
        --num_fewshot 0 --metadata "$META" --batch_size 32 --log_samples --output_path "$RUNS/results/$1"
}

distill r30 --ratio 0.3 --rounds 3
evaluate teacher hf "$RUNS/r30/teacher"
evaluate r10 distilled-pruned "$RUNS/r30/round-1"
evaluate r20 distilled-pruned "$RUNS/r30/round-2"
evaluate r30 distilled-pruned "$RUNS/r30/student"
evaluate r30-int8 distilled-pruned "$RUNS/r30/student" ,quantize=int8
TABLE=("10 %=$RUNS/r30/round-1:$RUNS/results/r10" "20 %=$RUNS/r30/round-2:$RUNS/results/r20"
    "30 %=$RUNS/r30:$RUNS/results/r30" "30 %, int8=$RUNS/r30:$RUNS/results/r30-int8")

point() { # name, label, options
    local name=$1 label=$2; shift 2
    distill "$name" --teacher "$RUNS/r30/teacher" "$@"
    evaluate "$name" distilled-pruned "$RUNS/$name/student"
    TABLE+=("$label=$RUNS/$name:$RUNS/results/$name")
}
if [ "${QUICK:-}" != 1 ]; then
    point r25 "25 %" --ratio 0.25 --rounds 3
    point r40 "40 %" --ratio 0.4 --rounds 4
    for seed in 1 2; do point "r30-s$seed" "30 %, seed $seed" --ratio 0.3 --rounds 3 --seed "$seed"; done
    for alpha in 0 0.3 0.5 0.7 1; do
        point "a$alpha" "25 %, alpha $alpha" "${SMALL[@]}" --rounds 1 --alpha "$alpha"
    done
    point diffuse "25 %, alpha 0.5, diffuse" "${SMALL[@]}" --rounds 1 --direction diffuse
    point only "25 %, pruning only" "${SMALL[@]}" --rounds 1 --no-training
    point task "25 %, pruning and fine-tuning" "${SMALL[@]}" --rounds 1 --distill-weight 0
    point recursive "25 %, recursive" "${SMALL[@]}" --rounds 3
    point taylor "25 %, taylor" "${SMALL[@]}" --rounds 1 --score taylor
    [ -f "$RUNS/outcomes/manifest.json" ] || nice sprint-eval sweep --model "$RUNS/r30/teacher" --task "$TASK" --num-fewshot 0 \
        --metadata "$META" --pool '*:*' --limit 64 --out "$RUNS/outcomes"
    point causal "25 %, causal" "${SMALL[@]}" --rounds 1 --score causal --outcomes "$RUNS/outcomes"
    point ffn "30 %, and neurons" --ratio 0.3 --rounds 3 --also ffn
fi
python benchmarks/distilled_table.py --teacher "$RUNS/results/teacher" --out "docs/results/distilled-$SETTING" "${TABLE[@]}"
cp "$RUNS/r30/report.md" "$RUNS/r30/report.json" "docs/results/distilled-$SETTING/"

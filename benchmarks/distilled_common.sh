# shellcheck shell=bash disable=SC2034
# What the scripts of docs/results/distilled-* share; they source it with: asdiv|rg_math [runs].
SETTING=${1:?asdiv or rg_math}
RUNS=${2:-runs}/distilled-$SETTING
OUT=docs/results/distilled-$SETTING
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
MODEL=smollm2-135m-instruct
# Learning rates are those of the least perplexity on held-out training questions: the README of the results.
TASK=${SETTING}_pass_at_n_fewshot
if [ "$SETTING" = asdiv ]; then
    META="{\"data_dir\": \"${DATA:?folder with asdiv_a_fold0.jsonl …}\", \"n\": 1}"
    TRAIN=${TRAIN:-352} SMALL=${SMALL:-160} TEST=${TEST:-10000} SMALL_TEST=${SMALL_TEST:-10000}
    SETTINGS=(--batch-size 16 --teacher-lr 1e-4 --lr 3e-5)
else
    META='{"train_size": 4000, "test_size": 2000, "n": 1}'
    TRAIN=${TRAIN:-640} SMALL=${SMALL:-224} TEST=${TEST:-2000} SMALL_TEST=${SMALL_TEST:-600}
    SETTINGS=(--batch-size 32 --teacher-lr 2e-4 --lr 3e-5)
fi
DTYPE=${DTYPE:-bfloat16}

distill() { # name, training questions, options
    local name=$1 limit=$2; shift 2
    [ -f "$RUNS/$name/report.md" ] || nice sprint-eval distill --model "$MODEL" --task "$TASK" --num-fewshot 0 \
        --metadata "$META" --mixed-precision bf16 --no-speed --limit "$limit" --out "$RUNS/$name" "$@"
    mkdir -p "$OUT/reports" && cp "$RUNS/$name/report.md" "$OUT/reports/$name.md"
}
evaluate() { # label, test questions, lm_eval model, model arguments, options
    local to=$RUNS/results/$1
    [ -n "$(find "$to" -name 'samples_*.jsonl' 2>/dev/null)" ] || nice lm_eval --model "$3" --model_args "$4" --tasks "$TASK" \
        --num_fewshot 0 --metadata "$META" --limit "$2" "${@:5}" --log_samples --output_path "$to"
}

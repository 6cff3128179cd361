"""Can outcomes be predicted from the question at all, and what would better prediction be worth?

    python benchmarks/router_signal.py OUTCOMES --test ORACLE_RESULTS --out signal.json

``OUTCOMES`` is the training questions' matrix, ``ORACLE_RESULTS`` the folder of ``compare``'s oracle run
of the task, whose samples hold every head's answer to every test question. Three things come out:

1. *Signal*: AUC of predicted against true outcomes, out of fold on the training questions and on the test.
   ``within question`` compares heads of one question, which takes the question's difficulty out;
   ``beyond averages`` compares what is left after the head's and the question's mean prediction, too
   (within a fold: what a fold's model thinks of a head on average goes against the fold's own outcomes).
2. *Worth*: Pass@N of a made-up predictor whose scores tell a question's solving heads from its failing
   ones with a given AUC: what routing would gain if the signal were there.
3. *Control*: routers trained on shuffled rows of Z, on the test. Shuffling keeps how good each head is on
   average and takes away what it is good at: ``shuffled - random`` is worth of the averages alone,
   ``true - shuffled`` is worth of looking at the question.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm, rankdata

from sprint_eval.files import write_json
from sprint_eval.leaderboards.reader import read_runs
from sprint_eval.leaderboards.statistics import Resampling, holm, percentile_interval, permutation_p
from sprint_eval.outcomes import Outcomes
from sprint_eval.routing import RouterConfig, SentenceEmbedder, random_heads_draw, train_router
from sprint_eval.routing.solve_model import fit_solve_model
from sprint_eval.routing.training_data import key_groups, single_head_columns, split_groups

AUCS = (0.5, 0.55, 0.6, 0.7, 0.8, 0.9)
DRAWS = 20
DTYPE = "float32"  # what router_evidence.sh trains its routers in, on any processor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    outcomes = Outcomes.load(args.outcomes)
    questions, keys, z_test = test_matrix(args.test, len(outcomes.pool))
    report = {
        "training_questions": len(outcomes.questions),
        "test_questions": len(questions),
        "signal": signal(outcomes, questions, z_test, args.seeds),
        "worth": worth(z_test, args.n),
        "control": control(outcomes, questions, keys, z_test, args.n, args.seeds),
    }
    write_json(args.out, report)
    print(json.dumps(report, indent=1))


def test_matrix(folder: Path, heads: int) -> tuple[list[str], list[str], np.ndarray]:
    """Questions, keys and outcomes ``[m, J]`` of an oracle run over a pool of ``heads`` entries."""
    (run,) = read_runs([folder]).runs
    sampled = run.sampled
    if sampled is None or sampled.correct.shape[1] != heads:
        raise SystemExit(f"{folder} has no samples with {heads} candidates a question")
    documents: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("samples_*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                documents[row["doc_hash"]] = row["doc"]
    docs = [documents[key.partition("#")[0]] for key in sampled.keys]
    return [d["question"] for d in docs], [d["question_key"] for d in docs], np.asarray(sampled.correct) > 0


def signal(
    outcomes: Outcomes, questions: list[str], z_test: np.ndarray, seeds: list[int]
) -> dict[str, dict[str, float]]:
    """AUCs out of fold on the training questions (mean over seeds of the folds), and on the test."""
    embedder = SentenceEmbedder(dtype=DTYPE)
    rows = (outcomes.z >= 0).all(axis=1)
    z = np.asarray(outcomes.z)[rows]
    texts = [question.question for question, kept in zip(outcomes.questions, rows, strict=True) if kept]
    keys = [question.key for question, kept in zip(outcomes.questions, rows, strict=True) if kept]
    known, asked = np.asarray(embedder.encode(texts)), np.asarray(embedder.encode(questions))
    trained: dict[str, list[float]] = {}
    tested: dict[str, list[float]] = {}
    for seed in seeds:
        folds = split_groups(key_groups(keys), 5, seed)
        model, out_of_fold = fit_solve_model(known, z, folds, seed)
        one = np.zeros(len(asked), int)
        for found, predicted, truth, parts in (
            (trained, out_of_fold, z, folds),
            (tested, model.predict(asked), z_test, one),
        ):
            for name, value in aucs(predicted, truth, parts).items():
                found.setdefault(name, []).append(value)
        averages = np.stack([z[folds != fold].mean(axis=0) for fold in folds])
        trained.setdefault("within question, head averages alone", []).append(
            within_question_auc(averages, z)
        )
    tested["within question, head averages alone"] = [
        within_question_auc(np.broadcast_to(z.mean(axis=0), z_test.shape), z_test)
    ]
    return {
        name: {label: round(float(np.mean(values)), 4) for label, values in found.items()}
        for name, found in (("training, out of fold", trained), ("test", tested))
    }


def aucs(predicted: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> dict[str, float]:
    """AUCs of predictions ``[m, J]`` against outcomes, from all cells down to what averages leave.

    ``folds`` ``[m]`` says which questions one model predicted.
    """
    scores = np.log(predicted / (1 - predicted))
    rest = scores - scores.mean(axis=1, keepdims=True)
    for fold in np.unique(folds):
        rest[folds == fold] -= rest[folds == fold].mean(axis=0)
    rest = rest.round(9)  # what rounding leaves of nothing must tie
    return {
        "all cells": auc(scores.ravel(), truth.ravel()),
        "question difficulty": auc(scores.mean(axis=1).repeat(truth.shape[1]), truth.ravel()),
        "within question": within_question_auc(scores, truth),
        "within question, beyond averages": within_question_auc(rest, truth),
    }


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """P(a solved cell scores above an unsolved one), ties half."""
    solved = truth.astype(bool)
    positive, negative = int(solved.sum()), int((~solved).sum())
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[solved].sum() - positive * (positive + 1) / 2) / (positive * negative))


def within_question_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """The AUC among the heads of a question, over all pairs of a solving and a failing head."""
    wins = pairs = 0.0
    for row, solved in zip(scores, truth.astype(bool), strict=True):
        count = float(solved.sum() * (~solved).sum())
        if count:
            wins += auc(row, solved) * count
            pairs += count
    return wins / pairs if pairs else float("nan")


def worth(z: np.ndarray, n: int) -> list[dict[str, Any]]:
    """Pass@1..N of the N highest scores, where solving heads score higher by what gives each AUC."""
    generator = np.random.default_rng(0)
    found = []
    for wanted in AUCS:
        shift = float(norm.ppf(wanted)) * 2**0.5  # Gaussian scores, unit variance in both classes
        curves = []
        for _ in range(DRAWS):
            scores = generator.standard_normal(z.shape) + shift * z
            curves.append(passes(np.argsort(-scores, axis=1)[:, :n], z).mean(axis=0))
        found.append({"auc": wanted, "pass": np.mean(curves, axis=0).round(4).tolist()})
    found.append({"auc": 1.0, "pass": [round(float(z.any(axis=1).mean()), 4)] * n})
    return found


def control(
    outcomes: Outcomes,
    questions: list[str],
    keys: list[str],
    z_test: np.ndarray,
    n: int,
    seeds: list[int],
) -> dict[str, Any]:
    """Pass@1..N on the test of routers that learnt from Z with its rows shuffled, and of random heads.

    With the differences that tell them apart: mean over questions, 95 % interval and permutation p, a k.
    """
    embedder = SentenceEmbedder(dtype=DTYPE)
    place = {str(head_set): column for column, head_set in enumerate(outcomes.pool)}
    passed: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        rows = np.random.default_rng(seed).permutation(len(outcomes.questions))
        shuffled = Outcomes.from_arrays(
            np.asarray(outcomes.z)[rows],
            outcomes.questions,
            outcomes.pool,
            base=np.asarray(outcomes.base)[rows],
            manifest=outcomes.manifest,
        )
        for kind, made_from in (("shuffled", shuffled), ("true", outcomes)):
            router = train_router(made_from, RouterConfig(seed=seed), embedder)
            for rule in ("nearest", "coverage"):
                ranked = router.rank(questions, n, rule)
                order = np.array([[place[str(choice.heads)] for choice in row] for row in ranked])
                passed.setdefault(f"{rule}, {kind}", []).append(passes(order, z_test))
        drawn = random_heads_draw(outcomes, keys, n, seed)
        order = np.array([[place[str(heads)] for heads in row] for row in drawn])
        passed.setdefault("random", []).append(passes(order, z_test))
    mean = {name: np.mean(found, axis=0) for name, found in passed.items()}  # [m, N] each
    pairs = [(f"{rule}, shuffled", "random") for rule in ("nearest", "coverage")]
    pairs += [(f"{rule}, true", f"{rule}, shuffled") for rule in ("nearest", "coverage")]
    adjusted = [difference(mean[a] - mean[b]) for a, b in pairs]
    for family in (adjusted[:2], adjusted[2:]):  # a family a kind of comparison: two rules at every N
        corrected = holm([p for row in family for p in row["p"]]).round(4).reshape(2, -1)
        for row, values in zip(family, corrected, strict=True):
            row["holm"] = values.tolist()
    single = single_head_columns(outcomes.pool)
    return {
        "pass": {name: found.mean(axis=0).round(4).tolist() for name, found in mean.items()},
        "by_seed": {name: np.mean(found, axis=1).round(4).tolist() for name, found in passed.items()},
        "differences": {f"{a} - {b}": row for (a, b), row in zip(pairs, adjusted, strict=True)},
        "oracle": round(float(z_test[:, single].any(axis=1).mean()), 4),
    }


def passes(order: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Whether the first k of columns ``order`` ``[m, N]`` solve a question, ``[m, N]``."""
    passed: np.ndarray = np.logical_or.accumulate(np.take_along_axis(z, order, axis=1), axis=1)
    return passed


def difference(values: np.ndarray) -> dict[str, list[float]]:
    """Of paired values ``[m, N]``."""
    low, high = percentile_interval(Resampling(len(values)).means(values.T.astype(np.float32)))
    return {
        "mean": values.mean(axis=0).round(4).tolist(),
        "low": np.asarray(low, float).round(4).tolist(),
        "high": np.asarray(high, float).round(4).tolist(),
        "p": [round(float(permutation_p(column)), 4) for column in values.T],
    }


if __name__ == "__main__":
    main()

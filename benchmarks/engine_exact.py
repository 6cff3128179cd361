"""Are the engine's answers, token for token, those of one-by-one ``transformers`` decoding?

    python benchmarks/engine_exact.py [--pairs 200] [--dtype bfloat16] [--split train]

Draws (question, head set) pairs, decodes their questions' whole pools by the engine, and decodes
each pair alone by ``model.generate`` under the same mask. Where two answers differ it prints the two
best logits at the first difference and how many steps of the precision part them: a numerical tie, or not.
The same pairs go through ``model.generate`` in padded batches, too: what differs there is precision's own.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from engine import DATA, result_file, shown
from engine_workload import load_lm, load_workload

from sprint_eval.engine import Engine
from sprint_eval.engine.plain import PlainEngine
from sprint_eval.engine.request import Request
from sprint_eval.files import write_json
from sprint_eval.masking import HeadMasker


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--pool", default="5/10/15/20/25:*")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--plain-batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--split", default="train", choices=["test", "train"])
    parser.add_argument("--data-dir", default=str(DATA))
    args = parser.parse_args()
    lm = load_lm(args.model, args.device, args.dtype)
    workload = load_workload(lm, args.data_dir, args.split, args.questions, args.pool)
    requests = workload.requests()
    engine = Engine(lm.model, lm.tokenizer)
    answers = engine.generate(requests)
    masker, differences = HeadMasker(lm.model), []
    pairs = random.Random(3).sample(range(len(requests)), min(args.pairs, len(requests)))
    plain = PlainEngine(lm.model, lm.tokenizer, batch_size=args.plain_batch)
    padded = plain.generate([requests[index] for index in pairs])
    padded_equal = 0
    for done, (index, batched) in enumerate(zip(pairs, padded, strict=True), 1):
        alone = decode_alone(lm, masker, requests[index])
        padded_equal += alone == list(batched.tokens)
        if alone != list(answers[index].tokens):
            found = compare(lm.model, masker, requests[index], alone, answers[index].tokens)
            differences.append(found)
            print(found, flush=True)
        if done % 20 == 0:
            print(f"{done} pairs, {len(differences)} differ", flush=True)
    report = {
        "arguments": shown(args),
        "pairs": len(pairs),
        "equal": len(pairs) - len(differences),
        "padded_batches_equal": padded_equal,
        "padded_batch_size": args.plain_batch,
        "differences": differences,
        "counters": engine.counters.as_dict(),
    }
    write_json(result_file(f"engine_exact_{args.dtype}", args.device), report)
    print(f"{report['equal']} of {len(pairs)} pairs equal, token for token", flush=True)
    print(f"{padded_equal} of {len(pairs)} where transformers decodes batches of {args.plain_batch}")


def decode_alone(lm: Any, masker: HeadMasker, request: Request) -> list[int]:
    """Greedy decoding by ``transformers`` to its own stop or limit, nothing else in the batch."""
    ids = torch.tensor([request.prompt], device=lm.model.device)
    with masker.every_row(request.heads), torch.no_grad():
        output = lm.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.max_new_tokens,
            max_length=None,
            stop_strings=list(request.stop),
            tokenizer=lm.tokenizer,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=0,
        )
    return [int(token) for token in output[0, len(request.prompt) :]]


def compare(
    model: Any, masker: HeadMasker, request: Request, alone: list[int], ours: tuple[int, ...]
) -> dict[str, Any]:
    """The logits of both tokens at the first difference, by one forward of the masked model."""
    place = next((i for i, (a, b) in enumerate(zip(alone, ours, strict=False)) if a != b), None)
    if place is None:
        return {"heads": str(request.heads), "place": None, "lengths": [len(alone), len(ours)]}
    ids = torch.tensor([[*request.prompt, *alone[:place]]], device=model.device)
    with masker.every_row(request.heads), torch.no_grad():
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].float()
    best, second = logits.topk(2).values.tolist()
    step = torch.finfo(model.dtype).eps * 2.0 ** math.floor(math.log2(abs(best)))
    return {
        "heads": str(request.heads),
        "place": place,
        "logits": [float(logits[alone[place]]), float(logits[ours[place]])],
        "best_two": [best, second],
        "margin": best - second,
        "margin_steps": (best - second) / step,
    }


if __name__ == "__main__":
    main()

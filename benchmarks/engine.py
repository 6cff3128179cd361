"""The engine beside its peers: seconds, token-forwards and memory of decoding many pruned variants.

    python benchmarks/engine.py [--quick] [--device cuda] [--split train] [--data-dir DIR]

Work: 32 ASDiv-A questions behind the worked examples, up to 64 new tokens, every head of five layers
and the base. Peers: (a) lm-eval's own ``HFLM.generate_until`` with one head masked at a time, at its
best batch size; (b) ``transformers`` generate with a head set a row, in large batches. Peer and engine
take turns in one process. Where a peer runs on a sample of the head sets, its seconds are scaled
by their number, and the table says so.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from engine_peers import by_head_set, needed_token_forwards, run_hflm, run_ours, run_plain
from engine_workload import Workload, load_lm, load_workload

from sprint_eval.files import write_json
from sprint_eval.heads import HeadSet

RESULTS = Path(__file__).resolve().parent / "results"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    args = _arguments()
    lm = load_lm(args.model, args.device, args.dtype)
    workload = load_workload(lm, args.data_dir, args.split, args.questions, args.pool)
    report: dict[str, Any] = {
        "machine": describe_machine(args.device),
        "arguments": shown(args),
    }
    print(f"{len(workload.prompts)} questions, {len(workload.pool)} head sets", flush=True)
    for name, measure in {"sweep": sweep, "passk": pass_at_8, "single": single}.items():
        if name in args.parts:
            report[name] = measure(workload, args)
            _show(name, report[name])
            write_json(args.out, report)
    if "memory" in args.parts:
        report["memory"] = memory(args)
        _show("memory", report["memory"])
        write_json(args.out, report)


def sweep(workload: Workload, args: argparse.Namespace) -> dict[str, Any]:
    """Every question under every head set, (a) and (b) on a sample of the head sets or on all."""
    chosen = _sample(workload.pool, args.peer_sets)
    batch = args.batch_size or _best_batch(workload)
    half = len(chosen) // 2
    parts = [chosen[:half], chosen[half:]]
    ours = [run_ours(workload, workload.requests())]
    hflm = [run_hflm(workload, parts[0], batch)]
    plain = [run_plain(workload, workload.requests(pool=parts[0]), args.plain_batch)]
    ours.append(run_ours(workload, workload.requests()))
    hflm.append(run_hflm(workload, parts[1], batch))
    plain.append(run_plain(workload, workload.requests(pool=parts[1]), args.plain_batch))
    share = len(workload.pool) / len(chosen)
    best = min(ours, key=lambda m: m.seconds)
    wanted = {(r.heads, r.group): t for r, t in zip(workload.requests(), best.texts, strict=True)}
    expected = [wanted[r.heads, r.group] for r in by_head_set(workload, chosen)]
    got = [text for part in hflm for text in part.texts]
    needed = needed_token_forwards(best.counters)
    seconds = sum(m.seconds for m in hflm) * share
    return {
        "hflm_batch_size": batch,
        "peer_head_sets": len(chosen),
        "scaled_by": share,
        "ours": [m.summary() for m in ours],
        "hflm": [m.summary() for m in hflm],
        "plain": [m.summary() for m in plain],
        "texts_equal_to_hflm": sum(a == b for a, b in zip(expected, got, strict=True)),
        "texts_compared": len(got),
        "figures": {
            "ours, seconds": _mean(m.seconds for m in ours),
            "(a), seconds": seconds,
            "(a) / ours, seconds": seconds / _mean(m.seconds for m in ours),
            "(a) / ours, processor seconds": sum(m.cpu_seconds for m in hflm)
            * share
            / _mean(m.cpu_seconds for m in ours),
            "(b) / ours, seconds": sum(m.seconds for m in plain) * share / _mean(m.seconds for m in ours),
            "(b) / ours, processor seconds": sum(m.cpu_seconds for m in plain)
            * share
            / _mean(m.cpu_seconds for m in ours),
            "(a) / ours, token-forwards": needed / best.token_forwards,
        },
    }


def pass_at_8(workload: Workload, args: argparse.Namespace) -> dict[str, Any]:
    """Eight variants a question, as a router picks them, against ``hf`` sampling eight answers."""
    from dataclasses import replace

    draw = random.Random(8)
    small = replace(
        workload,
        instances=workload.instances[: args.pass_questions],
        prompts=workload.prompts[: args.pass_questions],
    )
    requests = [
        small.settings.request(prompt, heads, number)
        for number, prompt in enumerate(small.prompts)
        for heads in draw.sample(workload.pool[1:], 8)
    ]
    ours = run_ours(small, requests)
    sampled = replace(small, instances=[i for i in small.instances for _ in range(8)])
    hflm = run_hflm(
        sampled, [HeadSet()], args.batch_size or 32, do_sample=True, temperature=0.6, top_p=0.95, top_k=40
    )
    tokens = sum(len(workload.lm.tokenizer.encode(text)) + 1 for text in hflm.texts)
    generated = ours.counters["generated_tokens"]
    return {
        "ours": ours.summary(),
        "hflm": hflm.summary(),
        "hflm_tokens": tokens,
        "figures": {
            "hf sampling, ms a token": 1e3 * hflm.seconds / tokens,
            "ours, ms a token": 1e3 * ours.seconds / generated,
            "hf / ours, seconds a token": (hflm.seconds / tokens) / (ours.seconds / generated),
            "hf / ours, processor seconds a token": (hflm.cpu_seconds / tokens)
            / (ours.cpu_seconds / generated),
        },
    }


def single(workload: Workload, args: argparse.Namespace) -> dict[str, Any]:
    """One head set, one candidate a question, 16 rows: nothing but the prefix can be shared."""
    requests = workload.requests(16, [workload.pool[-1]])
    ours, plain = [], []
    for _ in range(3):
        ours.append(run_ours(workload, requests, batch_size=16))
        plain.append(run_plain(workload, requests, 16))
    return {
        "ours": [m.summary() for m in ours],
        "plain": [m.summary() for m in plain],
        "texts_equal": ours[0].texts == plain[0].texts,
        "figures": {
            "ours / transformers, seconds": min(m.seconds for m in ours) / min(m.seconds for m in plain),
            "ours / transformers, processor seconds": min(m.cpu_seconds for m in ours)
            / min(m.cpu_seconds for m in plain),
        },
    }


def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Peak memory beyond the loaded model's, each in a process of its own, equal rows at a time."""
    import json

    found = {}
    for who in ("ours", "plain"):
        command = [sys.executable, str(Path(__file__).with_name("engine_memory.py")), who]
        command += ["--data-dir", args.data_dir, "--split", args.split, "--device", args.device]
        command += ["--model", args.model, "--dtype", args.dtype]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[who] = json.loads(output.splitlines()[-1])
    ratio = found["ours"]["peak_bytes"] / found["plain"]["peak_bytes"]
    return {**found, "figures": {"ours / (b), peak memory": ratio}}


def _best_batch(workload: Workload) -> int:
    """(a)'s best batch size on one head set: the first of 8, 16, … after which it grows no faster.

    All questions at once are the largest that (a) can use. Told by processor time on a CPU, which other
    work moves less, and by the clock on a GPU, where processor time says nothing.
    """
    on_cpu = str(workload.lm.device) == "cpu"
    best, fewest = 8, math.inf
    size = 8
    while size < 2 * len(workload.prompts):
        found = run_hflm(workload, workload.pool[-1:], size)
        seconds = found.cpu_seconds if on_cpu else found.seconds
        if seconds >= fewest:
            break
        best, fewest = size, seconds
        size *= 2
    return best


def _sample(pool: list[HeadSet], count: int) -> list[HeadSet]:
    """``count`` head sets spread evenly over the pool."""
    count = min(count, len(pool))
    return [pool[(2 * place + 1) * len(pool) // (2 * count)] for place in range(count)]


def _mean(values: Any) -> float:
    numbers = list(values)
    return float(sum(numbers) / len(numbers))


def _show(name: str, part: dict[str, Any]) -> None:
    for label, value in part["figures"].items():
        print(f"{name:8} {label:45} {value:10.3f}", flush=True)


def result_file(name: str, device: str) -> Path:
    """Where figures of a device go: ``engine.json``, ``engine_cuda.json``."""
    kind = device.partition(":")[0]
    return RESULTS / (f"{name}.json" if kind == "cpu" else f"{name}_{kind}.json")


def shown(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments for a report, which is nobody's folders' business."""
    return vars(args) | {"out": None, "data_dir": Path(args.data_dir).name}


def describe_machine(device: str) -> dict[str, Any]:
    cuda = device.startswith("cuda")
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "torch": torch.__version__,
        "load": os.getloadavg(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--data-dir", default=str(DATA))
    parser.add_argument("--split", default="test", choices=["test", "train"])
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--pool", default="5/10/15/20/25:*")
    parser.add_argument("--peer-sets", type=int, default=46, help="head sets that the peers run on")
    parser.add_argument("--pass-questions", type=int, default=32)
    parser.add_argument("--batch-size", type=int, help="of (a); found by trying where not given")
    parser.add_argument("--plain-batch", type=int, default=64, help="of (b)")
    parser.add_argument("--parts", nargs="+", default=["sweep", "passk", "single", "memory"])
    parser.add_argument("--quick", action="store_true", help="8 questions, 10 head sets, a sample of peers")
    parser.add_argument("--out", type=Path, help="default: a file of the device's own")
    args = parser.parse_args()
    args.out = args.out or result_file("engine", args.device)
    if args.quick:
        args.questions, args.pool, args.peer_sets, args.pass_questions = 8, "5/15/25:0-2", 4, 4
        args.batch_size = args.batch_size or 8
    return args


if __name__ == "__main__":
    main()

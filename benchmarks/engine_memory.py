"""Peak memory of one decoder beyond its loaded model: run in a process of its own, prints JSON.

python benchmarks/engine_memory.py {ours,plain} [--device cuda]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from engine_peers import run_ours, run_plain
from engine_workload import load_lm, load_workload

ROWS = 32


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=["ours", "plain"])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()
    lm = load_lm(args.model, args.device, args.dtype)
    workload = load_workload(lm, args.data_dir, args.split, 8, "5/15/25:0-4")
    ids = torch.tensor([workload.prompts[0]], device=lm.device)
    with torch.no_grad():
        lm.model(input_ids=ids, use_cache=False, logits_to_keep=1)  # weights are read in, kernels loaded
    before = _used(args.device)
    requests = workload.requests()
    if args.who == "ours":
        run_ours(workload, requests, batch_size=ROWS)
    else:
        run_plain(workload, requests, ROWS)
    peak = _peak(args.device)
    print(json.dumps({"peak_bytes": peak - before, "rows": ROWS, "requests": len(requests)}))


def _used(device: str) -> int:
    """Memory in use now; what is measured as the peak from here on begins with it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    # Loading needs more for a moment than what is measured here: Linux can forget a process's peak.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak(device)


def _peak(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no VmHWM in /proc/self/status: peak memory is measured on Linux alone")


if __name__ == "__main__":
    main()

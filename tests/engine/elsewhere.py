"""A device that is not there: tensors that live "elsewhere", with a processor doing their arithmetic.

A graphics card holds tensors apart from the processor's: an operation on tensors of both fails there
and nowhere else, and each number that crosses makes the one wait for the other. Here every operation
on tensors elsewhere is looked at before a processor computes it, so that both show without a card.
The device goes by the name of ``meta``, which every build of PyTorch lets be addressed.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")
HERE = torch.device("cpu")
ATTENTION = torch.ops.aten._efficient_attention_forward
_CROSSING = {"_to_copy", "to", "copy_"}
_INDEXING = {"index", "index_put", "index_put_"}  # may be told by tensors of the processor
_MATH = 0  # scaled_dot_product_attention spelt out: the fused kernels are each of one device


class Elsewhere(torch.Tensor):
    """A tensor that says that it is elsewhere; ``here`` holds its numbers."""

    here: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> Elsewhere:
        with torch.inference_mode(False):
            made: Elsewhere = torch.Tensor._make_wrapper_subclass(
                cls, here.size(), here.stride(), here.storage_offset(), dtype=here.dtype, device=DEVICE
            )
        made.here = here
        return made

    def __init__(self, here: torch.Tensor) -> None:
        pass

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of the visit")

    def __getitem__(self, index: Any) -> Any:
        """Lists become tensors here: PyTorch would make them on ``meta``, without numbers."""
        parts = index if isinstance(index, tuple) else (index,)
        return super().__getitem__(tuple(torch.tensor(p) if isinstance(p, list) else p for p in parts))

    def tolist(self) -> Any:
        return self.cpu().tolist()


class Visit(TorchDispatchMode):
    """While it is entered tensors can be elsewhere.

    Args:
        attention: stands in for the memory-efficient attention kernel; takes its arguments, with
            tensors of the processor.

    Attributes:
        sent, fetched: number of copies to the device and from it.
        launches: number of operations there, by name.
    """

    def __init__(self, attention: Callable[..., Any]) -> None:
        super().__init__()
        self._attention = attention
        self.sent = self.fetched = 0
        self.launches: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = any(isinstance(tensor, Elsewhere) for tensor in tensors)
        if there and name not in _CROSSING | _INDEXING:
            strangers = [t for t in tensors if t.dim() and not isinstance(t, Elsewhere)]
            assert not strangers, f"{func} takes tensors of two devices"
        if there and name == "_fused_sdp_choice":
            return _MATH
        goes_there = there
        for device in tree_leaves((args, kwargs)):
            if isinstance(device, torch.device):
                goes_there = device == DEVICE
        self._count(name, tensors, there, goes_there)
        compute = self._attention if func.overloadpacket is ATTENTION else func
        result = compute(*_here(args), **_here(kwargs))
        if not goes_there or name == "_local_scalar_dense":
            return result
        if func._schema.is_mutable and name.endswith("_"):
            return args[0]
        return tree_map_only(torch.Tensor, Elsewhere, result)

    def _count(self, name: str, tensors: list[torch.Tensor], there: bool, goes_there: bool) -> None:
        self.launches[name] += there
        if name in _CROSSING and goes_there:
            self.sent += any(not isinstance(tensor, Elsewhere) for tensor in tensors)
        self.fetched += there and (name == "_local_scalar_dense" or not goes_there)


def _here(values: Any) -> Any:
    """The same arguments for the processor."""
    return tree_map_only(torch.device, lambda _: HERE, tree_map_only(Elsewhere, lambda t: t.here, values))


def send(model: Any) -> Any:
    """A copy of a model, elsewhere."""
    sent = copy.deepcopy(model)
    for module in sent.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(Elsewhere(parameter.data), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = Elsewhere(buffer)
    return sent

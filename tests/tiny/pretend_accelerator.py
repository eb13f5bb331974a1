"""A pretend accelerator: finds tensors of different devices that meet, on a machine without a GPU.

Tensors on ``DEVICE`` compute on the CPU, but say that they are elsewhere and refuse to meet tensors of the CPU, as
those of a GPU do. "meta" is the device that stands in, because every build of torch has a device guard for it; real
meta tensors must not be used meanwhile. What it cannot do: gradients, and the fused kernels of attention (see
``plain_attention``).

    with PretendAccelerator():
        network.to(DEVICE)
        ...  # raises DevicesMeet where a GPU would have raised
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
INDEXING = ("aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_")
# Of lazy views the wrapper would lose the mark that they are conjugate or negative.
PHYSICAL = {"aten::_conj": torch.ops.aten._conj_physical.default, "aten::_neg_view": torch.ops.aten.neg.default}
make, make_from = torch.tensor, torch.as_tensor


class DevicesMeet(RuntimeError):
    """An operation was given tensors of the CPU and of the accelerator."""


class Elsewhere(Tensor):
    """A tensor of the CPU, ``inner``, that says it is on the accelerator."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Elsewhere":
        where: dict[str, Any] = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=DEVICE, **where)

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"Elsewhere({tuple(self.shape)}, {self.dtype})"

    # Below is what torch does without asking the dispatcher.

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(_lists_moved(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_lists_moved(index), value)

    def contiguous(self, memory_format: torch.memory_format = torch.contiguous_format) -> "Elsewhere":
        return Elsewhere(self.inner.contiguous(memory_format=memory_format))

    def new_tensor(self, data: Any, **options: Any) -> "Elsewhere":
        options.pop("device", None)
        return Elsewhere(self.inner.new_tensor(data, **options))

    def tolist(self) -> Any:
        return self.inner.tolist()

    def cpu(self, *arguments: Any, **options: Any) -> Tensor:
        return self.inner.clone()

    def numpy(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError("numpy() of a tensor that is on an accelerator: move it to the CPU first")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class PretendAccelerator(TorchDispatchMode):
    def __enter__(self) -> "PretendAccelerator":
        torch.tensor, torch.as_tensor = _made(make), _made(make_from)  # type: ignore[assignment]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        torch.tensor, torch.as_tensor = make, make_from
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


@contextmanager
def plain_attention() -> Iterator[None]:
    """Replace the fused kernels of attention, which ask for the device in C++, by the formula."""

    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Tensor:
        assert dropout_p == 0  # not needed here
        scores = query @ key.transpose(-2, -1) * (scale or 1 / math.sqrt(query.shape[-1]))
        if is_causal:
            scores = scores + torch.full(scores.shape[-2:], -math.inf, device=scores.device).triu(1)
        return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ value

    fused, fast = F.scaled_dot_product_attention, torch.backends.mha.get_fastpath_enabled()
    F.scaled_dot_product_attention = attention
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused
        torch.backends.mha.set_fastpath_enabled(fast)


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func._schema.name
    if name == "aten::copy_":  # between devices as well
        _inner(args[0]).copy_(_inner(args[1]))
        return args[0]
    tensors: list[Tensor] = []
    given, options = _inner(args, tensors), {key: _inner(value, tensors) for key, value in kwargs.items()}
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.dim() > 0]
    indexed_here = name in INDEXING and not isinstance(args[0], Elsewhere)
    if there and here and (name not in INDEXING or indexed_here):
        shapes = [[tuple(tensor.shape) for tensor in side] for side in (there, here)]
        raise DevicesMeet(f"{func}: {shapes[0]} are on the accelerator, {shapes[1]} on the CPU")
    stays = bool(there)
    if options.get("device") is not None:
        stays = torch.device(options["device"]).type == DEVICE.type
        options["device"] = torch.device("cpu")
    options.pop("pin_memory", None)
    result = PHYSICAL.get(name, func)(*given, **options)
    if name == "aten::_local_scalar_dense":
        return result
    if name.endswith("_") and args and isinstance(args[0], Tensor):
        return args[0]
    return _moved(result) if stays else result


def _inner(value: Any, seen: list[Tensor] | None = None) -> Any:
    """Return an argument with the tensors of the CPU inside of it, and add those that it holds to ``seen``.

    An operator takes tensors and lists of them. torch's functions for trees of any kind would take most of a test's
    time.
    """
    if isinstance(value, Tensor):
        if seen is not None:
            seen.append(value)
        return value.inner if isinstance(value, Elsewhere) else value
    if isinstance(value, (list, tuple)):
        return [_inner(part, seen) for part in value]
    return value


def _moved(value: Any) -> Any:
    """Return what an operator gives, with tensors that say they are on the accelerator."""
    if isinstance(value, Tensor):
        return Elsewhere(value)
    return type(value)(map(_moved, value)) if isinstance(value, (list, tuple)) else value


def _lists_moved(index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    moved = tuple(Elsewhere(make(list(part))) if isinstance(part, (list, tuple)) else part for part in parts)
    return moved if isinstance(index, tuple) else moved[0]


def _made(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(data: Any, *arguments: Any, device: Any = None, **options: Any) -> Tensor:
        if isinstance(data, Elsewhere):
            return data
        tensor = function(data, *arguments, **options)
        return Elsewhere(tensor) if device is not None and torch.device(device).type == DEVICE.type else tensor

    return made

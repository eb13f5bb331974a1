"""Count the memory of a computation's tensors, without running it: on torch's meta device."""

import weakref
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import Self


def _attention_output(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any) -> Tensor:
    return query.new_empty(*query.shape[:-1], value.shape[-1])


def _linear_output(input: Tensor, weight: Tensor, *rest: Any, **options: Any) -> Tensor:
    return input.new_empty(*input.shape[:-1], weight.shape[0])


def _norm_output(input: Tensor, *rest: Any, **options: Any) -> Tensor:
    return torch.empty_like(input)


OUTPUTS = {
    F.scaled_dot_product_attention: _attention_output,
    F.linear: _linear_output,
    F.layer_norm: _norm_output,
    F.group_norm: _norm_output,
}


class _EmptyOutputs(TorchFunctionMode):
    """Replaces attention, linear and norm layers by empty tensors of their outputs' shapes.

    On the meta device torch would also allocate the score matrix of attention, which fused kernels do not. It works out
    the shapes of the other layers in Python, which took half the time of an estimate.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # torch's
        return OUTPUTS.get(func, func)(*args, **(kwargs or {}))


class Ledger(TorchDispatchMode):
    """Counts the bytes of all tensors created on a device inside the context, until they are freed.

    networks: their weights, and views of these, are not counted. held: current bytes. peak: maximum since the last call
    of ``turn``.
    """

    def __init__(self, *networks: nn.Module | None, device: str = "meta") -> None:
        super().__init__()
        self._device = device
        self.held = self.peak = 0
        self._counted = {value.untyped_storage()._cdata for network in networks for value in _weights(network)}
        self._outputs = _EmptyOutputs()

    def __enter__(self) -> Self:
        if self._device == "meta":
            self._outputs.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        if self._device == "meta":
            self._outputs.__exit__(*exception)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # torch's
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return 0  # Whisper in transformers 4 checks half precision for overflow; a meta tensor has no values
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(value, Tensor) and value.device.type == self._device:
                self._add(value)
        return result

    def turn(self) -> int:
        """Return the peak and reset it to the bytes currently held."""
        peak, self.peak = self.peak, self.held
        return peak

    def _add(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        address, size = storage._cdata, storage.nbytes()
        if address not in self._counted:
            self._counted.add(address)
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._remove, address, size)

    def _remove(self, address: int, size: int) -> None:
        self._counted.discard(address)
        self.held -= size


def weight_bytes(*networks: nn.Module | None) -> int:
    """Return the bytes of the networks' weights; None counts as zero."""
    return sum(value.numel() * value.element_size() for network in networks for value in _weights(network))


def _weights(network: nn.Module | None) -> list[Tensor]:
    return [] if network is None else [*network.parameters(), *network.buffers()]

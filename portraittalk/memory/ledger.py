"""What a computation would hold in memory, found out without doing it: by running it on torch's meta device."""

import weakref

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typing_extensions import Self


class _FusedAttention(TorchFunctionMode):
    """Has attention make its result alone: on the meta device torch would make the matrix of scores as well."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # torch's
        if func is scaled_dot_product_attention:
            query, _, value = args[:3] if len(args) > 2 else (args + tuple((kwargs or {}).values()))[:3]
            return torch.empty_like(query[..., :1].expand(*query.shape[:-1], value.shape[-1]))
        return func(*args, **(kwargs or {}))


class Ledger(TorchDispatchMode):
    """Adds up the bytes of all tensors on a device that are made while it is entered, until each is let go of.

    networks: those whose weights are not counted, views of them included, such as a layer takes. held: bytes now.
    peak: the most there were since ``turn`` was called last.
    """

    def __init__(self, *networks: nn.Module | None, device: str = "meta") -> None:
        super().__init__()
        self._device = device
        self.held = self.peak = 0
        self._known = {value.untyped_storage()._cdata for network in networks for value in _weights(network)}
        self._attention = _FusedAttention()

    def __enter__(self) -> Self:
        if self._device == "meta":
            self._attention.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        if self._device == "meta":
            self._attention.__exit__(*exception)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # torch's
        found = func(*args, **(kwargs or {}))
        for value in tree_leaves(found):
            if isinstance(value, Tensor) and value.device.type == self._device:
                self._enter(value)
        return found

    def turn(self) -> int:
        """The peak so far; the next one is counted from what is held now."""
        peak, self.peak = self.peak, self.held
        return peak

    def _enter(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place not in self._known:
            self._known.add(place)
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._leave, place, size)

    def _leave(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.held -= size


def weight_bytes(*networks: nn.Module | None) -> int:
    """Bytes of the networks' weights; one that is None has none."""
    return sum(value.numel() * value.element_size() for network in networks for value in _weights(network))


def _weights(network: nn.Module | None) -> list[Tensor]:
    return [] if network is None else [*network.parameters(), *network.buffers()]

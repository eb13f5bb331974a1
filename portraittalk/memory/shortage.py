"""Errors that mean that the memory was not enough."""

import gc

import torch

# What torch raises for a processor or Apple's GPU is a RuntimeError like any other: on Linux, Windows, and macOS.
_WORDS = ("can't allocate memory", "not enough memory", "MPS backend out of memory")


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory could not be allocated."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def release() -> None:
    """Free what nothing holds any more, and the memory that torch keeps for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

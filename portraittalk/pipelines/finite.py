"""A check of what networks return, so that no black or empty frames are shown."""

import torch
from torch import Tensor

from ..config import PortraitTalkConfig
from ..errors import WeightsError


def check_finite(values: Tensor, config: PortraitTalkConfig, what: str = "pictures") -> Tensor:
    """Return what a network of this model has made. Raises WeightsError if there is NaN or infinity in it."""
    # A sum is finite only if all of it is, and takes a thirtieth of the time.
    if not bool(values.sum(dtype=torch.float32).isfinite()):
        raise WeightsError(
            f"The networks of the model '{config.name}' returned {what} with values that are not finite (NaN): "
            "compute in single precision if this was half precision, or get the weights file again: it may be damaged."
        )
    return values

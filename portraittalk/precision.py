"""Which precision a device computes fast."""

import torch


def computes_bf16(device: torch.device) -> bool:
    """Whether the device has native bf16 instructions: a CPU without them is many times slower than in fp32."""
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)

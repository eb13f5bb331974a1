"""Memory that is free."""

from pathlib import Path

import torch


def free_memory(device: torch.device) -> int | None:
    """Return the bytes currently available on the device, or None if the system does not report them."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    # What is swapped out makes room, so a run that does not fit into both cannot be held at all.
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("MemAvailable", "SwapFree")))

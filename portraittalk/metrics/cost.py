"""What a run costs: time and memory."""

import sys


def peak_memory_mb() -> float | None:
    """The most memory this process ever held, in MB; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024

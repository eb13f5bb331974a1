"""Peak memory of the process."""

import sys


def peak_memory_mb() -> float | None:
    """Return the peak resident memory of this process in MB, or None if the system does not report it (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024

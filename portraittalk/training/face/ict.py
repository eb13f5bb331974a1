"""Reading ICT-FaceKit, the face model that basis and teeth are made from, out of an .npz file."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ...errors import MediaError


def read_ict(path: Path, names: str) -> tuple[np.ndarray, ...]:
    """Return arrays of the file by their one-letter names. Raises MediaError if it is missing or something else."""
    try:
        with np.load(path) as arrays:
            return tuple(arrays[name] for name in names)
    except FileNotFoundError as error:
        raise MediaError(f"{path} does not exist: check the path.") from error
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, BadZipFile) as error:
        raise MediaError(f"{path} is not ICT-FaceKit as .npz with the arrays {', '.join(names)}.") from error

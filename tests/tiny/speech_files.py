"""Files of sound for the command line."""

import wave
from pathlib import Path

import numpy as np


def write_speech(path: Path, seconds: float, rate: int = 8000) -> None:
    """A voice-like sound: 8 bit, mono."""
    clock = np.arange(round(seconds * rate)) / rate
    sound = np.sin(2 * np.pi * 150 * clock) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * clock))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, rate, 0, "NONE", ""))
        file.writeframes((127.5 + 100 * sound).astype(np.uint8).tobytes())

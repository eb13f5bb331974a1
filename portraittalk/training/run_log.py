"""Logs of a run: losses in ``log.jsonl``, pictures as PNG, and both in TensorBoard if it is installed.

``tensorboard --logdir RUNS`` shows the runs of a folder side by side.
"""

import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..media.image import write_png
from ..output_files import explained, make_folder, write_text

logger = logging.getLogger(__name__)


class Means:
    """Running means of named losses since the last ``take``, over all processes. A batch may lack some losses."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.item()
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means and reset them. All processes must call it at the same step."""
        from accelerate.utils import gather_object

        parts: list[tuple[dict[str, float], dict[str, int]]] = gather_object([(self._sums, self._counts)])
        self._sums, self._counts = {}, {}
        names = {name: None for sums, _ in parts for name in sums}
        return {
            name: sum(sums.get(name, 0.0) for sums, _ in parts) / sum(counts.get(name, 0) for _, counts in parts)
            for name in names
        }


class RunLog:
    """Log writer in the run's folder; entries later than ``step``, from which the run resumes, are removed."""

    def __init__(self, out: Path, step: int) -> None:
        self._out = out
        self._file = out / "log.jsonl"
        lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True) if self._file.exists() else []
        whole = (line.rstrip() for line in lines if line.endswith("\n"))  # a full disk or a crash cuts the last one
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        write_text(self._file, "".join(f"{line}\n" for line in kept))
        self._board: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def losses(self, step: int, seconds: float, learning_rate: float, means: dict[str, float]) -> None:
        text = "  ".join(f"{name} {value:.5f}" for name, value in means.items())
        logger.info("step %d %.0f s  %s", step, seconds, text)
        self._write(step, {"seconds": round(seconds, 1), "learning_rate": learning_rate, **means})
        self._scalars(step, {"learning_rate": learning_rate, **{f"train/{n}": v for n, v in means.items()}})

    def validation(self, step: int, results: dict[str, Tensor]) -> None:
        """Log scalars () and pictures (3, H, W) in 0..1, which are saved as ``pictures/<name>_<step>.png``."""
        scalars = {f"validation/{name}": value.item() for name, value in results.items() if value.ndim == 0}
        if scalars:
            self._write(step, scalars)
            self._scalars(step, scalars)
        for name, picture in results.items():
            if picture.ndim == 3:
                path = self._out / "pictures" / f"{name}_{step:07d}.png"
                make_folder(path.parent)
                write_png(picture, path, comment=None)
                if self._board is not None:
                    pixels = (picture.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
                    self._board.add_image(name, pixels, step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _write(self, step: int, values: dict[str, float]) -> None:
        with explained(self._file), self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

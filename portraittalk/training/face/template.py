"""The average face (``assets/face/template.safetensors``), used as landmarks if no provider finds the face.

    python -m portraittalk.training.face.template CLIPS --left-out NAME ... --out template.safetensors

CLIPS is a folder of prepared clips, ideally one or two per person. Every clip has the same weight and contributes the
mean of its frames with a closed mouth, no smile and a frontal head.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from ...arkit import ARKIT_INDEX
from ...face.align import aligned_crop, eye_distance, to_crop
from ...tensor_files import write_tensors
from ..data.prepare import clip_files

MOUTH = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")
AT_REST = 0.1  # maximum of each of these coefficients
NOSE_TIP, EYES = 1, (33, 263)
AHEAD = 0.05  # maximum horizontal offset of the nose tip from the middle of the eyes, in eye distances


def at_rest(landmarks: Tensor, blendshapes: Tensor) -> Tensor:
    """Return which frames show the face at rest, (F,) bool. landmarks: (F, 478, 3) in pixels; blendshapes: (F, 52)."""
    aligned = _aligned(landmarks)
    nose_offset = (aligned[:, NOSE_TIP, 0] - aligned[:, EYES, 0].mean(1)).abs() / eye_distance(aligned)
    neutral = blendshapes[:, [ARKIT_INDEX[name] for name in MOUTH]].amax(1) < AT_REST
    return neutral & (nose_offset < AHEAD)


def mean_face(clips: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Average clips of landmarks (F, 478, 3) and blendshapes (F, 52): (478, 3) in an aligned crop of side 1."""
    means = []
    for landmarks, blendshapes in clips:
        chosen = landmarks[at_rest(landmarks, blendshapes)]
        if len(chosen):
            means.append(_aligned(chosen).mean(0))
    mean = torch.stack(means).mean(0)
    return _aligned(mean[None])[0]


def _aligned(landmarks: Tensor) -> Tensor:
    return torch.stack([to_crop(points, aligned_crop(points, (0, 0), 1)) for points in landmarks])


def _read(path: Path) -> tuple[Tensor, Tensor]:
    with safe_open(path, framework="pt") as file:
        return file.get_tensor("landmarks"), file.get_tensor("blendshapes")


def main() -> None:
    parser = argparse.ArgumentParser(description="Average the faces of prepared clips.")
    parser.add_argument("clips", type=Path)
    parser.add_argument("--left-out", nargs="*", default=(), help="skip clips whose name starts with one of these")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    mean = mean_face(_read(path) for path in clip_files(options.clips, options.left_out))
    write_tensors(options.out, {"landmarks": mean.half()})


if __name__ == "__main__":
    main()

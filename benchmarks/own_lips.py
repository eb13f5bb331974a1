"""Whether lips stay those of the person once speech begins, without rendering.

    python benchmarks/own_lips.py PORTRAIT ...

Heights of the lips and width of the mouth, relative to those of the portrait, of the landmarks that are asked for: when
speech has begun and asks for nothing yet, and on an oo. Portraits whose lips are parted are left out, because what
closes them changes their form. Prints a Markdown table of quantiles over the portraits, and the portrait furthest off.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from portraittalk import load_model, read_image
from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.errors import PortraitTalkError
from portraittalk.motion.geometry import SHOWS_TEETH, lip_aperture, move_landmarks
from portraittalk.motion.track import MotionTrack

OO = {"mouthPucker": 0.5, "mouthFunnel": 0.1, "jawOpen": 0.08}  # what is read in filmed people who say it
EDGES = {"upper lip": (0, 13), "lower lip": (14, 17)}  # landmarks of the middles of the edges
CORNERS = (61, 291)
QUANTILES = (0.05, 0.5, 0.95)


def sizes(landmarks: Tensor) -> Tensor:
    """Return the heights of both lips and the width of the mouth, (F, 3), of landmarks (F, 478, 3)."""
    heights = [(landmarks[:, low] - landmarks[:, high])[:, :2].norm(dim=-1) for high, low in EDGES.values()]
    left, right = landmarks[:, CORNERS, :2].unbind(1)
    return torch.stack((*heights, (right - left).norm(dim=-1)), 1)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", nargs="+", type=Path)
    model = load_model("mini")
    basis = model.face_motion()[1]
    expression = torch.zeros(2, len(ARKIT_NAMES))
    for name, value in OO.items():
        expression[1, ARKIT_INDEX[name]] = value
    track = MotionTrack.of_expression(expression, 25.0)
    names, ratios = [], []
    for path in parser.parse_args().portraits:
        try:
            identity = model.encode_identity([read_image(path).flattened()])
        except PortraitTalkError as error:
            print(f"{path.name}: {error}")
            continue
        if lip_aperture(identity.landmarks) < SHOWS_TEETH:
            moved = move_landmarks(identity.landmarks, identity.blendshapes, track, basis)
            names.append(path.stem)
            ratios.append(sizes(moved) / sizes(identity.landmarks[None]))
    found = torch.stack(ratios)  # (N, 2, 3)
    print(f"{len(names)} portraits with closed lips\n\n| | 5 % | median | 95 % | furthest off |\n|---|---|---|---|---|")
    for moment, values in zip(("speech begins", "oo"), found.unbind(1), strict=True):
        for part, column in zip((*EDGES, "width"), values.unbind(1), strict=True):
            low, middle, high = column.quantile(column.new_tensor(QUANTILES)).tolist()
            worst = int((column / column.median()).log().abs().argmax())
            print(f"| {moment}: {part} | {low:.2f} | {middle:.2f} | {high:.2f} | {names[worst]} {column[worst]:.2f} |")


if __name__ == "__main__":
    main()

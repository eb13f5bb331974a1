"""Use frames as they are made, in memory that does not grow: show them in a window, or write them as pictures.

python examples/stream_frames.py portrait.jpg speech.wav --window
python examples/stream_frames.py portrait.jpg speech.wav --folder frames
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

import portraittalk

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("portrait", type=Path, nargs="?", default=DEMO / "portrait.jpg")
parser.add_argument("speech", type=Path, nargs="?", default=DEMO / "speech.wav")
parser.add_argument("--window", action="store_true")
parser.add_argument("--folder", type=Path, default=Path("frames"))
parser.add_argument("--seconds", type=float, help="use only the first seconds of the speech")
arguments = parser.parse_args()


def to_image(frame: torch.Tensor) -> Image.Image:
    """A frame (3, H, W) in 0..1 as a picture of Pillow's."""
    return Image.fromarray((frame * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def window() -> Callable[[Image.Image], None]:
    """Open a window; return what shows a picture in it."""
    import tkinter

    from PIL import ImageTk

    root = tkinter.Tk()
    label = tkinter.Label(root)
    label.pack()

    def show(image: Image.Image) -> None:
        label.image = ImageTk.PhotoImage(image)  # kept, or it would be collected
        label.configure(image=label.image)
        root.update()

    return show


show = window() if arguments.window else None
arguments.folder.mkdir(parents=True, exist_ok=True)
audio = portraittalk.read_audio(arguments.speech, duration=arguments.seconds)
frames = portraittalk.talk("mini", arguments.portrait, audio)
number = 0
for chunk in frames:  # (n, 3, H, W), a few frames at a time
    for frame in chunk:
        number += 1
        if show:
            show(to_image(frame))
        else:
            to_image(frame).save(arguments.folder / f"{number:05}.jpg", quality=95)
print(f"{number} of {len(frames)} frames")

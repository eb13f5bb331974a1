"""Animate a portrait with more pictures of the same person: they show teeth and the far cheek.

python examples/several_references.py speech.wav talking.mp4 portrait.jpg smiling.jpg turned.jpg
"""

import argparse
from pathlib import Path

import portraittalk

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("speech", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("pictures", type=Path, nargs="+", help="the first one is the portrait that speaks")
parser.add_argument("--seconds", type=float, help="use only the first seconds of the speech")
arguments = parser.parse_args()

model = portraittalk.load_model("mini")
audio = portraittalk.read_audio(arguments.speech, duration=arguments.seconds)
frames = portraittalk.talk(model, arguments.pictures, audio)
borrowed = [
    name for name, given in (("an open mouth", frames.identity.open_mouth), ("a cheek", frames.identity.sides)) if given
]
portraittalk.write_video(frames, arguments.out, frames.fps, audio)
print(f"{arguments.out}: the further pictures gave {' and '.join(borrowed) or 'nothing that the portrait lacks'}")

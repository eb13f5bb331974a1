"""Animate a portrait with more pictures of the same person: one with an open mouth shows the teeth.

python examples/several_references.py speech.wav talking.mp4 portrait.jpg smiling.jpg
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
portraittalk.write_video(frames, arguments.out, frames.fps, audio)
borrowed = "nothing that the portrait lacks" if frames.identity.open_mouth is None else "an open mouth"
print(f"{arguments.out}: the further pictures gave {borrowed}")

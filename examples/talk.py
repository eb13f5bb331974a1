"""Make a portrait speak: the whole way in one call.

python examples/talk.py portrait.jpg speech.wav talking.mp4 --prompt "a wide smile"
"""

import argparse
from pathlib import Path

import portraittalk

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("portrait", type=Path, nargs="?", default=DEMO / "portrait.jpg")
parser.add_argument("speech", type=Path, nargs="?", default=DEMO / "speech.wav")
parser.add_argument("out", type=Path, nargs="?", default=Path("talking.mp4"))
parser.add_argument("--prompt", default="")
parser.add_argument("--seconds", type=float, help="use only the first seconds of the speech")
arguments = parser.parse_args()

model = portraittalk.load_model("mini")
audio = portraittalk.read_audio(arguments.speech, duration=arguments.seconds)
frames = portraittalk.talk(model, arguments.portrait, audio, prompt=arguments.prompt)
portraittalk.write_video(frames, arguments.out, frames.fps, audio)
print(f"{arguments.out}: {len(frames)} frames at {frames.fps:g} fps")

"""Make a motion track from speech, change it, save it as JSON, and animate a portrait with it.

python examples/edit_motion.py portrait.jpg speech.wav talking.mp4 --track motion.json
"""

import argparse
from dataclasses import replace
from pathlib import Path

import portraittalk
from portraittalk.arkit import ARKIT_INDEX
from portraittalk.motion.transform import scale, smooth

DEMO = Path(portraittalk.__file__).parent / "assets" / "demo"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("portrait", type=Path, nargs="?", default=DEMO / "portrait.jpg")
parser.add_argument("speech", type=Path, nargs="?", default=DEMO / "speech.wav")
parser.add_argument("out", type=Path, nargs="?", default=Path("talking.mp4"))
parser.add_argument("--track", type=Path, default=Path("motion.json"))
parser.add_argument("--seconds", type=float, help="use only the first seconds of the speech")
arguments = parser.parse_args()

model = portraittalk.load_model("mini")
audio = portraittalk.read_audio(arguments.speech, duration=arguments.seconds)
speech = model.encode_speech(audio, fps=25.0)
motion = model.make_motion(speech, seed=1)

motion = scale(smooth(motion, seconds=0.04), head=1.5)  # calmer, with a livelier head
expression = motion.expression.clone()  # (F, 52) ARKit coefficients in 0..1
expression[:, [ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"]]] += 0.3
motion = replace(motion, expression=expression.clamp(0, 1))
motion.save(arguments.track)

motion = portraittalk.MotionTrack.load(arguments.track)
frames = portraittalk.talk(model, arguments.portrait, speech, motion=motion)
portraittalk.write_video(frames, arguments.out, frames.fps, audio)
print(f"{arguments.out} and {arguments.track}: {len(frames)} frames")

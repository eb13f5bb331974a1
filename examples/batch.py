"""Animate every portrait of a folder with every speech of another; a file that cannot be used does not stop the rest.

python examples/batch.py portraits speeches videos
"""

import argparse
import sys
from pathlib import Path

import portraittalk

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("portraits", type=Path)
parser.add_argument("speeches", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--seconds", type=float, help="use only the first seconds of each speech")
arguments = parser.parse_args()

model = portraittalk.load_model("mini")
arguments.out.mkdir(parents=True, exist_ok=True)
failed = 0
for portrait in sorted(arguments.portraits.iterdir()):
    try:
        identity = model.encode_identity([portraittalk.read_image(portrait).flattened()])  # once for all speeches
    except portraittalk.PortraitTalkError as error:
        failed += 1
        print(f"{portrait.name}: {error}", file=sys.stderr)
        continue
    for speech in sorted(arguments.speeches.iterdir()):
        video = arguments.out / f"{portrait.stem}_{speech.stem}.mp4"
        try:
            audio = portraittalk.read_audio(speech, duration=arguments.seconds)
            frames = portraittalk.talk(model, identity, audio)
            portraittalk.write_video(frames, video, frames.fps, audio)
            print(video)
        except portraittalk.PortraitTalkError as error:
            failed += 1
            print(f"{portrait.name} with {speech.name}: {error}", file=sys.stderr)
sys.exit(1 if failed else 0)

"""Two people of one picture talk to each other, one after the other.

python examples/conversation.py two_people.jpg first.wav second.wav talking.mp4
"""

import argparse
from pathlib import Path

import portraittalk
from portraittalk.face.select import FaceChoice
from portraittalk.pipelines.conversation import in_turns

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("picture", type=Path)
parser.add_argument("first", type=Path)
parser.add_argument("second", type=Path)
parser.add_argument("out", type=Path, nargs="?", default=Path("talking.mp4"))
parser.add_argument("--faces", type=int, nargs=2, default=(0, 1), help="numbers of the faces, 0 is the largest")
parser.add_argument("--seconds", type=float, help="use only the first seconds of each speech")
arguments = parser.parse_args()

files = (arguments.first, arguments.second)
first, second = (portraittalk.read_audio(file, duration=arguments.seconds) for file in files)
speakers = [
    portraittalk.Speaker(audio, FaceChoice(index=face))
    for audio, face in zip(in_turns([first, second]), arguments.faces, strict=True)
]
frames = portraittalk.converse("mini", arguments.picture, speakers)
portraittalk.write_video(frames, arguments.out, frames.fps, frames.audio)
print(f"{arguments.out}: {len(frames)} frames at {frames.fps:g} fps")

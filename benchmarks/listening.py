"""Evaluates a model's motion network on sounds, without rendering frames: python benchmarks/listening.py SOUND...

speaks: fraction of the time in which speech is detected. mean, top: mean and maximum of the predicted lip aperture in
eye distances. openings: lip openings per second; in speech, nearly one per syllable. For sounds with a phone file
(NAME.phones beside the sound or in the folder --phones), closed: the fraction of p, b and m on which the lips close;
raised: the fraction of l, n, d and t on which the tongue is raised; vowels: the fraction of the frames inside vowels in
which it is raised, too.
"""

import argparse
from pathlib import Path

import torch

from portraittalk.errors import PortraitTalkError
from portraittalk.media.audio import read_audio
from portraittalk.metrics.lips import closure
from portraittalk.metrics.tongue import raised_tips, raised_vowels
from portraittalk.models.motion_net import MOTION_FPS
from portraittalk.motion.geometry import asked_aperture
from portraittalk.motion.speech_to_motion import pauses, speech_to_motion, spoken_expression
from portraittalk.pipelines.load import load_model
from portraittalk.speech.features import encode_speech
from portraittalk.speech.phones import read_phones
from portraittalk.weights.files import BUILT_IN

OPEN = 0.03  # aperture in eye distances above which lips look open


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path, nargs="+")
    parser.add_argument("--phones", type=Path, help="folder of NAME.phones files")
    parser.add_argument("--seconds", type=float, help="evaluate only the first SECONDS of each sound")
    parser.add_argument("--model", type=Path, help="model file, by default the shipped mini")
    arguments = parser.parse_args()
    model = load_model(arguments.model or BUILT_IN)
    print("sound\tseconds\tspeaks\tmean\ttop\topenings\tclosed\traised\tvowels")
    for path in arguments.sounds:
        try:
            speech = encode_speech(read_audio(path, duration=arguments.seconds), MOTION_FPS, model.config.speech)
        except PortraitTalkError as error:
            print(f"{path.name}\t{error}")
            continue
        track = speech_to_motion(model.motion_net, speech)
        speaks = pauses(spoken_expression(model.motion_net, speech.features)[1]) < 0.5
        aperture = asked_aperture(track, model.basis)
        opened = aperture > OPEN
        openings = (opened[1:] & ~opened[:-1]).sum().item() / speech.seconds
        row = [f"{speech.seconds:.1f}", f"{speaks.float().mean():.2f}"]
        row += [f"{aperture.mean():.3f}", f"{aperture.max():.3f}", f"{openings:.1f}"]
        file = (arguments.phones or path.parent) / f"{path.stem}.phones"
        phones = read_phones(file) if file.is_file() else []
        shares = [closure(aperture, phones, MOTION_FPS)]
        shares += [measure(track.tongue, phones, MOTION_FPS) for measure in (raised_tips, raised_vowels)]
        row += ["-" if share is None else f"{share:.2f}" for share in shares]
        print("\t".join([path.name, *row]))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()

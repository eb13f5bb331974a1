"""Synthesis of speech with known phones in many voices: python -m portraittalk.training.motion.synthesize --help

The voices, of several languages, are Kokoro's (Apache-2.0). Kokoro predicts phone durations before it generates sound;
an extra graph output exposes them. ``espeak-ng`` converts text to phones. Both, and ``onnx`` and ``onnxruntime``, are
needed only for training data.
"""

import argparse
import re
import subprocess
import wave
from pathlib import Path

import numpy as np

from ...output_files import atomic_file, make_folder
from ...speech.phones import Phone, phones_of_letters, write_phones
from ...text_files import read_json, read_text

SAMPLE_RATE = 24000
DURATIONS = "/encoder/Clip_output_0"  # token durations in steps of 600 samples
STEP_SECONDS = 600 / SAMPLE_RATE
LEAD_SECONDS = 0.06  # lead of the sound over these durations, measured by forced alignment of twelve voices
SPEEDS = (0.9, 1.3)
ESPEAK_VOICES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn",
}  # fmt: skip
"""First letter of a Kokoro voice's name -> espeak-ng voice of its language."""

# espeak-ng spelling -> Kokoro's, which has a single letter for each diphthong and affricate.
_LETTERS = {
    "eɪ": "A", "aɪ": "I", "oʊ": "O", "əʊ": "Q", "aʊ": "W", "ɔɪ": "Y", "dʒ": "ʤ", "tʃ": "ʧ",
    "ts": "ʦ", "ɜː": "ɜɹ", "g": "ɡ", "ä": "a",
}  # fmt: skip


def spell(text: str, language: str) -> str:
    """Convert text to IPA in Kokoro's alphabet. language: espeak-ng voice."""
    command = ["espeak-ng", "-q", "--ipa", "-b", "1", "-v", language, "--stdin"]  # -b 1: the text is UTF-8
    lines = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    ipa = ", ".join(line.strip() for line in lines.splitlines() if line.strip()) + "."
    ipa = re.sub(r"\([a-z-]+\)", "", ipa)  # markers of language switches
    for two, one in _LETTERS.items():
        ipa = ipa.replace(two, one)
    return ipa


class Kokoro:
    """The Kokoro-82M text-to-speech model. model_path: ONNX file. vocabulary: letter -> token id."""

    def __init__(self, model_path: Path, vocabulary: dict[str, int]) -> None:
        import onnx
        import onnxruntime

        graph = onnx.load(str(model_path))
        graph.graph.output.append(onnx.helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.FLOAT, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
        self._vocabulary = vocabulary

    def __call__(self, letters: str, voice_path: Path, speed: float = 1.0) -> tuple[np.ndarray, list[Phone]]:
        """Synthesise IPA; return sound (T,) float32 at 24 kHz and its phones. voice_path: ``.bin`` of style vectors."""
        letters = "".join(letter for letter in letters if letter in self._vocabulary)
        styles = np.fromfile(voice_path, np.float32).reshape(-1, 256)
        inputs = {
            "tokens": np.array([[0, *(self._vocabulary[letter] for letter in letters), 0]], np.int64),
            "style": styles[None, min(len(letters), len(styles) - 1)],
            "speed": np.array([speed], np.float32),
        }
        sound, durations = self._session.run(["audio", DURATIONS], inputs)
        seconds = [float(d) * STEP_SECONDS for d in durations.reshape(-1)]
        seconds[0], seconds[-1] = seconds[0] - LEAD_SECONDS, seconds[-1] + LEAD_SECONDS  # pauses at both ends
        return sound.reshape(-1), phones_of_letters(" " + letters + " ", seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Synthesise sentences in many voices, each sound with a phone file.")
    parser.add_argument("--model", type=Path, required=True, help="Kokoro-82M as ONNX")
    parser.add_argument("--vocabulary", type=Path, required=True, help="JSON: letter -> token id")
    parser.add_argument("--voices", type=Path, required=True, help="folder of Kokoro's voices (.bin)")
    parser.add_argument("--sentences", type=Path, required=True, help="folder of LANGUAGE.txt, one sentence per line")
    parser.add_argument("--each", type=int, default=3, help="sentences per voice")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    kokoro = Kokoro(arguments.model, read_json(arguments.vocabulary))
    make_folder(arguments.out)
    for voice in sorted(arguments.voices.glob("*.bin")):
        language = ESPEAK_VOICES[voice.stem[0]]
        lines = read_text(arguments.sentences / f"{language}.txt").splitlines()
        for index, line in enumerate(random.choice(lines, arguments.each, replace=False)):
            sound, phones = kokoro(spell(line, language), voice, speed=random.uniform(*SPEEDS))
            target = arguments.out / f"{voice.stem}_{index}.wav"
            write_wav(target, sound)
            write_phones(target.with_suffix(".phones"), phones)


def write_wav(path: Path, sound: np.ndarray) -> None:
    """Write sound (T,) at 24 kHz as a 16-bit file."""
    with atomic_file(path) as part, wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()

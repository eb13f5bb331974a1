"""Phone timings of speech with known text: python -m portraittalk.training.motion.forced_alignment --help"""

import argparse
import logging
from pathlib import Path

from ...media.audio import Audio, read_audio
from ...media.resample import resample
from ...output_files import make_folder
from ...speech.phones import PHONE_INDEX, SILENCE_PHONE, Phone, write_phones
from ...text_files import read_text

log = logging.getLogger(__name__)

SAMPLE_RATE = 16000

# The six words of a GRID corpus sentence by the letters of its file name; the fourth is spoken as a letter.
_GRID = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(zip("123456789z", "one two three four five six seven eight nine zero".split(), strict=True)),  # noqa: SIM905
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)


class Aligner:
    """Forced alignment of English speech to its text with ``pocketsphinx`` (needed only for training data)."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=SAMPLE_RATE, bestpath=False, lm=None, loglevel="FATAL")

    def __call__(self, audio: Audio, text: str) -> list[Phone]:
        """Return phones to 10 ms. Raises RuntimeError if the words do not match the sound or are unknown."""
        sound = resample(audio.mono()[None], audio.sample_rate, SAMPLE_RATE)[0]
        pcm = (sound.clamp(-1, 1) * 32767).short().numpy().tobytes()
        self._decoder.set_align_text("".join(c for c in text.lower() if c.isalpha() or c in " '"))
        self._decode(pcm)
        self._decoder.set_alignment()
        self._decode(pcm)
        found = [phone for word in self._decoder.get_alignment() for phone in word]
        return [
            Phone(p.start / 100, (p.start + p.duration) / 100, p.name if p.name in PHONE_INDEX else SILENCE_PHONE)
            for p in found
        ]

    def _decode(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()


def words_of(sound: Path) -> str:
    """Return the text beside a sound (``x.txt``), or by its GRID name: ``s1_bbaf2n`` is bin blue at f two now."""
    beside = sound.with_suffix(".txt")
    if beside.exists():
        return read_text(beside)
    return " ".join(words[letter] for words, letter in zip(_GRID, sound.stem.split("_")[-1], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a phone file for each sound.")
    parser.add_argument("sounds", type=Path, nargs="+", help="GRID clips, or sounds with a .txt beside them")
    parser.add_argument("--out", type=Path, required=True, help="folder for the phone files")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    make_folder(arguments.out)
    align = Aligner()
    for sound in arguments.sounds:
        try:
            write_phones(arguments.out / f"{sound.stem}.phones", align(read_audio(sound), words_of(sound)))
        except RuntimeError as error:
            log.warning("Skipped %s: %s.", sound.name, error)


if __name__ == "__main__":
    main()

"""Random instrumental music, during which lips must stay still: python -m portraittalk.training.motion.music --help

Random bass, chords, melody and drums, played with the instruments of a General MIDI sound font such as FluidR3_GM
(MIT). ``fluidsynth`` and ``mido`` are needed only for training data.
"""

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...output_files import atomic_file, make_folder

if TYPE_CHECKING:
    from mido import MidiFile

SAMPLE_RATE = 22050
TICKS = 480  # per beat
BARS = 4
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))
VOICES = (52, 53, 54, 85, 91)  # General MIDI programs that sound like singing: choirs and voices
DRUMS = 9  # drum channel
KICK, SNARE, HATS, CRASH = 36, 38, (42, 44, 46), 49


@dataclass(frozen=True)
class Note:
    """A note. beat, beats: onset and duration. pitch, velocity: as in MIDI."""

    beat: float
    beats: float
    channel: int
    pitch: int
    velocity: int


def compose(random: np.random.Generator) -> list[Note]:
    """Compose four bars of a random choice of bass, chords, melody and drums."""
    scale, key = SCALES[random.integers(len(SCALES))], int(random.integers(12))
    roots = random.integers(0, len(scale), BARS)
    parts = random.random(4) < (0.7, 0.75, 0.8, 0.6)
    if not parts.any():
        parts[2] = True
    loudness = int(random.integers(60, 120))

    def pitch(step: int, octave: int) -> int:
        return 12 * octave + key + 12 * (step // len(scale)) + scale[step % len(scale)]

    notes: list[Note] = []
    for bar, root in enumerate(roots):
        start = 4 * bar
        if parts[0]:
            interval = float(random.choice((0.5, 1, 2)))
            steps = np.arange(0, 4, interval)
            notes += [Note(start + at, 0.9 * interval, 0, pitch(root, 3), loudness) for at in steps]
        if parts[1]:
            interval = float(random.choice((0.5, 1, 2, 4)))
            for at in np.arange(0, 4, interval):
                notes += [
                    Note(start + at, 0.95 * interval, 1, pitch(root + third, 4), loudness - 15) for third in (0, 2, 4)
                ]
        if parts[2]:
            at, step = 0.0, int(root)
            while at < 4:
                duration = float(random.choice((0.25, 0.5, 0.5, 1, 1.5)))
                step += int(random.integers(-2, 3))
                if random.random() < 0.85:
                    notes.append(Note(start + at, 0.9 * duration, 2, pitch(step, 5), loudness))
                at += duration
        if parts[3]:
            hat = int(random.choice(HATS))
            notes += [Note(start + at, 0.2, DRUMS, hat, loudness - 20) for at in np.arange(0, 4, 0.5)]
            notes += [
                Note(start + at, 0.2, DRUMS, KICK, loudness) for at in (0, 2, 2.5 if random.random() < 0.5 else 2)
            ]
            notes += [Note(start + at, 0.2, DRUMS, SNARE, loudness) for at in (1, 3)]
            notes += [Note(start, 0.5, DRUMS, CRASH, loudness)] * (bar == 0)
    return notes


def as_midi(notes: list[Note], random: np.random.Generator) -> "MidiFile":
    """Convert notes to MIDI with a random tempo and, except for drums, random instruments other than voices."""
    import mido

    file, track = mido.MidiFile(ticks_per_beat=TICKS), mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(float(random.uniform(70, 170)))))
    instruments = [program for program in range(112) if program not in VOICES]
    for channel in range(3):
        track.append(mido.Message("program_change", channel=channel, program=int(random.choice(instruments))))
    events = []
    for note in notes:
        pitch, channel = min(max(note.pitch, 0), 127), note.channel
        on = mido.Message("note_on", channel=channel, note=pitch, velocity=min(max(note.velocity, 1), 127))
        events += [(note.beat, on), (note.beat + note.beats, mido.Message("note_off", channel=channel, note=pitch))]
    now = 0
    for beat, message in sorted(events, key=lambda event: event[0]):
        at = round(beat * TICKS)
        track.append(message.copy(time=at - now))
        now = at
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description="Write random music without voices as .wav files.")
    parser.add_argument("--soundfont", type=Path, required=True, help="a General MIDI sound font (.sf2)")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    make_folder(arguments.out)
    random = np.random.default_rng(0)
    for index in range(arguments.count):
        with atomic_file(arguments.out / f"music_{index:04d}.wav") as target:
            score = target.with_suffix(".mid")
            as_midi(compose(random), random).save(str(score))
            command = ["fluidsynth", "-ni", "-q", "-g", "0.5", "-r", str(SAMPLE_RATE), "-F", str(target)]
            subprocess.run([*command, str(arguments.soundfont), str(score)], check=True, capture_output=True)


if __name__ == "__main__":
    main()

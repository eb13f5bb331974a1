"""Music for training: what is put together by chance can be played, and by no voice."""

import numpy as np
import pytest

from portraittalk.training.motion.music import BARS, DRUMS, VOICES, as_midi, compose


@pytest.mark.parametrize("seed", range(20))
def test_a_piece_has_notes_that_can_be_played(seed):
    notes = compose(np.random.default_rng(seed))
    assert notes
    assert all(0 <= note.beat < 4 * BARS and note.beats > 0 for note in notes)
    assert all(24 <= note.pitch < 110 and 0 < note.velocity < 128 for note in notes)
    assert {note.channel for note in notes} <= {0, 1, 2, DRUMS}


def test_the_seed_decides_the_piece():
    first, again, other = (compose(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_file_plays_every_note_by_no_voice():
    random = np.random.default_rng(3)
    notes = compose(random)
    track = as_midi(notes, random).tracks[0]
    assert [message.type for message in track].count("note_on") == len(notes)
    assert [message.type for message in track].count("note_off") == len(notes)
    assert not {message.program for message in track if message.type == "program_change"} & set(VOICES)
    assert all(message.time >= 0 for message in track)

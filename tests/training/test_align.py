"""The words that a sound is aligned with."""

from pathlib import Path

from portraittalk.training.motion.forced_alignment import words_of


def test_grid_names_spell_their_sentence():
    assert words_of(Path("s1_bbaf2n.mp4")) == "bin blue at f two now"
    assert words_of(Path("sx_lwbzzp.mp4")) == "lay white by z zero please"


def test_a_text_beside_the_sound_comes_first(tmp_path):
    (tmp_path / "s1_bbaf2n.txt").write_text("Hello there.")
    assert words_of(tmp_path / "s1_bbaf2n.mp4") == "Hello there."

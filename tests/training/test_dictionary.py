"""Entries of WordNet as they are read, and an encoder that brings words to their definitions."""

import pytest
import torch
from torch.nn.functional import normalize

from portraittalk.config import TextConfig
from portraittalk.errors import SettingsError
from portraittalk.models.text_net import SentenceNet
from portraittalk.training.text.dictionary import (
    NEAR,
    OTHER,
    learn_dictionary,
    participles,
    read_wordnet,
    shares,
)
from portraittalk.training.text.encoder import TextTraining, holder, word_pieces
from portraittalk.training.trainer import TrainerConfig

TINY = TextConfig(word_dim=16, dim=32, layers=1, heads=2, hidden=64)
ADJECTIVES = """\
  1 This software and database is being provided to you, the LICENSEE, by
00002843 00 a 02 glum 0 down_in_the_mouth 0 001 & 00002730 a 0000 | filled with melancholy; "feeling glum"
00002956 00 s 01 sunlit(a) 0 000 | lighted by the sun
"""
VERBS = "00100044 37 v 02 grieve 0 sorrow 2 001 @ 00100000 v 0000 01 + 02 00 | feel grief; be sad\n"
NOUNS = """\
00001740 05 n 01 badger 0 000 | a sturdy burrowing animal
00001930 18 n 01 mourner 0 000 | a person who is feeling grief
"""


@pytest.fixture
def wordnet(tmp_path):
    for name, text in (("adj", ADJECTIVES), ("verb", VERBS), ("noun1", NOUNS)):
        (tmp_path / f"data.{name}").write_text(text, encoding="latin-1")
    return tmp_path


def test_entries_are_words_and_what_they_mean(wordnet):
    glum, sunlit, mourner, grieve = read_wordnet(wordnet)
    assert glum.words == ("glum", "down in the mouth") and glum.definition == "filled with melancholy"
    assert sunlit.words == ("sunlit",) and mourner.words == ("mourner",), "animals are left out"
    assert grieve.words == ("grieve", "sorrow", "grieving", "grieved", "sorrowing", "sorrowed")


def test_participles():
    forms = {"wince": "wincing winced", "frown": "frowning frowned", "lie": "lying lied", "grin": "grinning grinned"}
    forms |= {"petrify": "petrifying petrified", "agree": "agreeing agreed", "play": "playing played"}
    assert {verb: " ".join(participles(verb)) for verb in forms} == forms
    assert participles("cheer up") == ("cheering up", "cheered up")


def test_what_is_near_a_phrase_is_learnt_more_often():
    meanings = normalize(torch.tensor([[1.0, 0], [NEAR, (1 - NEAR**2) ** 0.5], [0.1, 1]]), dim=-1)
    often = shares(meanings, torch.tensor([[1.0, 0]]))
    assert often.tolist() == pytest.approx([1 + OTHER, 1 + OTHER, OTHER])


def test_a_folder_without_a_dictionary_is_told(tmp_path):
    with pytest.raises(SettingsError, match="WordNet"):
        read_wordnet(tmp_path)


def test_words_come_near_their_definitions(wordnet, tmp_path):
    torch.manual_seed(0)
    entries = read_wordnet(wordnet)
    trainer = TrainerConfig(steps=80, learning_rate=3e-3, warmup=5, bf16=False, ema=0.5)
    plain = ["a train", "the river", "numbers"] * 4
    wanted = normalize(torch.randn(3, 32), dim=-1).repeat(4, 1)
    learnt = learn_dictionary(
        SentenceNet(TINY),
        entries,
        torch.ones(4),
        plain,
        wanted,
        TextTraining(batch=16, trainer=trainer),
        tmp_path / "run",
    )
    with torch.no_grad():
        words = learnt(word_pieces([entry.words[0] for entry in entries], holder(learnt)))
        meanings = learnt(word_pieces([entry.definition for entry in entries], holder(learnt)))
    assert (words @ meanings.T).argmax(1).tolist() == [0, 1, 2, 3]

"""Captions that mean what they say, and text networks that learn from them."""

from dataclasses import replace

import torch
from torch import Generator

from portraittalk.arkit import EXPRESSION_NAMES
from portraittalk.config import TextConfig
from portraittalk.models.text_net import ExpressionNet, SentenceNet
from portraittalk.text.networks import VOCABULARY, load_text_networks, save_text_networks
from portraittalk.text.prompt import word_pieces
from portraittalk.training.text.captions import CONCEPTS, random_caption, target_vector
from portraittalk.training.text.encoder import (
    TextTraining,
    distil,
    holder,
    sentences,
    train_reader,
    whole_words,
)
from portraittalk.training.trainer import TrainerConfig

TINY = TextConfig(word_dim=16, layers=1, heads=2, hidden=64)
NARROW = replace(TINY, dim=48, axes=24)  # for what need not be as wide as a teacher
TRAINER = TrainerConfig(steps=25, learning_rate=3e-3, warmup=5, bf16=False, ema=0.5, log_every=1)


def test_every_concept_has_many_phrases_and_its_own_target():
    targets = torch.stack([target_vector(concept.target) for concept in CONCEPTS.values()])
    assert all(len(set(concept.phrases)) >= 5 for concept in CONCEPTS.values())
    assert (torch.cdist(targets, targets) + torch.eye(len(targets))).min() > 0.1
    assert target_vector({"eyeWide_": 0.5})[EXPRESSION_NAMES.index("eyeWideRight")] == 0.5


def test_captions_repeat_and_are_of_all_kinds():
    generators = (Generator().manual_seed(3) for _ in range(2))
    many, again = ([random_caption(generator) for _ in range(300)] for generator in generators)
    assert many == again
    assert 5 < sum(not each.concepts for each in many) < 60
    assert all(each.strength == 0 for each in many if each.text.startswith("not "))
    assert sum(len(set(each.concepts)) == 2 for each in many) > 15


def test_sentences_come_from_captions_and_the_vocabulary():
    words = whole_words(VOCABULARY)
    assert len(words) > 15_000 and {"joy", "anger", "painting"} < set(words)
    made = sentences(words, TextTraining(texts=200))
    assert made == sentences(words, TextTraining(texts=200)) and len(set(made)) > 180


def test_the_encoder_learns_from_a_teacher_and_the_reader_from_captions(tmp_path, losses):
    """The teacher is the encoder that ships; it stands in for the larger one, which does not."""
    torch.manual_seed(0)
    training = TextTraining(texts=200, batch=16, trainer=TRAINER)
    texts = sentences(whole_words(VOCABULARY), training)
    teacher = load_text_networks().sentences
    with torch.no_grad():
        wanted = teacher(word_pieces(texts, holder(teacher)))
    student = distil(SentenceNet(TINY), texts, wanted, training, tmp_path / "a")
    told = losses(tmp_path / "a")
    assert sum(told[-5:]) < 0.8 * sum(told[:5])
    assert student.config == TINY
    networks = train_reader(SentenceNet(NARROW), training, tmp_path / "b")
    told = losses(tmp_path / "b")
    assert sum(told[-5:]) < 0.8 * sum(told[:5])
    shared = networks.config
    assert shared == replace(NARROW, captions=len(networks.expression.captions)) and shared.captions > 0


def test_a_sentence_is_nearest_to_the_captions_of_its_meaning(tmp_path):
    networks = load_text_networks()
    sentences = networks.sentences(word_pieces(["smiling", "furious"], networks))
    reader = ExpressionNet(replace(networks.config, captions=2, axes=8))
    reader.remember(sentences, torch.tensor([3, 5]))
    shares = reader.nearest(sentences)
    assert shares.argmax(1).tolist() == [3, 5] and torch.allclose(shares.sum(1), torch.ones(2))
    save_text_networks(tmp_path / "text.safetensors", networks)
    again = load_text_networks(tmp_path / "text.safetensors")
    assert again.expression.captions.dtype == torch.int8
    assert torch.equal(again.expression.nearest(sentences), networks.expression.nearest(sentences))

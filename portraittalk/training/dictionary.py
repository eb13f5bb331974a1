"""Words come near their definitions and synonyms: what the sentence encoder learns of rare words, from WordNet.

The data files of WordNet 3.0 (Princeton University; free for any use) are read as they are: ``data.adj`` and so on.
"""

import re
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..errors import SettingsError
from ..models.text_net import SentenceNet
from ..text.prompt import word_pieces
from .data import one_of, uniform
from .text import TextTraining, holder, trimmed
from .trainer import Batch, fit

FILES = ("data.adj", "data.adv", "data.verb", "data.noun*")
# Of nouns only acts, attributes, bodies, thoughts, speech, events, feelings, persons and states: WordNet's lexnames.
NOUNS = {"04", "07", "08", "09", "10", "11", "12", "18", "26"}
MOODS = {"12", "29", "37"}  # nouns of feeling, verbs of the body and of emotion
MOOD, QUALITY, OTHER = 8.0, 2.0, 0.4  # how often: moods, adjectives and adverbs, the rest
FRAMES = ("{}", "{}", "{}", "a {} person", "looking {}", "feeling {}", "very {}")
SYNONYMS = 0.3  # how often a synonym stands for the definition
SHARPNESS = 20.0  # of the contrast
KEEP = 4.0  # weight of staying where the teacher puts plain texts
_LINE = re.compile(r"\d{8} (\d\d) ([nvasr]) ([0-9a-f]{2}) (.*?) \| (.*)")


@dataclass(frozen=True)
class Entry:
    """One meaning: the words that have it, its definition, and how often it is learnt."""

    words: tuple[str, ...]
    definition: str
    weight: float


def read_wordnet(folder: Path) -> list[Entry]:
    """Raises SettingsError where the folder holds no data files of WordNet."""
    files = sorted(path for pattern in FILES for path in folder.glob(pattern))
    if not files:
        raise SettingsError(f"{folder} holds no data.adj, data.verb or data.noun: give the folder of WordNet's files.")
    lines = (line for path in files for line in path.read_text(encoding="latin-1").splitlines())
    return [entry for line in lines if (entry := _entry(line)) is not None]


def _entry(line: str) -> Entry | None:
    match = _LINE.match(line)
    if match is None or (match[2] == "n" and match[1] not in NOUNS):
        return None
    parts = match[4].split(" ")
    names = (parts[2 * index] for index in range(int(match[3], 16)))
    words = tuple(re.sub(r"\(.*?\)", "", name).replace("_", " ").lower() for name in names)
    words = tuple(word for word in words if re.fullmatch(r"[a-z' -]+", word))
    definition = re.split(r'[;"]', match[5])[0].strip()
    weight = MOOD if match[1] in MOODS else QUALITY if match[2] in "asr" else OTHER
    return Entry(words, definition, weight) if words and len(definition) > 5 else None


def learn_dictionary(
    student: SentenceNet, entries: list[Entry], plain: list[str], wanted: Tensor, training: TextTraining, out: Path
) -> nn.Module:
    """A word is to be told its definition from those of the batch's other words (InfoNCE, van den Oord et al. 2018),
    while ``plain`` texts stay where the teacher has them, wanted: (n, D)."""
    networks = holder(student)
    others = word_pieces(plain, networks)
    bounds = torch.tensor(list(accumulate(entry.weight for entry in entries)))

    def draw(generator: Generator) -> Batch:
        at = torch.searchsorted(bounds, uniform(0, float(bounds[-1]), generator, training.batch))
        picked = [entries[index] for index in at.clamp_max(len(entries) - 1).tolist()]
        kept = torch.randint(len(others), (training.batch // 4,), generator=generator)
        words = [one_of(FRAMES, generator).format(one_of(entry.words, generator)) for entry in picked]
        return {
            "words": trimmed(word_pieces(words, networks)),
            "meanings": trimmed(word_pieces([_meaning(entry, generator) for entry in picked], networks)),
            "others": trimmed(others[kept]),
            "wanted": wanted[kept],
        }

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        likeness = SHARPNESS * network(batch["words"]).float() @ network(batch["meanings"]).float().T
        contrast = F.cross_entropy(likeness, torch.arange(len(likeness), device=likeness.device))
        apart = 1 - (network(batch["others"]) * batch["wanted"]).sum(-1).mean()
        return {"loss": contrast + KEEP * apart, "contrast": contrast.detach(), "apart": apart.detach()}

    return fit(student, draw, loss, training.trainer, out, training.seed)


def _meaning(entry: Entry, generator: Generator) -> str:
    synonym = len(entry.words) > 1 and float(uniform(0, 1, generator)) < SYNONYMS
    return one_of(entry.words, generator) if synonym else entry.definition

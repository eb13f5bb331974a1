"""Contrastive training of the sentence encoder on WordNet: words move towards their definitions and synonyms.

This teaches it rare words. The data files of WordNet 3.0 (Princeton University; free for any use) are read unchanged:
``data.adj`` and so on.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ...errors import SettingsError
from ...models.text_net import SentenceNet
from ...text.prompt import word_pieces
from ..data.clips import one_of, uniform
from ..trainer import Batch, fit
from .encoder import TextTraining, holder, trimmed

FILES = ("data.adj", "data.adv", "data.verb", "data.noun*")
# Lexicographer files of the nouns used: act, attribute, body, cognition, communication, event, feeling, person, state.
NOUNS = {"04", "07", "08", "09", "10", "11", "12", "18", "26"}
FAR, NEAR = 0.55, 0.7  # cosine of a definition to the nearest phrase, between which its sampling weight rises
OTHER = 0.02  # sampling weight of definitions far from all phrases; it rises by 1 from FAR to NEAR
FRAMES = ("{}", "{}", "{}", "a {} person", "looking {}", "feeling {}", "very {}")
SYNONYMS = 0.3  # probability that a synonym replaces the definition
SHARPNESS = 20.0  # inverse temperature of the contrastive loss
KEEP = 4.0  # weight of the distillation loss on plain texts
_LINE = re.compile(r"\d{8} (\d\d) ([nvasr]) ([0-9a-f]{2}) (.*?) \| (.*)")


@dataclass(frozen=True)
class Entry:
    """A meaning: its words, with participles of verbs, and its definition."""

    words: tuple[str, ...]
    definition: str


def read_wordnet(folder: Path) -> list[Entry]:
    """Read WordNet's entries. Raises SettingsError if the folder contains no WordNet data files."""
    files = sorted(path for pattern in FILES for path in folder.glob(pattern))
    if not files:
        raise SettingsError(f"{folder} has no data.adj, data.verb or data.noun: give the folder of WordNet's files.")
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
    if match[2] == "v":
        words += tuple(form for word in words for form in participles(word))
    definition = re.split(r'[;"]', match[5])[0].strip()
    return Entry(words, definition) if words and len(definition) > 5 else None


def participles(verb: str) -> tuple[str, str]:
    """Return the regular participles of a verb: ``seethe`` -> ``seething`` and ``seethed``, ``cheer up`` -> ``cheering
    up`` and ``cheered up``. Irregular verbs come out wrong."""
    first, *rest = verb.split(" ")
    present = past = first
    if first.endswith("ie"):
        present = first[:-2] + "y"
    elif first.endswith("e") and not first.endswith(("ee", "oe", "ye")) and len(first) > 2:
        present = first[:-1]
    elif re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", first):
        present = past = first + first[-1]
    elif re.search(r"[^aeiou]y$", first):
        past = first[:-1] + "i"
    past = past.removesuffix("e")
    return " ".join((present + "ing", *rest)), " ".join((past + "ed", *rest))


def shares(meanings: Tensor, phrases: Tensor) -> Tensor:
    """Return sampling weights (n,) of meanings, highest near phrases that ask for an expression, since words for moods
    are few among all words. meanings (n, D), phrases (m, D): unit-length embeddings of the teacher."""
    near = torch.cat([(part @ phrases.T).amax(1) for part in meanings.split(1024)])
    return OTHER + ((near - FAR) / (NEAR - FAR)).clamp(0, 1)


def learn_dictionary(
    student: SentenceNet,
    entries: list[Entry],
    share: Tensor,
    plain: list[str],
    wanted: Tensor,
    training: TextTraining,
    out: Path,
) -> nn.Module:
    """Train the student to match words to their definitions within a batch (InfoNCE, van den Oord et al. 2018), while
    the embeddings of ``plain`` texts stay close to the teacher's.

    share: sampling weights of the entries, from ``shares``. wanted: (n, D), the teacher's embeddings of ``plain``.
    """
    networks = holder(student)
    plain_pieces = word_pieces(plain, networks)
    bounds = share.double().cumsum(0)

    def draw(generator: Generator) -> Batch:
        drawn = torch.searchsorted(bounds, uniform(0, float(bounds[-1]), generator, training.batch))
        chosen = [entries[index] for index in drawn.clamp_max(len(entries) - 1).tolist()]
        rows = torch.randint(len(plain_pieces), (training.batch // 4,), generator=generator)
        words = [one_of(FRAMES, generator).format(one_of(entry.words, generator)) for entry in chosen]
        return {
            "words": trimmed(word_pieces(words, networks)),
            "meanings": trimmed(word_pieces([_meaning(entry, generator) for entry in chosen], networks)),
            "others": trimmed(plain_pieces[rows]),
            "wanted": wanted[rows],
        }

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        similarity = SHARPNESS * network(batch["words"]).float() @ network(batch["meanings"]).float().T
        contrastive = F.cross_entropy(similarity, torch.arange(len(similarity), device=similarity.device))
        drift = 1 - (network(batch["others"]) * batch["wanted"]).sum(-1).mean()
        return {"loss": contrastive + KEEP * drift, "contrast": contrastive.detach(), "apart": drift.detach()}

    return fit(student, draw, loss, training.trainer, out, training.seed)


def _meaning(entry: Entry, generator: Generator) -> str:
    synonym = len(entry.words) > 1 and float(uniform(0, 1, generator)) < SYNONYMS
    return one_of(entry.words, generator) if synonym else entry.definition

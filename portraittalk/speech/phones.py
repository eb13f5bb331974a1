"""Timed phones: the phone set of the motion network, the mapping from IPA, and the phone file format.

A phone file is stored beside its audio (``x.wav``, ``x.phones``); each line is ``start end PHONE``, in seconds.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MediaError
from ..output_files import write_text
from ..text_files import read_text

PHONES: tuple[str, ...] = (
    "SIL",
    "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW",
    "B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y",
    "Z", "ZH",
)  # fmt: skip
"""The phone set: ARPAbet and silence."""
VOWELS = tuple(phone for phone in PHONES if phone[0] in "AEIOU")
BILABIALS = ("P", "B", "M")  # the lips meet
LABIODENTALS = ("F", "V")  # the lower lip meets the upper teeth
DENTALS = ("TH", "DH")  # the tip of the tongue lies between the teeth
ALVEOLARS = ("L", "N", "D", "T")  # it touches behind the upper teeth
SILENT = PHONES.index("SIL")
SILENCE_PHONE = PHONES[SILENT]
PHONE_INDEX: dict[str, int] = {phone: index for index, phone in enumerate(PHONES)}
SMALLEST_PAUSE = 0.075  # seconds: a shorter gap between words belongs to the phone before it

_IPA = (
    "AA:aɑ AE:æ AH:ʌəɐᵊɤ AO:ɔɒ AW:W AY:I EH:ɛe ER:ɜɚœ EY:A IH:ɪɨᵻɯ IY:i OW:OQoø OY:Y UH:ʊ UW:uy "
    "B:b CH:ʧ D:dɾɖɽT DH:ð F:fɸ G:ɡgɣɰ HH:hxχʁʔ JH:ʤɟ K:kcq L:lrʎ M:m N:nɲɳ NG:ŋɴ P:p R:ɹɻ S:sʦ SH:ʃɕʂç T:tʈʨ "
    "TH:θ V:vβʋ W:wɥ Y:jʝ Z:zʣ ZH:ʒʥ"
)
IPA_PHONES: dict[str, str] = {
    letter: phone for phone, letters in (entry.split(":") for entry in _IPA.split()) for letter in letters
}
"""IPA letters (and the one-letter diphthongs of Kokoro's alphabet) -> the phone with the most similar viseme."""

BEFORE = "ˈˌ"  # stress marks: their duration is added to the following letter
AFTER = "ːʰʲ̃"  # length, aspiration, palatalisation and nasalisation marks: added to the preceding letter


@dataclass(frozen=True)
class Phone:
    """A phone of ``PHONES`` from ``start`` to ``end``, in seconds."""

    start: float
    end: float
    name: str


def write_phones(path: Path, phones: list[Phone]) -> None:
    """Write a phone file."""
    write_text(path, "".join(f"{p.start:.4f} {p.end:.4f} {p.name}\n" for p in phones))


def read_phones(path: Path) -> list[Phone]:
    """Read a phone file. Raises MediaError if it is missing or something else."""
    try:
        lines = (line.split() for line in read_text(path).splitlines())
        return [Phone(float(start), float(end), name) for start, end, name in lines]
    except OSError as error:
        raise MediaError(f"The phone file {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise MediaError(
            f"{path.name} is not a phone file: give lines with start and end in seconds and a phone."
        ) from error


def phone_labels(phones: list[Phone], count: int, fps: float) -> Tensor:
    """Return indices (count,) into ``PHONES`` of the phone at the middle of each frame; silence if there is none."""
    labels = torch.full((count,), PHONE_INDEX[SILENCE_PHONE])
    for phone in phones:
        first, stop = (round(second * fps) for second in (phone.start, phone.end))
        labels[first:stop] = PHONE_INDEX[phone.name]
    return labels


def phones_of_letters(letters: str, seconds: list[float]) -> list[Phone]:
    """Convert IPA letters and their durations in seconds to phones; punctuation and unknown letters become pauses."""
    phones: list[Phone] = []
    start, end = 0.0, 0.0
    for letter, duration in zip(letters, seconds, strict=True):
        end += duration
        if letter in BEFORE:
            continue
        name = IPA_PHONES.get(letter, SILENCE_PHONE)
        joins = letter in AFTER or (name == SILENCE_PHONE and end - start < SMALLEST_PAUSE)
        if phones and (joins or phones[-1].name == name):
            phones[-1] = Phone(phones[-1].start, end, phones[-1].name)
        else:
            phones.append(Phone(start, end, name))
        start = end
    return phones

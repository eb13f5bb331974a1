"""Translations: the front end reads names and tooltips of nodes and sockets from locales/LANGUAGE/nodeDefs.json.

English is written from the schemas. It is needed too: for inputs that a mode shows or that grow, the front end knows no
other tooltips.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

LOCALES = Path(__file__).resolve().parents[2] / "locales"
LANGUAGES = sorted(path.name for path in LOCALES.iterdir() if path.name != "en")
HOW_TO_UPDATE = "The schemas changed: write locales/en anew with UPDATE_LOCALES=1, and translate what changed."
PUBLIC = "PortraitTalkPublicModelLoader"  # its tooltips name files, sizes and licences, in English everywhere
QUOTED = re.compile(r"(?<![A-Za-z])'[^']+'(?![A-Za-z])")  # and no apostrophe, as in "the model's own"
NUMBER = re.compile(r"\d+(?:\.\d+)?")

Texts = dict[str, Any]


def tooltips(groups: Texts, path: str = "") -> dict[str, dict[str, str]]:
    """The tooltips of all inputs, also of those that a mode shows or that grow: path -> mode -> text."""
    found: dict[str, dict[str, str]] = {}
    for kind in ("required", "optional"):
        for name, (socket, *rest) in groups.get(kind, {}).items():
            options = rest[0] if rest else {}
            if options.get("tooltip"):
                found[f"{path}{name}"] = {"": options["tooltip"]}
            if socket == "COMFY_DYNAMICCOMBO_V3":
                for mode in options["options"]:
                    for inner, texts in tooltips(mode["inputs"], f"{path}{name}.").items():
                        found.setdefault(inner, {})[mode["key"]] = texts[""]
            if "template" in options:
                (inner,) = tooltips(options["template"]["input"]).values()
                template = options["template"]
                found |= {f"{path}{name}.{template['prefix']}{n}": inner for n in range(template["max"])}
    return found


def joined(texts: dict[str, str]) -> str:
    """One text for an input; where it means something else in each mode, a line for each."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"{mode}: {text}" for mode, text in texts.items())


def english(info: Texts) -> Texts:
    inputs = {name.replace(".", "_"): {"tooltip": joined(texts)} for name, texts in tooltips(info["input"]).items()}
    outputs = {str(n): {"tooltip": text} for n, text in enumerate(info["output_tooltips"] or []) if text}
    return {"display_name": info["display_name"], "description": info["description"], "inputs": inputs} | (
        {"outputs": outputs} if outputs else {}
    )


def read(language: str) -> Texts:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def paths(texts: Texts, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    found = {}
    for key, value in texts.items():
        found |= paths(value, (*path, key)) if isinstance(value, dict) else {(*path, key): value}
    return found


def test_english_says_what_the_schemas_say(nodes, folders) -> None:
    wanted = {key: english(json.loads(json.dumps(node.GET_NODE_INFO_V1()))) for key, node in sorted(nodes.items())}
    if os.environ.get("UPDATE_LOCALES"):
        text = json.dumps(wanted, indent=1, ensure_ascii=False)
        (LOCALES / "en" / "nodeDefs.json").write_text(text + "\n", encoding="utf-8")
    assert read("en") == wanted, HOW_TO_UPDATE


def test_translations_are_complete() -> None:
    wanted = {path for path in paths(read("en")) if path[:2] != (PUBLIC, "inputs") or not path[2].startswith("model_")}
    for language in LANGUAGES:
        translated = paths(read(language))
        names = {(*path[:-1], "name") for path in wanted if path[-1] == "tooltip"}  # English takes those of the schemas
        assert translated.keys() == wanted | names, language
        assert all(text.strip() for text in translated.values())


def test_translations_quote_the_same_choices_and_numbers() -> None:
    """What a user must type or choose is not translated. A language may write more numbers than English does."""
    english = paths(read("en"))
    for language in LANGUAGES:
        for path, text in paths(read(language)).items():
            if path[-1] != "name":
                assert sorted(QUOTED.findall(text)) == sorted(QUOTED.findall(english[path])), (language, path)
                assert Counter(NUMBER.findall(english[path])) <= Counter(NUMBER.findall(text)), (language, path)


def test_languages() -> None:
    assert {"zh", "ja", "de"} <= set(LANGUAGES)

"""List the licences of all packages that PortraitTalk needs; fail if one is unknown or not allowed.

python scripts/licences.py [--extras cli,public] [--out licences.tsv]

Reads what the installed packages say of themselves; nothing is downloaded. Packages that are not installed are
listed as such.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "portraittalk"
# Licences that let anyone use the packages beside ours, as SPDX writes them.
ALLOWED = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib"),
}
# How packages without an SPDX expression call them, in classifiers and free text: (pattern, SPDX). Order matters.
_NAMES = (
    (r"apache", "Apache-2.0"),
    (r"mozilla|\bmpl\b", "MPL-2.0"),
    (r"python software foundation|\bpsf\b", "PSF-2.0"),
    (r"boost software", "BSL-1.0"),
    (r"\bisc\b", "ISC"),
    (r"2-clause", "BSD-2-Clause"),
    (r"\bbsd\b|3-clause", "BSD-3-Clause"),
    (r"\bmit\b", "MIT"),
    (r"unlicense", "Unlicense"),
)


def licence(given: Distribution) -> str | None:
    """Return the licence of a package in SPDX, or None if it does not say one that is known here."""
    metadata = given.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier") or [] if "License ::" in line]
    text = (metadata.get("License") or "").strip()
    if text and all(part in ALLOWED for part in parts(text)):
        return text
    for words in (*classifiers, text.splitlines()[0] if text else ""):
        for pattern, name in _NAMES:
            if re.search(pattern, words, re.IGNORECASE):
                return name
    return None


def parts(expression: str) -> list[str]:
    """Return the single licences of an SPDX expression; of alternatives, the first that is allowed stands for all."""
    found = []
    for term in re.split(r"\s+AND\s+", expression.replace("(", "").replace(")", "")):
        choices = re.split(r"\s+OR\s+", term)
        found.append(next((choice for choice in choices if choice in ALLOWED), choices[0]))
    return found


def needed(name: str, extras: Iterable[str]) -> Iterator[tuple[str, Distribution | None]]:
    """Yield every package that this one needs, by name; None for those that are not installed."""
    waiting = [(name, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    told: set[str] = set()
    while waiting:
        one, wanted = waiting.pop(0)
        if (one, wanted) in seen:
            continue
        seen.add((one, wanted))
        try:
            given: Distribution | None = distribution(one)
        except PackageNotFoundError:
            given = None
        if one not in told and one != name:
            told.add(one)
            yield one, given
        for line in (given.requires or []) if given is not None else []:
            requirement, _, marker = line.partition(";")
            if applies(marker, wanted):
                match = re.match(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?", requirement)
                assert match is not None, line
                inner = frozenset(part.strip() for part in (match[2] or "").split(",") if part.strip())
                waiting.append((re.sub(r"[-_.]+", "-", match[1]).lower(), inner))


def applies(marker: str, extras: frozenset[str]) -> bool:
    """Whether a requirement with this marker holds here for these extras."""
    if not marker.strip():
        return True
    from packaging.markers import Marker

    return any(Marker(marker).evaluate({"extra": extra}) for extra in (extras or {""}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="cli,mediapipe,public,train,dev")
    parser.add_argument("--out", type=Path, help="also write the list, separated by tabs")
    arguments = parser.parse_args()
    lines, wrong, missing = [], [], []
    for name, given in sorted(needed(PACKAGE, arguments.extras.split(",")), key=lambda one: one[0]):
        if given is None:
            missing.append(name)
            continue
        found = licence(given)
        lines.append(f"{name}\t{given.version}\t{found or 'unknown'}")
        if found is None or not all(part in ALLOWED for part in parts(found)):
            wrong.append(f"{name} {given.version}: {found or 'no licence that is known here'}")
    print("\n".join(lines))
    if arguments.out is not None:
        arguments.out.write_text("package\tversion\tlicence\n" + "\n".join(lines) + "\n", encoding="utf-8")
    if missing:
        print(f"Not installed, so not looked at: {', '.join(missing)}.", file=sys.stderr)
    if wrong:
        print("Not allowed; see ALLOWED in this script:\n" + "\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

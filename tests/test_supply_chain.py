"""What CI says about the packages that this one needs: their licences, and known vulnerabilities."""

import importlib.util
import json
import subprocess
import sys
from email.message import Message
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def script(repository):
    """script(name) -> the module of scripts/."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, repository / "scripts" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def package(**fields):
    metadata = Message()
    for name, value in fields.items():
        metadata[name.replace("_", "-")] = value
    return SimpleNamespace(metadata=metadata)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"License_Expression": "MIT AND Zlib", "License": "GPL"}, "MIT AND Zlib"),
        ({"License_Expression": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"License": "Apache 2.0", "Classifier": "License :: OSI Approved :: Apache Software License"}, "Apache-2.0"),
        ({"License": "MPL-2.0 AND MIT"}, "MPL-2.0 AND MIT"),
        ({"License": "3-Clause BSD License"}, "BSD-3-Clause"),
        ({"License": "Copyright (c) by me\nall rights reserved, MIT"}, None),
        ({"License": "GNU General Public License"}, None),
        ({"License": "permit nothing"}, None),
        ({}, None),
    ],
)
def test_licences_are_read_from_what_packages_say(script, fields, found):
    assert script("licences").licence(package(**fields)) == found


def test_one_of_alternatives_is_enough_and_all_parts_count(script):
    licences = script("licences")
    assert licences.parts("(GPL-2.0-only OR MIT) AND BSD-3-Clause") == ["MIT", "BSD-3-Clause"]
    assert licences.parts("GPL-2.0-only AND MIT") == ["GPL-2.0-only", "MIT"]


def test_every_package_that_is_needed_has_a_licence_that_is_allowed(script, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["licences", "--out", str(tmp_path / "licences.tsv")])
    licences = script("licences")
    try:
        licences.distribution("portraittalk")
    except licences.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert licences.main() == 0, capsys.readouterr().err
    listed = {line.split("\t")[0] for line in (tmp_path / "licences.tsv").read_text().splitlines()}
    assert {"torch", "diffusers", "numpy", "safetensors", "typer", "sympy"} <= listed  # sympy: what torch needs
    monkeypatch.setattr(licences, "ALLOWED", licences.ALLOWED - {"BSD-3-Clause"})
    assert licences.main() == 1 and "Not allowed" in capsys.readouterr().err


@pytest.fixture
def audit(script, monkeypatch):
    """audit(code, report, options): what the script returns where pip-audit ends so; pip itself has worked."""

    def run(code, report, *options):
        module = script("audit")

        def ended(line, **settings):
            if "pip_audit" in line and report is not None:
                path = line[line.index("--output") + 1]
                with open(path, "w") as file:
                    json.dump({"dependencies": report}, file)
            failed = code if "pip_audit" in line else 0
            return subprocess.CompletedProcess(line, failed, stdout="/packages", stderr="no route to host")

        monkeypatch.setattr(module.venv, "create", lambda *arguments, **settings: None)
        monkeypatch.setattr(module.subprocess, "run", ended)
        monkeypatch.setattr(sys, "argv", ["audit", *options])
        return module.main()

    return run


def test_vulnerabilities_fail_and_a_missing_network_is_said_aloud(audit, capsys):
    clean = {"name": "a", "version": "1", "vulns": []}
    open_door = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    assert audit(0, [clean]) == 0 and "1 packages, 0 known" in capsys.readouterr().out
    assert audit(1, [clean, open_door]) == 1 and "b 2: CVE-1, fixed in 3" in capsys.readouterr().out
    assert audit(1, None) == 0
    assert "SKIPPED, no package was looked at: pip-audit reached no database (no route" in capsys.readouterr().err
    assert audit(1, None, "--required") == 1

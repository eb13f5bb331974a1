"""Look up known vulnerabilities of the installed packages with pip-audit, in an environment of its own.

python scripts/audit.py --python .venv/bin/python [--required]

Without a network nothing can be looked up: that is said aloud and counts as passed, unless it is --required, as in CI.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

SECONDS = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the environment to look at")
    parser.add_argument("--required", action="store_true", help="fail if nothing could be looked up")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = audited(packages_of(arguments.python), Path(name))
    if isinstance(found, str):
        print(f"SKIPPED, no package was looked at: {found}", file=sys.stderr)
        return 1 if arguments.required else 0
    problems = []
    for package in found:
        for problem in package.get("vulns", []):
            fixed = ", ".join(problem["fix_versions"]) or "none"
            problems.append(f"{package['name']} {package['version']}: {problem['id']}, fixed in {fixed}")
    print("\n".join([*problems, f"{len(found)} packages, {len(problems)} known vulnerabilities"]))
    return 1 if problems else 0


def packages_of(python: str) -> str:
    """Return the folder of the packages of another Python."""
    line = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.run([python, "-c", line], check=True, capture_output=True, text=True).stdout.strip()


def audited(packages: str, folder: Path) -> list[dict] | str:
    """Return pip-audit's report of the packages in a folder, or why there is none."""
    venv.create(folder / "venv", with_pip=True)
    scripts = Path(sysconfig.get_path("scripts", vars={"base": str(folder / "venv")}))
    report = folder / "report.json"
    install = [str(scripts / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "pip-audit"]
    look = [str(scripts / "python"), "-m", "pip_audit", "--path", packages, "--progress-spinner", "off"]
    for what, line in (
        ("pip-audit cannot be installed", install),
        ("pip-audit reached no database", [*look, "--format", "json", "--output", str(report)]),
    ):
        try:
            ended = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"{what} in {SECONDS} s."
        if ended.returncode and not report.exists():  # with a report, it has found something
            return f"{what} ({(ended.stderr.strip().splitlines() or ['no reason given'])[-1]})."
    return json.loads(report.read_text(encoding="utf-8"))["dependencies"]


if __name__ == "__main__":
    sys.exit(main())

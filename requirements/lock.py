"""Locks the versions of what CI installs, with the hashes of their files: ``make lock``.

Reads what the package needs, and its extras ``train``, ``test`` and ``dev``, in ``pyproject.toml``
and writes ``requirements/ci.txt`` by pip-compile, for the Python that runs this. No index is named
there: the one that pip is set to has the files of these hashes, or the installation fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
EXTRAS = ("train", "test", "dev")


def requirements() -> list[str]:
    """Return what CI needs, without the package itself."""
    content = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))
    project = content["project"]
    found = [*content["build-system"]["requires"], *project["dependencies"]]
    for extra in EXTRAS:
        found += project["optional-dependencies"][extra]
    return sorted({one for one in found if not one.startswith(project["name"])})


def main() -> int:
    wanted, locked = FOLDER / "ci.in", FOLDER / "ci.txt"
    wanted.write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    try:
        subprocess.run(
            [
                sys.executable, "-m", "piptools", "compile", "--quiet", "--upgrade",
                "--generate-hashes", "--strip-extras", "--allow-unsafe", "--no-header",
                "--no-annotate", "--no-emit-index-url", "--no-emit-find-links",
                "--no-emit-trusted-host", "--output-file", str(locked), str(wanted),
            ],
            check=True,
        )  # fmt: skip
    finally:
        wanted.unlink()
    text = locked.read_text(encoding="utf-8")
    pinned = re.findall(r"^[\w.-]+==", text, re.MULTILINE)
    if "://" in text or not pinned or text.count("--hash=sha256:") < len(pinned):
        print("lock: every line must be a version with hashes; see requirements/ci.txt")
        return 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    head = f"# Written by `make lock` with Python {version} on {sys.platform}; see SECURITY.md.\n"
    locked.write_text(head + text, encoding="utf-8")
    print(f"lock: {len(pinned)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())

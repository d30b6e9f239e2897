"""Compile the hash-checked locks in `requirements/` from their inputs.

Standard library only. Pins that still fit are kept; `--upgrade` asks for the newest versions that fit.
"""

import argparse
from pathlib import Path

from build_venv import REQUIREMENTS, ROOT, call, ensure_uv

LOCKS = {
    "spark40": ["base.in", "dev.in", "spark40.in"],
    "spark35": ["base.in", "dev.in", "spark35.in"],
    "bootstrap": ["bootstrap.in"],
    "horovod-build": ["horovod-build.in"],
    "horovod": ["horovod.in"],
}
# The locks serve any machine: they name no index and no folder of wheels.
COMPILE = [
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--python-version=3.11",
    "--python-platform=x86_64-manylinux_2_28",
    "--custom-compile-command=make lock",
]
# Horovod is built without resolving: what it needs is in base.in.
EXTRA = {"horovod": ["--no-deps", "--no-binary=horovod"]}


def main() -> None:
    """Compile every lock, in place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder where uv is kept")
    parser.add_argument("--upgrade", action="store_true", help="take newer versions where the inputs allow them")
    args = parser.parse_args()
    uv = ensure_uv(args.cache.expanduser().resolve())
    folder = REQUIREMENTS.relative_to(ROOT)
    for name, inputs in LOCKS.items():
        flags = [*COMPILE, *EXTRA.get(name, []), *(["--upgrade"] if args.upgrade else [])]
        sources = [folder / source for source in inputs]
        call(uv, "pip", "compile", "-q", *flags, "-o", folder / f"{name}.txt", *sources, cwd=ROOT)
        print(f"{folder / name}.txt")


if __name__ == "__main__":
    main()

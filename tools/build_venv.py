"""Build or update a lane's virtual environment from its hash-checked lock.

Standard library only; run by `make` with Python 3.11. What is costly is kept in a cache folder: uv, and the
wheel of Horovod, which PyPI has as source only and which takes minutes to build.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
HOROVOD = {
    "HOROVOD_WITH_TENSORFLOW": "1",
    "HOROVOD_WITH_GLOO": "1",
    "HOROVOD_WITHOUT_MPI": "1",
    "HOROVOD_WITHOUT_PYTORCH": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
}


def say(message: str) -> None:
    """Print a line at once, so that it precedes what the next command prints."""
    print(message, flush=True)


def call(*command: object, **options: object) -> None:
    """Run a command; a failure ends this script with the command's own output above it."""
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL, **options)


def short_hash(*parts: str) -> str:
    """Return a short, stable hash of some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def platform_tag() -> str:
    """Name what a compiled file depends on besides its source: interpreter, system and processor."""
    return f"py{sys.version_info[0]}{sys.version_info[1]}-{sys.platform}-{platform.machine()}"


def ensure_venv(venv: Path) -> Path:
    """Create the environment unless it is there with this Python version; return its interpreter."""
    python = venv / "bin" / "python"
    probe = f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if not python.exists() or subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode:
        call(sys.executable, "-m", "venv", "--clear", venv)
    return python


def ensure_uv(cache: Path) -> Path:
    """Return the locked uv, installing it into the cache if it is not there."""
    lock = REQUIREMENTS / "bootstrap.txt"
    home = cache / f"uv-{platform_tag()}-{short_hash(lock.read_text())}"
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            environment, target = Path(scratch) / "environment", Path(scratch) / "uv"
            call(sys.executable, "-m", "venv", environment)
            python = environment / "bin" / "python"
            call(python, "-m", "pip", "install", "-q", "--require-hashes", "--target", target, "-r", lock)
            publish(target, home)
    return home / "bin" / "uv"


def publish(made: Path, place: Path) -> None:
    """Move a finished file or folder to its place; another build that was first wins."""
    try:
        made.rename(place)
    except OSError:
        if not place.exists():
            raise


def horovod_key(lock: Path) -> str:
    """Hash what the wheel depends on: recipe, locks, the TensorFlow it links to, the user's switches."""
    tensorflow = re.search(r"^tensorflow[\w-]*==\S+", lock.read_text(), re.MULTILINE)
    if tensorflow is None:
        raise SystemExit(f"{lock} pins no TensorFlow, which Horovod is built against")
    switches = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("HOROVOD_"))
    locks = [(REQUIREMENTS / name).read_text() for name in ("horovod.txt", "horovod-build.txt")]
    return short_hash(tensorflow[0], *locks, *switches, *(f"{k}={v}" for k, v in HOROVOD.items()))


def ensure_horovod(python: Path, uv: Path, lock: Path, cache: Path) -> Path:
    """Return Horovod's wheel for this lane, building it if the cache has none."""
    home = cache / f"horovod-{platform_tag()}-{horovod_key(lock)}"
    if not home.exists():
        log = cache / f"{home.name}.log"
        say(f"Building Horovod (about 3 minutes, once; kept in {home}, log in {log})")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            wheels, tools = Path(scratch) / "wheels", Path(scratch) / "tools"
            target = ["--python", python, "--target", tools, "--require-hashes"]
            call(uv, "pip", "install", "-q", *target, "-r", REQUIREMENTS / "horovod-build.txt")
            build_horovod(python, tools, wheels, log)
            publish(wheels, home)
    (wheel,) = home.glob("horovod-*.whl")
    return wheel


def build_horovod(python: Path, tools: Path, wheels: Path, log: Path) -> None:
    """Build the wheel with tools that stay outside the environment, against the environment's TensorFlow."""
    environment = {
        **HOROVOD,
        **os.environ,
        "PYTHONPATH": str(tools),
        "PATH": os.pathsep.join([str(tools / "bin"), str(python.parent), os.environ.get("PATH", os.defpath)]),
    }
    source = ["--no-binary", "horovod", "--no-build-isolation", "--no-cache-dir"]
    command = [python, "-m", "pip", "wheel", "-v", *source, "--no-deps", "--require-hashes"]
    with log.open("w") as out:
        done = subprocess.run(
            [*command, "-r", REQUIREMENTS / "horovod.txt", "-w", wheels],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise SystemExit(f"{tail}\n\nHorovod did not build; the whole log is {log}")


def ensure_delta(python: Path, lock: Path, cache: Path) -> None:
    """Put Delta's jars among pyspark's own, so that a plain `spark-submit` has them without asking a registry.

    Also names the environment's interpreter and a driver memory that the pipeline fits in, as pyspark's defaults.
    """
    pins = re.findall(r"^(?:pyspark|delta-spark)==\S+", lock.read_text(), re.MULTILINE)
    home = cache / f"delta-jars-{short_hash(*pins)}"
    if not home.exists():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            call(python, ROOT / "tools" / "fetch_jars.py", Path(scratch) / "jars", stdout=subprocess.DEVNULL)
            publish(Path(scratch) / "jars", home)
    found = subprocess.run(
        [python, "-c", "import pyspark; print(pyspark.__path__[0])"], check=True, capture_output=True, text=True
    )
    spark_home = Path(found.stdout.strip())
    for jar in home.glob("delta-*.jar"):
        shutil.copyfile(jar, spark_home / "jars" / jar.name)
    (spark_home / "conf").mkdir(exist_ok=True)
    (spark_home / "conf" / "spark-defaults.conf").write_text(
        f"spark.pyspark.python {python}\nspark.driver.memory 6g\n", encoding="utf-8"
    )


def compile_packages(python: Path, venv: Path) -> None:
    """Compile every installed package to bytecode once.

    Each rank, scoring worker and job is a process of its own. Where Python may not keep what it compiles
    (PYTHONDONTWRITEBYTECODE, a read-only environment), each would compile all of TensorFlow again: 6 of 10 s.
    """
    # Templates and files for other versions may fail; importing one of them says so.
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", venv / "lib"], stdout=subprocess.DEVNULL)


def main() -> None:
    """Install the lock, then Delta's jars and Horovod, then the project itself in editable form."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lock", type=Path, required=True, help="hash-checked lock of the lane")
    parser.add_argument("--venv", type=Path, required=True, help="folder of the environment")
    parser.add_argument("--cache", type=Path, required=True, help="folder for uv and the Horovod wheel")
    args = parser.parse_args()
    lock, cache, began = args.lock.resolve(), args.cache.expanduser().resolve(), time.monotonic()

    say(f"Building {args.venv} from {args.lock}")
    python = ensure_venv(args.venv.absolute())
    uv = ensure_uv(cache)
    call(uv, "pip", "sync", "-q", "--python", python, "--require-hashes", lock)
    ensure_delta(python, lock, cache)
    horovod = ensure_horovod(python, uv, lock, cache)
    install = [uv, "pip", "install", "-q", "--python", python, "--no-deps"]
    call(*install, "--reinstall", horovod)
    call(*install, "--reinstall", "--no-build-isolation", "--editable", ROOT)
    call(python, "-c", "import horovod.tensorflow as hvd; assert hvd.gloo_built()", stderr=subprocess.DEVNULL)
    compile_packages(python, args.venv)
    say(f"{args.venv} is ready ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failure:
        sys.exit(f"Failed: {' '.join(map(str, failure.cmd))}")

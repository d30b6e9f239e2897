"""Fill a folder with the Delta jars of the installed delta-spark, for machines without a registry.

Spark's own Ivy resolves them, so they are exactly the ones that a session would download.
"""

import argparse
import shutil
import sys
from pathlib import Path
from urllib.parse import urlparse

from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession


def resolve() -> list[Path]:
    """Return the jars that Ivy puts into a session for the installed delta-spark."""
    builder = SparkSession.builder.master("local[1]").appName("fetch-jars").config("spark.ui.enabled", "false")
    spark = configure_spark_with_delta_pip(builder).getOrCreate()
    try:
        listed = spark.sparkContext.getConf().get("spark.jars") or ""
    finally:
        spark.stop()
    return [Path(urlparse(jar).path) for jar in listed.split(",") if jar]


def file_name(jar: Path) -> str:
    """Drop the organisation that Ivy puts before the name it has in Maven.

    >>> file_name(Path("io.delta_delta-storage-4.0.1.jar"))
    'delta-storage-4.0.1.jar'
    """
    return jar.name.split("_", 1)[-1]


def fill(folder: Path, jars: list[Path]) -> None:
    """Copy the jars into the folder, which may hold no others: two Deltas on a class path fail at random."""
    names = {file_name(jar) for jar in jars}
    strangers = sorted(found.name for found in folder.glob("*.jar") if found.name not in names)
    if strangers:
        raise SystemExit(f"{folder} holds other jars ({', '.join(strangers)}); remove them or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for jar in jars:
        shutil.copyfile(jar, folder / file_name(jar))
        print(folder / file_name(jar))


def main() -> None:
    """Fetch the jars into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to fill; made if missing")
    folder = parser.parse_args().folder
    jars = resolve()
    if not any(file_name(jar).startswith("delta-spark") for jar in jars):
        sys.exit("Ivy resolved no delta-spark; is Maven Central reachable?")
    fill(folder, jars)


if __name__ == "__main__":
    main()

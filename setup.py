"""Package `recsys`, its jobs (as `recsys_jobs`) and their configuration files (as `recsys_conf`)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# A job's file declares it with `@job(`, under the file's name. Files are read, not imported: a build may ask for names
# and version before the requirements are installed.
JOBS = sorted(file.stem for file in (ROOT / "jobs").glob("*.py") if "\n@job(" in file.read_text(encoding="utf-8"))
INIT = (ROOT / "recsys" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "([^"]+)"', INIT, re.MULTILINE)[1]
# An image that only installs the package may leave the README out.
README = ROOT / "README.md"

setup(
    name="recsys",
    version=VERSION,
    description="Batch recommendations on Spark: raw logs in, ranked and explained lists out, all in Delta",
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["recsys", "recsys.*"]), "recsys_jobs", "recsys_conf"],
    package_dir={"recsys_jobs": "jobs", "recsys_conf": "conf"},
    package_data={
        "recsys": ["py.typed", "**/*.html", "**/*.j2", "**/*.sql", "**/*.yaml"],
        "recsys_conf": ["*.yaml", "datasets/*.yaml"],
    },
    # Both lanes fit these ranges; requirements/*.txt pin each of them.
    install_requires=[
        "pyspark>=3.5.3,<4.1",
        "delta-spark>=3.3,<4.1",
        "numpy>=1.26,<2.1",
        "pandas>=2.2,<3",
        "pyarrow>=16,<20",
        "pydantic>=2.10,<3",
        "pyyaml>=6",
        "scipy>=1.11",
        "deltalake>=1.0",
        "duckdb>=1.1",
        "sqlglot>=30",
        "matplotlib>=3.9",
        "jinja2>=3.1",
        "psutil>=5.9",
    ],
    # TensorFlow comes with an extra, because its CPU and GPU distributions overwrite each other's files.
    # Horovod is in none: its sdist builds against the TensorFlow that is already installed.
    extras_require={
        "cpu": ["tensorflow-cpu>=2.16,<2.19", "keras>=3.5,<4", "tensorboard>=2.16,<2.19"],
        "gpu": ["tensorflow[and-cuda]>=2.16,<2.19", "keras>=3.5,<4", "tensorboard>=2.16,<2.19"],
        "tune": ["optuna>=4.5"],
        # Approximate search of large catalogs.
        "ann": ["faiss-cpu>=1.9"],
        "notebooks": ["nbclient>=0.10", "nbformat>=5.10", "ipykernel>=6.29"],
        "dev": [
            "scikit-learn>=1.5",
            "hypothesis>=6.100",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-cov>=5",
            "ruff>=0.8",
            "mypy>=1.13",
            "types-PyYAML",
            "pandas-stubs>=2.2,<3",
        ],
    },
    entry_points={
        "console_scripts": [
            *(f"recsys-{name.replace('_', '-')} = recsys_jobs.{name}:run.main" for name in JOBS),
            "recsys-pipeline = recsys_jobs.pipeline:main",
            "recsys-backtest = recsys_jobs.backtest:main",
            "recsys-tune = recsys_jobs.tune:main",
            "recsys-migrate = recsys_jobs.migrate:main",
            "recsys-maintain = recsys_jobs.maintain:main",
            "recsys-synthetic = recsys.synthetic.__main__:main",
        ]
    },
)

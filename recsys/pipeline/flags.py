"""The flags that every job takes, under `spark-submit`, `python` and as a console script alike."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

import yaml

from recsys.config import Config, parse_as_of
from recsys.data import Table, TablePart
from recsys.errors import ConfigError
from recsys.secrets import masked, masked_text

Flag = tuple[tuple[str, ...], dict[str, Any]]
"""A flag that only one program has: its names and the keyword arguments of argparse's `add_argument`."""


def sets(key: str, text: str, *, metavar: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return a flag, named as the last part of a config key, that sets this key to a list: another way to say `--set`.

    Examples
    --------
    >>> sets("clean.reingest", "read these again", metavar="UNIT")[0]
    ('--reingest',)
    """

    class Sets(argparse.Action):
        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
            namespace.set = [*namespace.set, f"{key}={json.dumps(values)}"]

    name = "--" + key.rpartition(".")[2].replace("_", "-")
    return (name,), {"action": Sets, "nargs": "+", "metavar": metavar, "help": text, "dest": f"_{key}"}


class _Planned(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def reads(self) -> Sequence[Table | TablePart]: ...
    @property
    def writes(self) -> Sequence[Table | TablePart]: ...


@dataclass(frozen=True)
class Flags:
    """Parsed flags.

    Attributes
    ----------
    config : list of str
        Paths of config files; later ones win.
    dataset : str, optional
        Path of a dataset mapping.
    as_of : datetime
        Exclusive bound of what the run may know (UTC).
    overrides : list of str
        `key=value` settings; they win over the files.
    dry_run, debug : bool
        Whether to print the plan only, and whether to print stack traces.
    extra : argparse.Namespace
        All flags, with those that only one program has.
    """

    config: list[str]
    dataset: str | None
    as_of: datetime
    overrides: list[str]
    dry_run: bool
    debug: bool
    extra: argparse.Namespace

    def plan(self, config: Config, jobs: Sequence[_Planned]) -> str:
        """Write what `--dry-run` prints: the resolved config, then the jobs with the tables that they would touch."""
        plain = masked(config.model_dump(mode="json"))
        lines = [yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip(), ""]
        lines.append(f"as_of: {self.as_of:%Y-%m-%dT%H:%M:%SZ} (exclusive)")
        for job in jobs:
            reads = ", ".join(dict.fromkeys(table.name for table in job.reads)) or "-"
            writes = ", ".join(dict.fromkeys(table.name for table in job.writes)) or "-"
            lines.append(f"{job.name}: reads {reads}; writes {writes}")
        return "\n".join(lines)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"\nrecsys: {self.prog}: {masked_text(message)}; see {self.prog} --help\n")
        sys.exit(ConfigError.exit_code)


def parse(name: str, doc: str | None, argv: list[str] | None, *, more: Sequence[Flag] = ()) -> Flags:
    """Parse the flags of a program; a wrong flag ends the process with exit code 2 and one sentence."""
    parser = _Parser(prog=name, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="YAML config; repeatable, later wins"
    )
    parser.add_argument("--dataset", metavar="FILE", help="column mapping of a source, conf/datasets/*.yaml")
    parser.add_argument(
        "--as-of",
        metavar="INSTANT",
        help="exclusive UTC bound: 2018-09-01 or 2018-09-01T13:30:00Z; default: today",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the resolved config and the tables; run nothing")
    parser.add_argument("--debug", action="store_true", help="print the stack trace of an error")
    for names, options in more:
        parser.add_argument(*names, **options)
    known = parser.parse_args(argv)
    try:
        as_of = parse_as_of(known.as_of) if known.as_of else _today()
    except ConfigError as error:
        parser.error(str(error))
    return Flags(known.config, known.dataset, as_of, known.set, known.dry_run, known.debug, known)


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

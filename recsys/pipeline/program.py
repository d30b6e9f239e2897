"""Runs a function as a program: flags in, exit code out, one sentence on stderr for what a user can fix."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence

from recsys.config import Config, load_config
from recsys.errors import RecsysError
from recsys.failures import headline
from recsys.pipeline.flags import Flag, Flags, parse
from recsys.secrets import masked_text


def program(
    name: str,
    doc: str | None,
    argv: list[str] | None,
    body: Callable[[Flags, Config], None],
    *,
    more: Sequence[Flag] = (),
) -> None:
    """Parse the flags, resolve the config, run the body; exit with the code of what happened.

    Parameters
    ----------
    name : str
        The program's name, for `--help` and errors.
    doc : str, optional
        What `--help` prints.
    argv : list of str, optional
        Flags; those of the process by default.
    body : callable
        `body(flags, config)`.
    more : sequence of Flag
        Further flags that only this program has.
    """
    flags = parse(name, doc, argv, more=more)
    try:
        config = load_config(flags.config, dataset=flags.dataset, overrides=flags.overrides)
        body(flags, config)
    except RecsysError as error:
        if flags.debug:
            sys.stderr.write(masked_text(traceback.format_exc()))
        _last_words(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _last_words("interrupted; what was committed stays; run the job again to finish")
        sys.exit(130)
    except Exception as error:
        if flags.debug:
            sys.stderr.write(masked_text(traceback.format_exc()))
        _last_words(f"{name} failed: {headline(error)} (run again with --debug for the whole trace)")
        sys.exit(1)


def _last_words(sentence: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"\nrecsys: {masked_text(' '.join(sentence.split()))}\n")
    sys.stderr.flush()

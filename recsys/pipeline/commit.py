"""The commits of one run: everything is made and checked first, then committed in the order of the job."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime

from recsys.config import stamp
from recsys.data import Table, TablePart
from recsys.errors import NothingToDo
from recsys.progress import note
from recsys.store import PinnedWarehouse, Writes
from recsys.store.commit import Prepared, Stamp, prepared
from recsys.store.history import told
from recsys.store.holds import Hold, held_slice
from recsys.store.runs import Result

Touched = Table | TablePart


class Run:
    """The commits of one run of a job.

    Parameters
    ----------
    job : str
        Its name.
    writes : sequence of Table or TablePart
        What it may write.
    source : str, optional
        Name of the dataset.
    hold : Hold
        The hold on the slices of `writes`.
    result : Result
        What the run leaves behind; filled by :meth:`commit`.
    """

    def __init__(
        self,
        job: str,
        writes: Sequence[Touched],
        *,
        as_of: datetime,
        source: str | None,
        warehouse: PinnedWarehouse,
        hold: Hold,
        result: Result,
    ) -> None:
        self._warehouse, self._hold, self._outcome = warehouse, hold, result
        self._slices = {touched.name: held_slice(touched, as_of=as_of, source=source) for touched in writes}
        self._told = told(run_id=hold.run_id, job=job, as_of=stamp(as_of))

    def commit(self, writes: Writes) -> None:
        """Check all writes, then commit them in their order, then make what follows from them.

        Raises
        ------
        NothingToDo
            If that is how the job describes its writes.
        """
        self._outcome.files = list(writes.files)
        with ExitStack() as held:
            ready = [held.enter_context(prepared(self._warehouse, write)) for write in writes.tables]
            for position, one in enumerate(ready, start=1):
                self._commit_one(one, position)
        if writes.afterwards:
            writes.afterwards()
        if writes.nothing:
            raise NothingToDo(writes.nothing)

    def _commit_one(self, one: Prepared, position: int) -> None:
        name, result = one.write.table.name, self._outcome
        try:
            written = one.commit(self._stamp(name, position))
        except Exception:
            if result.writes:
                note(f"written before it stopped: {', '.join(result.writes)}; run the job again to complete it")
            raise
        self._warehouse.pin(one.write.table, written.state)
        if written.state is not None:
            result.writes[name] = written.state.version
            result.rows[name] = result.rows.get(name, 0) + written.rows

    def _stamp(self, name: str, position: int) -> Stamp:
        return Stamp(self._slices[name], self._hold.number(position), self._told)

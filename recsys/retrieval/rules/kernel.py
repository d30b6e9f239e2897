"""Rules that apply to a batch of users, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, best, where_in
from recsys.retrieval.neighborhoods.kernel import recent


@dataclass(frozen=True)
class RulesKernel:
    """Rules by the position that they start from: those of `p` lie at `offsets[p] : offsets[p + 1]`.

    Attributes
    ----------
    offsets : int array
    second : int array
        Position of the second item that has to be there; -1: none.
    target : int array
        Position of what is proposed.
    scores : float array
        Confidence x lift.
    recent_items : int
        Recent items of a user that rules start from.
    """

    offsets: Ints
    second: Ints
    target: Ints
    scores: Floats
    recent_items: int

    @property
    def work(self) -> int:
        """Rules that are looked at for one user, at most."""
        return self.recent_items * int(np.diff(self.offsets).max(initial=0))

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose what the best rules lead to."""
        user, item, score, because = self._applied(batch)
        free = np.flatnonzero(~excluded.has(user, item))
        chosen, rank = best(user[free], item[free], score[free], k)
        at = free[chosen]
        return Proposals(user[at], item[at], rank, score[at], because[at])

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Look the pairs up: 0 where no rule leads to the item, null without a past."""
        n_items = max(1, len(self.offsets) - 1)
        to_user, to_item, score, _ = self._applied(batch)
        at = np.where(item >= 0, where_in(to_user * n_items + to_item, user * n_items + item), -1)
        past = np.zeros(batch.n_users, dtype=np.bool_)
        past[batch.user[batch.weight > 0]] = True
        return {"score": np.where(at >= 0, np.r_[score, 0.0][at], np.where(past[user], 0.0, np.nan))}

    def _applied(self, batch: Batch) -> tuple[Ints, Ints, Floats, Ints]:
        """User, item, score and cause of the best rule that leads to each item, by user and item."""
        user, item, _ = recent(batch, self.recent_items)
        n_items = max(1, len(self.offsets) - 1)
        lengths = self.offsets[item + 1] - self.offsets[item]
        first = np.repeat(np.arange(len(item)), lengths)
        rule = np.repeat(self.offsets[item] - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(first))
        keys = user * n_items + item
        order = np.argsort(keys)
        found = where_in(keys[order], user[first] * n_items + self.second[rule])
        alone = self.second[rule] < 0
        applies = np.flatnonzero(alone | (found >= 0))
        first, rule, alone, found = first[applies], rule[applies], alone[applies], found[applies]
        # Recent items stand latest first, so the lower place is the later item.
        place = np.where(alone, first, np.minimum(first, np.r_[order, 0][found]))
        target, score = self.target[rule], self.scores[rule]
        by = np.lexsort((place, -score, target, user[first]))
        key = (user[first] * n_items + target)[by]
        chosen = by[np.flatnonzero(np.r_[True, key[1:] != key[:-1]])] if len(by) else by
        return user[first[chosen]], target[chosen], score[chosen], item[place[chosen]]

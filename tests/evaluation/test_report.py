"""The report: what it says, that it stands alone, and that odd days do not break it."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from recsys.evaluation import report as made
from recsys.evaluation.metrics import measures
from recsys.evaluation.stages import Stages
from recsys.store.curves import training_curves

pytestmark = pytest.mark.fast

Row = dict[str, Any]
STAGES = Stages(("factors", "near", "top"), baseline="top")


def figure(stage: str, metric: str, k: int, value: float | None, *, name: str = "all", width: float = 0.01) -> Row:
    ends = (None, None) if value is None else (value - width, value + width)
    return {
        "stage": stage,
        "slice": name,
        "metric": metric,
        "k": k,
        "value": value,
        "ci_low": ends[0],
        "ci_high": ends[1],
        "n": 1234,
        "model_version": "ctr-1",
    }


def figures(gain: float = 0.05, width: float = 0.01) -> list[Row]:
    stages = {**dict.fromkeys(STAGES.names, 0.1), "final": 0.1 + gain}
    rows = [
        figure(stage, m.metric, m.k, value, name=name, width=width)
        for stage, value in [*stages.items(), *((f"{a}-{b}", gain) for a, b in STAGES.differences)]
        for name in ("all", "known")
        for m in measures([5, 10])
    ]
    return [*rows, {**figure("ranker", "test_auc_calibrated", 0, 0.7321), "n": 99}]


def pictures(html: str) -> int:
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    assert all(base64.b64decode(text).startswith(b"\x89PNG") for text in found)
    return len(found)


def test_the_whole_report() -> None:
    examples = [
        {
            "user_id": "u<1>",
            "past": [("view", "Mug & saucer")],
            "items": [{"rank": 1, "title": "<b>Kettle</b>", "category": None, "score": 0.5, "reason": "Popular now"}],
        }
    ]
    curves = {"valid_logloss": [(1, 0.5), (2, 0.4)], "valid_auc": [(1, 0.6), (2, 0.7)]}
    html = made.render(
        made.Report(
            as_of="2020-01-10 00:00 UTC",
            horizon_days=7,
            stages=STAGES,
            figures=figures(),
            examples=examples,
            broken=[{"target_table": "events", "reason": "missing:user_id", "n": 4321}],
            tables=[("events", 1000000, "clean")],
            curves=curves,
            places=[("tables", "/warehouse")],
        )
    )
    assert "1,234 users" in html and "in the 7 days after" in html and "ctr-1" in html
    assert "The final list is better than top alone: NDCG@10 +0.0500 (+50%)" in html
    assert "0.7321" in html and "4,321" in html and "1,000,000" in html
    assert "&lt;b&gt;Kettle&lt;/b&gt;" in html and "Mug &amp; saucer" in html and "u&lt;1&gt;" in html
    assert pictures(html) == 3
    assert not re.search(r"(src|href)=\"(?!data:)", html) and "<script" not in html


def test_verdicts() -> None:
    assert "worse than top alone" in made.verdict(figures(-0.05), k=10, baseline="top")["text"]  # type: ignore[index]
    assert made.verdict(figures(0.005), k=10, baseline="top")["kind"] == "open"  # type: ignore[index]
    assert made.verdict([figure("final", "ndcg", 10, 0.1)], k=10, baseline="top") is None
    assert made.verdict(figures(), k=10, baseline=None) is None


def test_an_odd_day() -> None:
    empty = made.render(made.Report(as_of="2020-01-10", horizon_days=7, stages=STAGES, figures=[]))
    assert "Nobody got a list." in empty and "None." in empty
    nothing = [figure(stage, m.metric, m.k, None) for stage in STAGES.names for m in measures([3])]
    assert (
        "–"
        not in made.render(made.Report(as_of="x", horizon_days=1, stages=STAGES, figures=nothing)).split("<h2>Five")[0]
    )
    zero = [figure(stage, m.metric, m.k, 0.0, width=0.0) for stage in STAGES.names for m in measures([3])]
    assert pictures(made.render(made.Report(as_of="x", horizon_days=1, stages=STAGES, figures=zero))) == 1


def test_stages_and_what_is_compared() -> None:
    assert STAGES.names == ("factors", "near", "top", "candidates", "ranker", "final")
    assert STAGES.differences == (
        ("final", "top"),
        ("final", "candidates"),
        ("final", "ranker"),
        ("candidates", "top"),
    )
    bare = Stages(("a",), ranked=False)
    assert bare.names == ("a", "candidates", "final") and bare.differences == (("final", "candidates"),)


def test_the_headline_is_at_ten_or_near_it() -> None:
    assert made.main_cut([figure("final", "ndcg", k, 0.1) for k in (5, 20)]) == 5
    assert made.main_cut([figure("final", "ndcg", k, 0.1) for k in (1, 12, 50)]) == 12
    assert made.main_cut([]) == 10


def test_curves_are_read_from_logs(tmp_path: Path) -> None:
    writer = EventFileWriter(str(tmp_path / "run"))
    for step, loss in ((1, 0.5), (2, 0.25)):
        value = summary_pb2.Summary.Value(tag="valid_logloss", simple_value=loss)
        writer.add_event(event_pb2.Event(step=step, summary=summary_pb2.Summary(value=[value])))
    writer.close()
    assert training_curves(str(tmp_path)) == {"valid_logloss": [(1, 0.5), (2, 0.25)]}
    assert training_curves(str(tmp_path / "absent")) == {}
    assert training_curves("s3://bucket/logs") == {}

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


def with_clicks() -> list[Row]:
    rows = figures()
    for stage, value in (("final", 0.4), ("candidates", 0.3), ("final-candidates", 0.1)):
        rows += [figure(stage, "snips_ctr", k, value) for k in (5, 10)]
        rows += [figure(stage, "snips_ess", k, 2345.4) for k in (5, 10)]
    return rows


def test_what_is_known_of_clicks_and_heads_is_shown() -> None:
    html = made.render(
        made.Report(
            as_of="x",
            horizon_days=7,
            stages=STAGES,
            figures=[
                *with_clicks(),
                figure("ranker", "click_test_base_rate", 0, 0.1682),
                figure("ranker", "click_test_mean_prediction", 0, 0.1713),
            ],
            dataset="my-shop",
            changed=[("rank.k", "10")],
            reliability={"click": [(0.1, 0.12, 50), (0.3, 0.28, 20)]},
            alphas=[(0.0, 0.14, 0.37), (0.5, 0.15, None)],
            effects=[(1, 1.0), (2, 0.7)],
            reasons=[("popular", 0.25)],
            sources=[("als", 0.875)],
            overlap=[
                {"source": one, "other": other, "proposed": 40, "hits": hits, "unique_hits": unique, "relevant": 8}
                for one, other, hits, unique in (
                    ("candidates", "candidates", 6, 6),
                    ("near", "near", 5, 2),
                    ("top", "top", 4, 1),
                    ("near", "top", 3, None),
                    ("top", "near", 3, None),
                )
            ],
            seconds=[("clean", 12.34)],
        )
    )
    assert "What the lists would have earned" in html and "SNIPS CTR@10" in html and "2,345" in html
    assert "+0.1000" in html and "corrected CTR" not in html
    assert "click test" in html and "0.1682" in html and "0.1713" in html
    assert "my-shop" in html and "rank.k" in html and "87.5%" in html and "25.0%" in html and "12.3" in html
    assert "0.6250" in html and "0.2500" in html, "recall of near, and what it alone found"
    assert pictures(html) == 6


def test_what_is_not_known_is_left_out() -> None:
    html = made.render(made.Report(as_of="x", horizon_days=7, stages=STAGES, figures=figures()))
    for title in (
        "would have earned",
        "base rate",
        "Reasons in",
        "each retriever found",
        "Seconds per job",
        "differs from the defaults",
    ):
        assert title not in html


def test_few_users_and_strangers_are_warned_of() -> None:
    def warned(users: int, known: int) -> list[str]:
        counts = (("all", users), ("known", known))
        rows = [{**figure("final", "no_list", 0, 0.1, name=name), "n": n} for name, n in counts]
        return made.Report(as_of="x", horizon_days=7, stages=STAGES, figures=rows).warnings

    assert warned(30, 15) == []
    assert "Only 29 users" in warned(29, 29)[0]
    assert "60 of 100 users were not known" in warned(100, 40)[0]
    assert "not known" in made.render(
        made.Report(
            as_of="x",
            horizon_days=7,
            stages=STAGES,
            figures=[row for row in figures() if row["slice"] == "all"],
        )
    )


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
    twice = Stages(("a", "top"), baseline="top", ranked=False, more_baselines=("top_overall",))
    assert twice.names == ("a", "top", "top_overall", "candidates", "final")
    assert twice.differences == (
        ("final", "top"),
        ("final", "top_overall"),
        ("final", "candidates"),
        ("candidates", "top"),
        ("candidates", "top_overall"),
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


def test_checks_are_shown_with_their_history() -> None:
    row = {"status": "warn", "table_name": "events", "check_name": "volume", "subject": "", "message": "10 <rows>"}
    counts = [("20200109", {"warn": 0, "note": 1}), ("20200110", {"warn": 1, "note": 1})]
    empty = {"as_of": "2020-01-10 00:00 UTC", "horizon_days": 7, "stages": STAGES, "figures": ()}
    html = made.render(made.Report(**empty, checks=[row], check_counts=counts))
    assert "Checks of the data" in html and "10 &lt;rows&gt;" in html
    assert pictures(html) == pictures(made.render(made.Report(**empty))) + 1
    assert "All are ok." in made.render(made.Report(**empty, check_counts=counts[:1]))

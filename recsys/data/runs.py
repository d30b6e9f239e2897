"""Models, figures and runs."""

from __future__ import annotations

from recsys.data.table import Column, Table

MODELS = Table(
    name="models",
    comment="One row per model version; the row appears last and makes the version visible.",
    columns=(
        Column("model_version", "string", "Name of the version", nullable=False),
        Column("kind", "string", "ctr, click_factors, or the kind of a retriever", nullable=False),
        Column("as_of", "timestamp", "Exclusive upper bound of what it learned from (UTC)", nullable=False),
        Column("created_at", "timestamp", "When it was written (UTC)", nullable=False),
        Column(
            "path", "string", "Directory of the version, relative to the warehouse; null where the tables hold it all"
        ),
        Column("config", "string", "Resolved config, JSON without secrets", nullable=False),
        Column("code_version", "string", "Version of the project", nullable=False),
        Column("metrics", "map<string,double>", "Figures of the fit", nullable=False),
        Column("data_versions", "map<string,bigint>", "Delta version of each table that it read", nullable=False),
        Column("checksums", "map<string,string>", "SHA-256 of each file of the directory", nullable=False),
        Column("verdict", "string", "Of a ranker: whether lists are ranked by it, and why"),
        Column(
            "curve",
            "array<struct<head:string,weight:double,ndcg:double,snips:double>>",
            "Of a ranker: what other weights of its heads would have given on held-out lists",
        ),
    ),
    key=("model_version",),
    volatile=("created_at", "data_versions"),
)

METRICS = Table(
    name="metrics",
    comment="Quality of each retriever, of the ranker and of the final list, with intervals.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "The recommendations' as_of (UTC)", nullable=False),
        Column(
            "model_version",
            "string",
            "Version that made the list; the stage's name where no ranker did",
            nullable=False,
        ),
        Column(
            "stage",
            "string",
            "A retriever's name, candidates, ranker, final, or a difference of two such as final-candidates",
            nullable=False,
        ),
        Column("slice", "string", "all, or a part of the users such as history:new", nullable=False),
        Column("metric", "string", "Name of the metric", nullable=False),
        Column("k", "int", "Cut-off; 0 where the metric has none", nullable=False),
        Column("value", "double", "The figure"),
        Column("ci_low", "double", "Lower end of the 95 % interval"),
        Column("ci_high", "double", "Upper end of the 95 % interval"),
        Column("n", "bigint", "Users (or examples) that the figure is over", nullable=False),
    ),
    key=("run_date", "model_version", "stage", "slice", "metric", "k"),
    partitions=("run_date",),
)

SOURCE_OVERLAP = Table(
    name="source_overlap",
    comment="What each retriever found of what users then took up, alone and together with each other one.",
    columns=(
        Column("run_date", "date", "Date of as_of (UTC)", nullable=False),
        Column("as_of", "timestamp", "The candidates' as_of (UTC)", nullable=False),
        Column("source", "string", "A retriever's name; candidates for the union of all", nullable=False),
        Column("other", "string", "The retriever that it is compared with; itself for its own figures", nullable=False),
        Column("proposed", "bigint", "Candidates of judged users that both proposed", nullable=False),
        Column("hits", "bigint", "Of these, what the user then took up", nullable=False),
        Column("unique_hits", "bigint", "Hits that no other retriever proposed; null for a pair of retrievers"),
        Column("relevant", "bigint", "All that these users took up, proposed or not", nullable=False),
    ),
    key=("run_date", "source", "other"),
    partitions=("run_date",),
    checks={"hits_among_proposed": "hits <= proposed", "hits_among_relevant": "hits <= relevant"},
)

BACKTESTS = Table(
    name="backtests",
    comment="Quality of the pipeline at several past instants: at each of them, and pooled over all.",
    columns=(
        Column("backtest", "string", "Name of the back-test: its last instant, and a hash of the rest", nullable=False),
        Column("as_of", "timestamp", "The instant (UTC); null where all are pooled"),
        Column("instant", "string", "as_of as text, 20240508T000000Z; pooled where all are", nullable=False),
        Column("stage", "string", "As in metrics", nullable=False),
        Column("slice", "string", "As in metrics", nullable=False),
        Column("metric", "string", "Name of the metric", nullable=False),
        Column("k", "int", "Cut-off; 0 where the metric has none", nullable=False),
        Column("value", "double", "The figure"),
        Column("ci_low", "double", "Lower end of the 95 % interval; users are resampled with all their instants"),
        Column("ci_high", "double", "Upper end of the 95 % interval"),
        Column("n", "bigint", "Users that the figure is over; pooled, a user counts once per instant", nullable=False),
        Column("users", "bigint", "Distinct users of the slice; null for figures of shown lists that are pooled"),
    ),
    key=("backtest", "instant", "stage", "slice", "metric", "k"),
    partitions=("backtest",),
)

RUNS = Table(
    name="runs",
    comment="One row per run of a job: what it read and wrote, how long it took, how it ended.",
    columns=(
        Column("run_id", "string", "Random id of the run", nullable=False),
        Column("job", "string", "Job name", nullable=False),
        Column("slice", "string", "Job and as_of", nullable=False),
        Column("as_of", "timestamp", "The run's as_of (UTC)", nullable=False),
        Column("dataset", "string", "Name of the dataset mapping"),
        Column("config_hash", "string", "Hash of the resolved config", nullable=False),
        Column("code_version", "string", "Version of the project", nullable=False),
        Column(
            "status",
            "string",
            "running, done, failed, lost (it gave no sign of life) or skipped (it found nothing to do)",
            nullable=False,
        ),
        Column("host", "string", "Host of the driver", nullable=False),
        Column("process", "string", "Process id and start time of the driver", nullable=False),
        Column("started_at", "timestamp", "Start (UTC)", nullable=False),
        Column("heartbeat_at", "timestamp", "Latest sign of life (UTC)", nullable=False),
        Column("finished_at", "timestamp", "End (UTC)"),
        Column("seconds", "double", "Wall-clock seconds"),
        Column("reads", "map<string,bigint>", "Tables read, with their Delta versions", nullable=False),
        Column("writes", "map<string,bigint>", "Tables written, with their Delta versions", nullable=False),
        Column("rows", "map<string,bigint>", "Rows written per table", nullable=False),
        Column("steps", "array<struct<name:string,seconds:double,rows:bigint>>", "Timed steps", nullable=False),
        Column("error", "string", "One sentence, where it failed or found nothing to do"),
        Column("config", "string", "Resolved config, JSON without secrets", nullable=False),
        Column("slices", "array<string>", "Slices of tables that no other run may write while this one is running"),
        Column("files", "array<string>", "Files that it made beside the tables, relative to the warehouse"),
        Column(
            "counted",
            "map<string,bigint>",
            "Rows before as_of in the version of events that it read; counted before maintain removed that version",
        ),
    ),
    key=("run_id",),
    checks={"status_known": "status IN ('running', 'done', 'failed', 'lost', 'skipped')"},
    retention_days=400,
)

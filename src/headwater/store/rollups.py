"""Sums by minute and hour, of rates and of connections, which the engine keeps as rows come in: a picture of a month reads thousands of
rows, not billions. Few columns, on purpose: with addresses or ports there would be as many rows as before.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from headwater.store.settings import DATABASE
from headwater.store.tables import type_of

STEPS = {"minute": ("toStartOfMinute", "toYYYYMMDD"), "hour": ("toStartOfHour", "toYYYYMM")}
"""Of each roll-up, how its times are cut and what its partitions are."""


@dataclass(frozen=True)
class Rollup:
    """What rows of a record come to: a row for each of `keys`, with sums of `sums` and further `states` (a type, and what makes it)."""

    record: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    states: tuple[tuple[str, str, str], ...] = ()


ROLLUPS = (
    Rollup("rate", ("interface", "direction", "proto", "port"), ("packets", "bytes")),
    Rollup(
        "conn",
        ("proto", "conn_state"),
        ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "missed_bytes"),
        (
            (
                "durations",
                "AggregateFunction(quantilesTDigest(0.5, 0.95, 0.99), Float64)",
                "quantilesTDigestState(0.5, 0.95, 0.99)(ifNull(duration, 0))",
            ),
            ("originators", "AggregateFunction(uniq, IPv6)", "uniqState(ifNull(`id.orig_h`, toIPv6('::')))"),
            ("responders", "AggregateFunction(uniq, IPv6)", "uniqState(ifNull(`id.resp_h`, toIPv6('::')))"),
        ),
    ),
)


def rollups(record: str, schema: pa.Schema) -> Iterator[str]:
    """The statements that make the roll-ups of a record with these columns; none where it has others, as an imported one may."""
    for rollup in ROLLUPS:
        if rollup.record == record and {*rollup.keys, *rollup.sums, "ts"} <= set(schema.names):
            for step in STEPS:
                yield from _made(rollup, step, schema)


def _made(rollup: Rollup, step: str, schema: pa.Schema) -> Iterator[str]:
    cut, day = STEPS[step]
    name = f"{rollup.record}_{step}"
    keys = [f"`{key}` {type_of(schema.field(key))}" for key in rollup.keys]
    sums = [f"`{one}` SimpleAggregateFunction(sum, UInt64)" for one in ("rows", *rollup.sums)]
    states = [f"`{one}` {kind}" for one, kind, _ in rollup.states]
    columns = ["ts DateTime('UTC')", *keys, *sums, *states, "ingested SimpleAggregateFunction(max, DateTime)"]
    order = ", ".join(["ts", *(f"`{key}`" for key in rollup.keys)])
    yield (
        f"CREATE TABLE IF NOT EXISTS {DATABASE}.{name} ({', '.join(columns)}) ENGINE = AggregatingMergeTree "
        f"PARTITION BY {day}(ts) ORDER BY ({order}) SETTINGS allow_nullable_key = 1, non_replicated_deduplication_window = 10000, "
        "fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 480"
    )
    made = [f"sum(ifNull(`{one}`, 0)) AS `{one}`" for one in rollup.sums] + [f"{how} AS `{one}`" for one, _, how in rollup.states]
    yield (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {DATABASE}.into_{name} TO {DATABASE}.{name} AS SELECT {cut}(of.ts) AS ts, "
        f"{', '.join(f'of.`{key}` AS `{key}`' for key in rollup.keys)}, count() AS rows, {', '.join(made)}, max(of.ingested) AS ingested "
        f"FROM {DATABASE}.`{rollup.record}` AS of GROUP BY ts, {', '.join(f'`{key}`' for key in rollup.keys)}"
    )

"""Sums by minute and hour, of rates and of connections, which are kept as rows come in: a picture of a month reads thousands of rows, not
billions. Few columns, on purpose: with addresses or ports there would be as many rows as before.

They are no materialized views of the engine's: of one that dies between a table and its views it is not known which of them have the rows.
So each table is given them by itself, and knows by itself which it has.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from headwater.records.stored import has_times
from headwater.store.settings import DATABASE
from headwater.store.tables import HERE, Layout, type_of

STEPS = {"minute": ("toStartOfMinute", "toYYYYMMDD"), "hour": ("toStartOfHour", "toYYYYMM")}
"""Of each roll-up, how its times are cut and what its partitions are."""


@dataclass(frozen=True)
class Rollup:
    """What rows of a record come to: a row for each of `keys`, with sums of `sums` and further `states` (a type, and what makes it of the
    columns `reads`).
    """

    record: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    states: tuple[tuple[str, str, str], ...] = ()
    reads: tuple[str, ...] = ()


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
        ("duration", "id.orig_h", "id.resp_h"),
    ),
)


def kept(record: str, schema: pa.Schema) -> Iterator[tuple[Rollup, str]]:
    """The roll-ups of a record with these columns, and their steps; none where it has others, as an imported one may."""
    for rollup in ROLLUPS:
        if rollup.record == record and {*rollup.keys, *rollup.sums, *rollup.reads, "ts"} <= set(schema.names) and _counted(rollup, schema):
            for step in STEPS:
                yield rollup, step


def _counted(rollup: Rollup, schema: pa.Schema) -> bool:
    return has_times(schema) and all(pa.types.is_integer(schema.field(one).type) for one in rollup.sums)


def name_of(rollup: Rollup, step: str) -> str:
    """What its table is called."""
    return f"{rollup.record}_{step}"


SUMS = frozenset(name_of(rollup, step) for rollup in ROLLUPS for step in STEPS)
"""The tables that are made of others' rows."""


def creation(rollup: Rollup, step: str, schema: pa.Schema, layout: Layout = HERE) -> Iterator[str]:
    """The statements that make its table."""
    keys = [f"`{key}` {type_of(schema.field(key))}" for key in rollup.keys]
    sums = [f"`{one}` SimpleAggregateFunction(sum, UInt64)" for one in ("rows", *rollup.sums)]
    states = [f"`{one}` {kind}" for one, kind, _ in rollup.states]
    columns = ["ts DateTime('UTC')", *keys, *sums, *states, "ingested SimpleAggregateFunction(max, DateTime)"]
    order = ", ".join(["ts", *(f"`{key}`" for key in rollup.keys)])
    parts = f"PARTITION BY {STEPS[step][1]}(ts) ORDER BY ({order})"
    return layout.creation(name_of(rollup, step), columns, "AggregatingMergeTree", parts)


def addition(rollup: Rollup, step: str, rows: str) -> str:
    """The statement that adds what `rows`, a table expression, come to."""
    made = [f"sum(ifNull(`{one}`, 0)) AS `{one}`" for one in rollup.sums] + [f"{how} AS `{one}`" for one, _, how in rollup.states]
    keys = ", ".join(f"`{key}`" for key in rollup.keys)
    columns = ", ".join(["ts", keys, "rows", *(f"`{one}`" for one in (*rollup.sums, *(state[0] for state in rollup.states))), "ingested"])
    return (
        f"INSERT INTO {DATABASE}.{name_of(rollup, step)} ({columns}) SELECT {STEPS[step][0]}(of.ts) AS at, {keys}, count() AS rows, "
        f"{', '.join(made)}, now() AS ingested FROM {rows} AS of GROUP BY at, {keys}"
    )

"""Rows into a ClickHouse server or cluster: each file's once, by the token of its insert.

A file goes as it is to its table and to each of those of the sums, and each of these inserts has the file's token: whoever has sent it and
knows not what became of it sends it again, and the table takes it, or knows that it has it. A materialized view would save sending it three
times, but of a view whose table has the rows nobody knows whether it has them too.

A day's rows are one part, and on a cluster all of a file is one server's, which follows from the token: rows that are spread anew by each
attempt would be other ones under the same token.
"""

import zlib
from collections.abc import Callable

import pyarrow as pa

from headwater.filters.sql import literal
from headwater.outputs.spool import Spooled
from headwater.store.catalog import Catalog
from headwater.store.engine import EngineError
from headwater.store.server import Server
from headwater.store.tables import Layout, structure

_INSERT = {"insert_deduplicate": "1", "max_insert_threads": "1", "max_threads": "1"}
_ON_CLUSTER = {"insert_quorum": "auto", "insert_distributed_sync": "1"}


class Remote:
    """The tables of `server`, in `layout`. `name` is of this folder's files alone, among all that send there; `report` is the catalog's."""

    def __init__(self, server: Server, layout: Layout, name: str, report: Callable[[str], None]) -> None:
        self._server = server
        self._layout = layout
        self._name = name
        self._catalog = Catalog(server, layout, report)
        self._shards = 1

    def open(self) -> None:
        """Look at the tables and servers that there are. Raises EngineError."""
        if self._layout.cluster:
            asked = f"SELECT max(shard_num) FROM system.clusters WHERE cluster = {literal(self._layout.cluster)}"
            self._shards = int(self._server.rows(asked)[0][0])
            if not self._shards:
                raise EngineError(f"Code: 701. DB::Exception: it has no cluster {self._layout.cluster} in its <remote_servers>")
        self._catalog.open()

    def put(self, file: Spooled) -> None:
        """Have it there. Raises StoreError, ValueError, OSError."""
        octets = file.octets()
        schema = pa.ipc.open_file(octets).schema
        there = self._catalog.ready(file.record, schema)
        token = f"{self._name}-{file.token}"
        given = {"insert_deduplication_token": token, **_INSERT}
        if self._layout.cluster:
            given |= {**_ON_CLUSTER, "insert_shard_id": str(zlib.crc32(token.encode()) % self._shards + 1)}
        rows = f"input({literal(structure(schema))})"
        for statement in self._catalog.additions(file.record, schema, there, rows).values():
            self._server.insert(f"{statement} FORMAT Arrow", octets, given)

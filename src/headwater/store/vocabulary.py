"""What numbers are called, as tables of the store that a question can join: protocols, Ethernet types, services.

They are views that hold their rows in their own text. A dictionary of the engine's would want a name and a password of the server's to read
its table by.
"""

from collections.abc import Iterable, Iterator

from headwater.analysis.names import services
from headwater.filters.sql import literal
from headwater.records.protocols import ETHERTYPES, PROTOCOLS
from headwater.store.settings import DATABASE

_TRANSPORTS = {"tcp": 6, "udp": 17}


def creation(everywhere: str = "") -> Iterator[str]:
    """The statements that make them, as this version of Headwater has them; `everywhere` is for all servers of a cluster."""
    named = [(name, port, of) for name, proto in _TRANSPORTS.items() for port, of in services(proto).items()]
    yield _view("protocols", {"number": "UInt8", "name": "LowCardinality(String)"}, PROTOCOLS.items(), everywhere)
    yield _view("ethertypes", {"number": "UInt16", "name": "LowCardinality(String)"}, ETHERTYPES.items(), everywhere)
    yield _view("services", {"proto": "LowCardinality(String)", "port": "UInt16", "name": "LowCardinality(String)"}, named, everywhere)


def _view(name: str, columns: dict[str, str], rows: Iterable[tuple[int | str, ...]], everywhere: str) -> str:
    listed = ", ".join(f"({', '.join(literal(cell) if isinstance(cell, str) else str(cell) for cell in row)})" for row in rows)
    cells = ", ".join(f"CAST(row.{place} AS {kind}) AS {column}" for place, (column, kind) in enumerate(columns.items(), 1))
    return f"CREATE OR REPLACE VIEW {DATABASE}.{name}{everywhere} AS SELECT {cells} FROM (SELECT arrayJoin([{listed}]) AS row)"

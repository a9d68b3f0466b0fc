"""What numbers are called, as tables of the store that a question can join: protocols, Ethernet types, services.

They are views that hold their rows in their own text. A dictionary of the engine's would want a name and a password of the server's to read
its table by.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping

from headwater.analysis.names import services
from headwater.filters.sql import literal
from headwater.records.protocols import ETHERTYPES, PROTOCOLS
from headwater.store.settings import DATABASE

_TRANSPORTS = {"tcp": 6, "udp": 17}


def creation(there: Mapping[str, str], everywhere: str = "") -> Iterator[str]:
    """The statements that make them, as this version of Headwater has them, but those that are `there`, by the comments of their names;
    `everywhere` is for all servers of a cluster.
    """
    named = [(name, port, of) for name, proto in _TRANSPORTS.items() for port, of in services(proto).items()]
    views = {
        "protocols": _view({"number": "UInt8", "name": "LowCardinality(String)"}, PROTOCOLS.items()),
        "ethertypes": _view({"number": "UInt16", "name": "LowCardinality(String)"}, ETHERTYPES.items()),
        "services": _view({"proto": "LowCardinality(String)", "port": "UInt16", "name": "LowCardinality(String)"}, named),
    }
    for name, view in views.items():
        comment = f"{zlib.crc32(view.encode()):08x}"
        if there.get(name) != comment:
            yield f"CREATE OR REPLACE VIEW {DATABASE}.{name}{everywhere} AS {view} COMMENT '{comment}'"


def _view(columns: dict[str, str], rows: Iterable[tuple[int | str, ...]]) -> str:
    listed = ", ".join(f"({', '.join(literal(cell) if isinstance(cell, str) else str(cell) for cell in row)})" for row in rows)
    cells = ", ".join(f"CAST(row.{place} AS {kind}) AS {column}" for place, (column, kind) in enumerate(columns.items(), 1))
    return f"SELECT {cells} FROM (SELECT arrayJoin([{listed}]) AS row)"

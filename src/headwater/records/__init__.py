"""What a row is: layouts from the BTF of records.h, batches of rows, and their columns."""

from headwater.records.batch import Batch
from headwater.records.layouts import (
    CARRIED,
    CONN,
    CONN_LONG,
    COST,
    DEFERRED,
    ENUMS,
    FLOW_EVENT,
    LEDGER,
    PACKET,
    RATE,
    SERVER,
    TUNNEL,
    WEIRD,
    Drop,
)
from headwater.records.schema import Column, Record

__all__ = [
    "CARRIED",
    "CONN",
    "CONN_LONG",
    "COST",
    "DEFERRED",
    "ENUMS",
    "FLOW_EVENT",
    "LEDGER",
    "PACKET",
    "RATE",
    "SERVER",
    "TUNNEL",
    "WEIRD",
    "Batch",
    "Column",
    "Drop",
    "Record",
]

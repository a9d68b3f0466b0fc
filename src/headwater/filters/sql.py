"""A filter as a condition of ClickHouse's SQL, over rows of the store: its fields are the table's columns, by their names (Zeek's), and the
fields that a filter of flows has. A value of a stranger's is never part of the text but as a literal that is escaped here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from headwater.errors import FilterError
from headwater.filters import values
from headwater.filters.grammar import And, Node, Not, Or, Test, Value, parse

_ENDS = {"src": ("id.orig_h",), "dst": ("id.resp_h",), "addr": ("id.orig_h", "id.resp_h")}
_PORTS = {"srcport": ("id.orig_p",), "dstport": ("id.resp_p",), "port": ("id.orig_p", "id.resp_p")}
COLUMNS: Mapping[str, tuple[str, ...]] = {
    **{f"{version}.{end}": columns for version in ("ip", "ipv6") for end, columns in _ENDS.items()},
    **{f"{name}.{end}": columns for name in ("tcp", "udp", "sctp") for end, columns in _PORTS.items()},
    "port": _PORTS["port"],
    "vlan.id": ("vlan", "inner_vlan"),
    "ip.proto": ("ip_proto",),
    "conn.state": ("conn_state",),
    "conn.duration": ("duration",),
}
"""Fields of other names than the columns that they stand for; one that is of several holds if it does in any."""
MADE: Mapping[str, str] = {
    "conn.bytes": "ifNull(orig_bytes, 0) + ifNull(resp_bytes, 0)",
    "conn.packets": "orig_pkts + resp_pkts",
    "conn.handshake": "syn_ack_time + ack_time",
    "conn.retransmitted": "100 * (ifNull(orig_retransmits, 0) + ifNull(resp_retransmits, 0)) / (orig_pkts + resp_pkts)",
}
FAILED = (
    "ifNull(proto = 'tcp' AND (conn_state IN ('REJ', 'RSTO', 'RSTR', 'RSTOS0', 'RSTRH') OR (conn_state = 'OTH' AND match(history, '[Rr]')) "
    "OR (match(history, 'S') AND resp_pkts = 0)), 0)"
)
"""A RST, or a SYN that nothing answered: what `conn.failed` is of a row."""
_VERSIONS = {"ip": "startsWith(toString(`id.orig_h`), '::ffff:')", "ipv6": "NOT startsWith(toString(`id.orig_h`), '::ffff:')"}
_PROTOCOLS = {"tcp": "tcp", "udp": "udp", "sctp": "sctp"}
_OPERATORS = {"==": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}


def condition(text: str, columns: Mapping[str, str]) -> str:
    """What goes behind WHERE, for a table whose columns have these ClickHouse types. Raises FilterError with the place of a mistake."""
    return _Condition(text, columns).of(parse(text))


def literal(text: str) -> str:
    """A string of ClickHouse's."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def plain(column: str) -> str:
    """An address as people write it, of a column or what stands for one."""
    return f"replaceRegexpOne(toString({column}), '^::ffff:', '')"


def since(seconds: float) -> str:
    """What holds of rows whose time is not longer ago."""
    return f"ts >= now64(9) - toIntervalMillisecond({int(seconds * 1000)})"


class _Condition:
    def __init__(self, text: str, columns: Mapping[str, str]) -> None:
        self._text = text
        self._columns = columns

    def of(self, node: Node) -> str:
        match node:
            case And(parts=parts):
                return "(" + " AND ".join(map(self.of, parts)) + ")"
            case Or(parts=parts):
                return "(" + " OR ".join(map(self.of, parts)) + ")"
            case Not(part=part):
                return f"NOT {self.of(part)}"
        return self._test(node)

    def _fail(self, problem: str, at: int) -> FilterError:
        return FilterError(problem, self._text, at)

    def _test(self, test: Test) -> str:
        name = test.field
        if test.bits:
            raise self._fail("bits are of packets' flags: the store's rows have none to pick", test.bits.at)
        if not test.operator and name in ("ip", "ipv6"):
            return _VERSIONS[name]
        if not test.operator and name in ("icmp", "icmpv6"):  # one word for both in Zeek's logs
            return f"(ifNull(proto = 'icmp', 0) AND {_VERSIONS[name.replace('icmp', 'ip')]})"
        if not test.operator and name in _PROTOCOLS:
            return f"ifNull(proto = '{name}', 0)"
        if name == "conn.failed":
            return FAILED if not test.operator else f"{FAILED} {self._one('', test, self._flag)}"
        if name in MADE:
            return self._holds(MADE[name], test, self._measure)
        found = [column for column in COLUMNS.get(name, (name,)) if column in self._columns]
        if not found:
            raise values.unknown(self._text, test, [*self._columns, *COLUMNS, *MADE])
        parts = [self._column(column, test) for column in found]
        if name.partition(".")[0] in _PROTOCOLS and name in COLUMNS:
            return f"(ifNull(proto = '{name.partition('.')[0]}', 0) AND {_any(test, parts)})"
        return _any(test, parts)

    def _column(self, name: str, test: Test) -> str:
        kind, column = self._columns[name], f"`{name}`"
        if not kind.startswith("Array("):
            self._must_fit(kind, test)
            return self._holds(column, test, self._reader(kind))
        if not test.operator:
            return f"notEmpty({column})"
        each = kind.removeprefix("Array(")[:-1]
        self._must_fit(each, test)
        if test.operator == "!=":  # none of them
            equal = self._one("x", replace(test, operator="=="), self._reader(each))
            return f"(notEmpty({column}) AND NOT arrayExists(x -> ifNull({equal}, 0), {column}))"
        return f"arrayExists(x -> ifNull({self._one('x', test, self._reader(each))}, 0), {column})"

    def _must_fit(self, kind: str, test: Test) -> None:
        if test.operator == "contains" and "String" not in kind:
            raise values.no_text(self._text, test)

    def _holds(self, column: str, test: Test, read: Callable[[Value], "str | tuple[str, str]"]) -> str:
        if not test.operator:
            return f"isNotNull({column})" if not self._is_flag(column) else f"ifNull({column}, 0)"
        return f"ifNull({self._one(column, test, read)}, 0)"

    def _is_flag(self, column: str) -> bool:
        return "Bool" in self._columns.get(column.strip("`"), "")

    def _one(self, column: str, test: Test, read: Callable[[Value], "str | tuple[str, str]"]) -> str:
        parts = []
        for first, last in test.ranges:
            low, high = read(first), read(last)
            if isinstance(low, tuple) or isinstance(high, tuple):  # a network
                if test.operator not in ("==", "!=", "in"):
                    raise values.no_number(self._text, test)
                begin, end = (low if isinstance(low, tuple) else (low, low))[0], (high if isinstance(high, tuple) else (high, high))[1]
                parts.append(f"{'NOT ' if test.operator == '!=' else ''}({column} BETWEEN {begin} AND {end})")
            elif test.operator == "in":
                parts.append(f"{column} = {low}" if first is last else f"{column} BETWEEN {low} AND {high}")
            elif test.operator == "contains":
                parts.append(f"position({column}, {low}) > 0")
            else:
                parts.append(f"{column} {_OPERATORS[test.operator]} {low}")
        return "(" + " OR ".join(parts) + ")" if len(parts) > 1 else parts[0]

    def _reader(self, kind: str) -> Callable[[Value], "str | tuple[str, str]"]:
        inner = re.sub(r"^(?:LowCardinality\(|Nullable\()*|\)*$", "", kind)
        if inner.startswith("IPv6"):
            return self._network
        if inner.startswith("Bool"):
            return self._flag
        if inner.startswith(("UInt", "Int", "Float")):
            return self._measure
        if inner.startswith("DateTime64"):
            return lambda value: f"parseDateTime64BestEffort({literal(value.text)}, 9, 'UTC')"
        return lambda value: literal(value.text)

    def _flag(self, value: Value) -> str:
        return "true" if values.flag(self._text, value) else "false"

    def _measure(self, value: Value) -> str:
        return repr(values.number(self._text, value))

    def _network(self, value: Value) -> tuple[str, str]:
        first, last = values.network(self._text, value)
        return f"toIPv6('{first}')", f"toIPv6('{last}')"


def _any(test: Test, parts: list[str]) -> str:
    """Of several columns one is enough; what is to differ must in all."""
    return "(" + (" AND " if test.operator == "!=" else " OR ").join(parts) + ")" if len(parts) > 1 else parts[0]

"""The community id of a stored connection, which follows from its endpoints and is computed when it is asked for: kept, it would take 23
octets a row, a fifth of all.

What is kept, in a column that `*` does not show, is an id that is another one than would be computed (of another seed, or of an imported
log that knows better), and "-" where a row has none. https://github.com/corelight/community-id-spec, version 1.
"""

import pyarrow as pa

NAME = "community_id"
"""The column as it is asked for."""
KEPT = "community_id_kept"
"""The column behind it."""

_OF = {"id.orig_h": pa.binary(16), "id.orig_p": pa.uint16(), "id.resp_h": pa.binary(16), "id.resp_p": pa.uint16(), "ip_proto": pa.uint8()}
_V4 = "unhex('00000000000000000000ffff')"
_TWO_WAYS = "(0, 8, 9, 10, 13, 14, 15, 16, 17, 18)", "(128, 129, 130, 131, 133, 134, 135, 136, 139, 140, 144, 145, 146, 147)"
"""ICMP's types that have an answer, and ICMPv6's: bpf/flow.h."""


def follows(schema: pa.Schema) -> bool:
    """Whether rows with these columns have one, and what it follows from."""
    return {NAME, *_OF} <= set(schema.names) and all(schema.field(name).type == of for name, of in _OF.items())


def kept(schema: pa.Schema) -> str:
    """What KEPT is of rows with these columns."""
    if NAME not in schema.names:
        return "'-'"
    given = f"ifNull(`{NAME}`, '-')"
    return f"if(`{NAME}` = {_computed()}, '', {given})" if follows(schema) else given


def _computed() -> str:
    """Of what is there: an imported row that lacks an end has no id, or one that is kept."""
    first, second = "ifNull(`id.orig_h`, toIPv6('::'))", "ifNull(`id.resp_h`, toIPv6('::'))"
    from_, to, proto = (f"ifNull(`{name}`, 0)" for name in ("id.orig_p", "id.resp_p", "ip_proto"))
    one_way = f"({proto} = 1 AND {from_} NOT IN {_TWO_WAYS[0]} OR {proto} = 58 AND {from_} NOT IN {_TWO_WAYS[1]})"
    lower = f"({first} < {second} OR {first} = {second} AND byteSwap({from_}) <= byteSwap({to}) OR {one_way})"
    begin = f"if(startsWith({_octets(first, 16)}, {_V4}) AND startsWith({_octets(second, 16)}, {_V4}), 13, 1)"
    ends = [
        *(f"substring({_octets(f'if({lower}, {one}, {other})', 16)}, {begin})" for one, other in ((first, second), (second, first))),
        f"char({proto}, 0)",
        *(
            f"if({proto} IN (1, 6, 17, 58, 132), {_octets(f'byteSwap(if({lower}, {one}, {other}))', 2)}, '')"
            for one, other in ((from_, to), (to, from_))
        ),
    ]
    return f"concat('1:', base64Encode(SHA1(concat('\\0\\0', {', '.join(ends)}))))"


def _octets(value: str, width: int) -> str:
    return f"reinterpret({value}, 'FixedString({width})')"


COLUMN = f"`{NAME}` Nullable(String) ALIAS if(`{KEPT}` = '', {_computed()}, nullIf(`{KEPT}`, '-'))"
"""The definition of what is asked for."""
BEHIND = f"`{KEPT}` String MATERIALIZED '' CODEC(ZSTD(1))"
"""The definition of what is kept."""

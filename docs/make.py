"""Fills the generated parts of README.md and docs/*.md: `make docs` writes them, `--check` fails where one is old.

A page is written by hand; what stands between `<!-- make: NAME -->` and `<!-- end -->` comes from BLOCKS[NAME] here, which reads it out
of bpf/records.h, the settings, the commands, and what was measured. docs/headwater.toml is made as a whole.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import click
import msgspec

from headwater.analysis.flows import TUNNEL_SERVICES
from headwater.analysis.known import KNOWN
from headwater.analysis.protocols import MESSAGES, PROTOCOLS
from headwater.analysis.requests import REQUEST
from headwater.apps.cli import cli
from headwater.config import EXAMPLES, Settings, table_of, words
from headwater.filters.fields import FIELDS, FLOW_FIELDS, Field
from headwater.outputs.lines import MEASUREMENTS
from headwater.records import CONN, COST, ENUMS, LEDGER, PACKET, RATE, SERVER, TUNNEL, WEIRD, Column, Record
from headwater.records.columns import arrow_type
from headwater.records.layouts import place_reason
from headwater.records.schema import Kind, column_name
from headwater.records.zeek_types import ALWAYS, ANY
from headwater.sources.suricata import EVENTS, field_of
from headwater.telemetry import Entry, lines

DOCS = Path(__file__).parent
HEADER = (DOCS.parent / "bpf/records.h").read_text()
EXAMPLE = DOCS / "headwater.toml"

LEDGER_COLUMNS = {
    "ts": "end of the interval",
    "interval_s": "its length in seconds",
    "ledger": "`packets` or `records`: which of the two sums",
    "subject": "an interface or a capture (packets); a source, a file or a sink (records)",
    "term": "what became of them: a term of the sum",
    "place": "of `dropped`: where",
    "reason": "of `dropped`: why",
    "count": "how many in this interval",
}
EVE_TYPES = {"addr": "address", "enum": "string", "vector[string]": "list of string", "vector[count]": "list of count", "other": "JSON"}
WEIRD_COLUMNS = {
    "addl": "what more there is to say: of some that protocols find",
    "source": "what found it, as Zeek calls that analyzer of its own",
}
COST_COLUMNS = {
    "ts": "end of the interval",
    "interval_s": "its length in seconds; of a program the second in which its time was taken",
    "kind": "`program`, `process` or `map`",
    "name": "of a process with its number",
    "cpu_s": "CPU time of a program or process in this interval, in seconds; a program's is measured with the clock's own 80 ns a run",
    "runs": "of a program, in this interval",
    "octets": "resident memory of a process, kernel memory of a map",
}


def comments(kind: str, name: str) -> dict[str, str]:
    """Member or enumerator to the comment behind it, for `enum name` or `struct name` of records.h."""
    found = re.search(rf"^{kind} {name} \{{\n(.*?)^\}}", HEADER, re.M | re.S)
    if not found:
        raise SystemExit(f"docs/make.py: bpf/records.h has no {kind} {name}")
    declared = re.finditer(r"^\t+(?:enum )?(?:\w+ )?(\w+)[^/\n]*?[;,][ \t]*(?:/\* (.*?) \*/)?$", found[1], re.M)
    return {match[1]: match[2] or "" for match in declared}


def described(values: Iterable[str], texts: dict[str, str], prefix: str = "") -> dict[str, str]:
    """The comment of each value. Ends with one line if one has none."""
    missing = [value for value in values if not texts.get(prefix + value)]
    if missing:
        raise SystemExit(f"docs/make.py: bpf/records.h has no comment behind {', '.join(missing)}")
    return {value: texts[prefix + value] for value in values}


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; `head` has its titles with | between them."""
    titles = [title.strip() for title in head.split("|")]
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def record(of: Record, struct: str = "") -> str:
    """One record's columns."""
    texts = {"ledger": LEDGER_COLUMNS, "cost": COST_COLUMNS}.get(of.name) or {
        column_name(member): text for member, text in comments("struct", struct).items()
    }
    meanings = described(
        [column.name for column in of.columns], {**texts, **(WEIRD_COLUMNS if of is WEIRD else {}), **_typedefs(of, texts)}
    )
    rows = [(f"`{c.name}`", _memory(of, c), f"{arrow_type(of, c)}", _absent(of, c), meanings[c.name]) for c in of.columns]
    return table("column | in memory | in files | there if | meaning", rows)


def _typedefs(of: Record, texts: dict[str, str]) -> dict[str, str]:
    """What the C type says of columns that have no comment of their own."""
    said = dict(re.findall(r"^typedef \w+ (\w+);\s*/\* (.*?) \*/", HEADER, re.M))
    return {column.name: said[column.ctype] for column in of.columns if not texts.get(column.name) and column.ctype in said}


def _memory(of: Record, column: Column) -> str:
    kind = of.dtype[column.name]
    return {"V": f"{kind.itemsize} octets", "O": "object"}.get(kind.kind, kind.name)


def _absent(of: Record, column: Column) -> str:
    if column.needs:
        own = {CONN.name: "hw_conn_has", SERVER.name: "hw_server_has"}.get(of.name)
        layers = ENUMS[own] if own else ENUMS["hw_has"] | (ENUMS["hw_weird_has"] if of is WEIRD else {})
        return f"`{layers[column.needs]}`"
    if column.zero_is_absent and (of in (PACKET, WEIRD) or column.name != "ts"):  # those that we make have a time
        return "there is one"
    if column.kind is Kind.UIDS or column.name == "ended_by":
        return "there is one"
    if column.kind is Kind.TEXT:
        return "not empty"
    return "always"


def enumeration(name: str, leave_out: tuple[str, ...] = (), title: str = "value", *, number: bool = True) -> str:
    """The values of one enum, with their numbers or not."""
    texts = comments("enum", name)
    values = {value: text for value, text in ENUMS[name].items() if text not in leave_out}
    meanings = described(values.values(), texts, f"{name.upper()}_")
    if not number:
        return table("name | meaning", ((f"`{text}`", meanings[text]) for text in values.values()))
    return table(f"{title} | name | meaning", ((str(value), f"`{text}`", meanings[text]) for value, text in values.items()))


def ip_options() -> str:
    """The bits of ip_options: their names say it all."""
    return table("bit | name", ((str(value), f"`{text}`") for value, text in ENUMS["hw_ip_option"].items()))


def drops() -> str:
    """Place, reason and meaning of each loss that can be counted."""
    names = [text for text in ENUMS["hw_drop"].values() if text != "MAX"]
    meanings = described(names, comments("enum", "hw_drop"), "HW_DROP_")
    places = [(place_reason(value), text) for value, text in ENUMS["hw_drop"].items() if text != "MAX"]
    return table("place | reason | meaning", ((f"`{place}`", f"`{reason}`", meanings[text]) for (place, reason), text in places))


def settings(of: type[msgspec.Struct] = Settings, within: str = "") -> str:
    """The keys of a table of the configuration, and of the tables in it."""
    doc = inspect.cleandoc(of.__doc__ or "")
    meanings = {key: " ".join(text.split()) for key, text in re.findall(r"^(\w+): (.*(?:\n +.*)*)", doc, re.M)}
    rows, tables = [], []
    for field in msgspec.structs.fields(of):
        if inner := table_of(field.type):
            tables.append(settings(inner, f"{within}{field.name}"))
            continue
        if field.name not in meanings:
            raise SystemExit(f"docs/make.py: the docstring of {of.__name__} has no line `{field.name}: ...`")
        kind = re.sub(r'"[\w-]+"', r"`\g<0>`", words(field.type))
        rows.append((f"`{field.name}`", kind, _default(field), meanings[field.name]))
    about = doc.split("\n")[0]
    title = f"### `[{within}]`\n\n{about}\n\n" if within else ""
    return "\n\n".join([title + table("key | type | default | meaning", rows), *tables])


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "none: must be set"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "" if default is None else f"`{msgspec.json.encode(default).decode()}`"


def example(of: type[msgspec.Struct] = Settings, within: str = "") -> str:
    """A configuration file with each key, at its default where it has one."""
    head = f"[{within}]" if within else "# Every setting of Headwater. What is left out has the default of docs/configuration.md."
    written, tables = [head], []
    for field in msgspec.structs.fields(of):
        if inner := table_of(field.type):
            tables.append(example(inner, field.name))
            continue
        value = EXAMPLES.get(f"{within}.{field.name}", EXAMPLES.get(field.name, None if field.required else field.default))
        if value is None:
            raise SystemExit(f"docs/make.py: EXAMPLES in config.py needs a value for {field.name}")
        written.append(f"{field.name} = {msgspec.json.encode(value).decode()}")
    return "\n".join(written) + "\n" + "".join("\n" + one for one in tables)


def commands(command: click.Command = cli, name: str = "headwater", parent: click.Context | None = None) -> str:
    """Each command's --help."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100, **command.context_settings)
    parts = [f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```"]
    inner = command.commands if isinstance(command, click.Group) else {}
    return "\n\n".join([*parts, *(commands(inner[name], name, context) for name in inner)])


# sixty thousand frames sent into a ring of 256 KiB, much smaller than it is by default
LEDGER_EXAMPLE = {
    Entry("packets", "eth1", "seen"): 60_000,
    Entry("packets", "eth1", "as_row"): 59_516,
    Entry("packets", "eth1", "dropped", "ringbuf", "full"): 484,
    Entry("records", "tap", "made"): 60_000,
    Entry("records", "tap", "acked"): 59_516,
    Entry("records", "tap", "dropped", "ringbuf", "full"): 484,
    Entry("records", "rows", "made"): 59_533,
    Entry("records", "rows", "acked"): 59_533,
}


def ledger_example() -> str:
    """What a run printed: the figures are measured, their form is the present one."""
    return "```text\n" + "\n".join(lines(LEDGER_EXAMPLE)) + "\n```"


def measurements() -> str:
    """What is pushed to Grafana Live: measurement, field, type."""
    fields = ((f"`{name}`", f"`{field}`", kind) for name, of in MEASUREMENTS.values() for field, (kind, _) in of.items())
    return table("measurement | field | type", fields)


def fields(of: Mapping[str, Field] = FIELDS) -> str:
    """The fields of filters."""
    written = {"number": "a number", "flag": "1, 0, or alone", "mac": "an address", "protocol": "nothing: alone"}
    written |= dict.fromkeys(("ipv4", "ipv6"), "an address or a prefix")
    written |= {"interval": "a time: 20us, 1.5ms, 2s", "share": "a part: 1%, 0.5%"}
    most = {name: f" up to {field.most:,}" for name, field in of.items() if field.kind == "number"}
    rows = ((f"`{name}`", written.get(field.kind, "a name") + most.get(name, ""), field.says) for name, field in of.items())
    return table("field | compared with | what it is", rows)


def flow_fields() -> str:
    """Those of filters of flows that packets have not."""
    return fields({name: field for name, field in FLOW_FIELDS.items() if name not in FIELDS})


def eve() -> str:
    """Which field of eve.json becomes which column of which tables."""
    tables: dict[tuple[str, str], list[str]] = {}
    for event, of in EVENTS.items():
        for column, kind in of.items():
            tables.setdefault((column, kind), []).append(event)
    rows = []
    for (column, kind), events in tables.items():
        where = "all" if len(events) == len(EVENTS) else ", ".join(f"`suricata_{event}`" for event in events)
        rows.append(("what has no other" if column == "more" else f"`{field_of(column)}`", f"`{column}`", EVE_TYPES.get(kind, kind), where))
    return table("field | column | type | of", rows)


def soaks(what: str) -> list[str]:
    """What was run for long, in soak.txt: the parts whose first line begins so."""
    return [block for block in re.split(r"^(?=bench\.|tests/)", (DOCS / "soak.txt").read_text(), flags=re.M) if block.startswith(what)]


def load() -> str:
    """What bench/load.py wrote there, as tables."""
    verdicts = {"met": "met", "MISSED": "**missed**", "told": ""}
    told = []
    for block in soaks("bench.load "):
        begin, *results = block.splitlines()
        rows = []
        for line in results:
            said, _, promised = line.partition(" (promised: ")
            what, _, measured = said[7:].rpartition(": ")
            rows.append((what, promised.removesuffix(")"), measured, verdicts[said[:7].rstrip()]))
        told.append(f"`python -m {begin.replace(', ', '`, ', 1)}.\n\n{table('what | promised | measured | ', rows)}")
    return "\n\n".join(told) or "Not measured yet."


def long_tests() -> str:
    """What the soaks of tests/ wrote there."""
    return f"```text\n{''.join(soaks('tests/')).rstrip()}\n```"


def figures() -> str:
    """The first table of performance.md."""
    found = re.search(r"^\|(?:.*\|\n)+", (DOCS / "performance.md").read_text(), re.M)
    return found[0].rstrip() if found else "Not measured yet."


def messages(name: str) -> str:
    """The columns of a record of messages."""
    made = REQUEST if name == REQUEST.name else MESSAGES[name]
    rows = ((f"`{one.name}`", one.zeek or ALWAYS.get(name, ANY)[one.name], str(arrow_type(made, one))) for one in made.columns)
    return table("column | type in Zeek's log | in files", rows)


def services() -> str:
    """The names of services that are known without a protocol that reads them, and of those that are."""
    return ", ".join(f"`{name}`" for name in sorted({one.service for one in (*KNOWN, *PROTOCOLS)} | set(TUNNEL_SERVICES.values()))) + "."


BLOCKS: dict[str, Callable[[], str]] = {
    "packet": lambda: record(PACKET, "hw_packet"),
    "conn": lambda: record(CONN, "hw_conn"),
    "tunnel": lambda: record(TUNNEL, "hw_tunnel_row"),
    "services": services,
    "conn_state": lambda: enumeration("hw_conn_state", number=False),
    "conn_end": lambda: enumeration("hw_conn_end", leave_out=("none",), number=False),
    "conn_has": lambda: enumeration("hw_conn_has", title="bit"),
    "server": lambda: record(SERVER, "hw_server"),
    "server_has": lambda: enumeration("hw_server_has", title="bit"),
    "rate": lambda: record(RATE, "hw_rate"),
    "weirds": lambda: record(WEIRD, "hw_weird_row"),
    "ledger": lambda: record(LEDGER),
    "cost": lambda: record(COST),
    **{name: partial(messages, name) for name in (*MESSAGES, REQUEST.name)},
    "has": lambda: enumeration("hw_has", title="bit"),
    "hook": lambda: enumeration("hw_hook", leave_out=("none",)),
    "direction": lambda: enumeration("hw_direction", leave_out=("unknown",)),
    "weird": lambda: enumeration("hw_weird", leave_out=("none",)),
    "ip_option": ip_options,
    "drop": drops,
    "ledger_example": ledger_example,
    "measurements": measurements,
    "settings": settings,
    "fields": fields,
    "flow_fields": flow_fields,
    "eve": eve,
    "example": lambda: f"```toml\n{example()}```",
    "commands": commands,
    "load": load,
    "long_tests": long_tests,
    "figures": figures,
}


def filled(page: str) -> str:
    """The page with its generated parts as they must be."""
    return re.sub(
        r"(<!-- make: (\w+) -->\n).*?(<!-- end -->)", lambda match: f"{match[1]}\n{BLOCKS[match[2]]()}\n\n{match[3]}", page, flags=re.S
    )


def pages() -> dict[Path, str]:
    """Each page that has generated parts, as it must be."""
    found = {path: path.read_text() for path in sorted((*DOCS.glob("*.md"), *DOCS.parent.glob("README.md")))}
    return {path: filled(text) for path, text in found.items() if "<!-- make: " in text} | {EXAMPLE: example()}


def main() -> None:
    """Write the pages, or with --check say which are old."""
    old = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        if old:
            sys.exit(f"{', '.join(str(path.relative_to(DOCS.parent)) for path in old)}: not as the code has it; run `make docs`")
        return
    for path in old:
        path.write_text(pages()[path])


if __name__ == "__main__":
    main()

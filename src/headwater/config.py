"""The configuration: one TOML file for everything, checked before anything starts.

The command line wins over the environment (INTERFACE_NAME, GRAFANA_URL, GRAFANA_TOKEN), which wins over the file. docs/configuration.md is
made from the types and docstrings here.
"""

import builtins
import difflib
import ipaddress
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from headwater.analysis.flows import LOCAL_NETS, OF_FLOWS
from headwater.analysis.protocols import MESSAGES
from headwater.analysis.requests import OF_MESSAGES
from headwater.analysis.weirds import IGNORED
from headwater.errors import ConfigError, FilterError
from headwater.filters import Filter, FlowFilter
from headwater.interfaces import Detail
from headwater.outputs.sinks.grafana import GrafanaSettings
from headwater.record_names import RecordName
from headwater.records import ENUMS
from headwater.store.settings import StoreSettings

Hook = Literal["auto", "tcx", "clsact", "xdp", "af_packet"]
Format = Literal["jsonl", "csv", "parquet", "arrow", "zeek", "zeek-json"]

EXAMPLES = {
    "interfaces": ["eth0"],
    "filter": "tcp.port == 443 && ip.addr == 10.0.0.0/8",
    "packet_filter": "udp.port == 53",
    "flow_filter": "conn.failed || conn.handshake > 200ms",
    "records": ["conn", "packet"],
    "user": "headwater",
    "directory": "rows",
    "path": "/var/lib/headwater/store",
    "uid_key": "any text",
    "asn": "/var/lib/GeoIP/GeoLite2-ASN.mmdb",
    "city": "/var/lib/GeoIP/GeoLite2-City.mmdb",
    "format": "jsonl",
    "rotate_s": 3600,
    "url": "http://localhost:3000",
    "store.url": "https://headwater@db.example:8443",
    "password_file": "/etc/headwater/clickhouse.password",
    "ca_file": "/etc/headwater/ca.pem",
    "token": "glsa_...",
    "headers": ["server", "x-tenant"],
}
"""A value for each key whose default would be no example; of two with one name, one has its table's before it."""

_OF_DETAIL: Mapping[str, tuple[RecordName, ...]] = {
    "flows": ("conn", "weird"),
    "messages": ("conn", "weird", *typing.cast(tuple[RecordName, ...], tuple(MESSAGES))),
    "packets": ("packet",),
    "rates": ("rate",),
}
_VARIABLES = {"INTERFACE_NAME": "interfaces", "GRAFANA_URL": "grafana.url", "GRAFANA_TOKEN": "grafana.token"}
_LIMITS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
_TIMES = ("%Y", "%m", "%d", "%H", "%M", "%S")  # what a directory's name may have of the time
HOUR_S = 3600.0
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # a token of RFC 9110, 5.6.2
_TOLD = 10  # mistakes at once


class OutputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files.

    directory: one file a record is written here, in place of one of that name; it is made if it is missing. With %Y %m %d %H %M %S in
        its name, which are of the start's time in UTC, each run has a directory of its own, with -2 behind it where there is one already.
    format: of those files (jsonl unless set); zeek and zeek-json take records that are logs of Zeek's, weird for one. Set without a
        directory, rows go to standard output.
    rotate_s: how often a run with zeek or zeek-json begins its logs in the directory anew, counted from midnight (an hour unless set): they
        are written in its folder `current`, and then packed into one for their day, as zeekctl does; 0 for never.
    """

    directory: str | None = None
    format: Format | None = None
    rotate_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] | None = None

    def __post_init__(self) -> None:
        """As in Settings."""
        if self.directory == "":
            raise ValueError("directory is empty: name one, or leave it out")
        for field in re.findall("%.?", self.directory or ""):
            if field not in _TIMES:
                raise ValueError(f"directory has {field}, which is no part of a time: those are {' '.join(_TIMES)}; leave it out")

    def rotated_s(self) -> float:
        """How often a run begins its logs anew; 0 for never."""
        is_log = self.directory is not None and self.format in ("zeek", "zeek-json")
        return (HOUR_S if self.rotate_s is None else self.rotate_s) if is_log else 0.0


Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400 * 365)]


class FlowsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flows, of which the records conn, conn_long and tunnel are made. Times are of silence after which one is over; defaults are Zeek's.

    memory_mib: MiB of the kernel's memory for flows, with detail "flows"; each takes about 850 octets.
    most: flows at a time that user space keeps, about 770 octets each; a further one takes the place of one that nobody has answered, the
        oldest first.
    servers: how many have a row of the record server of their own in a second; what all others do shares one. About 500 octets each.
    local_nets: addresses that local_orig and local_resp call local.
    flow_key: what keeps flows apart besides addresses, ports and protocol, for networks that use the same addresses: "vlan" (both ids),
        "vni" (a tunnel's number, where it is the same both ways: VXLAN, Geneve, GRE, ERSPAN, NSH), "interface".
    progress_s: how often flows that go on are told of, as rows of the record conn_long; those that had packets since, and are as old.
    services: whether what flows speak is told by what they carry, as `service` of conn; of captures. Without it and messages, they are read
        several times as fast.
    community_id_seed: what all who compare community ids have agreed on.
    uid_key: text that uids are made with; unset, it is this machine's id. The same text gives the same uids on other machines.
    tcp_timeout_s: TCP, once one side is past its handshake.
    handshake_timeout_s: TCP before that.
    attempt_timeout_s: a SYN that nobody answers.
    close_timeout_s: how long a TCP flow is kept after both sides have ended, or one by a RST.
    linger_timeout_s: likewise, after one side has ended and nothing is known of the other.
    udp_timeout_s: UDP.
    dns_timeout_s: UDP to port 53, 137, 5353 or 5355.
    icmp_timeout_s: ICMP and ICMPv6.
    other_timeout_s: other protocols of IP.
    tunnel_timeout_s: addresses between which IP or GRE carries IP.
    """

    memory_mib: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 256
    most: Annotated[int, msgspec.Meta(ge=1024, le=1 << 28)] = 1 << 20
    servers: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 4096
    local_nets: tuple[str, ...] = LOCAL_NETS
    flow_key: tuple[Literal["vlan", "vni", "interface"], ...] = ()
    progress_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 300.0
    services: bool = True
    community_id_seed: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    uid_key: str | None = None
    tcp_timeout_s: Seconds = 300.0
    handshake_timeout_s: Seconds = 60.0
    attempt_timeout_s: Seconds = 5.0
    close_timeout_s: Seconds = 5.0
    linger_timeout_s: Seconds = 5.0
    udp_timeout_s: Seconds = 60.0
    dns_timeout_s: Seconds = 10.0
    icmp_timeout_s: Seconds = 60.0
    other_timeout_s: Seconds = 60.0
    tunnel_timeout_s: Seconds = 86_400.0

    def __post_init__(self) -> None:
        """As in Settings."""
        for net in self.local_nets:
            try:
                ipaddress.ip_network(net)
            except ValueError:
                raise ValueError(f"local_nets has {net!r}, which is no network: write one as 10.0.0.0/8 or 2001:db8::/32") from None


class WeirdsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is odd, the record weird.

    ignore: names that are not told; the default is what Zeek leaves out of its log.
    again_s: for so long a name is not told again of the same ends (Zeek's weird_ignore). What is left out is counted. 0 tells each time.
    """

    ignore: tuple[str, ...] = IGNORED
    again_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 600.0

    def __post_init__(self) -> None:
        """As in Settings."""
        names = set(ENUMS["hw_weird"].values()) - {"none"}
        for name in self.ignore:  # protocols have names, too, which are listed nowhere
            if name not in names and (near := difflib.get_close_matches(name, names, 1, 0.85)):
                raise ValueError(f"ignore has {name!r}, which is no weird: did you mean {near[0]!r}?")


class FilesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files that flows carry, the record files.

    hashes: which are made of each.
    directory: where files are written out, each as SOURCE-FUID; unset, none are. It is made if it is missing.
    types: of which MIME types; * stands for any part of one.
    most_bytes: of a file; longer ones are cut there.
    most_total_bytes: of all that a run writes.
    """

    hashes: tuple[Literal["md5", "sha1", "sha256"], ...] = ("md5", "sha1", "sha256")
    directory: str | None = None
    types: tuple[str, ...] = ("*",)
    most_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)] = 100 << 20
    most_total_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 50)] = 10 << 30

    def __post_init__(self) -> None:
        """As in Settings."""
        if self.directory is not None and (not self.directory or "\0" in self.directory):
            raise ValueError("directory is no path: name one, or leave it out")


class MessagesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What flows carry, live, with records of messages (docs/records.md).

    payload: "full" takes all that flows carry which anybody reads; "budget" as much of each direction as messages are likely to be in.
    budget_octets: so much of each direction to begin with, and as much again from where a protocol waits for its next message. Of DNS, NTP
        and DHCP all is taken.
    """

    payload: Literal["budget", "full"] = "budget"
    budget_octets: Annotated[int, msgspec.Meta(ge=256, le=1 << 30)] = 4096


class NamesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names that rows get on their way into the store (docs/names.md). A file is read again when it changes.

    country: of each address, as the registries gave it out.
    asn: a file of autonomous systems: an .mmdb of MaxMind, DB-IP or IPinfo, or iptoasn.com's ip2asn-combined.tsv, gzipped or not.
    city: a file of cities, an .mmdb; where it knows the country too, that is taken.
    """

    country: bool = True
    asn: str | None = None
    city: str | None = None

    def __post_init__(self) -> None:
        """As in Settings."""
        for key, path in (("asn", self.asn), ("city", self.city)):
            if path is not None and (not path or "\0" in path):
                raise ValueError(f"{key} is no path: name a file, or leave it out")

    def folders(self) -> list[Path]:
        """Where the files are, and what they are links to: what a run must be able to read to read them again."""
        files = [Path(path) for path in (self.asn, self.city) if path]
        return list(dict.fromkeys(folder for file in files for folder in (file.parent.resolve(), file.resolve().parent)))


class PrivacySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What live runs and the store keep of what messages say of people. Captures are read as Zeek reads them.

    queries: query strings of URIs and referrers, which have sessions and tokens in them; else `?...` stands there.
    credentials: user names of HTTP, also within URIs, and passwords.
    headers: fields of HTTP's requests and answers that are kept besides those that have a column, as ["server", "x-tenant"]; cookies only
        if they are named here. Captures have them, too.
    """

    queries: bool = False
    credentials: bool = False
    headers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """As in Settings."""
        for name in self.headers:
            if not _FIELD.fullmatch(name):
                raise ValueError(f"headers: {name!r} is no name of a field of HTTP: letters, digits and - make one")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set.

    interfaces: names to listen on; empty takes those with a default route and the other physical ones; "any" takes all.
    hook: where packets are seen; "auto" takes tcx, else clsact (kernels before 6.6), else AF_PACKET, whichever works first.
    consume: with hook "xdp", drop what was seen (for a mirror port, which has no other use).
    generic_xdp: with hook "xdp", take the slow generic mode, for drivers without a native one; GRO must be off.
    xdp_metadata: with hook "xdp", take a packet's receive time, hash and VLAN tag from the card, where kernel (6.8) and driver give them;
        the time only where the card's clock is this host's UTC.
    promiscuous: ask the card for frames that are addressed to others, as a mirror port needs.
    ring_bytes: room for rows between kernel and user space, for each CPU; a power of two.
    filter: which packets are kept, as in Wireshark's display filters (docs/filters.md); empty keeps all.
    packet_filter: of these, which become rows of the record packet; flows are made of all.
    flow_filter: which flows become rows of conn and conn_long; of the others there are counts.
    fanout: with hook "af_packet", rings an interface, each of ring_bytes, for some of the CPUs and read by its own thread; 0 takes one for
        each CPU, at most 4. With one, rows are in order of time, with more nearly so (20 ms).
    detail: what leaves the kernel: "flows" that it keeps itself, of which user space learns when they are over; "messages", which is also
        as much of what flows carry as the records of messages need; "packets", beside flows and messages if there are records of them;
        "rates" alone, which costs least; "auto" takes what the records need. `headwater detail set` changes it.
    keep_flows: flows that the kernel keeps outlive the run, even one that is killed, in /sys/fs/bpf/headwater, or in HEADWATER_PINS.
        The next run goes on with them.
    sample: of the packets that the filter keeps, one in so many becomes a row, at random; of flows, one in so many is kept.
    records: what is written and sent; the ledger always is. Empty takes conn and, in a directory, weird; with detail "messages" those of
        messages too; packet where detail is "packets",
        where packets are written whole (-w), where Grafana gets them, or with xdp_metadata; rate where it is "rates". "cost" is what the
        run itself costs, once a minute.
    bpf_stats: for the record "cost", let the kernel take the time of every eBPF program of this machine for 1 s in 60, in which each run
        takes about 80 ns longer; it needs CAP_SYS_ADMIN.
    user: whom a run that root starts becomes once everything is open, with no privilege left: "headwater" if there is such an account,
        else "nobody"; "root" keeps all.
    """

    interfaces: tuple[str, ...] = ()
    hook: Hook = "auto"
    consume: bool = False
    generic_xdp: bool = False
    xdp_metadata: bool = False
    promiscuous: bool = False
    ring_bytes: Annotated[int, msgspec.Meta(ge=4096, le=1 << 30)] = 16 << 20
    fanout: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    detail: Detail | Literal["auto"] = "auto"
    filter: str = ""
    packet_filter: str = ""
    flow_filter: str = ""
    keep_flows: bool = False
    sample: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    records: tuple[RecordName, ...] = ()
    bpf_stats: bool = True
    user: str | None = None
    flows: FlowsSettings = FlowsSettings()
    weirds: WeirdsSettings = WeirdsSettings()
    messages: MessagesSettings = MessagesSettings()
    names: NamesSettings = NamesSettings()
    files: FilesSettings = FilesSettings()
    privacy: PrivacySettings = PrivacySettings()
    output: OutputSettings = OutputSettings()
    grafana: GrafanaSettings | None = None
    store: StoreSettings | None = None

    def __post_init__(self) -> None:
        """Checks that types cannot express. Each message begins with the key that is wrong."""
        if self.ring_bytes & (self.ring_bytes - 1):
            raise ValueError(f"ring_bytes must be a power of two, for instance {1 << self.ring_bytes.bit_length() - 1}")
        if self.consume and self.hook != "xdp":
            raise ValueError('consume needs hook = "xdp" (--hook xdp)')
        if self.xdp_metadata and (self.hook != "xdp" or self.generic_xdp):
            raise ValueError('xdp_metadata needs hook = "xdp", and its native mode')
        if self.xdp_metadata and self.detail in ("flows", "messages"):
            raise ValueError('xdp_metadata needs detail = "packets" or "rates": programs that ask the card keep no flows')
        of_flows = (OF_FLOWS | OF_MESSAGES) & set(self.records)
        if of_flows and self.detail == "rates":
            raise ValueError('detail = "rates" leaves no packet to make flows of: records cannot have conn, tunnel or server then')
        if self.detail == "flows" and (told := sorted(OF_MESSAGES & set(self.records))):
            raise ValueError(f'detail = "flows" tells nothing of what flows carry: for {told[0]} among records it is "messages"')
        if of_flows and "packet" in self.records and self.sample > 1:
            raise ValueError("sample takes packets one by one, and flows whole: records cannot have both packet and conn or tunnel then")
        if self.packet_filter and self.detail in ("flows", "messages", "rates") and "packet" not in self.records:
            raise ValueError(f'packet_filter is for rows of packets, of which detail = "{self.detail}" leaves none')
        if self.flow_filter and self.detail == "rates":
            raise ValueError('flow_filter is for flows, of which detail = "rates" leaves none')
        for key, understood in (("filter", self.packets), ("packet_filter", self.packet_rows), ("flow_filter", self.flow_rows)):
            try:
                understood()
            except FilterError as error:
                raise ValueError(f"{key} is wrong at character {error.at + 1}: {error.problem}") from None

    def begun(self, now: datetime) -> "Settings":
        """With the name that the output directory has for a run that begins now: one with a time in it is of that run alone."""
        given = self.output.directory
        if not given or "%" not in given:
            return self
        name = now.astimezone(UTC).strftime(given)
        if Path(name).exists():
            name = next(other for number in count(2) if not Path(other := f"{name.rstrip('/')}-{number}").exists())
        return msgspec.structs.replace(self, output=msgspec.structs.replace(self.output, directory=name))

    def settled(self, *, whole_packets: bool = False) -> "Settings":
        """With what "auto" and no records stand for in a run that writes packets to a file (-w), or does not."""
        records, detail = self.records, self.detail
        if detail == "auto":
            wanted = set(records)
            of_each = "packet" in wanted or self.packet_filter or ("weird" in wanted and self.sample > 1)
            if whole_packets or self.xdp_metadata or self.grafana or of_each:
                detail = "packets"
            elif wanted & OF_MESSAGES:
                detail = "messages"
            else:
                detail = "flows" if not wanted or {"weird", *OF_FLOWS} & wanted else "rates"
        if not records:
            to_stdout = self.output.directory is None and self.output.format is not None
            records = _OF_DETAIL[detail]
            if self.packet_filter or (self.flow_filter and detail == "packets"):
                records = (*_OF_DETAIL["packets"], *_OF_DETAIL["flows"])
            records = records[: 1 if to_stdout else None]  # which takes rows of one record
        return msgspec.structs.replace(self, records=records, detail=detail)

    def kept(self) -> StoreSettings:
        """Of the store, whether or not this run keeps anything there."""
        return self.store or StoreSettings()

    def packets(self) -> Filter | None:
        """The filter, understood; None if it keeps all."""
        return Filter(self.filter) if self.filter.strip() else None

    def packet_rows(self) -> Filter | None:
        """Likewise, the one that packets become rows by."""
        return Filter(self.packet_filter) if self.packet_filter.strip() else None

    def flow_rows(self) -> FlowFilter | None:
        """Likewise, the one that flows do."""
        return FlowFilter(self.flow_filter) if self.flow_filter.strip() else None


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file at `path` (None: the defaults) with the environment's over them. Raises ConfigError, naming each place."""
    text = _read(path) if path else ""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        quotes = '; text stands in quotes, as in interfaces = ["eth0"]' if str(error).startswith("Invalid value") else ""
        raise ConfigError(str(path), f"not TOML: {error}{quotes}") from error
    if environ.get("INTERFACE_NAME"):
        raw["interfaces"] = environ["INTERFACE_NAME"].replace(",", " ").split()
    grafana = {key: environ[name] for key, name in (("url", "GRAFANA_URL"), ("token", "GRAFANA_TOKEN")) if environ.get(name)}
    table = raw.get("grafana", {})
    if isinstance(table, dict) and ("url" in grafana or (grafana and "grafana" in raw)):
        raw["grafana"] = {**table, **grafana}
    variables = {key: name for name, key in _VARIABLES.items() if environ.get(name)}

    def place(keys: list[str]) -> str:
        line = _line_of(text, keys)
        return variables.get(".".join(keys)) or (f"{path}, line {line}" if line else str(path or "the environment"))

    return _checked(raw, place)


def override(settings: Settings, where: str, **changes: object) -> Settings:
    """The settings with those of the command line over them; None leaves one as it is. Raises ConfigError."""
    raw = msgspec.to_builtins(settings)
    raw.update({key: value for key, value in changes.items() if value is not None})
    return _checked(raw, lambda _: where)


def builtins_of(table: msgspec.Struct) -> dict[str, Any]:
    """A table's keys and values, as override() takes them."""
    return {name: getattr(table, name) for name in table.__struct_fields__}


def show(settings: Settings) -> str:
    """The settings as a TOML file; the token, and a name and password within the URL, withheld."""
    raw = msgspec.to_builtins(settings)
    if raw["grafana"]:
        raw["grafana"]["url"] = re.sub("://.*@", "://(set)@", raw["grafana"]["url"])
        raw["grafana"]["token"] = "(set)" if raw["grafana"]["token"] else ""
    tables = {key: value for key, value in raw.items() if isinstance(value, dict)}
    plain = {key: value for key, value in raw.items() if key not in tables}
    blocks = [_assignments(plain)] + [f"[{name}]\n{lines}" for name, values in tables.items() if (lines := _assignments(values))]
    return "\n".join(blocks)


def _assignments(values: Mapping[str, object]) -> str:
    """TOML of plain values; JSON spells strings, numbers, booleans and lists of them as TOML does."""
    return "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in values.items() if value is not None)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}; give the path of a file with settings") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"not UTF-8 text (byte {error.start})") from error


def table_of(kind: Any) -> type[msgspec.Struct] | None:
    """The table that a key is, `X | None` included; None if it is a plain value."""
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def words(kind: Any) -> str:
    """A type as users know it from TOML."""
    args = get_args(kind)
    match get_origin(kind):
        case typing.Literal:
            *others, last = (f'"{value}"' for value in args)
            return f"{', '.join(others)} or {last}"
        case builtins.tuple:
            return f"a list of {words(args[0])}"
        case typing.Union | types.UnionType:
            return " or ".join(words(one) for one in args if one is not types.NoneType)
        case typing.Annotated:
            limits = [(getattr(args[1], name), text) for name, text in _LIMITS.items()]
            return " ".join([words(args[0]), *(f"{text} {limit:,}" for limit, text in limits if limit is not None)])
    return {str: "text", bool: "true or false", int: "a whole number", float: "a number"}[kind]


def _keys(of: type[msgspec.Struct] = Settings, within: str = "") -> Iterator[tuple[str, msgspec.structs.FieldInfo]]:
    for field in msgspec.structs.fields(of):
        yield within + field.name, field
        if inner := table_of(field.type):
            yield from _keys(inner, f"{within}{field.name}.")


_KEYS = dict(_keys())


def _checked(raw: dict[str, Any], place: Callable[[list[str]], str]) -> Settings:
    """The settings of `raw`. Raises ConfigError with a line for each mistake; `place` tells where a key was set."""
    lines = [
        (place(path), "".join(one if one.isprintable() else "?" for one in problem)) for path, problem in islice(_mistakes(raw), _TOLD + 1)
    ]
    if lines:
        more = [f"{where}: {problem}" for where, problem in lines[1:_TOLD]]
        raise ConfigError(*lines[0], *more, *(["there are more mistakes: mend these first"] if len(lines) > _TOLD else []))
    return msgspec.convert(raw, Settings)


def _mistakes(raw: dict[str, Any]) -> Iterator[tuple[list[str], str]]:
    """The path and the problem of each. What was told is mended in `raw`, and the rest tried again; what may only follow is not told."""
    told: list[list[str]] = []
    while True:
        try:
            msgspec.convert(raw, Settings)
        except msgspec.ValidationError as error:
            path, problem = _explain(raw, error)
        else:
            return
        if not {before[-1] for before in told if ".".join(before) in _KEYS} & set(re.findall(r"\w+", problem)):
            yield path, problem
        if not path or path in told:  # this cannot be mended
            return
        told.append(path)
        _mend(_table(raw, path[:-1]), path)


def _mend(table: dict[str, Any], path: list[str]) -> None:
    """Put a right value there, or nothing if there is to be none."""
    field = _KEYS.get(".".join(path))
    if field is None or table_of(field.type):
        del table[path[-1]]
    else:
        table[path[-1]] = _example(".".join(path))


def _example(key: str) -> Any:
    field = _KEYS[key]
    return EXAMPLES.get(key, EXAMPLES.get(field.name, field.default))


def _table(raw: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for key in path:
        raw = raw[key]
    return raw


def _explain(raw: dict[str, Any], error: msgspec.ValidationError) -> tuple[list[str], str]:
    """The path of the key that msgspec means, and what is wrong with it in a user's words."""
    message, _, place = str(error).partition(" - at `$")
    path = [key for key in re.split(r"[.\[\]`]+", place) if key and not key.isdigit() and key != "..."]
    if isinstance(error.__cause__, ValueError):  # of a __post_init__: it names keys, the wrong one first
        named = [key for key in re.findall(r"\w+", message) if key in _table(raw, path)]
        return [*path, *named[:1]], ".".join([*path, message])
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", message, re.S):
        path.append(unknown[1])
        known = {name: key for key in _KEYS for name in (key, key.rpartition(".")[2])}
        near = difflib.get_close_matches(unknown[1], known, 1)
        return path, f"{'.'.join(path)} is not a setting" + (f"; did you mean {known[near[0]]}?" if near else "; see docs/configuration.md")
    missing = re.match(r"Object missing required field `(.+)`", message)
    path += [missing[1]] if missing else []
    if ".".join(path) not in _KEYS:  # a key with such a name that the message cannot be taken apart
        return [], str(error)
    return path, f"{'.'.join(path)} {'is missing: it ' if missing else ''}{_must_be('.'.join(path))}"


def _must_be(key: str) -> str:
    field = _KEYS[key]
    if table_of(field.type):
        return f"must be a table: the line [{key}], and its keys below that"
    return f"must be {words(field.type)}, for instance {field.name} = {msgspec.json.encode(_example(key)).decode()}"


def _line_of(text: str, path: list[str]) -> int:
    """The line that sets the last key of `path`, or else the table that it is missing in; 0 if there is none."""
    table: list[str] = []
    lines: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            table = header[1].split(".")
            lines.setdefault(tuple(table), number)
        elif key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            lines.setdefault((*table, *key[1].split(".")), number)
    return next((lines[found] for end in range(len(path), 0, -1) if (found := tuple(path[:end])) in lines), 0)

"""Names of rows: against the libraries and registries that they come from, row by row, whatever the record is."""

import ipaddress
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import iptocc
import mmdb_made
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_made import ASN, as_record

from headwater.analysis import names
from headwater.analysis.enrich import Names
from headwater.records import CONN, PACKET, RATE, SERVER, TUNNEL, WEIRD, Batch
from headwater.records.layouts import HAS
from headwater.records.schema import Kind

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MULTICAST = {names.scope(start.to_bytes(16)) for start in names.scope_starts() if start >> 120 == 0xFF or start >> 28 == 0xFFFFE}


def octets(address: Address) -> bytes:
    return address.packed if address.version == 6 else names.MAPPED + address.packed


def flows(orig: list[Address], resp: list[Address] | None = None, **columns: Any) -> Batch:
    rows = np.zeros(len(orig), CONN.dtype)
    for name, side in (("id.orig_h", orig), ("id.resp_h", resp or orig)):
        rows[name] = np.array([octets(address) for address in side], "V16")
    for name, values in columns.items():
        rows[name] = values
    return Batch(CONN, rows)


def named(made: list[tuple[pa.Field, pa.Array]]) -> dict[str, list[Any]]:
    return {field.name: array.to_pylist() for field, array in made}


ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.builds(lambda start, step: ipaddress.ip_address((start + step) % 2**128), st.sampled_from(names.scope_starts()), st.integers(-1, 1)),
).map(lambda address: getattr(address, "ipv4_mapped", None) or address)


@settings(max_examples=200)
@given(st.lists(ADDRESSES, max_size=40))
def test_each_row_is_as_its_address_alone(given: list[Address]) -> None:
    made = named(Names().columns(flows(given, given[::-1])))
    assert made["orig_country"] == [iptocc.country_code(str(address)) for address in given]
    assert made["orig_scope"] == [names.scope(octets(address)) for address in given]
    assert made["resp_country"] == made["orig_country"][::-1]
    assert made["resp_scope"] == made["orig_scope"][::-1]


def test_countries_at_random_and_where_they_change() -> None:
    rng = random.Random(1)
    v4 = [ipaddress.IPv4Address(number) for number in range(0x05000000, 0x05400000, 256)]
    countries = iptocc.country_code(list(map(str, v4)))
    edges = [v4[i] + step for i in range(1, len(v4)) if countries[i] != countries[i - 1] for step in (-1, 0)]
    given: list[Address] = [*edges, *(ipaddress.IPv4Address(rng.getrandbits(32)) for _ in range(20_000))]
    given += [ipaddress.IPv6Address(0x2 << 124 | rng.getrandbits(124) >> rng.randrange(20)) for _ in range(20_000)]
    given += [ipaddress.IPv6Address(int(one) ^ rng.getrandbits(64)) for one in given[-2_000:]]  # of one first half: asked for once
    rng.shuffle(given)
    made = named(Names().columns(flows(given)))["orig_country"]
    assert made == iptocc.country_code(list(map(str, given)))
    assert len(set(made)) > 100


def test_scopes_agree_with_ipaddress_wherever_one_begins() -> None:
    for start in names.scope_starts():
        for step in (-1, 0, 1):
            address = ipaddress.IPv6Address((start + step) % 2**128)
            agrees_with_ipaddress(address.ipv4_mapped or address)


@settings(max_examples=500)
@given(ADDRESSES)
def test_scopes_agree_with_ipaddress(address: Address) -> None:
    agrees_with_ipaddress(address)


def agrees_with_ipaddress(address: Address) -> None:
    scope = names.scope(octets(address))
    assert (scope == "loopback") == address.is_loopback
    assert (scope == "unspecified") == address.is_unspecified
    assert (scope in MULTICAST) == address.is_multicast
    assert (scope == "site_local") == (address.version == 6 and address.is_site_local)
    if scope not in ("cloud_metadata", "solicited_node"):
        assert (scope == "link_local") == address.is_link_local
    if scope in ("private", "loopback", "link_local", "documentation", "benchmarking", "broadcast", "unspecified", "shared"):
        assert not address.is_global or int(address) >> 108 == 0x3FFF0  # RFC 9637, which older Pythons do not know
    if scope == "global":
        assert not (address.is_reserved or address.is_multicast or address.is_loopback or address.is_link_local)
        assert address.is_global


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("224.0.0.251", "mdns"),
        ("ff02::fb", "mdns"),
        ("239.255.255.250", "ssdp"),
        ("224.0.0.1", "all_nodes"),
        ("224.0.0.2", "all_routers"),
        ("224.0.0.5", "ospf"),
        ("224.0.0.9", "ripv2"),
        ("224.0.0.18", "vrrp"),
        ("224.0.0.22", "igmpv3"),
        ("239.1.2.3", "multicast"),
        ("ff0e::1234", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("8.8.8.8", "global"),  # whoever's it is
        ("100.64.0.1", "shared"),
        ("198.18.0.1", "benchmarking"),
        ("240.0.0.1", "reserved"),
        ("4000::1", "reserved"),
        ("fe80::1", "link_local"),
        ("169.254.169.254", "cloud_metadata"),
    ],
)
def test_a_scope_in_one_word(address: str, scope: str) -> None:
    assert named(Names().columns(flows([ipaddress.ip_address(address)])))["resp_scope"] == [scope]


def test_services_are_those_of_the_responders_port() -> None:
    ports = [53, 443, 443, 40_000, 22, 0, 65_535]
    batch = flows([ipaddress.ip_address("10.0.0.1")] * 7, **{"id.resp_p": ports, "proto": [2, 1, 2, 1, 3, 1, 2]})
    assert named(Names().columns(batch))["service_name"] == ["dns", "https", "quic", None, None, None, None]


def test_services_of_packets_are_those_of_the_lower_port_that_has_a_name() -> None:
    rng = np.random.default_rng(1)
    rows = np.zeros(3000, PACKET.dtype)
    rows["has"], rows["proto"] = HAS["ip"] | HAS["ports"], rng.choice([6, 17, 132], 3000)
    rows["sport"], rows["dport"] = (rng.choice([53, 80, 443, 514, 5353, 33434, 60_000, 60_001], 3000) for _ in "sd")
    rows["has"][:9] = 0
    wanted = [
        names.service_of(int(row["proto"]), int(row["sport"]), int(row["dport"])) or None if row["has"] and row["proto"] != 132 else None
        for row in rows
    ]
    assert named(Names().columns(Batch(PACKET, rows)))["service_name"] == wanted


def test_vendors_of_macs() -> None:
    rng = random.Random(1)
    macs = [
        bytes.fromhex("001b21aabbcc"),
        bytes(6),
        b"\xff" * 6,
        *(rng.choice((b"\0\x1b\x21", b"\xb8\x27\xeb", rng.randbytes(3))) + rng.randbytes(3) for _ in range(99)),
    ]
    macs += macs[:20]
    batch = flows([ipaddress.ip_address("10.0.0.1")] * len(macs), orig_l2_addr=np.array(macs, "V6"))
    absent = named(Names().columns(batch))
    assert set(absent["orig_vendor"]) == {None}
    batch.rows["has"] = ~np.zeros(1, batch.rows["has"].dtype)
    made = named(Names().columns(batch))
    assert made["orig_vendor"] == [names.mac(mac) or None for mac in macs]
    assert "Intel" in made["orig_vendor"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    cities = {"8.8.8.0/24": {"city": {"names": {"en": "Mountain View"}}, "country": {"iso_code": "NZ"}}, "9.9.9.0/24": {"city": "Zürich"}}
    return {
        "asn": mmdb_made.write(tmp_path / "asn.mmdb", {net: as_record(*of) for net, of in ASN.items()}),
        "city": mmdb_made.write(tmp_path / "city.mmdb", cities),
    }


def test_columns_of_files(files: dict[str, Path]) -> None:
    maker = Names(**files)
    assert maker.look() == []
    given = [ipaddress.ip_address(text) for text in ("8.8.8.8", "9.9.9.9", "2001:db8::1", "10.0.0.1", "8.8.8.9")]
    made = maker.columns(flows(given))
    assert [field.name for field, _ in made] == [
        *(f"{side}_{name}" for name in ("country", "asn", "as_org", "city", "scope") for side in ("orig", "resp")),
        *("service_name", "orig_vendor", "resp_vendor"),
    ]
    for field, array in made:
        assert array.type == field.type
        assert field.metadata == {b"kind": b"count" if field.name.endswith("_asn") else b"enum"}
        if pa.types.is_dictionary(array.type):
            assert len(set(array.dictionary.to_pylist())) == len(array.dictionary) <= len(array)
        array.validate(full=True)
    values = named(made)
    assert values["resp_asn"] == [64496, None, 64501, None, 15169]
    assert values["resp_as_org"] == ["One host", None, "One host of IPv6", None, "GOOGLE"]
    assert values["resp_city"] == ["Mountain View", "Zürich", None, None, "Mountain View"]
    assert values["resp_country"] == ["NZ", iptocc.country_code("9.9.9.9"), None, None, "NZ"]  # of the file where it has one


def test_columns_that_nobody_asked_for_are_not_there() -> None:
    made = named(Names(country=False).columns(flows([ipaddress.ip_address("8.8.8.8")])))
    assert set(made) == {"orig_scope", "resp_scope", "service_name", "orig_vendor", "resp_vendor"}


@pytest.mark.parametrize("record", [CONN, PACKET, SERVER, TUNNEL, WEIRD, RATE])
@pytest.mark.parametrize("rows", [0, 3])
def test_every_record_has_names_by_what_its_columns_are(record: Any, rows: int, files: dict[str, Path]) -> None:
    maker = Names(**files)
    maker.look()
    made = maker.columns(Batch(record, np.zeros(rows, record.dtype)))
    found = [field.name for field, _ in made]
    assert len(set(found)) == len(found)
    assert not set(found) & {column.name for column in record.columns}
    kinds = [column.kind for column in record.columns]
    assert len([name for name in found if name.endswith("_scope")]) == kinds.count(Kind.ADDRESS)
    assert len([name for name in found if name.endswith("_vendor")]) == kinds.count(Kind.MAC)
    assert ("service_name" in found) == (record is not TUNNEL)
    assert all(len(array) == rows for _, array in made)


def table_of(batch: Batch, words: bool) -> pa.Table:
    """The same rows as an imported log has them, in two pieces."""
    arrays: dict[str, pa.Array] = {}
    fields = []
    for name in ("id.orig_h", "id.resp_h", "orig_l2_addr"):
        raw = batch.rows[name]
        kind = b"mac" if name == "orig_l2_addr" else b"address"
        arrays[name] = pa.array([row.tobytes() for row in raw], pa.binary(raw.itemsize))
        fields.append(pa.field(name, pa.binary(raw.itemsize), metadata={b"kind": kind}))
    protos = ["unknown_transport", "tcp", "udp", "icmp"]
    arrays["proto"] = pa.array(
        [protos[at] if words else [0, 6, 17, 1][at] for at in batch.rows["proto"]], pa.string() if words else pa.uint8()
    )
    arrays["id.resp_p"] = pa.array(batch.rows["id.resp_p"])
    fields += [pa.field(name, arrays[name].type) for name in ("proto", "id.resp_p")]
    table = pa.table(arrays, schema=pa.schema(fields))
    return pa.concat_tables([table.slice(0, 7), table.slice(7)])


@pytest.mark.parametrize("words", [True, False])
def test_a_table_has_the_names_that_its_rows_have_as_a_batch(files: dict[str, Path], words: bool) -> None:
    rng = np.random.default_rng(2)
    given = [ipaddress.ip_address(text) for text in rng.choice(["8.8.8.8", "9.9.9.9", "2001:db8::1", "10.0.0.1", "ff02::fb"], 50)]
    batch = flows(given, given[::-1], **{"id.resp_p": rng.choice([53, 443, 5], 50), "proto": rng.integers(0, 4, 50), "has": 2**32 - 1})
    batch.rows["orig_l2_addr"] = np.array([rng.bytes(6) for _ in range(50)], "V6")
    maker = Names(**files)
    maker.look()
    wanted = named(maker.columns(batch))
    made = named(maker.of_table(table_of(batch, words)))
    del wanted["resp_vendor"]
    assert made == wanted


@pytest.mark.parametrize("start", range(0, 20, 3))
def test_a_part_of_a_table_has_the_names_of_its_rows(start: int) -> None:
    values = [octets(ipaddress.ip_address("8.8.8.8")), None, octets(ipaddress.ip_address("10.0.0.1"))] * 10
    fields = [
        pa.field("id.resp_h", pa.binary(16), metadata={b"kind": b"address"}),
        pa.field("proto", pa.string()),
        pa.field("id.resp_p", pa.uint16()),
    ]
    columns = [pa.array(values, pa.binary(16)), pa.array(["tcp", None, "udp"] * 10), pa.array([53, 22, None] * 10, pa.uint16())]
    whole = pa.record_batch(columns, schema=pa.schema(fields))
    wanted = {name: column[start : start + 10] for name, column in named(Names().of_table(whole)).items()}
    assert wanted["resp_scope"][:2] == [["global", None, "private"][(start + i) % 3] for i in range(2)]
    assert named(Names().of_table(whole.slice(start, 10))) == wanted


def test_a_tables_rows_without_addresses_have_no_names_and_its_own_columns_stay() -> None:
    addresses = pa.array([None, octets(ipaddress.ip_address("8.8.8.8")), None], pa.binary(16))
    field = pa.field("client_addr", pa.binary(16), metadata={b"kind": b"address"})
    made = named(Names().of_table(pa.table([addresses], schema=pa.schema([field]))))
    assert made == {"client_country": [None, "US", None], "client_scope": [None, "global", None]}
    macs = pa.array([bytes.fromhex("001b21aabbcc"), None, b"\xff" * 6], pa.binary(6))
    fields = [pa.field("mac", pa.binary(6), metadata={b"kind": b"mac"}), pa.field("proto", pa.string()), pa.field("port", pa.uint16())]
    rows = pa.table([macs, pa.array(["tcp", "udp", None]), pa.array([22, None, 22], pa.uint16())], schema=pa.schema(fields))
    assert named(Names().of_table(rows)) == {"service_name": ["ssh", None, None], "mac_vendor": ["Intel", None, "broadcast"]}
    own = pa.table([addresses, pa.array(["x"] * 3)], schema=pa.schema([field, pa.field("client_scope", pa.string())]))
    assert set(named(Names().of_table(own))) == {"client_country"}
    assert Names().of_table(pa.table({"a": pa.array([b"x" * 16], pa.binary(16))})) == []  # not said to be addresses


def test_a_file_that_changes_is_read_again(tmp_path: Path, files: dict[str, Path]) -> None:
    maker = Names(asn=files["asn"])
    batch = flows([ipaddress.ip_address("8.8.8.9")])

    def now() -> Any:
        return named(maker.columns(batch))["orig_as_org"][0]

    assert maker.look() == maker.look() == []
    assert now() == "GOOGLE"
    mmdb_made.write(tmp_path / "new.mmdb", {"8.0.0.0/8": as_record(7, "Somebody else")}).rename(files["asn"])
    assert maker.look() == []
    assert now() == "GOOGLE"  # it may still be written
    assert maker.look() == []
    assert now() == "Somebody else"
    files["asn"].write_bytes(files["asn"].read_bytes()[:500])
    assert maker.look() == []
    (problem,) = maker.look()
    assert problem.startswith(f"{files['asn']}: cannot be used: no MaxMind DB file; give ")
    assert problem.endswith("; the one before stays until then")
    assert maker.look() == maker.look() == []  # it was said
    assert now() == "Somebody else"
    files["asn"].unlink()
    assert maker.look() == []
    assert ["No such file" in line for line in maker.look()] == [True]
    mmdb_made.write(files["asn"], {"8.0.0.0/8": as_record(8, "Back again")})
    maker.look()
    assert maker.look() == []
    assert now() == "Back again"


def test_a_file_that_is_not_there_yet_only_takes_its_names(tmp_path: Path) -> None:
    maker = Names(asn=tmp_path / "later.mmdb")
    batch = flows([ipaddress.ip_address("8.8.8.9")])
    assert ["addresses have no such names until then" in line for line in maker.look()] == [True]
    made = named(maker.columns(batch))
    assert (made["orig_asn"], made["orig_as_org"], made["orig_scope"]) == ([None], [None], ["global"])
    mmdb_made.write(tmp_path / "later.mmdb", {"8.0.0.0/8": as_record(8, "There")})
    maker.look()
    maker.look()
    assert named(maker.columns(batch))["orig_asn"] == [8]


def test_naming_loads_no_library_that_takes_long() -> None:
    script = """
import sys
import numpy as np
from headwater.analysis.enrich import Names
from headwater.records import CONN, Batch
Names().columns(Batch(CONN, np.zeros(3, CONN.dtype)))
print(sorted({"pandas", "maxminddb", "netaddr"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"

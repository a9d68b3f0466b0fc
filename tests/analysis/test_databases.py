"""Files of whose networks are whose, against maxminddb's own answers, address by address; and files that are broken or hostile."""

import gzip
import io
import ipaddress
import os
import random
from pathlib import Path
from typing import Any

import maxminddb
import mmdb_made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_made import ASN, as_record

from headwater.analysis import databases, mmdb
from headwater.analysis.databases import Database, load, words
from headwater.analysis.ranges import Addresses
from headwater.errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def addresses_of(given: list[Address]) -> Addresses:
    octets = [a.packed if a.version == 6 else bytes(10) + b"\xff\xff" + a.packed for a in given]
    rows = np.frombuffer(b"".join(octets), np.uint8).reshape(-1, 16)
    return Addresses(rows, np.ones(len(rows), np.bool_))


def asked(database: Database, given: list[Address]) -> list[tuple[int, str]]:
    """The number and the organization of each address."""
    found = addresses_of(given)
    codes = database.ranges.find(found)[found.rows]
    of = database.words["as_org"]
    return [(int(database.numbers[code]), of.words[of.place[code]].as_py() if of.place[code] >= 0 else "") for code in codes]


def edges(networks: list[str]) -> list[Address]:
    """What begins and ends them, and what is beside."""
    found: list[Address] = []
    for network in map(ipaddress.ip_network, networks):
        most = 2**network.max_prefixlen
        for number in (network[0], network[-1]):
            found += [type(number)((int(number) + step) % most) for step in (-1, 0, 1)]
    return found


def comparable(address: Address) -> bool:
    """Not among those that stand for IPv4, which maxminddb looks up as such."""
    return address.version == 4 or int(address) >> 32 not in (0, 0xFFFF)


@pytest.mark.parametrize("bits", [24, 28, 32])
@pytest.mark.parametrize("version", [4, 6])
def test_each_address_is_as_maxminddb_says(tmp_path: Path, bits: int, version: int) -> None:
    networks = {net: as_record(*of) for net, of in ASN.items() if version == 6 or ":" not in net}
    path = mmdb_made.write(tmp_path / "asn.mmdb", networks, version=version, bits=bits)
    database = load(path, "asn")
    rng = random.Random(1)
    given: list[Address] = [ipaddress.IPv4Address(rng.getrandbits(32)) for _ in range(500)]
    given += [ipaddress.IPv6Address(0x20010DB8 << 96 | rng.getrandbits(96) >> rng.randrange(96)) for _ in range(500)] * (version == 6)
    given += edges(list(networks))
    with maxminddb.open_database(path) as reader:
        assert reader.metadata().record_size == bits
        wanted = [reader.get(address) or {} for address in given if comparable(address)]
    assert len(wanted) > 500
    found = asked(database, [address for address in given if comparable(address)])
    assert found == [(one.get("autonomous_system_number", 0), one.get("autonomous_system_organization", "")) for one in wanted]  # type: ignore[union-attr]
    assert len({one for one in found if one[0]}) == len(networks)


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(4), st.integers(0, 2**32 - 1), st.integers(1, 32)),
            st.tuples(st.just(6), st.integers(2**100, 2**128 - 1), st.integers(1, 128)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_any_networks_within_each_other(tmp_path: Path, given: list[tuple[int, int, int]]) -> None:
    made = [
        ipaddress.ip_network((number, length), strict=False) if version == 4 else ipaddress.IPv6Network((number, length), strict=False)
        for version, number, length in given
    ]
    made = [net for net in made if net.version == 4 or int(net[0]) >> 100]  # what covers ::/96 covers all of IPv4
    networks = {str(net): as_record(place, f"of {net}") for place, net in enumerate(sorted(made, key=lambda net: net.prefixlen), 1)}
    if not networks:
        return
    path = mmdb_made.write(tmp_path / "any.mmdb", networks)
    there = [address for address in edges(list(networks)) if comparable(address)]
    with maxminddb.open_database(path) as reader:
        wanted: list[Any] = [reader.get(address) or {} for address in there]
    assert asked(load(path, "asn"), there) == [
        (one.get("autonomous_system_number", 0), one.get("autonomous_system_organization", "")) for one in wanted
    ]


def test_networks_that_lead_to_ipv4_have_none_and_cost_nothing(tmp_path: Path) -> None:
    def alias(tree: Any) -> None:
        v4 = tree
        for _ in range(96):
            v4 = v4.get_or_create(0)
        node = tree
        bits = [int(bit) for bit in f"{0x2002:016b}"]
        for bit in bits[:-1]:
            node = node.get_or_create(bit)
        node[bits[-1]] = v4

    path = mmdb_made.write(tmp_path / "aliased.mmdb", {net: as_record(*of) for net, of in ASN.items()}, tree=alias)
    with maxminddb.open_database(path) as reader:
        assert reader.get("2002:808:808::") == as_record(*ASN["8.8.8.8/32"])
    found = asked(load(path, "asn"), [ipaddress.ip_address(text) for text in ("2002:808:808::", "8.8.8.8", "2001:db8::1")])
    assert found == [(0, ""), ASN["8.8.8.8/32"], ASN["2001:db8::1/128"]]


@pytest.mark.parametrize(
    ("record", "number", "organization"),
    [
        ({"asn": "AS15169", "name": "Google LLC", "domain": "google.com", "type": "hosting"}, 15169, "Google LLC"),  # IPinfo's asn
        ({"asn": "AS15169", "as_name": "Google LLC", "country_code": "US"}, 15169, "Google LLC"),  # its lite
        ({"asn": 15169, "as_name": ""}, 15169, ""),
        ({"autonomous_system_number": 15169, "autonomous_system_organization": "a\nb\x1b[31m\u202e"}, 15169, "a?b?[31m?"),
        ({"autonomous_system_number": 15169, "autonomous_system_organization": "x" * 5000}, 15169, "x" * 128),
        ({"names": [1, {"asn": 3}, 2.5, True, b"x" * 400], "asn": "AS15169"}, 15169, ""),  # what has to be passed over
    ],
)
def test_records_of_several_makers(tmp_path: Path, record: Any, number: int, organization: str) -> None:
    database = load(mmdb_made.write(tmp_path / "one.mmdb", {"192.0.2.0/24": record}), "asn")
    assert asked(database, [ipaddress.ip_address("192.0.2.1")]) == [(number, organization)]


@pytest.mark.parametrize(
    ("record", "city", "country"),
    [
        ({"city": {"names": {"de": "Köln", "en": "Cologne"}}, "country": {"iso_code": "DE"}}, "Cologne", "DE"),
        ({"city": "Cologne", "country": "DE"}, "Cologne", "DE"),  # IPinfo's
        ({"country": "Germany", "country_code": "DE"}, "", "DE"),
        ({"city": {"names": {"de": "Köln"}}, "country": {"iso_code": "DE"}}, "", "DE"),
    ],
)
def test_cities_of_several_makers(tmp_path: Path, record: Any, city: str, country: str) -> None:
    database = load(mmdb_made.write(tmp_path / "one.mmdb", {"192.0.2.0/24": record}), "city")
    code = database.ranges.find(addresses_of([ipaddress.ip_address("192.0.2.1")]))[0]
    found = [of.words[of.place[code]].as_py() if of.place[code] >= 0 else "" for of in (database.words["city"], database.words["country"])]
    assert found == [city, country]


def test_records_far_into_a_large_file(tmp_path: Path) -> None:
    """Pointers of each length, and nodes whose records have more than 24 bits."""
    sizes = [100, 3000, 100_000, *[1 << 20] * 16]
    networks = {f"10.0.{i}.0/24": {"pad": f"{i}" + "x" * size, **as_record(i + 1, f"Organization {i}")} for i, size in enumerate(sizes)}
    path = mmdb_made.write(tmp_path / "large.mmdb", networks, bits=28)
    assert path.stat().st_size > 1 << 24
    given = [ipaddress.ip_address(f"10.0.{i}.7") for i in range(len(sizes))]
    assert asked(load(path, "asn"), given) == [(i + 1, f"Organization {i}") for i in range(len(sizes))]
    assert mmdb.Section(b"\x38\0\0\0\3__\x42ab", 4, 10).text(0) == "ab"


LINES = """\
1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET
1.0.1.0\t1.0.3.255\t0\tNone\tNot routed
8.8.8.0\t8.8.8.255\t15169\tUS\tGOOGLE
8.8.9.0\t8.8.9.255\t64499\tUS\tRight behind
255.255.255.0\t255.255.255.255\t64496\tUS\tTo the end
2001:200::\t2001:200:5ff:ffff:ffff:ffff:ffff:ffff\t2500\tJP\tWIDE-BB WIDE Project
ffff::\tffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\t64497\tUS\tTo the end too
"""


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_ip2asn_are_as_a_search_through_them(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "ip2asn-combined.tsv"
    path.write_bytes(gzip.compress(LINES.encode()) if packed else LINES.encode())
    rows = [line.split("\t") for line in LINES.splitlines()]
    ranges = [(ipaddress.ip_address(a), ipaddress.ip_address(b), int(n), name if int(n) else "") for a, b, n, _, name in rows]

    def wanted(address: Address) -> tuple[int, str]:
        hits = [(n, name) for a, b, n, name in ranges if a.version == address.version and int(a) <= int(address) <= int(b)]
        return hits[0] if hits else (0, "")

    given = [type(at)((int(at) + step) % 2**at.max_prefixlen) for a, b, *_ in ranges for at in (a, b) for step in (-1, 0, 1)]
    assert asked(load(path, "asn"), given) == list(map(wanted, given))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no MaxMind DB file"),
        (b"\x1f\x8b\x08garbage", "its compression is broken"),
        (gzip.compress(LINES.encode())[:-20], "its compression is broken"),
        (b"first\tlast\n", "no MaxMind DB file"),
        (b"1.0.0.0\t1.0.0.255\tX\tUS\tname\n", "line 1 is not one of ip2asn's"),
        (b"1.0.0.0\t1.0.0.255\t1\n1.0.1.0\t::5\t1\n", "line 2 is not one of ip2asn's"),
        (b"1.0.0.0\t1.0.0.255\t0\tNone\tNot routed\n", "no line of it has the number of an autonomous system"),
        (b"<html>\xab\xcd\xefMaxMind.com", "a record leads out of the file"),
        (b"<html>\xab\xcd\xefMaxMind.com\xe0", "of another version than 2"),
    ],
)
def test_what_is_no_database_is_said_in_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, "asn")
    text = str(caught.value)
    assert text.startswith(f"{path}: cannot be used: {problem}")
    assert "give an .mmdb" in text
    assert "\n" not in text


def test_what_is_no_file_is_said_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, problem in (("missing", "No such file"), ("pipe", "it is no file"), (".", "Is a directory")):
        with pytest.raises(ConfigError, match=problem):
            load(tmp_path / name, "city")


def test_a_database_of_something_else_is_no_database(tmp_path: Path) -> None:
    asn = mmdb_made.write(tmp_path / "asn.mmdb", {"192.0.2.0/24": as_record(1, "x")}, kind="Some-ASN")
    with pytest.raises(ConfigError, match=r"Some-ASN of 20\d\d-\d\d-\d\d has neither cities nor countries; give an .mmdb of cities"):
        load(asn, "city")
    city = mmdb_made.write(tmp_path / "city.mmdb", {"192.0.2.0/24": {"city": "Cologne"}}, kind="Some\nCity")
    with pytest.raises(ConfigError, match=r"Some\?City of .* has no numbers of autonomous systems; give an .mmdb of autonomous systems"):
        load(city, "asn")


def metadata(**values: int) -> bytes:
    """A file's end: small numbers only."""
    pairs = [bytes([2 << 5 | len(key)]) + key.encode() + bytes([6 << 5 | 1, value]) for key, value in values.items()]
    return b"\xab\xcd\xefMaxMind.com" + bytes([7 << 5 | len(pairs)]) + b"".join(pairs)


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        (bytes(6), "its tree has a loop"),  # both branches of the one node lead to itself
        (bytes([0, 0, 0, 0, 0, 1]), "its tree has a loop"),
        (bytes([0, 0, 1, 255, 255, 255]), "its tree leads out of the file"),
        (bytes([0, 0, 1, 0, 0, 2]), "its tree leads out of the file"),  # into the zeros between tree and data
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_trees_that_are_none(tree: bytes, problem: str, version: int) -> None:
    data = tree + bytes(40) + metadata(binary_format_major_version=2, ip_version=version, node_count=1, record_size=24)
    with pytest.raises(mmdb.Malformed, match=problem):
        mmdb.Mmdb(data).records()


def test_records_that_take_too_long_are_not_read() -> None:
    many = bytes([7 << 5 | 31, 255, 255, 255]) + bytes([2 << 5, 0xA0]) * (1 << 20)  # a map of 16 million
    section = mmdb.Section(many, 0, 1000)
    with pytest.raises(mmdb.Malformed, match="too intricate"):
        section.text(0, "city")
    with pytest.raises(mmdb.Malformed, match="a pointer leads to another"):
        mmdb.Section(bytes([1 << 5, 0]), 0, 1000).text(0)


@settings(max_examples=300)
@given(st.data())
def test_a_file_with_any_octets_changed_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "good.mmdb"
    if not path.exists():
        mmdb_made.write(path, {net: as_record(*of) for net, of in ASN.items()})
    good = bytearray(path.read_bytes())
    tail = len(good) - 400  # metadata and records more often than the tree
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, len(good) - 1), st.integers(tail, len(good) - 1)))
        good[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(good)), st.integers(0, len(good))))
    (tmp_path / "bad.mmdb").write_bytes(good[:cut])
    try:
        database = load(tmp_path / "bad.mmdb", data.draw(st.sampled_from(["asn", "city"])))
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        database.ranges.find(addresses_of([ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("2001:db8::1")]))


def test_words_are_those_that_are_used() -> None:
    known = words(["", "a", "b", "a", "c"])
    place, used = known.of(np.array([3, 0, 4, 1]))
    assert [used[int(at)].as_py() if at >= 0 else None for at in place] == ["a", None, "c", "a"]
    assert used.to_pylist() == ["a", "c"]


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_MOST_OCTETS", 10_000)
    packed = io.BytesIO()
    with gzip.open(packed, "wb") as file:
        file.write(LINES.encode() * 100)
    (tmp_path / "bomb.tsv.gz").write_bytes(packed.getvalue())
    with pytest.raises(ConfigError, match="unpacked"):
        load(tmp_path / "bomb.tsv.gz", "asn")

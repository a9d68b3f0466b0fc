"""The schema: numpy's layout against the kernel's own BTF reader, presence, and Arrow columns."""

import json
import socket
import subprocess

import numpy as np
import pyarrow as pa
import pytest

from headwater.errors import LayoutMismatch
from headwater.kernel.libbpf import check_layouts
from headwater.records import ENUMS, LEDGER, PACKET, RATE, Batch, Drop, btf
from headwater.records.layouts import HAS, OBJECTS, WEIRD_ROW, place_reason


def mapped(address: str) -> bytes:
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address)
    return bytes(10) + b"\xff\xff" + socket.inet_aton(address)


def rows(count: int) -> np.ndarray:
    return np.zeros(count, PACKET.dtype)


def test_our_btf_reader_agrees_with_bpftool():
    dump = json.loads(subprocess.check_output(["bpftool", "-j", "btf", "dump", "file", OBJECTS / "records.bpf.o"]))
    types = {t["id"]: t for t in dump["types"]}
    theirs = {t["name"]: t for t in dump["types"] if t["kind"] == "STRUCT"}

    def members(struct, at=0):
        for member in struct["members"]:
            offset = at + member["bits_offset"] // 8
            yield from members(types[member["type_id"]], offset) if member["name"] == "(anon)" else [(member["name"], offset)]

    for dtype, struct in ((PACKET.dtype, "hw_packet"), (RATE.dtype, "hw_rate"), (WEIRD_ROW, "hw_weird_row")):
        assert dtype.itemsize == theirs[struct]["size"]
        fields = {name: offset for name, (_, offset, *_) in dtype.fields.items()}
        assert fields == {name: offset for name, offset in members(theirs[struct]) if name != "unused"}


def test_objects_with_another_layout_are_refused(tmp_path):
    for name in ("records", "tap"):
        check_layouts(OBJECTS / f"{name}.bpf.o")
    data = bytearray((OBJECTS / "tap.bpf.o").read_bytes())
    at = data.index(b"flow_label\0")
    data[at : at + 4] = b"blow"
    other = tmp_path / "tap.bpf.o"
    other.write_bytes(data)
    with pytest.raises(LayoutMismatch, match="hw_packet"):
        check_layouts(other)


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", b"x" * 500])
def test_what_is_no_object_is_refused(tmp_path, damage):
    path = tmp_path / "x.o"
    path.write_bytes(damage)
    with pytest.raises(ValueError, match="ELF"):
        btf.read(path)


def test_absent_is_null_and_never_zero():
    packets = rows(2)
    packets["has"][1] = HAS["tcp"] | HAS["ip"] | HAS["addr"] | HAS["ipv4"]
    packets["src"][1] = mapped("192.0.2.1")
    packets["dst"][1] = mapped("0.0.0.0")
    packets["weird"][1] = next(value for value, name in ENUMS["hw_weird"].items() if name == "truncated_IP")
    table = Batch(PACKET, packets, {0: "eth0"}).to_arrow()
    assert table["seq"].to_pylist() == [None, 0]
    assert table["src"].to_pylist() == [None, "192.0.2.1"]
    assert table["dst"].to_pylist() == [None, "0.0.0.0"]
    assert table["df"].to_pylist() == [None, False]
    assert table["mss"].to_pylist() == [None, None]
    assert table["weird"].to_pylist() == [None, "truncated_IP"]
    assert table["interface"].to_pylist() == ["eth0", "eth0"]
    assert table["length"].to_pylist() == [0, 0]


ADDRESSES = ["10.255.0.9", "::1", "::", "2001:db8::5:0:1", "fe80::1%0"[:7], "::ffff:0:1.2.3.4", "255.255.255.255", "1:2:3:4:5:6:7:8"]


def test_what_shares_its_memory_is_told_apart_by_its_layer():
    packets = rows(3)
    packets["has"] = HAS["neighbor"], HAS["neighbor"], HAS["quoted"]
    packets["neighbor"] = np.frombuffer(mapped("192.0.2.1") * 3, "V16")
    packets["neighbor_mac"] = np.frombuffer(bytes(range(6)) * 3, "V6")
    packets["arp_operation"] = 2, 0, 2
    table = Batch(PACKET, packets).to_arrow()
    assert table["neighbor"].to_pylist() == ["192.0.2.1", "192.0.2.1", None]
    assert table["neighbor_mac"].to_pylist() == ["00:01:02:03:04:05", "00:01:02:03:04:05", None]
    assert table["arp_operation"].to_pylist() == [2, None, None]
    assert table["quoted_src"].to_pylist() == [None, None, "192.0.2.1"]
    assert table["quoted_dst"].to_pylist() == [None, None, "1:203:405:200::"]


def test_rows_that_numpy_laid_out_anew_are_refused():
    with pytest.raises(ValueError, match="packet"):
        Batch(PACKET, np.concatenate([rows(1), rows(1)]))
    assert len(Batch(PACKET, np.concatenate([rows(1), rows(1)], dtype=PACKET.dtype))) == 2


def test_addresses_are_written_as_the_c_library_does():
    packets = rows(len(ADDRESSES))
    packets["has"] = HAS["addr"] | HAS["l2"]
    for i, address in enumerate(ADDRESSES):
        packets["src"][i] = mapped(address)
        packets["l2_src"][i] = bytes(range(i, i + 6))
    table = Batch(PACKET, packets).to_arrow()
    assert table["src"].to_pylist() == [
        socket.inet_ntop(socket.AF_INET6, mapped(a)).removeprefix("::ffff:") if "." in a and ":" not in a else
        socket.inet_ntop(socket.AF_INET6, mapped(a)) for a in ADDRESSES
    ]  # fmt: skip
    assert table["l2_src"][3].as_py() == "03:04:05:06:07:08"
    table.validate(full=True)


def test_rows_with_a_stride_and_slices_give_the_same_columns():
    wide = np.zeros(6, np.dtype({"names": ["row"], "formats": [PACKET.dtype], "offsets": [8], "itemsize": PACKET.dtype.itemsize + 8}))[
        "row"
    ]
    wide["has"] = HAS["addr"]
    wide["ts"] = np.arange(6) + 1_700_000_000_000_000_000
    wide["src"][:, ...] = np.frombuffer(b"".join(mapped(f"10.0.0.{i}") for i in range(6)), "V16")
    for some in (slice(None), slice(2, 5), slice(None, None, 2), slice(6, 6)):
        table = Batch(PACKET, wide[some], borrowed=True).to_arrow()
        assert table["src"].to_pylist() == [f"10.0.0.{i}" for i in range(6)][some]
        assert table["ts"].cast(pa.int64()).to_pylist() == list(range(1_700_000_000_000_000_000, 1_700_000_000_000_000_006))[some]


def test_a_borrowed_batch_copies_and_another_does_not():
    packets = rows(3)
    assert Batch(PACKET, packets).copy().rows is packets
    copied = Batch(PACKET, packets, borrowed=True).copy()
    packets["length"] = 7
    assert copied.rows["length"].tolist() == [0, 0, 0]
    assert not copied.borrowed


def test_every_loss_has_a_place_and_a_reason():
    assert {place_reason(drop) for drop in Drop} >= {("ringbuf", "full"), ("af_packet", "ring_full"), ("sink", "disk_full")}
    assert all(all(place_reason(drop)) for drop in Drop)


def test_the_ledger_record_has_text_columns():
    batch = Batch(LEDGER, np.array([(1, 1.0, "packets", "eth0", "dropped", "ringbuf", "full", 3)], LEDGER.dtype))
    assert batch.to_arrow()["place"].to_pylist() == ["ringbuf"]
    assert batch.to_arrow()["count"].type == pa.uint64()

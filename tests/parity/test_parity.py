"""One parser, compiled twice: the kernel and the native build make equal rows of the same frames, and a wrong copy is found."""

from pathlib import Path

import parity
import pytest
from parity import ROOT, Plan
from places import CORPORA

from headwater.records import ENUMS

pytestmark = [pytest.mark.kernel, pytest.mark.corpora]

OF_CAPTURES = {  # of link layers that only captures have
    *"truncated_Linux_SLL_header truncated_nflog_header".split(),
    *"unknown_nflog_version nflog_bad_tlv_len nflog_no_pcap_payload".split(),
}
WEIRDS = list(ENUMS["hw_weird"].values())
OF_SEVERAL = set(WEIRDS[WEIRDS.index("routing_loop") :])  # packets, not of one
ELSEWHERE = {"hash"}  # a card's

ALTERATIONS = {
    "dscp by one bit": ("row->dscp = ip[1] >> 2;", "row->dscp = ip[1] >> 1;"),
    "ecn of IPv6 from the wrong half": ("row->ecn = ip[1] >> 4 & 3;", "row->ecn = ip[1] & 3;"),
    "flow label a bit too wide": ("hw_be32(ip) & 0xfffff;", "hw_be32(ip) & 0x1fffff;"),
    "fragment offset in units of 4": ("(hw_be16(ip + 6) & 0x1fff) << 3", "(hw_be16(ip + 6) & 0x1fff) << 2"),
    "fragment offset of IPv6 with the flags": ("hw_be16(header + 2) & 0xfff8, ", "hw_be16(header + 2) & 0xffff, "),
    "more fragments ignored": ("row->mf = !!more;", "row->mf = 0;"),
    "the layer's end not checked": ("if (at + size > p->stop)", "if (at + size > p->have)"),
    "an octet too many allowed": ("if (at + size > p->stop)", "if (at + size > p->stop + 1)"),
    "padding taken for payload": ("if (stated < there)", "if (0)"),
    "window scale under a wrong kind": ("kind == 3 && size == 3 && ", "kind == 5 && size == 3 && "),
    "an IPv4 option under a wrong kind": ("case 131:", "case 132:"),
    "a list of options that runs on": (
        "if (size < 2 || at + size > stop) {\n\t\thw_weird(p, HW_WEIRD_truncated_ip_option);",
        "if (size < 2) {",
    ),
    "the authentication header in units of 8": ("size = (header[1] + 2) * 4;", "size = (header[1] + 1) * 8;"),
    "a tag fewer": ("#define HW_MAX_TAGS 4", "#define HW_MAX_TAGS 3"),
    "a tunnel fewer": ("#define HW_MAX_TUNNELS 4", "#define HW_MAX_TUNNELS 3"),
    "the outermost tuple overwritten": ("if (row->has & HW_HAS_ip && !(row->has & HW_HAS_outer))", "if (row->has & HW_HAS_ip)"),
    "what was rare left over": ("if (p->row.has & HW_HAS_RARE)", "if (0)"),
    "a tunnel's id with its flags": ("HW_TUNNEL_vxlan, hw_be32(vxlan + 4) >> 8, next)", "HW_TUNNEL_vxlan, hw_be32(vxlan + 4), next)"),
    "a quoted fragment's data taken for ports": ("(ip[0] & 15) < 5 || hw_be16(ip + 6) & 0x1fff", "(ip[0] & 15) < 5"),
    "routes of GRE not skipped": ("if (flags & 0x4000)\n\t\tat = ", "if (0)\n\t\tat = "),
    "an extension header fewer": ("#define HW_MAX_EXTENSIONS 10", "#define HW_MAX_EXTENSIONS 9"),
    "octets swapped": ("return __builtin_bswap16(HW_LOAD(__u16, b));", "return HW_LOAD(__u16, b);"),
    "the sender's address for the target's": ("hw_look(p, p->at + 8, 16) : p->row.src", "p->row.src : p->row.src"),
    "the wrong option of neighbour discovery": ("(advertised ? 2 : 1)", "(advertised ? 1 : 2)"),
    "ARP's target for its sender": ("hw_neighbor(p, p->row.src, arp + 8);", "hw_neighbor(p, p->row.src, arp + 18);"),
    "an option for a destination fewer": ("#define HW_MAX_DESTINATION_OPTIONS 8", "#define HW_MAX_DESTINATION_OPTIONS 7"),
    "the tags of the frame around IP kept": ("if (!(p->row.has & HW_PACKET_HAS_l2_apart))", "if (1)"),
    "the tags of the frame around a frame forgotten": ("if (!(p->row.has & HW_PACKET_HAS_l2_apart))", "if (0)"),
    "carriers not forgotten": ("p->carrier_count = 0;", "p->carrier_count = 1;"),
    "a carrier with the tunnel it came by": ("p->carriers[at].tunnel = tunnel;", ""),
    "a later weird over the first": ("if (p->row.weird == HW_WEIRD_none)", "if (1)"),
}


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parity.build(ROOT / "bpf", tmp_path_factory.mktemp("parity") / "parity")


def test_every_frame_cut_at_every_octet_and_changed(binary: Path) -> None:
    outcome = parity.run(binary, parity.captures(CORPORA), Plan(cuts=200, mutations=40, generated=60_000))
    assert not outcome.differences, "\n".join(outcome.differences)
    assert outcome.distinct > 50_000 + 60_000
    assert min(outcome.runs) > 0
    assert outcome.carriers > 10_000
    assert {name for name, count in outcome.weirds.items() if not count} == OF_CAPTURES | OF_SEVERAL
    assert {name for name, count in outcome.layers.items() if not count} == ELSEWHERE


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_wrong_native_copy_is_found(name: str, tmp_path: Path) -> None:
    wrong = parity.build(parity.altered(*ALTERATIONS[name], tmp_path / "bpf"), tmp_path / "parity")
    outcome = parity.run(wrong, parity.captures(CORPORA), Plan(cuts=20, mutations=2, generated=50_000, stop=1))
    assert outcome.differences


@pytest.mark.parametrize("name", ["dscp by one bit", "an IPv4 option under a wrong kind"])
def test_a_wrong_kernel_copy_is_found(binary: Path, name: str, tmp_path: Path) -> None:
    wrong = parity.build_tap(parity.altered(*ALTERATIONS[name], tmp_path / "bpf"), tmp_path / "tap.bpf.o")
    outcome = parity.run(binary, parity.captures(CORPORA), Plan(generated=50_000, stop=1), tap=wrong)
    assert any("rows differ" in difference for difference in outcome.differences)

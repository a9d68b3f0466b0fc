"""Packet sockets beside tcpdump, where more arrives than tcpdump can take."""

from bench.common import Figure, median, millions, percent, veth_pair
from bench.live_xdp import OPTIONS, Sample, with_headwater, with_peer

ROUNDS = 7
NICE = -12  # of the generators: they outrank the readers, as a card's interrupts do
LOST = 0.1  # of the packets, by tcpdump, or the round says nothing

TOOLS = {
    "Headwater, AF_PACKET": with_headwater("af_packet", nice=NICE),
    "tcpdump -w /dev/null": with_peer("tcpdump", "-n", "-Z", "root", kept=r"(\d+) packets captured", file="/dev/null", nice=NICE),
}


def measure() -> Figure:
    samples: dict[str, list[Sample]] = {name: [] for name in TOOLS}
    with veth_pair(silent=True, options=OPTIONS) as veth:
        veth.near.space.run("ethtool", "-K", veth.near.interface, "gro", "on")  # so that live frames get here without XDP
        for _ in range(ROUNDS):
            for name, tool in TOOLS.items():
                samples[name].append(tool(veth))
                last = samples[name][-1]
                print(f"    {name}: {millions(last.kept / last.seconds)}/s of {millions(last.offered / last.seconds)}/s", flush=True)
    ours, theirs = (samples[name] for name in TOOLS)
    told = [(a, b) for a, b in zip(ours, theirs, strict=True) if b.kept <= (1 - LOST) * b.offered]
    rows = []
    for name, taken in samples.items():
        offered, kept = (median(getattr(s, what) / s.seconds for s in taken) for what in ("offered", "kept"))
        exact = "-" if taken[0].exact is None else f"{sum(bool(s.exact) for s in taken)} of {len(taken)}"
        share = percent(sum(s.kept for s in taken), sum(s.offered for s in taken))
        rows.append((name, millions(offered), millions(kept), share, exact))
    more = median([a.kept / a.seconds / (b.kept / b.seconds) for a, b in told]) if told else 0.0
    return Figure(
        title="Live: packet sockets, where tcpdump loses a tenth and more",
        target="AF_PACKET keeps at least what tcpdump -w /dev/null keeps, ledger exact",
        met=more >= 1 and all(s.exact for s in ours) if told else None,
        ours=f"{more:.2f} times what tcpdump keeps" if told else "tcpdump lost too little here to tell",
        peers=f"tcpdump {rows[1][2]}/s, {rows[1][3]}",
        columns=("", "offered/s (median)", "kept/s (median)", "kept of offered", "ledger exact, rounds"),
        rows=rows,
        told=f"""\
The generators of the mirror port's figure, here with niceness {NICE}: they outrank the readers, as a card's interrupts do, and what
comes is more than tcpdump takes. {ROUNDS} rounds of 2 s, in turn; a round counts where tcpdump loses {100 * LOST:.0f} % or more
({len(told)} of {ROUNDS} did), and the figure is the median of the rounds' ratios. Headwater is
`headwater run --hook af_packet --record rate -o DIR`, which has a ring and a reading thread for each CPU; tcpdump is as it comes,
and writes to /dev/null. Headwater decodes each packet and counts it by protocol, port and talker; tcpdump copies it.""",
    )

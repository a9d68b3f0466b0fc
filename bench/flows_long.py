"""Whether memory stays flat while a capture goes on and on."""

import subprocess
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from bench.common import HEADWATER, SCRATCH, Figure
from bench.mix import HEADER, Mix, captures

PACKETS, EACH = 150_000_000, 15_000_000
FLAT = 1.05
TUNNELS_S = 300


def resident(pid: int) -> int:
    """Octets."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


def measure() -> Figure:
    mix = Mix(captures())
    largest = [0] * (PACKETS // EACH)
    written = octets = 0
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench") as folder:
        settings = Path(folder) / "headwater.toml"
        settings.write_text(f"[flows]\ntunnel_timeout_s = {TUNNELS_S}\n")
        command = [HEADWATER, "read", "-c", str(settings), "-o", folder, "--record", "conn", "--format", "parquet", "-"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdin  # noqa: S101 - it is a pipe
            process.stdin.write(HEADER)
            copies = mix.copies(PACKETS)
            for number, part in enumerate(mix.slices(copies)):
                process.stdin.write(part.data)
                octets += len(part)
                at = min(number * mix.packets // EACH, len(largest) - 1)
                largest[at] = max(largest[at], resident(process.pid))
            written = copies * mix.packets
            process.stdin.close()
            if process.wait():
                raise SystemExit("bench: headwater read could not read what was made")
        rows = pq.read_metadata(Path(folder) / "conn.parquet").num_rows
    first, last = max(largest[: len(largest) // 2]), max(largest[len(largest) // 2 :])
    return Figure(
        title="Memory over a long capture",
        target="flat",
        met=last <= FLAT * first,
        ours=f"{last / first - 1:+.1%} from the first half to the second",
        peers="-",
        columns=("packets", "resident, at most"),
        rows=[
            (f"{number * EACH // 1_000_000}-{(number + 1) * EACH // 1_000_000} M", f"{one / (1 << 20):.0f} MiB")
            for number, one in enumerate(largest)
        ],
        told=f"""\
{written:,} packets, {octets / 1e9:.0f} GB, as `bench/mix.py` makes them, through a pipe into
`headwater read --record conn --format parquet -o DIR -`; nothing of the capture is kept. Tunnels between addresses are
forgotten after {TUNNELS_S // 60} minutes without a packet, as flows of TCP are, and not after a day, as Zeek does it: each copy of the mix
brings new ones. {rows:,} flows come out. Resident memory is looked at after each copy; flat is at most {FLAT - 1:.0%} more in the
second half than in the first.""",
    )

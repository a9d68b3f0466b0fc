"""clickhouse-go, which is in Grafana's ClickHouse data source, asks a store over HTTP. Started by hand: it is built first, for a minute.

Each way to pack that the store takes must give the same; the others are refused in words.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "outputs")]

from rows_made import TCP, conns  # noqa: E402
from storing import keep, running  # noqa: E402

PACKED = {"none", "gzip", "deflate", "br"}


def main() -> None:
    with TemporaryDirectory() as folder:
        subprocess.run(["go", "build", "-o", f"{folder}/peer", "."], cwd=HERE / "clickhouse_go", check=True)
        with running(Path(folder) / "store") as client:
            assert client.place
            keep(client.place, conns([TCP, TCP]))
            words = [f"{folder}/peer", client.place.address.read_text().strip(), client.place.token.read_text().strip()]
            lines = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout.splitlines()
    said = {one.pop("packed"): one for one in map(json.loads, lines)}
    assert said.keys() > PACKED
    for packed, one in said.items():
        if packed not in PACKED:
            assert "have the client pack with gzip" in one["error"], one
            continue
        assert (one["count"], one["rows"], one["sum"]) == (2, 300_000, sum(range(300_000))), one
        assert all(one[name] == str(TCP[name]) for name in ("uid", "id.orig_h", "id.resp_p", "proto", "duration", "vlan")), one
        assert "Unknown expression identifier `nothing`" in one["SELECT nothing FROM conn"]
        assert "begins nothing that only reads" in one["DROP TABLE conn"]
        assert all(value != "<nil>" for name, value in one.items() if name.startswith("SELECT ")), one
    print(f"clickhouse-go: handshake, parameters, types, 300,000 rows and errors, packed with {', '.join(sorted(PACKED))}")  # noqa: T201


if __name__ == "__main__":
    main()

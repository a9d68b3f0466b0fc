"""An answer of OCSP as OpenSSL gave it: what `openssl ocsp -respin FILE -resp_text` says of it."""

from base64 import b64decode

import pytest
from spoken import Spoken
from tls_spoken import handshake, hello

from headwater.analysis.files import READERS, File
from headwater.analysis.protocols.tls import Tls

ANSWER = b64decode("""
MIICOQoBAKCCAjIwggIuBgkrBgEFBQcwAQEEggIfMIICGzCCAYShFjAUMRIwEAYDVQQDDAlhdXRob3JpdHkYDzIwMjYxMTIzMDkw
MDE4WjCCAVcwaTBBMAkGBSsOAwIaBQAEFMwAM62dsm5Cnsa3W/ydvqLXqUHrBBSLP1Kb0KV4tV22V5Q5QaYkBkL8swIIAIAAAAAA
AAGAABgPMjAyNjExMjMwOTAwMThaoBEYDzIwMjYxMTMwMDkwMDE4WjB/MEEwCQYFKw4DAhoFAAQUzAAzrZ2ybkKexrdb/J2+otep
QesEFIs/UpvQpXi1XbZXlDlBpiQGQvyzAggAgAAAAAAAAqEWGA8yMDI2MDEwMjAzMDQwNVqgAwoBARgPMjAyNjExMjMwOTAwMTha
oBEYDzIwMjYxMTMwMDkwMDE4WjBpMEEwCQYFKw4DAhoFAAQUzAAzrZ2ybkKexrdb/J2+otepQesEFIs/UpvQpXi1XbZXlDlBpiQG
QvyzAggAgAAAAAAAA4IAGA8yMDI2MTEyMzA5MDAxOFqgERgPMjAyNjExMzAwOTAwMThaMA0GCSqGSIb3DQEBCwUAA4GBAIAEUMD+
HqdYhJlfXd2OCvP+bYSoa4Q51E8x8hntGMu0T81TjPHV2n3ocMu/JgmfSVplWyGS3CAFGRPMFKNmXUUPY3B9J27Z1T7jurn3wEiH
6OtHh3yc6XCr6f0v4I46iHq85d+kC+rpw7faNCneAOF4HiS57K94wdTbTDsAkj4c
""")
STATUS = b"\1" + len(ANSWER).to_bytes(3, "big") + ANSWER
NAME, KEY = "CC0033AD9DB26E429EC6B75BFC9DBEA2D7A941EB", "8B3F529BD0A578B55DB657943941A6240642FCB3"
BEGINS, ENDS, REVOKED = (seconds * 10**9 for seconds in (1_795_424_418, 1_796_029_218, 1_767_323_045))


def read(octets: bytes) -> Spoken:
    made = Spoken(Tls, "tcp", 443)
    READERS["application/ocsp-response"][1](File(made.stream, 1, "HTTP"), octets)
    return made


def test_each_certificate_has_a_row() -> None:
    rows = [tuple(row.values())[3:] for row in read(ANSWER).rows]
    hashed = ("sha1", NAME, KEY)
    assert rows == [
        (*hashed, "80000000000001", "good", None, None, BEGINS, ENDS),
        (*hashed, "80000000000002", "revoked", REVOKED, "keyCompromise", BEGINS, ENDS),
        (*hashed, "80000000000003", "unknown", None, None, BEGINS, ENDS),
    ]


def test_what_a_server_staples_is_a_file() -> None:
    made = Spoken(Tls, "tcp", 443)
    made.say(0, handshake(1, hello([0x2F], None)))
    made.say(1, handshake(22, STATUS))
    files = [row for row in made.rows if row["_path"] == "files"]
    assert [(row["source"], row["seen_bytes"], row["is_orig"]) for row in files] == [("SSL", len(ANSWER), False)]
    assert made.over()[-1]["ssl_history"] == "Cu"


@pytest.mark.parametrize("at", range(0, len(ANSWER), 7))
def test_what_is_broken_is_told_of_and_no_more(at: int) -> None:
    assert read(ANSWER[:at]).rows == []
    for octet in (0, 0x30, 0x80, 0xFF):
        read(ANSWER[:at] + bytes([octet]) + ANSWER[at + 1 :])

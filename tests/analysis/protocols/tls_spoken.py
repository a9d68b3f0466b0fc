"""Sessions of TLS that OpenSSL holds with itself, and hellos put together by hand."""

import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

PEM = Path(__file__).with_name("server.pem")
DER = ssl.PEM_cert_to_DER_cert(PEM.read_text()[PEM.read_text().index("-----BEGIN CERT") :])


def contexts(version: ssl.TLSVersion, **client: object) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's, which believes everybody, and a server's."""
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    for name, value in client.items():
        setattr(ours, name, value)
    theirs.load_cert_chain(PEM)
    for one in (ours, theirs):
        one.minimum_version = one.maximum_version = version
        one.set_alpn_protocols(["h2", "http/1.1"])
        if version is ssl.TLSVersion.TLSv1_2:
            one.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    return ours, theirs


def session(
    ours: ssl.SSLContext, theirs: ssl.SSLContext, host: str | None = "www.example.org", resumes: ssl.SSLSession | None = None
) -> tuple[list[tuple[int, bytes]], ssl.SSLObject]:
    """What a session says, and the client's end of it. A word each way follows, unless one refuses the other."""
    bios = [ssl.MemoryBIO() for _ in range(4)]
    client = ours.wrap_bio(bios[0], bios[1], server_hostname=host, session=resumes)
    server = theirs.wrap_bio(bios[2], bios[3], server_side=True)
    said: list[tuple[int, bytes]] = []

    def carry() -> None:
        for side, out, into in ((0, bios[1], bios[2]), (1, bios[3], bios[0])):
            if octets := out.read():
                said.append((side, octets))
                into.write(octets)

    for step in (client.do_handshake, server.do_handshake) * 3:
        try:
            step()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            carry()
            return said, client
        carry()
    for one, other in ((client, server), (server, client)):
        one.write(b"word")
        carry()
        other.read(4)
    return said, client


def hello(
    suites: Sequence[int],
    extensions: Sequence[tuple[int, bytes]] | None,
    version: int = 0x0303,
    session: bytes = b"",
    cookie: bytes | None = None,
) -> bytes:
    """The body of a client's hello."""
    body = struct.pack(">H", version) + bytes(32) + bytes([len(session)]) + session
    if cookie is not None:
        body += bytes([len(cookie)]) + cookie
    body += struct.pack(f">H{len(suites)}H", 2 * len(suites), *suites) + b"\1\0"
    if extensions is None:
        return body
    listed = b"".join(struct.pack(">HH", code, len(said)) + said for code, said in extensions)
    return body + struct.pack(">H", len(listed)) + listed


def record(kind: int, body: bytes, version: int = 0x0301) -> bytes:
    """A record of TLS."""
    return struct.pack(">BHH", kind, version, len(body)) + body


def handshake(kind: int, body: bytes) -> bytes:
    """A message of the handshake, in a record."""
    return record(22, bytes([kind]) + len(body).to_bytes(3, "big") + body)


def datagram(kind: int, body: bytes, number: int = 0, at: int = 0, upto: int | None = None, version: int = 0xFEFD) -> bytes:
    """A message of the handshake of DTLS, or a piece of it, in a datagram of its own."""
    piece = body[at:upto]
    message = (
        bytes([kind]) + len(body).to_bytes(3, "big") + number.to_bytes(2, "big") + at.to_bytes(3, "big") + len(piece).to_bytes(3, "big")
    )
    return struct.pack(">BHHHIH", 22, version, 0, 0, number, len(message) + len(piece)) + message + piece


def listed(*numbers: int) -> bytes:
    """An extension that is a list of numbers of 16 bits."""
    return struct.pack(f">H{len(numbers)}H", 2 * len(numbers), *numbers)

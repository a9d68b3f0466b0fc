"""A DNS server of a few lines, over UDP and TCP: each name has one address; `big.` has many strings, which need TCP."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from netns import End

_TEXT = bytes([255]) + b"x" * 255


def answer(query: bytes, *, most: int = 65_535) -> bytes:
    """To one question: 192.0.2.1, or a TXT of 3,072 octets for a name that begins with `big`. What is longer than `most` is cut off."""
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    data = _TEXT * 12 if question.startswith(b"\3big") else bytes((192, 0, 2, 1))
    record = b"\xc0\x0c" + question[-4:] + struct.pack("!IH", 60, len(data)) + data
    cut = 12 + len(question) + len(record) > most
    flags = 0x8580 | (0x0200 if cut else 0)
    return query[:2] + struct.pack("!5H", flags, 1, 0 if cut else 1, 0, 0) + question + (b"" if cut else record)


@contextlib.contextmanager
def dns_server(end: End, *, most: int = 1232) -> Iterator[None]:
    """It answers at that end's address until the block ends; over UDP with `most` octets."""
    with end.space.inside():
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((end.ip4, 53))
        listener = socket.create_server((end.ip4, 53))

    def over_udp() -> None:
        with contextlib.suppress(OSError):
            while (came := datagrams.recvfrom(65_535))[0]:  # nothing comes of a socket that was shut down
                query, peer = came
                datagrams.sendto(answer(query, most=most), peer)

    def over_tcp() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    while head := connection.recv(2, socket.MSG_WAITALL):
                        told = answer(connection.recv(*struct.unpack("!H", head), socket.MSG_WAITALL))
                        connection.sendall(struct.pack("!H", len(told)) + told)

    threads = [threading.Thread(target=serve, daemon=True) for serve in (over_udp, over_tcp)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for one in (datagrams, listener):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

"""How protocols begin that are known by name only: (name, transport, port of its own, what the originator says, what the responder does).

Octets are those of the standards' examples and of captures, addresses and names changed.
"""

from headwater.analysis.wire import Reader  # noqa: F401 - so that protocols are loaded in their order


def ber(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    return bytes([tag, len(value)]) + value if len(value) < 128 else bytes([tag, 0x82]) + len(value).to_bytes(2, "big") + value


KRB = ber(0x30, ber(0xA1, b"\2\1\5"), ber(0xA2, b"\2\1\x0a"), ber(0xA4, ber(0x30, bytes(20))))
ASKED, TOLD = ber(0x6A, KRB), ber(0x6B, KRB)
SNMP = [
    ber(0x30, b"\2\1\1", b"\4\6public", ber(kind, b"\2\1\7\2\1\0\2\1\0", ber(0x30, ber(0x30, b"\6\x08\x2b\6\1\2\1\1\5\0\5\0"))))
    for kind in (0xA0, 0xA2)
]
STUN = b"\x21\x12\xa4\x42" + bytes(range(12))
SIP = b"\r\nVia: SIP/2.0/UDP 10.0.0.1:5060\r\nCall-ID: a\r\n\r\n"

SAID = [
    ("http2", "tcp", 50051, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5), b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"),
    ("rfb", "tcp", 5900, b"RFB 003.008\n", b"RFB 003.008\n"),
    ("postgresql", "tcp", 5432, b"\0\0\0\x21\0\3\0\0user\0me\0database\0me\0\0", b"R\0\0\0\x08\0\0\0\0"),
    ("postgresql", "tcp", 5432, b"\0\0\0\x08\x04\xd2\x16\x2f", b"N"),
    ("postgresql", "tcp", 5432, b"\0\0\0\x2b\0\3\0\0client_encoding\0'utf-8'\0user\0me\0\0", b"R\0\0\0\x08\0\0\0\0"),
    ("redis", "tcp", 6379, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"$1\r\nb\r\n"),
    ("memcached", "tcp", 11211, b"get a\r\n", b"VALUE a 0 1\r\nb\r\nEND\r\n"),
    ("memcached", "tcp", 11211, b"mg a v\r\n", b"VA 1\r\nb\r\n"),
    ("memcached", "udp", 11211, b"\0\1\0\0\0\1\0\0stats\r\n", b"\0\1\0\0\0\2\0\0STAT pid 1\r\n"),
    ("memcached", "tcp", 11211, b"\x80\0\0\1\0\0\0\0\0\0\0\1" + bytes(12) + b"a", b"\x81\0\0\0\0\0\0\1" + bytes(16)),
    ("mongodb", "tcp", 27017, b"\x3a\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0" + bytes(42), b"\x30\0\0\0\2\0\0\0\1\0\0\0\xdd\7\0\0" + bytes(32)),
    ("amqp", "tcp", 5672, b"AMQP\0\0\x09\1", b"\1\0\0\0\0\1\xf0\0\x0a\0\x0a\0\x09"),
    ("mqtt", "tcp", 1883, b"\x10\x0d\0\4MQTT\4\2\0\x3c\0\1a", b"\x20\2\0\0"),
    ("bittorrent", "tcp", 6881, b"\x13BitTorrent protocol" + bytes(48), b"\x13BitTorrent protocol" + bytes(48)),
    ("krb_tcp", "tcp", 88, len(ASKED).to_bytes(4, "big") + ASKED, len(TOLD).to_bytes(4, "big") + TOLD),
    ("ldap_tcp", "tcp", 389, ber(0x30, b"\2\1\1", ber(0x60, b"\2\1\3\4\0\x80\0")), ber(0x30, b"\2\1\1", ber(0x61, b"\x0a\1\0\4\0\4\0"))),
    ("modbus", "tcp", 502, b"\0\1\0\0\0\6\1\3\0\0\0\2", b"\0\1\0\0\0\7\1\3\4\0\0\0\1"),
    ("dnp3_tcp", "tcp", 20000, b"\5\x64\5\xc9\1\0\0\4\xba\x8d", b"\5\x64\5\x0b\0\4\1\0\x1b\x6a"),
    ("kafka", "tcp", 9092, b"\0\0\0\x0e\0\x12\0\0\0\0\0\1\0\4me-1", b"\0\0\0\x0a\0\0\0\1\0\0\0\0\0\0"),
    ("openvpn", "tcp", 1194, b"\0\x0e\x38" + bytes(13), b"\0\x1a\x40" + bytes(25)),
    ("openvpn", "tcp", 1194, b"\1\x36\x50" + bytes(309), b"\0\x1a\x40" + bytes(25)),
    ("sip", "tcp", 5060, b"OPTIONS sip:a@example SIP/2.0" + SIP, b"SIP/2.0 200 OK" + SIP),
    ("sip", "udp", 5060, b"REGISTER sip:example SIP/2.0" + SIP, b"SIP/2.0 401 Unauthorized" + SIP),
    ("sip", "udp", 5060, b"INVITE tel:+1-555-0100 SIP/2.0" + SIP, b"SIP/2.0 100 Trying" + SIP),
    ("syslog", "udp", 514, b"<34>Oct 11 22:14:15 host su: failed", b""),
    ("snmp", "udp", 161, *SNMP),
    ("radius", "udp", 1812, b"\1\7\0\x19" + bytes(16) + b"\1\5bob", b"\2\7\0\x14" + bytes(16)),
    ("krb", "udp", 88, ASKED, TOLD),
    ("ldap_udp", "udp", 389, ber(0x30, b"\2\1\1", ber(0x63, b"\4\0\x0a\1\0" + bytes(8))), ber(0x30, b"\2\1\1", ber(0x64, b"\4\0\x30\0"))),
    ("tftp", "udp", 69, b"\0\1boot.img\0octet\0", b""),
    ("stun", "udp", 3478, b"\0\1\0\0" + STUN, b"\1\1\0\x08" + STUN + b"\0\1\0\4" + bytes(4)),
    ("stun", "udp", 3478, *(b"\0\1\0\x54" + STUN + b"\0\6\0\x50" + bytes(80) for _ in range(2))),
    ("stun", "udp", 3478, b"\0\x11\0\0" + STUN, b""),
    ("wireguard", "udp", 51820, b"\1\0\0\0" + bytes(144), b"\2\0\0\0" + bytes(88)),
    ("openvpn", "udp", 1194, b"\x38abcdefgh\0\0\0\0\0", b"\x40ijklmnop\1\0\0\0\0abcdefgh\0\0\0\0"),
    ("openvpn", "udp", 1194, b"\x50abcdefgh" + bytes(300), b"\x40ijklmnop\1\0\0\0\0abcdefgh\0\0\0\0"),
    ("bittorrent", "udp", 6881, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe", b"d1:rd2:id20:mnopqrstuvwxyz123456e1:y1:re"),
    ("dnp3_udp", "udp", 20000, b"\5\x64\5\xc9\1\0\0\4\xba\x8d", b"\5\x64\5\x0b\0\4\1\0\x1b\x6a"),
]  # fmt: skip

_SMB = b"\xffSMB\x04"
TALKS = [  # of protocols that are read: (name, port of its own, who says what), over TCP
    ("irc", 6667, [(0, b"NICK me\r\nUSER me 0 * :me\r\n"), (1, b":irc.example NOTICE AUTH :*** Looking up\r\n")]),
    ("irc", 6667, [(1, b":irc.example NOTICE * :*** Looking up\r\n"), (0, b"CAP LS 302\r\nNICK me\r\n")]),
    ("irc", 6667, [(0, b"PRIVMSG #a :b\r\n")]),
    ("imap", 143, [(1, b"* OK ready\r\n"), (0, b"a1 CAPABILITY\r\n")]),
    ("pop3", 110, [(1, b"+OK ready\r\n"), (0, b"CAPA\r\n"), (1, b"+OK\r\nTOP\r\n.\r\n")]),
    ("xmpp", 5222, [(side, b"<stream:stream to='a' xmlns:stream='http://etherx.jabber.org/streams'>") for side in range(2)]),
    ("mysql", 3306, [(1, b"\x4a\0\0\0\x0a5.7.44\0" + bytes(66)), (0, b"\x20\0\0\1\x85\x02\0\0" + bytes(28))]),
    ("rdp", 3389, [(0, b"\3\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\3\0\0\0"), (1, b"\3\0\0\x0b\6\xd0\0\0\x12\x34\0")]),
    ("socks", 1080, [(0, b"\4\1\0\x50\x0a\0\0\1me\0"), (1, b"\0\x5a\0\0\0\0\0\0")]),
    ("smb", 445, [(0, b"\0\0\0\x20" + _SMB + bytes(27)), (1, b"\0\0\0\x20" + _SMB + b"\0\0\0\0\x80" + bytes(22))]),
    ("ftp", 21, [(1, b"220 ready\r\n"), (0, b"USER me\r\n"), (1, b"331 and who else\r\n")]),
    ("smtp", 25, [(1, b"220 a.example ESMTP\r\n"), (0, b"EHLO b\r\n"), (1, b"250 hello\r\n")]),
    ("http", 80, [(0, b"GET / HTTP/1.1\r\n\r\n"), (1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]),
]  # fmt: skip
"""As above, of those whose content is read."""

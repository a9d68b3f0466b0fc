"""What records are called, for those who must know it before anything else is loaded: the command line, and the configuration."""

from typing import Literal, get_args

MessageName = Literal["dhcp", "dns", "files", "ftp", "http", "ntp", "ocsp", "quic", "smtp", "ssh", "ssl", "websocket", "x509"]
"""Records of messages: as in analysis.protocols."""
RecordName = Literal["packet", "conn", "conn_long", "tunnel", "server", "rate", "weird", "cost", "request", MessageName]
RECORDS: tuple[str, ...] = get_args(RecordName)
OF_CAPTURES: tuple[str, ...] = ("conn", "conn_long", "packet", "tunnel", "server", "weird", "request", *get_args(MessageName))
"""Those that captures have: what nobody but the kernel, or the clock, can tell is not among them."""

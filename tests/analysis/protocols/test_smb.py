"""SMB and DCE/RPC, whose services are all that is told; that they are Zeek's, in Zeek's order, shows tests/oracle/test_zeek_logs.py."""

import pytest
from spoken import spoken

from headwater.analysis.protocols.dce_rpc import DceRpc
from headwater.analysis.protocols.smb import Smb

SPNEGO, NTLM = b"\x60\x28\6\6\x2b\6\1\5\5\2", b"NTLMSSP\0\1\0\0\0"
KERBEROS = b"\6\x09\x2a\x86\x48\x86\xf7\x12\1\2\2\1\0"


def rpc(kind: int, size: int = 120, proof: int = 0, auth: int = 10) -> bytes:
    head = bytes([5, 0, kind, 3, 0x10, 0, 0, 0]) + size.to_bytes(2, "little") + proof.to_bytes(2, "little") + bytes(4)
    tail = bytes([auth]) + bytes(7 + proof) if proof else b""
    return head + bytes(size - 16 - len(tail)) + tail


def smb2(command: int, answer: int, more: bytes = b"") -> bytes:
    message = b"\xfeSMB\x40\0\1\0\0\0\0\0" + bytes([command, 0, 1, 0, answer, 0, 0, 0]) + bytes(44) + more
    return b"\0" + len(message).to_bytes(3, "big") + message


def smb1(command: int, more: bytes = b"") -> bytes:
    message = b"\xffSMB" + bytes([command]) + bytes(27) + more
    return b"\0" + len(message).to_bytes(3, "big") + message


BIND, BOUND = rpc(11, proof=49), rpc(12, proof=96, size=200)
SESSION = [(0, b"\x81\0\0\x44" + bytes(68)), (1, b"\x82\0\0\0")]
HELLO = [(0, smb2(0, 0)), (1, smb2(0, 1, SPNEGO))]


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize(
    ("said", "services"),
    [
        ([(0, BIND), (1, BOUND)], ["ntlm", "dce_rpc"]),
        ([(0, rpc(0)), (0, rpc(0))], ["dce_rpc"]),
        ([(0, rpc(0))], []),
        ([(0, rpc(11, proof=20, auth=9)), (1, rpc(12, proof=20, auth=16))], ["gssapi", "krb", "dce_rpc"]),
        ([(0, BIND[:4] + b"\0" + BIND[5:8] + b"\0\x78\0\x31" + BIND[12:]), (1, rpc(12))], ["ntlm", "dce_rpc"]),  # the other order of octets
        ([(0, rpc(11)), (1, b"?" * 80)], []),
        ([(0, rpc(12)), (1, rpc(11))], []),  # a request from the wrong side
    ],
)
def test_dce_rpc(said: list[tuple[int, bytes]], services: list[str], size: int) -> None:
    assert spoken(DceRpc, said, "tcp", size).stream.services == services


def test_what_no_one_reads_as_a_proof_is_odd() -> None:
    assert spoken(DceRpc, [(0, rpc(11, proof=8, auth=68))], "tcp").weirds == [("netlogon_dce_rpc_auth_type", "68")]


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize(
    ("said", "services"),
    [
        (HELLO, ["gssapi"]),
        ([*HELLO, (0, smb2(1, 0, NTLM)), (1, smb2(1, 1, NTLM))], ["gssapi", "ntlm", "smb"]),
        ([*HELLO, *HELLO, (0, smb2(1, 0, KERBEROS)), (0, smb2(9, 0, BIND))], ["gssapi", "smb", "krb", "dce_rpc"]),
        ([*SESSION, (0, smb1(0x25, rpc(0)))], ["dce_rpc", "smb"]),
        ([(0, smb1(4)), (0, smb1(0x25, rpc(0)))], ["smb", "dce_rpc"]),
        ([(0, smb1(0x72))], []),
        ([(0, smb1(0x2F, b"nothing of a pipe's" * 200)), (0, smb1(4))], ["smb"]),
        ([(0, b"\0\0\0\x44" + b"?" * 68)], []),
        ([(0, b"\7\0\0\x44" + b"?" * 68)], []),
    ],
)
def test_smb(said: list[tuple[int, bytes]], services: list[str], size: int) -> None:
    assert spoken(Smb, said, "tcp", size).stream.services == services

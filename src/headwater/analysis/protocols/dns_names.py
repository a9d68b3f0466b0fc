"""What numbers of DNS are called in Zeek's logs (scripts/base/protocols/dns/consts.zeek), which are not always IANA's names."""

_TYPES = (
    "1 A NS MD MF CNAME SOA MB MG MR NULL WKS PTR HINFO MINFO MX TXT RP AFSDB X25 ISDN RT NSAP NSAP-PTR SIG KEY PX GPOS AAAA LOC NXT EID "
    "NIMLOC SRV ATMA NAPTR KX CERT A6 DNAME SINK OPT APL DS SSHFP IPSECKEY RRSIG NSEC DNSKEY DHCID NSEC3 NSEC3PARAM TLSA SMIMEA "
    "55 HIP NINFO RKEY TALINK CDS CDNSKEY OPENPGPKEY CSYNC ZONEMD SVCB HTTPS 99 SPF UINFO UID GID UNSPEC NID L32 L64 LP EUI48 EUI64 "
    "249 TKEY TSIG IXFR AXFR MAILB MAILA * URI CAA 32768 TA DLV 65281 WINS WINS-R 65422 XPF 65521 INTEGRITY"
)
"""Names by number: a number says what the next name's is."""


def _numbered(words: str) -> dict[int, str]:
    found: dict[int, str] = {}
    number = 0
    for word in words.split():
        if word.isdigit():
            number = int(word)
        else:
            found[number] = word
            number += 1
    return found


TYPES = _numbered(_TYPES)
ERRORS = _numbered(
    "0 NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSet NOTAUTH NOTZONE unassigned-11 unassigned-12 "
    "unassigned-13 unassigned-14 unassigned-15"
)
CLASSES = _numbered("1 C_INTERNET C_CSNET C_CHAOS C_HESIOD 254 C_NONE C_ANY")
OPCODES = _numbered("0 query iquery server-status 4 notify dynamic-update dso")
NETBIOS_OPCODES = _numbered("0 netbios-query 5 netbios-registration netbios-release netbios-wack netbios-refresh")


def netbios(name: str) -> str:
    """A NetBIOS name out of its two letters an octet (RFC 1001, 14.1), without what fills it up; nothing if it is none."""
    first = name.partition(".")[0].upper()
    if len(first) != 32 or not all("A" <= letter <= "P" for letter in first):
        return ""
    octets = bytes((ord(first[at]) - 0x41) << 4 | (ord(first[at + 1]) - 0x41) for at in range(0, 32, 2))
    return octets[:15].rstrip(b" \0").decode("utf-8", "backslashreplace")

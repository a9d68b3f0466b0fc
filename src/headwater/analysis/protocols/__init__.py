"""What flows speak. A protocol is one file with one class, and one line here."""

from headwater.analysis.protocols.dce_rpc import DceRpc
from headwater.analysis.protocols.dhcp import Dhcp
from headwater.analysis.protocols.dns import Dns
from headwater.analysis.protocols.dtls import Dtls
from headwater.analysis.protocols.ftp import Ftp
from headwater.analysis.protocols.ftp_data import FtpData
from headwater.analysis.protocols.http import Http
from headwater.analysis.protocols.ntp import Ntp
from headwater.analysis.protocols.quic import Quic
from headwater.analysis.protocols.smb import Smb
from headwater.analysis.protocols.smtp import Smtp
from headwater.analysis.protocols.socks import Socks
from headwater.analysis.protocols.ssh import Ssh
from headwater.analysis.protocols.starttls import Adb, Imap, Irc, Mysql, Pop3, Rdp, Xmpp
from headwater.analysis.protocols.tls import Tls

PROTOCOLS = (Dns, Ntp, Http, Tls, Dtls, Quic, Ssh, Dhcp, Imap, Pop3, Irc, Xmpp, Mysql, Rdp, Adb, Socks, DceRpc, Smb, Ftp, FtpData, Smtp)
"""In the order in which they are tried."""

MESSAGES = {record.name: record for protocol in PROTOCOLS for record in protocol.records}
"""The records that they make, by name."""

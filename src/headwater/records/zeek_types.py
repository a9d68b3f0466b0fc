"""Which fields Zeek's logs have, and of what type: what its JSON does not say.

Facts of the scripts of Zeek 8.2, a log a line: its path, the script under scripts/ that has its record, and the fields in the order of the
record; `id` is what every log calls its conn_id. Behind `+` are fields that scripts under policy/ or older versions have. Made and
compared by `docs/zeek_types.py TREE`, where TREE is Zeek's source (zeek/zeek). Beside it stands what Zeek says of its own records
(tests/records/zeek_records.txt), and every log that Zeek 8.2.2 wrote of its own captures: tests compare the table with both.
"""

from collections.abc import Iterator

VERSION = "8.2"
TABLE = """
analyzer | base/frameworks/analyzer/logging | ts:time cause:string analyzer_kind:string analyzer_name:string uid:string fuid:string id failure_reason:string failure_data:string
broker | base/frameworks/broker/log | ts:time ty:enum ev:string peer.address:string peer.bound_port:port message:string
capture_loss | policy/misc/capture-loss | ts:time ts_delta:interval peer:string gaps:count acks:count percent_lost:double
cluster | base/frameworks/cluster/main | ts:time node:string message:string
config | base/frameworks/config/main | ts:time id:string old_value:string new_value:string location:string
conn | base/protocols/conn/main | ts:time uid:string id proto:enum service:string duration:interval orig_bytes:count resp_bytes:count conn_state:string local_orig:bool local_resp:bool missed_bytes:count history:string orig_pkts:count orig_ip_bytes:count resp_pkts:count resp_ip_bytes:count tunnel_parents:set[string] ip_proto:count + community_id:string vlan:int inner_vlan:int orig_l2_addr:string resp_l2_addr:string speculative_service:string failed_service:set[string] ip_proto_name:string pppoe_session_id:count
dce_rpc | base/protocols/dce-rpc/main | ts:time uid:string id rtt:interval named_pipe:string endpoint:string operation:string
dhcp | base/protocols/dhcp/main | ts:time uids:set[string] client_addr:addr server_addr:addr mac:string host_name:string client_fqdn:string domain:string requested_addr:addr assigned_addr:addr lease_time:interval client_message:string server_message:string msg_types:vector[string] duration:interval + msg_orig:vector[addr] client_software:string server_software:string circuit_id:string agent_remote_id:string subscriber_id:string
dnp3 | base/protocols/dnp3/main | ts:time uid:string id fc_request:string fc_reply:string iin:count
dns | base/protocols/dns/main | ts:time uid:string id proto:enum trans_id:count rtt:interval query:string qclass:count qclass_name:string qtype:count qtype_name:string rcode:count rcode_name:string AA:bool TC:bool RD:bool RA:bool Z:count answers:vector[string] TTLs:vector[interval] rejected:bool opcode:count opcode_name:string + auth:set[string] addl:set[string] original_query:string
dpd | base/frameworks/dpd/main | ts:time uid:string id proto:enum analyzer:string failure_reason:string + packet_segment:string
files | base/frameworks/files/main | ts:time fuid:string uid:string id source:string depth:count analyzers:set[string] mime_type:string filename:string duration:interval local_orig:bool is_orig:bool seen_bytes:count total_bytes:count missing_bytes:count overflow_bytes:count timedout:bool parent_fuid:string md5:string sha1:string sha256:string extracted:string extracted_cutoff:bool extracted_size:count + entropy:double tx_hosts:set[addr] rx_hosts:set[addr] conn_uids:set[string]
ftp | base/protocols/ftp/info | ts:time uid:string id user:string password:string command:string arg:string mime_type:string file_size:count reply_code:count reply_msg:string data_channel.passive:bool data_channel.orig_h:addr data_channel.resp_h:addr data_channel.resp_p:port fuid:string
http | base/protocols/http/main | ts:time uid:string id trans_depth:count method:string host:string uri:string referrer:string version:string user_agent:string origin:string request_body_len:count response_body_len:count status_code:count status_msg:string info_code:count info_msg:string tags:set[enum] username:string password:string proxied:set[string] orig_fuids:vector[string] orig_filenames:vector[string] orig_mime_types:vector[string] resp_fuids:vector[string] resp_filenames:vector[string] resp_mime_types:vector[string] + client_header_names:vector[string] server_header_names:vector[string] cookie_vars:vector[string] uri_vars:vector[string]
intel | base/frameworks/intel/main | ts:time uid:string id seen.indicator:string seen.indicator_type:enum seen.where:enum seen.node:string matched:set[enum] sources:set[string] fuid:string file_mime_type:string file_desc:string
irc | base/protocols/irc/main | ts:time uid:string id nick:string user:string command:string value:string addl:string dcc_file_name:string dcc_file_size:count dcc_mime_type:string fuid:string
kerberos | base/protocols/krb/main | ts:time uid:string id request_type:string client:string service:string success:bool error_msg:string from:time till:time cipher:string forwardable:bool renewable:bool client_cert_subject:string client_cert_fuid:string server_cert_subject:string server_cert_fuid:string + auth_ticket:string new_ticket:string
known_certs | policy/protocols/ssl/known-certs | ts:time host:addr port_num:port subject:string issuer_subject:string serial:string
known_devices | policy/misc/known-devices | ts:time mac:string dhcp_host_name:string
known_hosts | policy/protocols/conn/known-hosts | ts:time host:addr
known_modbus | policy/protocols/modbus/known-masters-slaves | ts:time host:addr device_type:enum
known_services | policy/protocols/conn/known-services | ts:time host:addr port_num:port port_proto:enum service:set[string]
ldap | base/protocols/ldap/main | ts:time uid:string id message_id:int version:int opcode:string result:string diagnostic_message:string object:string argument:string
ldap_search | base/protocols/ldap/main | ts:time uid:string id message_id:int scope:string deref_aliases:string base_object:string result_count:count result:string diagnostic_message:string filter:string attributes:vector[string]
loaded_scripts | policy/misc/loaded-scripts | name:string
modbus | base/protocols/modbus/main | ts:time uid:string id tid:count unit:count func:string pdu_type:string exception:string
modbus_register_change | policy/protocols/modbus/track-memmap | ts:time uid:string id register:count old_val:count new_val:count delta:interval
mqtt_connect | base/protocols/mqtt/main | ts:time uid:string id proto_name:string proto_version:string client_id:string connect_status:string will_topic:string will_payload:string
mqtt_publish | base/protocols/mqtt/main | ts:time uid:string id from_client:bool retain:bool qos:string status:string topic:string payload:string payload_len:count
mqtt_subscribe | base/protocols/mqtt/main | ts:time uid:string id action:enum topics:vector[string] qos_levels:vector[count] granted_qos_level:count ack:bool
mysql | base/protocols/mysql/main | ts:time uid:string id cmd:string arg:string success:bool rows:count response:string
notice | base/frameworks/notice/main | ts:time uid:string id fuid:string file_mime_type:string file_desc:string proto:enum note:enum msg:string sub:string src:addr dst:addr p:port n:count peer_descr:string actions:set[enum] email_dest:set[string] suppress_for:interval + remote_location.country_code:string remote_location.region:string remote_location.city:string remote_location.latitude:double remote_location.longitude:double community_id:string
ntlm | base/protocols/ntlm/main | ts:time uid:string id username:string hostname:string domainname:string server_nb_computer_name:string server_dns_computer_name:string server_tree_name:string success:bool
ntp | base/protocols/ntp/main | ts:time uid:string id version:count mode:count stratum:count poll:interval precision:interval root_delay:interval root_disp:interval ref_id:string ref_time:time org_time:time rec_time:time xmt_time:time num_exts:count
ocsp | base/files/x509/log-ocsp | ts:time id:string hashAlgorithm:string issuerNameHash:string issuerKeyHash:string serialNumber:string certStatus:string revoketime:time revokereason:string thisUpdate:time nextUpdate:time
packet_filter | base/frameworks/packet-filter/main | ts:time node:string filter:string init:bool success:bool failure_reason:string
pe | base/files/pe/main | ts:time id:string machine:string compile_ts:time os:string subsystem:string is_exe:bool is_64bit:bool uses_aslr:bool uses_dep:bool uses_code_integrity:bool uses_seh:bool has_import_table:bool has_export_table:bool has_cert_table:bool has_debug_data:bool section_names:vector[string]
postgresql | base/protocols/postgresql/main | ts:time uid:string id user:string database:string application_name:string frontend:string frontend_arg:string backend:string backend_arg:string success:bool rows:count
quic | base/protocols/quic/main | ts:time uid:string id version:string client_initial_dcid:string client_scid:string server_scid:string server_name:string client_protocol:string history:string
radius | base/protocols/radius/main | ts:time uid:string id username:string mac:string framed_addr:addr tunnel_client:string connect_info:string reply_msg:string result:string ttl:interval + remote_ip:addr
rdp | base/protocols/rdp/main | ts:time uid:string id cookie:string result:string security_protocol:string client_channels:vector[string] keyboard_layout:string client_build:string client_name:string client_dig_product_id:string desktop_width:count desktop_height:count requested_color_depth:string cert_type:string cert_count:count cert_permanent:bool encryption_level:string encryption_method:string + ssl:bool
redis | base/protocols/redis/main | ts:time uid:string id cmd.name:string cmd.key:string cmd.value:string success:bool reply.value:string
reporter | base/frameworks/reporter/main | ts:time level:enum message:string location:string
rfb | base/protocols/rfb/main | ts:time uid:string id client_major_version:string client_minor_version:string server_major_version:string server_minor_version:string authentication_method:string auth:bool share_flag:bool desktop_name:string width:count height:count
signatures | base/frameworks/signatures/main | ts:time uid:string src_addr:addr src_port:port dst_addr:addr dst_port:port note:enum sig_id:string event_msg:string sub_msg:string sig_count:count host_count:count
sip | base/protocols/sip/main | ts:time uid:string id trans_depth:count method:string uri:string date:string request_from:string request_to:string response_from:string response_to:string reply_to:string call_id:string seq:string subject:string request_path:vector[string] response_path:vector[string] user_agent:string status_code:count status_msg:string warning:string request_body_len:count response_body_len:count content_type:string
smb_cmd | policy/protocols/smb/log-cmds | ts:time uid:string id command:string sub_command:string argument:string status:string rtt:interval version:string username:string tree:string tree_service:string referenced_file.ts:time referenced_file.uid:string referenced_file.id.orig_h:addr referenced_file.id.orig_p:port referenced_file.id.resp_h:addr referenced_file.id.resp_p:port referenced_file.fuid:string referenced_file.action:enum referenced_file.path:string referenced_file.name:string referenced_file.size:count referenced_file.prev_name:string referenced_file.times.modified:time referenced_file.times.accessed:time referenced_file.times.created:time referenced_file.times.changed:time
smb_files | base/protocols/smb/main | ts:time uid:string id fuid:string action:enum path:string name:string size:count prev_name:string times.modified:time times.accessed:time times.created:time times.changed:time + data_offset_req:count data_len_req:count data_len_rsp:count
smb_mapping | base/protocols/smb/main | ts:time uid:string id path:string service:string native_file_system:string share_type:string
smtp | base/protocols/smtp/main | ts:time uid:string id trans_depth:count helo:string mailfrom:string rcptto:set[string] date:string from:string to:set[string] cc:set[string] reply_to:string msg_id:string in_reply_to:string subject:string x_originating_ip:addr first_received:string second_received:string last_reply:string path:vector[addr] user_agent:string tls:bool fuids:vector[string] + is_webmail:bool
snmp | base/protocols/snmp/main | ts:time uid:string id duration:interval version:string community:string get_requests:count get_bulk_requests:count get_responses:count set_requests:count display_string:string up_since:time
socks | base/protocols/socks/main | ts:time uid:string id version:count user:string password:string status:string request.host:addr request.name:string request_p:port bound.host:addr bound.name:string bound_p:port
software | base/frameworks/software/main | ts:time host:addr host_p:port software_type:enum name:string version.major:count version.minor:count version.minor2:count version.minor3:count version.addl:string unparsed_version:string + url:string
ssh | base/protocols/ssh/main | ts:time uid:string id version:count auth_success:bool auth_attempts:count direction:enum client:string server:string cipher_alg:string mac_alg:string compression_alg:string kex_alg:string host_key_alg:string host_key_fingerprint:string + host_key:string remote_location.country_code:string remote_location.region:string remote_location.city:string remote_location.latitude:double remote_location.longitude:double
ssl | base/protocols/ssl/main | ts:time uid:string id version:string cipher:string curve:string server_name:string resumed:bool last_alert:string next_protocol:string established:bool ssl_history:string cert_chain_fps:vector[string] client_cert_chain_fps:vector[string] sni_matches_cert:bool + subject:string issuer:string client_subject:string client_issuer:string validation_status:string ocsp_status:string valid_ct_logs:count valid_ct_operators:count ja3:string ja3s:string ja4:string ja4s:string cert_chain_fuids:vector[string] client_cert_chain_fuids:vector[string]
stats | policy/misc/stats | ts:time peer:string mem:count pkts_proc:count bytes_recv:count pkts_dropped:count pkts_link:count pkt_lag:interval pkts_filtered:count events_proc:count events_queued:count active_tcp_conns:count active_udp_conns:count active_icmp_conns:count tcp_conns:count udp_conns:count icmp_conns:count timers:count active_timers:count files:count active_files:count dns_requests:count active_dns_requests:count reassem_tcp_size:count reassem_file_size:count reassem_frag_size:count reassem_unknown_size:count
syslog | base/protocols/syslog/main | ts:time uid:string id proto:enum facility:string severity:string message:string
traceroute | policy/misc/detect-traceroute/main | ts:time src:addr dst:addr proto:string
tunnel | base/frameworks/tunnels/main | ts:time uid:string id tunnel_type:enum action:enum
websocket | base/protocols/websocket/main | ts:time uid:string id host:string uri:string user_agent:string subprotocol:string client_protocols:vector[string] server_extensions:vector[string] client_extensions:vector[string]
weird | base/frameworks/notice/weird | ts:time uid:string id name:string addl:string notice:bool peer:string source:string
weird_stats | policy/misc/weird-stats | ts:time name:string num_seen:count
x509 | base/files/x509/main | ts:time fingerprint:string certificate.version:count certificate.serial:string certificate.subject:string certificate.issuer:string certificate.not_valid_before:time certificate.not_valid_after:time certificate.key_alg:string certificate.sig_alg:string certificate.key_type:string certificate.key_length:count certificate.exponent:string certificate.curve:string san.dns:vector[string] san.uri:vector[string] san.email:vector[string] san.ip:vector[addr] basic_constraints.ca:bool basic_constraints.path_len:count host_cert:bool client_cert:bool + id:string cert:string
"""  # noqa: E501 - a log a line

_ID = {"id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port"}


def _read(*, always: bool = False) -> Iterator[tuple[str, str, dict[str, str]]]:
    for line in TABLE.strip().splitlines():
        path, script, words = line.split(" | ")
        fields: dict[str, str] = {}
        for word in (words.split(" + ")[0] if always else words).split():
            name, _, of = word.rpartition(":")
            if word == "id":
                fields |= _ID
            elif name:
                fields[name] = of
        yield path, script, fields


LOGS: dict[str, dict[str, str]] = {path: fields for path, _, fields in _read()}
"""By path, the type of each field, in the order of the record."""

ALWAYS: dict[str, dict[str, str]] = {path: fields for path, _, fields in _read(always=True)}
"""Likewise, of those that Zeek's own scripts give a log unless more are loaded."""

SCRIPTS: dict[str, str] = {path: f"scripts/{script}.zeek" for path, script, _ in _read()}
"""By path, where in Zeek's source the record is."""

ANY = {"ts": "time", "uid": "string", **_ID}
"""What the fields are that Zeek's scripts call so in each of their logs; those of packages do too."""

EVERYWHERE = {"_path": "string", "_system_name": "string", "_node_name": "string", "_write_ts": "time"}
"""What streams of JSON put before the fields of any log."""

BEFORE_IP = "IP ARP ETHERNET VLAN LLC VNTAG PBB PPPOE LINUXSLL IEEE802_11 NFLOG".split()
"""Sources of weirds that Zeek tells before it knows a packet's addresses."""

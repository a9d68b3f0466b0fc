/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What crosses the line between C and Python, declared once.
 *
 * Python never retypes this file: headwater.records reads the BTF of records.bpf.o and makes numpy dtypes and Arrow schemas from it.
 * So names carry meaning:
 *
 *   typedefs      hw_ktime, hw_addr, hw_port ... say how a number is read and shown (records/schema.py has one line for each)
 *   enum hw_x     its enumerators HW_X_name are the values' names, in every output
 *   HW_IF(layer)  the column is absent (null) unless the row's `has` holds HW_HAS_layer
 *
 * The comment behind a member is its description in docs/records.md.
 */
#ifndef HW_RECORDS_H
#define HW_RECORDS_H

#include <linux/types.h>

#if defined(__clang__) && defined(__bpf__)
#define HW_TAG(text) __attribute__((btf_decl_tag(text)))
#else
#define HW_TAG(text)
#endif
#define HW_IF(layer) HW_TAG("if:" #layer)
#define HW_PACKED __attribute__((packed))

typedef __u64 hw_ktime;		  /* UTC, nanoseconds since 1970; 0 if it is not known */
typedef __u8 hw_addr[16];	  /* IPv6, or IPv4 mapped (::ffff:a.b.c.d) */
typedef __u8 hw_mac[6];		  /* link-layer address */
typedef __u16 hw_port;		  /* host order */
typedef __u32 hw_ifindex;	  /* named by the batch that carries the row */
typedef __u8 hw_flag;		  /* 0 or 1 */
typedef __u64 hw_interval;	  /* nanoseconds; shown in seconds */
typedef __u8 hw_uid[12];	  /* "C" and base62; all zero: none */
typedef __u8 hw_uids[48];	  /* several, with commas between them */
typedef __u8 hw_community_id[20]; /* "1:" and base64 */
typedef __u8 hw_letters[40];	  /* ASCII, zeros behind it */
typedef __u16 hw_ethertype;
typedef __u8 hw_ipproto;
typedef __u16 hw_tcp_flags;	/* FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128, AE 256 */
typedef __u8 hw_ecn_seen;	/* 1 not capable, 2 ECT(1), 4 ECT(0), 8 congestion experienced (RFC 3168) */
typedef __u16 hw_ip_options;	/* bits of enum hw_ip_option */
typedef __u16 hw_arp_operation; /* absent if 0, which is reserved (RFC 5494) */
typedef __u16 hw_service;	/* one of the names that user space knows (records/services.py); absent if 0 */
typedef __u8 hw_hops;		/* absent if 0 */

/* Where a packet was seen. */
enum hw_hook {
	HW_HOOK_none,
	HW_HOOK_xdp,	   /* before the network stack */
	HW_HOOK_tcx,	   /* at the network stack's edge, in both directions */
	HW_HOOK_clsact,	   /* the same place, on kernels before 6.6 */
	HW_HOOK_af_packet, /* a packet socket */
	HW_HOOK_capture,   /* a file */
} HW_PACKED;

enum hw_direction {
	HW_DIRECTION_unknown,
	HW_DIRECTION_in,  /* arrived at the interface */
	HW_DIRECTION_out, /* left through it */
} HW_PACKED;

/* Which layers a row has; each column names the one that it needs. */
enum hw_has {
	HW_HAS_l2 = 1 << 0,	       /* both addresses of a link-layer header */
	HW_HAS_ethertype = 1 << 1,     /* a type behind it, not a length */
	HW_HAS_vlan = 1 << 2,	       /* a VLAN tag */
	HW_HAS_vlan_inner = 1 << 3,    /* a second VLAN tag */
	HW_HAS_addr = 1 << 4,	       /* IP, or ARP for IPv4 */
	HW_HAS_ip = 1 << 5,	       /* an IP header */
	HW_HAS_ipv4 = 1 << 6,	       /* IPv4 */
	HW_HAS_ipv6 = 1 << 7,	       /* IPv6 */
	HW_HAS_fragment = 1 << 8,      /* IPv4, or an IPv6 fragment header */
	HW_HAS_ports = 1 << 9,	       /* TCP, UDP or SCTP */
	HW_HAS_tcp = 1 << 10,	       /* a whole TCP header */
	HW_HAS_mss = 1 << 11,	       /* the TCP option */
	HW_HAS_window_scale = 1 << 12, /* the TCP option */
	HW_HAS_timestamps = 1 << 13,   /* the TCP option */
	HW_HAS_icmp = 1 << 14,	       /* ICMP or ICMPv6 */
	HW_HAS_icmp_mtu = 1 << 15,     /* an ICMP error that tells how large a packet may be */
	HW_HAS_igmp = 1 << 16,	       /* IGMP */
	HW_HAS_sctp = 1 << 17,	       /* an SCTP header and its first chunk */
	HW_HAS_spi = 1 << 18,	       /* ESP or AH */
	HW_HAS_quoted = 1 << 19,       /* an ICMP error with the IP header of what it is about */
	HW_HAS_quoted_ports = 1 << 20, /* and its ports */
	HW_HAS_payload = 1 << 21,      /* the headers were read to their end */
	HW_HAS_mpls = 1 << 22,	       /* an MPLS label */
	HW_HAS_pppoe = 1 << 23,	       /* PPPoE */
	HW_HAS_outer = 1 << 24,	       /* a tunnel over IP */
	HW_HAS_outer_ports = 1 << 25,  /* a tunnel over UDP */
	HW_HAS_tunnel_id = 1 << 26,    /* a tunnel that has a number */
	HW_HAS_hash = 1 << 27,	       /* a hash that the card computed */
	HW_HAS_neighbor = 1 << 28,     /* ARP, or neighbour discovery with a link-layer address */
	HW_HAS_interface = 1 << 29,    /* of a rate or weird: one that did not find its table full */
	HW_HAS_outer_ipv6 = 1 << 30,   /* a tunnel over IPv6 */
	HW_HAS_quoted_ipv6 = 1u << 31, /* an ICMPv6 error with the IP header of what it is about */
};

/* A layer of packets alone, where a rate or weird has `interface`. */
enum hw_packet_has {
	HW_PACKET_HAS_l2_apart = 1 << 29, /* between the link-layer header and src and dst lies another IP header, or it is no Ethernet's */
};

/* What carries the packet whose addresses are src and dst. */
enum hw_tunnel {
	HW_TUNNEL_none,
	HW_TUNNEL_ipip,	    /* IPv4 in IPv4 (RFC 2003) */
	HW_TUNNEL_6in4,	    /* IPv6 in IPv4 (RFC 4213) */
	HW_TUNNEL_4in6,	    /* IPv4 in IPv6 (RFC 2473) */
	HW_TUNNEL_6in6,	    /* IPv6 in IPv6 (RFC 2473) */
	HW_TUNNEL_gre,	    /* RFC 2784, 2890, 1701; tunnel_id is the key */
	HW_TUNNEL_pptp,	    /* enhanced GRE with PPP (RFC 2637); tunnel_id is the call's */
	HW_TUNNEL_erspan,   /* a mirrored frame in GRE (draft-foschiano-erspan); tunnel_id is the session's, if it has one */
	HW_TUNNEL_vxlan,    /* RFC 7348, and its generic extension; tunnel_id is the VNI */
	HW_TUNNEL_geneve,   /* RFC 8926; tunnel_id is the VNI */
	HW_TUNNEL_gtp,	    /* GTP-U (3GPP TS 29.281); tunnel_id is the TEID */
	HW_TUNNEL_l2tp,	    /* version 2 (RFC 2661); tunnel_id is the tunnel's in the upper and the session's in the lower 16 bits */
	HW_TUNNEL_teredo,   /* RFC 4380 */
	HW_TUNNEL_ayiya,    /* draft-massar-v6ops-ayiya */
	HW_TUNNEL_nsh,	    /* a service chain (RFC 8300); tunnel_id is its path's */
	HW_TUNNEL_pbb,	    /* MAC in MAC (IEEE 802.1ah); tunnel_id is the I-SID */
	HW_TUNNEL_etherip,  /* RFC 3378 */
	HW_TUNNEL_ethernet, /* Ethernet right behind IPv6, as segment routing has it (RFC 8986) */
	HW_TUNNEL_mpls,	    /* a label stack in IP or UDP (RFC 4023, 7510) */
	HW_TUNNEL_eompls,   /* an Ethernet pseudowire (RFC 4448) */
} HW_PACKED;

/* IPv4 options and IPv6 extension headers that a packet carried, as bits of ip_options. */
enum hw_ip_option {
	HW_IP_OPTION_record_route = 1 << 0,
	HW_IP_OPTION_timestamp = 1 << 1,
	HW_IP_OPTION_loose_source_route = 1 << 2,
	HW_IP_OPTION_strict_source_route = 1 << 3,
	HW_IP_OPTION_router_alert = 1 << 4,
	HW_IP_OPTION_security = 1 << 5,
	HW_IP_OPTION_hop_by_hop = 1 << 6,
	HW_IP_OPTION_destination = 1 << 7,
	HW_IP_OPTION_routing = 1 << 8,
	HW_IP_OPTION_fragment = 1 << 9,
	HW_IP_OPTION_authentication = 1 << 10,
	HW_IP_OPTION_mobility = 1 << 11,
	HW_IP_OPTION_hip = 1 << 12,
	HW_IP_OPTION_shim6 = 1 << 13,
	HW_IP_OPTION_other = 1 << 15,
};

/*
 * Malformations, with Zeek's name where Zeek has one (src/packet_analysis). A row keeps what was read before its weird.
 * The second and third groups are ours. The third is of what several packets show, as the last is, and both are found in no packet's row but in weirds
 * (native/weird.c, flow_weird.h). The last has Zeek's names, and begins with those that have a bit in `weirds` of a flow.
 */
enum hw_weird {
	HW_WEIRD_none,
	HW_WEIRD_truncated_ethernet_frame,	 /* fewer than 14 octets, or than its length says */
	HW_WEIRD_undefined_ether_type,		 /* neither a type (1536 and up) nor a length (1500 and down) */
	HW_WEIRD_truncated_VLAN_header,		 /* the frame ends within a tag */
	HW_WEIRD_triple_tagged_vlan_unsupported, /* a third tag; vlan and vlan_inner are those of the first two */
	HW_WEIRD_undefined_vlan_protocol,	 /* undefined_ether_type, behind a tag */
	HW_WEIRD_truncated_llc_header,		 /* the frame ends within the LLC or SNAP header */
	HW_WEIRD_truncated_vntag_header,	 /* the frame ends within a VN-Tag */
	HW_WEIRD_truncated_pbb_header,		 /* the frame ends within the tag of MAC in MAC */
	HW_WEIRD_truncated_link_header,		 /* the frame ends within the MPLS label stack */
	HW_WEIRD_truncated_pppoe_header,	 /* the frame ends within the PPPoE header */
	HW_WEIRD_truncated_Linux_SLL_header,	 /* the frame ends within a Linux cooked header */
	HW_WEIRD_truncated_802_11_header,	 /* the frame ends within the 802.11 header, or the radio's before it */
	HW_WEIRD_truncated_802_11_amsdu_header,	 /* the frame ends within the first subframe's header */
	HW_WEIRD_truncated_nflog_header,	 /* the frame ends within the NFLOG header */
	HW_WEIRD_unknown_nflog_version,		 /* other than 0 */
	HW_WEIRD_nflog_bad_tlv_len,		 /* an attribute shorter than its own header, or longer than the packet */
	HW_WEIRD_nflog_no_pcap_payload,		 /* no attribute holds a packet */
	HW_WEIRD_truncated_ARP,			 /* the frame ends within the ARP packet */
	HW_WEIRD_corrupt_arp_header,		 /* addresses of other sizes than Ethernet's and IPv4's */
	HW_WEIRD_unknown_arp_hw_address,	 /* not for Ethernet */
	HW_WEIRD_unknown_arp_proto_address,	 /* not for IPv4 */
	HW_WEIRD_truncated_IP,			 /* the frame ends within the fixed IP header */
	HW_WEIRD_unknown_ip_version,		 /* neither 4 nor 6 */
	HW_WEIRD_ip_hdr_len_zero,		 /* the IP length is 0, and it is not offload's doing */
	HW_WEIRD_truncated_IP_len,		 /* the IP length says more than the frame holds */
	HW_WEIRD_invalid_IP_header_size,	 /* the IPv4 header is longer than its packet */
	HW_WEIRD_IPv4_min_header_size,		 /* the IPv4 header says that it is shorter than 20 octets */
	HW_WEIRD_internally_truncated_header,  /* the packet ends within IP options or extension headers, or the frame in the transport's */
	HW_WEIRD_fragment_with_DF,	       /* a fragment that says not to fragment */
	HW_WEIRD_ipv6_no_next,		       /* the last IPv6 header says that nothing follows (59) */
	HW_WEIRD_truncated_header,	       /* the IP packet has no room for the TCP, UDP or ICMP header */
	HW_WEIRD_bad_TCP_header_len,	       /* shorter than 20 octets */
	HW_WEIRD_UDP_datagram_length_mismatch, /* UDP's length is not what the IP packet carries */
	HW_WEIRD_truncated_GRE,		       /* the packet ends within the GRE header, or what it says that follows */
	HW_WEIRD_unknown_gre_version,	       /* neither 0 nor 1 */
	HW_WEIRD_egre_protocol_type,	       /* enhanced GRE with something other than PPP */
	HW_WEIRD_non_ip_packet_in_encap,       /* enhanced GRE with PPP that carries no IP */
	HW_WEIRD_unknown_ERSPAN_version,       /* neither II nor III */
	HW_WEIRD_vxlan_empty_packet,	       /* a VXLAN header and nothing behind it */
	HW_WEIRD_geneve_invalid_version,       /* other than 0 */
	HW_WEIRD_geneve_empty_packet,	       /* a Geneve header and nothing behind it */
	HW_WEIRD_ayiya_empty_packet,	       /* an AYIYA header and nothing behind it */
	HW_WEIRD_exceeded_tunnel_max_depth,    /* more than 4 tunnels in each other; the row is that of the fourth */

	HW_WEIRD_truncated_tcp_option,		  /* the packet ends within the TCP options */
	HW_WEIRD_bad_tcp_option_length,		  /* shorter than 2, beyond the header, or not that option's length */
	HW_WEIRD_truncated_ip_option,		  /* an IPv4 option shorter than 2, or beyond the header */
	HW_WEIRD_too_many_ipv6_extension_headers, /* more than 10 */
	HW_WEIRD_headers_beyond_window,		  /* a header that ends behind the frame's first 256 octets */

	HW_WEIRD_routing_loop,		/* a packet passed the same place again and again, its TTL lower each time */
	HW_WEIRD_duplicate_arp_answer,	/* another link-layer address answers for an address than did before */
	HW_WEIRD_gratuitous_arp,	/* an ARP packet that tells its own address unasked: sender and target are the same */
	HW_WEIRD_ipv6_neighbor_changed, /* neighbour discovery tells another link-layer address than before */

	HW_WEIRD_bad_IP_checksum,   /* of the IPv4 header; only where checksums are looked at */
	HW_WEIRD_bad_TCP_checksum,  /* likewise */
	HW_WEIRD_bad_UDP_checksum,  /* likewise */
	HW_WEIRD_bad_ICMP_checksum, /* likewise; of ICMPv6 too */

	HW_WEIRD_SYN_seq_jump,			/* a further SYN of the same side has another number than its first */
	HW_WEIRD_SYN_inside_connection,		/* a SYN of a side that is past its handshake and has sent payload */
	HW_WEIRD_TCP_christmas,			/* SYN and RST in one packet */
	HW_WEIRD_baroque_SYN,			/* SYN and URG in one packet */
	HW_WEIRD_SYN_with_data,			/* payload behind a SYN */
	HW_WEIRD_TCP_scale_range,		/* a window scale above 14 (RFC 7323), in a flow with no weird before */
	HW_WEIRD_TCP_seq_underflow_or_misorder, /* a sequence number before the side's first one; not of a RST */
	HW_WEIRD_TCP_ack_underflow_or_misorder, /* an acknowledgement of what lies before the other side's first number */
	HW_WEIRD_window_recision,		/* the right edge of the offered window moves left, by more than scaling explains */
	HW_WEIRD_FIN_storm,			/* a FIN that is the side's 1000th or later, within a second of its last FIN or RST */
	HW_WEIRD_RST_storm,			/* likewise, a RST */
	HW_WEIRD_possible_split_routing, /* a side past its SYN acknowledges packets of the other that were not seen; without a weird before */
	HW_WEIRD_connection_originator_SYN_ack, /* the first packet is a SYN-ACK, and ports do not tell that it is an answer */
	HW_WEIRD_unsolicited_SYN_response,	/* a SYN or SYN-ACK of the responder, and nothing of the originator before */
	HW_WEIRD_bad_SYN_ack,			/* a SYN-ACK that acknowledges what the originator has not sent */
	HW_WEIRD_simultaneous_open,		/* the responder's first packet is a SYN without an ACK */
	HW_WEIRD_spontaneous_FIN,		/* a side's first packet is a FIN, and the flow was not joined in its middle */
	HW_WEIRD_spontaneous_RST,		/* a flow's first packet is a RST */
	HW_WEIRD_repeated_SYN_with_ack,		/* the originator sends a SYN-ACK after its SYN, and the handshake is not over */
	HW_WEIRD_inappropriate_FIN,		/* a FIN of a side in its handshake that the other side has not answered */
	HW_WEIRD_data_before_established,	/* payload of a side in its handshake */
	HW_WEIRD_SYN_after_partial,		/* a SYN of a side whose other packets came before it, and that nobody has answered */
	HW_WEIRD_SYN_after_close,		/* a SYN of a side that has sent its FIN */
	HW_WEIRD_FIN_advanced_last_seq,		/* a further FIN, behind what the side had sent till its first one */
	HW_WEIRD_SYN_after_reset,		/* a SYN of a side that has sent a RST */
	HW_WEIRD_FIN_after_reset,		/* a FIN of a side that has sent a RST */
	HW_WEIRD_data_after_reset,		/* payload of a side that has sent a RST, with no other RST */
	HW_WEIRD_truncated_tcp_payload,		/* payload of a stream that was not captured whole */
	HW_WEIRD_above_hole_data_without_any_acks, /* more than 16384 octets behind a hole, and nothing is acknowledged: the stream is not followed further */
	HW_WEIRD_excessive_data_without_further_acks, /* more than 10 MiB since the last acknowledgement: likewise */
	HW_WEIRD_active_connection_reuse,	      /* a SYN begins another flow between the same ports, and the one before is not over */
	HW_WEIRD_premature_connection_reuse, /* likewise, and the one before is over for less than 5 s (linger_timeout_s), not by a RST */

	HW_WEIRD_excessively_small_fragment,  /* an IP packet shorter than 64 octets that is a fragment, and not the last one */
	HW_WEIRD_excessively_large_fragment,  /* a fragment that ends behind the datagram's first 64,000 octets */
	HW_WEIRD_fragment_size_inconsistency, /* fragments do not agree on where their datagram ends */
	HW_WEIRD_fragment_overlap, /* a fragment has octets again that came before; of a datagram's first 16 fragments, where messages are read */
	HW_WEIRD_fragment_inconsistency, /* likewise, and they are others; those that came first count */
} HW_PACKED;

/* Whoever can lose something counts it here: HW_DROP_place__reason. docs/ledger.md explains each. */
enum hw_drop {
	HW_DROP_ringbuf__full,	    /* the ring between kernel and user space had no room: make ring_bytes larger */
	HW_DROP_xdp__unreadable,    /* the frame could not be copied into the parser's window */
	HW_DROP_tcx__unreadable,    /* likewise */
	HW_DROP_clsact__unreadable, /* likewise */
	HW_DROP_tc__reader_gone,    /* a clsact filter was there, and nobody to read what it makes: the process is stopped, or was killed */
	HW_DROP_af_packet__ring_full,  /* tp_drops */
	HW_DROP_af_packet__cut,	       /* the ring was closed with packets in it */
	HW_DROP_capture__link_type,    /* a pcapng interface whose link type is not known */
	HW_DROP_capture__no_interface, /* a pcapng packet of an interface that was never described */
	HW_DROP_deferred__full,	       /* the ring for what user space has to look at before it is part of a flow had no room */
	HW_DROP_flows__contended,      /* other CPUs were in the way of this packet, again and again */
	HW_DROP_flows__ring_full,      /* the flow before it was over, and the ring for flows had no room to tell that */
	HW_DROP_carried__full,	       /* octets of a flow: the ring for what flows carry had no room, and they are a gap */
	HW_DROP_carried__unreadable,   /* octets of a flow: they could not be copied from the frame, or a part of one, and are a gap */
	HW_DROP_streams__no_room,   /* octets of a stream that came before their turn: there was no room to wait in, and they are a gap */
	HW_DROP_streams__no_stream, /* octets of a flow that is not read: too many are */
	HW_DROP_flows__no_memory,   /* a packet that would have begun a flow: there was no memory for it */
	HW_DROP_user_queue__full,   /* a file's queue had no room */
	HW_DROP_sink_queue__full,   /* a sink's queue had no room, and its oldest rows went */
	HW_DROP_sink__rejected,	    /* the other side refused this row for good */
	HW_DROP_sink__unsampled,    /* above the rate that the sink is configured for */
	HW_DROP_sink__unreachable,  /* given up at the end of the run */
	HW_DROP_sink__disk_full,    /* no room to write a file */
	HW_DROP_spool__full,	    /* the oldest rows that waited for the store made room for newer ones */
	HW_DROP_spool__damaged,	    /* what the disk gave back of them was not what was written; or the store cannot take it */
	HW_DROP_nic__not_attached, /* an interface that came during the run had carried these before it was listened on; a few more may have slipped by */
	HW_DROP_crash_tail__killed, /* a run before was killed: it had seen these, and told nothing of them */
	HW_DROP_MAX,
} HW_PACKED;

/*
 * One packet's header elements. src and dst are those of the innermost IP header, and so is all of IP and transport; for ARP they are the
 * sender and the target. The link layer's addresses and type are those of the innermost frame; tags are forgotten where a frame begins
 * within IP, not where one frame lies in another (MAC in MAC, pseudowires).
 *
 * The order is the parser's (parser.h): what stays when a tunnel is entered, what begins anew, what is rare of that, what is rare at all.
 */
struct hw_packet {
	hw_ktime ts;				 /* when the packet was seen */
	__u32 has;				 /* enum hw_has */
	hw_ifindex interface;			 /* where it was seen */
	__u32 length;				 /* octets on the wire, a VLAN tag that the kernel took out included */
	__u32 captured;				 /* octets there were to read */
	__u16 segments;				 /* packets on the wire that this one stands for (GSO, GRO), else 1 */
	enum hw_hook hook;			 /* by which means it was seen */
	enum hw_direction direction;		 /* as seen from the interface */
	enum hw_weird weird;			 /* the first malformation met; null if none */
	enum hw_tunnel tunnel;			 /* the tunnel that is nearest to the innermost packet; null if none */
	__u8 tunnel_depth;			 /* tunnels in each other, at most 4 */
	hw_ipproto outer_proto HW_IF(outer);	 /* protocol of the outermost IP packet */
	hw_mac l2_dst HW_IF(l2);		 /* link-layer receiver */
	hw_mac l2_src HW_IF(l2);		 /* link-layer sender */
	hw_ethertype ethertype HW_IF(ethertype); /* of the innermost tag or SNAP header */
	__u16 vlan HW_IF(vlan);			 /* outermost VLAN id */
	__u16 vlan_inner HW_IF(vlan_inner);	 /* VLAN id of the second tag */
	__u16 pppoe_session HW_IF(pppoe);	 /* PPPoE session id */
	hw_port sport HW_IF(ports);		 /* source port */
	hw_port dport HW_IF(ports);		 /* destination port */
	hw_addr src HW_IF(addr);		 /* sender; its home address, if an IPv6 option tells that */
	hw_addr dst HW_IF(addr);		 /* receiver; the last one of an IPv6 Routing header (type 0 or 2) with segments left */
	__u32 ip_length HW_IF(ip);		 /* octets of the IP packet, header included; of the frame's part if the header says 0 */
	__u32 ip_id HW_IF(fragment);		 /* identification, by which fragments belong together */
	__u32 flow_label HW_IF(ipv6);		 /* IPv6 flow label */
	__u32 seq HW_IF(tcp);			 /* sequence number */
	__u32 ack HW_IF(tcp);			 /* acknowledgement number, as sent, also where the flag is not set */
	__u32 tsval HW_IF(timestamps);		 /* the sender's time stamp, in its own unit */
	__u32 tsecr HW_IF(timestamps);		 /* the receiver's time stamp, echoed */
	__u32 payload_length HW_IF(payload);	 /* octets after the transport header, as the IP header tells */
	hw_tcp_flags tcp_flags HW_IF(tcp);
	__u16 window HW_IF(tcp); /* as sent, not scaled */
	__u16 mss HW_IF(mss);	 /* largest segment that the sender takes */
	hw_ip_options ip_options HW_IF(ip);
	hw_ipproto proto HW_IF(ip);	       /* the transport's, after IPv6 extension headers and AH */
	__u8 ip_version HW_IF(ip);	       /* 4 or 6 */
	__u8 ttl HW_IF(ip);		       /* or hop limit */
	__u8 dscp HW_IF(ip);		       /* differentiated services code point */
	__u8 ecn HW_IF(ip);		       /* explicit congestion notification, two bits */
	hw_flag df HW_IF(ipv4);		       /* do not fragment */
	hw_flag mf HW_IF(fragment);	       /* more fragments follow */
	__u8 window_scale HW_IF(window_scale); /* the shift */
	__u16 fragment_offset HW_IF(fragment); /* octets */
	hw_flag sack_permitted HW_IF(tcp);     /* whether the TCP option is there */
	__u8 icmp_type HW_IF(icmp);	       /* ICMP or ICMPv6 type */
	__u8 icmp_code HW_IF(icmp);	       /* ICMP or ICMPv6 code */
	__u8 igmp_type HW_IF(igmp);	       /* IGMP type */
	__u8 sctp_chunk HW_IF(sctp);	       /* type of the first chunk */
	hw_ipproto quoted_proto HW_IF(quoted); /* protocol of the packet that an ICMP error is about */
	/* An ICMP error, and ARP or neighbour discovery: no packet is both, and a row stays within 240 octets. */
	union {
		struct {
			hw_addr quoted_src HW_IF(quoted); /* who sent the packet that an ICMP error is about */
			hw_addr quoted_dst HW_IF(quoted); /* to whom */
		};
		struct {
			hw_addr neighbor HW_IF(neighbor);    /* of whom: ARP's sender, an advertisement's target, else ICMPv6's sender */
			hw_mac neighbor_mac HW_IF(neighbor); /* the link-layer address that the packet says `neighbor` has */
			hw_arp_operation arp_operation HW_IF(neighbor); /* 1 asks, 2 answers; null if there is none */
		};
	};
	hw_port quoted_sport HW_IF(quoted_ports);
	hw_port quoted_dport HW_IF(quoted_ports);
	__u32 icmp_mtu HW_IF(icmp_mtu); /* octets that fit: fragmentation needed, packet too big */
	__u32 spi HW_IF(spi);		/* security parameters index of ESP or AH */
	__u32 sctp_tag HW_IF(sctp);	/* verification tag */
	hw_addr outer_src HW_IF(outer); /* sender of the outermost IP packet */
	hw_addr outer_dst HW_IF(outer); /* receiver of the outermost IP packet */
	hw_port outer_sport HW_IF(outer_ports);
	hw_port outer_dport HW_IF(outer_ports);
	__u32 tunnel_id HW_IF(tunnel_id); /* number of the nearest tunnel: see enum hw_tunnel */
	__u32 mpls_label HW_IF(mpls);	  /* the first label of the stack */
	__u32 hash HW_IF(hash);		  /* the receive hash that the card computed (XDP, where asked for) */
};

/* What for user space has to look at a packet that the kernel cannot give to a flow. */
enum hw_deferred_why {
	HW_DEFERRED_WHY_frame, /* parts of a datagram are in its frame: this and what carries it, the outermost first, comes back when it is whole */
	HW_DEFERRED_WHY_flow,  /* there is no room for its flow in the kernel's table */
	HW_DEFERRED_WHY_blame, /* an ICMP error about a flow that is not there, and may be once datagrams in pieces are whole */
	HW_DEFERRED_WHY_weird, /* something is odd in it, or it tells whose an address is; of flows it is no news */
};

/* What of a packet for which there is no room (HW_DEFERRED_WHY_flow) is to be kept. */
#define HW_DEFERRED_packet 1	/* its flow */
#define HW_DEFERRED_addresses 2 /* that its addresses carry IP */

struct hw_deferred {
	struct hw_packet row;
	__u32 why; /* enum hw_deferred_why */
	/* of one for which there is no room: */
	__u8 keep;	  /* HW_DEFERRED_packet, HW_DEFERRED_addresses */
	__u8 carries;	  /* 1: what it carries is of a flow */
	__u8 is_carried;  /* 1: `carrier` is set */
	__u8 is_late;	  /* 1: it was in pieces; what it carries is known to who put them together */
	__u8 carrier[12]; /* the uid of what carries it, the innermost */
	__u32 odd;	  /* of a part of a datagram, as hw_fragments_add() (native/fragments.h) tells it: set in user space */
};

/* One second of an interface, direction, protocol and service port. What found no room in the table has none of these but the second. */
struct hw_rate {
	hw_ktime ts;				 /* the second's begin */
	__u64 packets;				 /* on the wire: segments, where one packet stands for several */
	__u64 bytes;				 /* octets of frames */
	__u32 has;				 /* enum hw_has */
	hw_ifindex interface HW_IF(interface);	 /* where they were seen */
	__u16 port HW_IF(ports);		 /* the service's: a TCP handshake's responder, else the lower one */
	hw_ethertype ethertype HW_IF(ethertype); /* where there is no IP */
	hw_ipproto proto HW_IF(ip);		 /* transport protocol */
	enum hw_direction direction;		 /* as seen from the interface */
	__u8 unused[2];
};

/* Sums of one second, one CPU and one key (rate.h); free while packets is 0. */
struct hw_rate_slot {
	__u64 key[2];
	__u64 packets; /* on the wire */
	__u64 octets;
};

/* Layers of a weird that no packet has. They lie where a weird has no layer of a packet's. */
enum hw_weird_has {
	HW_WEIRD_HAS_before = 1 << 11, /* what is remembered of the packets before */
	HW_WEIRD_HAS_flow = 1 << 12,   /* the flow that shows it */
};

/* Something odd: a packet with a `weird`, or what only several packets show. The columns are those of the packet that showed it. */
struct hw_weird_row {
	hw_ktime ts;			       /* when that packet was seen; 0 if it is not known */
	__u64 count;			       /* packets that this row stands for: 1, or those that found no room of their own */
	__u32 has;			       /* enum hw_has, and enum hw_weird_has */
	hw_ifindex interface HW_IF(interface); /* where it was seen */
	hw_addr src HW_IF(addr);	       /* sender */
	hw_addr dst HW_IF(addr);	       /* receiver */
	hw_mac l2_src HW_IF(l2);	       /* link-layer sender */
	hw_mac l2_dst HW_IF(l2);	       /* link-layer receiver */
	hw_addr neighbor HW_IF(neighbor);      /* whose link-layer address the packet tells */
	hw_mac mac HW_IF(neighbor);	       /* that link-layer address */
	hw_mac mac_before HW_IF(before);       /* the one that was told before */
	hw_port sport HW_IF(ports);	       /* source port */
	hw_port dport HW_IF(ports);	       /* destination port */
	enum hw_weird name;		       /* what is odd */
	enum hw_direction direction;	       /* as seen from the interface */
	hw_ipproto proto HW_IF(ip);	       /* transport protocol */
	__u8 ttl HW_IF(ip);		       /* or hop limit */
	hw_hops ttl_before;		       /* of a routing loop: when the packet was first seen */
	hw_flag is_orig HW_IF(flow);	       /* whether the flow's originator sent it */
	hw_uid uid HW_IF(flow);		       /* that of the flow */
	__u8 unused[2];
};

/* What a conn has besides what each has. */
enum hw_conn_has {
	HW_CONN_HAS_orig_l2 = 1 << 0,	   /* the originator's link-layer address */
	HW_CONN_HAS_resp_l2 = 1 << 1,	   /* the responder's */
	HW_CONN_HAS_vlan = 1 << 2,	   /* a VLAN tag */
	HW_CONN_HAS_inner_vlan = 1 << 3,   /* a second one */
	HW_CONN_HAS_lasting = 1 << 4,	   /* more than one moment */
	HW_CONN_HAS_history = 1 << 5,	   /* at least one letter */
	HW_CONN_HAS_local = 1 << 6,	   /* local networks are known */
	HW_CONN_HAS_orig = 1 << 7,	   /* a packet of the originator */
	HW_CONN_HAS_resp = 1 << 8,	   /* a packet of the responder */
	HW_CONN_HAS_tcp = 1 << 9,	   /* TCP */
	HW_CONN_HAS_syn_ack = 1 << 10,	   /* a SYN, and then a SYN-ACK */
	HW_CONN_HAS_handshake = 1 << 11,   /* and then an acknowledgement of that */
	HW_CONN_HAS_orig_rtt = 1 << 12,	   /* a round trip to the originator that could be measured */
	HW_CONN_HAS_resp_rtt = 1 << 13,	   /* to the responder */
	HW_CONN_HAS_orig_data = 1 << 14,   /* payload of the originator */
	HW_CONN_HAS_resp_data = 1 << 15,   /* payload of the responder */
	HW_CONN_HAS_orig_mss = 1 << 16,	   /* the TCP option in the originator's SYN */
	HW_CONN_HAS_resp_mss = 1 << 17,	   /* in the responder's */
	HW_CONN_HAS_orig_scale = 1 << 18,  /* the TCP option in the originator's SYN */
	HW_CONN_HAS_resp_scale = 1 << 19,  /* in the responder's */
	HW_CONN_HAS_interface_2 = 1 << 20, /* a second interface that saw it */
	HW_CONN_HAS_interface_3 = 1 << 21, /* and a third */
};

/* What a tunnel's row tells (Zeek: scripts/base/frameworks/tunnels/main.zeek). */
enum hw_tunnel_action {
	HW_TUNNEL_ACTION_discover, /* the first flow within it has begun */
	HW_TUNNEL_ACTION_close,	   /* the flow that carries is over */
	HW_TUNNEL_ACTION_expire,   /* nothing was carried for a day (tunnel_timeout_s); of those that no flow of their own carries */
} HW_PACKED;

/* A transport, as Zeek names it. */
enum hw_transport {
	HW_TRANSPORT_unknown_transport, /* ip_proto tells which */
	HW_TRANSPORT_tcp,
	HW_TRANSPORT_udp,
	HW_TRANSPORT_icmp, /* and ICMPv6 */
} HW_PACKED;

/* How a flow began and ended (Zeek: scripts/base/protocols/conn/main.zeek). */
enum hw_conn_state {
	HW_CONN_STATE_OTH,    /* no SYN was seen, or it is neither TCP nor UDP */
	HW_CONN_STATE_S0,     /* an attempt without an answer */
	HW_CONN_STATE_S1,     /* established, not ended */
	HW_CONN_STATE_SF,     /* established and ended in the usual way; of UDP, answered */
	HW_CONN_STATE_REJ,    /* rejected */
	HW_CONN_STATE_S2,     /* established; the originator ended it, the responder did not */
	HW_CONN_STATE_S3,     /* established; the responder ended it, the originator did not */
	HW_CONN_STATE_RSTO,   /* established, aborted by the originator */
	HW_CONN_STATE_RSTR,   /* aborted by the responder */
	HW_CONN_STATE_RSTOS0, /* the originator sent a SYN and a RST, without an answer */
	HW_CONN_STATE_RSTRH,  /* the responder sent a SYN-ACK and a RST, and there was no SYN */
	HW_CONN_STATE_SH,     /* the originator sent a SYN and a FIN, without a SYN-ACK */
	HW_CONN_STATE_SHR,    /* the responder sent a SYN-ACK and a FIN, and there was no SYN; of UDP, only the responder spoke */
} HW_PACKED;

/*
 * What a filter may ask of a flow besides its endpoints (flow_asked.h). It lies in a packet's row from ip_length on, of which a flow has
 * nothing.
 */
struct hw_flow_asked {
	hw_interval handshake; /* from the first SYN to the acknowledgement of the SYN-ACK, if it is `handshaken` */
	hw_interval duration;
	__u64 bytes;	     /* payload of both sides */
	__u32 packets;	     /* of both sides; 2^32 - 1 stands for more */
	__u32 retransmitted; /* millionths of them that were sent again */
	enum hw_conn_state state;
	hw_flag failed; /* TCP: a RST, or a SYN that nothing answered */
	hw_flag handshaken;
	__u8 unused[5];
};

/* Why a flow is over. */
enum hw_conn_end {
	HW_CONN_END_none,	/* it is not */
	HW_CONN_END_fin,	/* both sides have sent a FIN */
	HW_CONN_END_rst,	/* one has sent a RST */
	HW_CONN_END_attempt,	/* nobody answered its SYN within attempt_timeout_s */
	HW_CONN_END_timeout,	/* nothing came for the time that its protocol is allowed */
	HW_CONN_END_icmp_error, /* what was last heard of it was an ICMP error: ended_by is that one's flow */
	HW_CONN_END_reused,	/* another began between the same endpoints */
	HW_CONN_END_evicted,	/* there was no room for it ([flows] most) */
	HW_CONN_END_stopped,	/* the capture was at its end, or Headwater stopped */
} HW_PACKED;

/* What keeps flows apart besides endpoints and protocol. */
enum hw_flow_apart {
	HW_FLOW_APART_vlan = 1 << 0,	  /* both VLAN ids */
	HW_FLOW_APART_vni = 1 << 1,	  /* the nearest tunnel's number, where it is the same both ways */
	HW_FLOW_APART_interface = 1 << 2, /* where they are seen */
};

/* What carries other packets: a flow over UDP, or the addresses between which IP carries IP or GRE. */
struct hw_tunnel_row {
	hw_ktime ts;		      /* when that became known */
	hw_addr id_orig_h;	      /* who sent the first packet */
	hw_addr id_resp_h;	      /* to whom */
	hw_port id_orig_p;	      /* 0 where no port is */
	hw_port id_resp_p;	      /* likewise */
	hw_uid uid;		      /* that of the flow, or one of its own */
	enum hw_tunnel tunnel_type;   /* what it carries */
	enum hw_tunnel_action action; /* what became known */
	__u8 unused[6];
};

/* How flows are kept. Silence after which one is over, in nanoseconds; Zeek's names are those of scripts/base/init-bare.zeek. */
struct hw_flow_settings {
	__u64 secret[2];	 /* what uids are made with */
	__u64 sample_below;	 /* a hash of 32 bits below it makes a flow: 2^32 / N for 1 in N; 0 for all */
	__u64 most;		 /* flows at a time */
	__u64 tcp_timeout;	 /* tcp_inactivity_timeout */
	__u64 handshake_timeout; /* udp_inactivity_timeout, which Zeek has for TCP till both sides are past it */
	__u64 attempt_timeout;	 /* tcp_attempt_delay: nobody answers a SYN */
	__u64 close_timeout;	 /* tcp_close_delay: after both sides have ended */
	__u64 linger_timeout;	 /* tcp_connection_linger: after one side has */
	__u64 udp_timeout;	 /* udp_inactivity_timeout */
	__u64 dns_timeout;	 /* dns_session_timeout: UDP to port 53, 137, 5353 or 5355 */
	__u64 icmp_timeout;	 /* icmp_inactivity_timeout */
	__u64 other_timeout;	 /* unknown_ip_inactivity_timeout */
	__u64 tunnel_timeout;	 /* Tunnel::expiration_interval */
	__u64 progress;		 /* how often flows that go on are reported; 0: never */
	__u64 ignored_weirds[2]; /* a bit for each of enum hw_weird that is not told */
	__u32 apart;		 /* enum hw_flow_apart */
	__u32 weirds_a_second;	 /* of a name, that have rows of their own; 0: none is told */
	__u16 community_id_seed; /* what all who compare community ids have agreed on: CommunityID::seed */
	__u8 unused[2];
};

/* One flow, when it is over: Zeek's conn.log. The originator is who spoke first, as far as that can be told. */
struct hw_conn {
	hw_ktime ts;				      /* of its first packet */
	hw_interval duration HW_IF(lasting);	      /* to the last packet that told something new */
	__u64 orig_bytes HW_IF(lasting);	      /* payload of the originator: of TCP from sequence numbers */
	__u64 resp_bytes HW_IF(lasting);	      /* payload of the responder */
	__u64 missed_bytes;			      /* payload that was acknowledged and not seen */
	__u64 orig_pkts;			      /* packets of the originator */
	__u64 orig_ip_bytes;			      /* their octets, IP headers included */
	__u64 resp_pkts;			      /* packets of the responder */
	__u64 resp_ip_bytes;			      /* their octets, IP headers included */
	hw_ktime progress;			      /* when this was told of a flow that goes on; null of one that is over */
	hw_interval syn_ack_time HW_IF(syn_ack);      /* from the originator's first SYN to the responder's first SYN-ACK */
	hw_interval ack_time HW_IF(handshake);	      /* from there to the originator's acknowledgement of it */
	hw_interval orig_rtt HW_IF(orig_rtt);	      /* from where it was seen to the originator and back, smoothed (RFC 6298) */
	hw_interval resp_rtt HW_IF(resp_rtt);	      /* to the responder and back, likewise */
	hw_interval orig_first_data HW_IF(orig_data); /* from ts to the originator's first payload */
	hw_interval resp_first_data HW_IF(resp_data); /* to the responder's */
	__u64 orig_retransmitted_bytes HW_IF(tcp);    /* payload that the originator had sent before */
	__u64 resp_retransmitted_bytes HW_IF(tcp);    /* of the responder */
	__u32 orig_retransmits HW_IF(tcp);  /* packets with what the originator had sent before: payload, SYN or FIN; no keep-alives */
	__u32 resp_retransmits HW_IF(tcp);  /* of the responder */
	__u32 orig_dup_acks HW_IF(tcp);	    /* packets of the originator that do nothing but acknowledge the same again (RFC 5681) */
	__u32 resp_dup_acks HW_IF(tcp);	    /* of the responder */
	__u32 orig_out_of_order HW_IF(tcp); /* packets of the originator that later ones have overtaken */
	__u32 resp_out_of_order HW_IF(tcp); /* of the responder */
	__u32 orig_zero_windows HW_IF(tcp); /* packets of the originator by which it takes nothing for now */
	__u32 resp_zero_windows HW_IF(tcp); /* of the responder */
	__u32 has;			    /* enum hw_conn_has */
	hw_ifindex interface;		    /* where its first packet was seen */
	hw_ifindex interface_2 HW_IF(interface_2); /* where its packets were seen as well, and counted no second time */
	hw_ifindex interface_3 HW_IF(interface_3); /* likewise; more are not told */
	hw_addr id_orig_h;			   /* originator */
	hw_addr id_resp_h;			   /* responder */
	hw_port id_orig_p;			   /* its port, or ICMP's type; 0 of others */
	hw_port id_resp_p;			   /* its port, or the type that answers, or the code; 0 of others */
	hw_service service;			   /* what it speaks, by its content; null where that is not known, or not looked for */
	enum hw_transport proto;		   /* ip_proto tells more */
	hw_ipproto ip_proto;			   /* protocol of IP */
	enum hw_conn_state conn_state;		   /* how it began and ended */
	hw_flag local_orig HW_IF(local);	   /* whether the originator is of a local network */
	hw_flag local_resp HW_IF(local);	   /* whether the responder is */
	enum hw_conn_end end_reason;		   /* why it is over */
	__u16 vlan HW_IF(vlan);			   /* outermost VLAN id */
	__u16 inner_vlan HW_IF(inner_vlan);	   /* VLAN id of the second tag */
	hw_tcp_flags orig_tcp_flags HW_IF(tcp);	   /* flags that were set in any packet of the originator, as in packet */
	hw_tcp_flags resp_tcp_flags HW_IF(tcp);	   /* of the responder */
	__u16 orig_mss HW_IF(orig_mss);		   /* largest segment that the originator takes */
	__u16 resp_mss HW_IF(resp_mss);		   /* that the responder takes */
	__u8 orig_window_scale HW_IF(orig_scale);  /* the shift, as in the SYN */
	__u8 resp_window_scale HW_IF(resp_scale);  /* likewise */
	__u8 orig_ttl HW_IF(orig);		   /* the lowest TTL or hop limit of the originator's packets */
	__u8 resp_ttl HW_IF(resp);		   /* of the responder's */
	__u8 orig_ttl_max HW_IF(orig);		   /* the highest */
	__u8 resp_ttl_max HW_IF(resp);		   /* the highest */
	__u8 orig_dscp HW_IF(orig);		   /* differentiated services code point of the originator's first packet */
	__u8 resp_dscp HW_IF(resp);		   /* of the responder's */
	__u8 orig_dscp_last HW_IF(orig);	   /* and of its last */
	__u8 resp_dscp_last HW_IF(resp);	   /* likewise */
	hw_ecn_seen orig_ecn HW_IF(
		orig); /* ECN of the originator's packets, a bit for each seen: 1 not capable, 2 ECT(1), 4 ECT(0), 8 congestion experienced (RFC 3168) */
	hw_ecn_seen resp_ecn HW_IF(resp);   /* of the responder's */
	hw_mac orig_l2_addr HW_IF(orig_l2); /* link-layer address of the originator's first packet, or its receiver's, seen from there */
	hw_mac resp_l2_addr HW_IF(resp_l2); /* of the responder, likewise */
	hw_letters history HW_IF(history);  /* what happened, a letter each, at most 40 */
	hw_uid uid;			    /* names this flow in all records */
	hw_uid ended_by;		    /* of the flow of the ICMP error that ended it */
	hw_uids tunnel_parents;		    /* of the flows and tunnels that carry it, the one with the most packets first; at most 4 */
	hw_community_id community_id;	    /* names it in other products too */
};

/* What a server has besides what each has. */
enum hw_server_has {
	HW_SERVER_HAS_server = 1 << 0,	   /* it found room of its own */
	HW_SERVER_HAS_ports = 1 << 1,	   /* TCP or UDP */
	HW_SERVER_HAS_handshakes = 1 << 2, /* at least one handshake was completed */
};

/*
 * One second of a server, which is a responder's address, port and protocol: what its flows did. Those that found no room of their own
 * share a row that has none of these.
 */
struct hw_server {
	hw_ktime ts;				      /* the second's begin */
	__u64 orig_pkts;			      /* packets of originators */
	__u64 orig_ip_bytes;			      /* their octets, IP headers included */
	__u64 resp_pkts;			      /* packets of the responder */
	__u64 resp_ip_bytes;			      /* their octets, IP headers included */
	hw_interval handshake_min HW_IF(handshakes);  /* of these, the shortest: from the first SYN to the acknowledgement of the SYN-ACK */
	hw_interval handshake_mean HW_IF(handshakes); /* the mean */
	hw_interval handshake_max HW_IF(handshakes);  /* the longest */
	hw_addr addr HW_IF(server);		      /* responder */
	__u32 has;				      /* enum hw_server_has */
	__u32 begun;				      /* flows whose first packet came */
	__u32 established;		/* flows that became so: TCP's handshake was completed; of others, both sides have spoken */
	__u32 failed;			/* flows that will not: half open ones that were reset, or are over; and what `refused` has */
	__u32 refused;			/* of `failed`, by a RST of the responder, or by an ICMP error before it spoke */
	__u32 ended;			/* flows that are over: each is a row of conn */
	__u32 half_open;		/* flows of TCP that a SYN began, and are neither established nor failed, when the second ends */
	__u32 handshakes;		/* flows of TCP that became established */
	__u32 handshakes_100us;		/* of these, within 100 microseconds */
	__u32 handshakes_300us;		/* within 300 microseconds, those before included, and so on */
	__u32 handshakes_1ms;		/* within 1 ms */
	__u32 handshakes_3ms;		/* within 3 ms */
	__u32 handshakes_10ms;		/* within 10 ms */
	__u32 handshakes_30ms;		/* within 30 ms */
	__u32 handshakes_100ms;		/* within 100 ms */
	__u32 handshakes_300ms;		/* within 300 ms */
	__u32 handshakes_1s;		/* within 1 s */
	__u32 handshakes_3s;		/* within 3 s */
	__u32 orig_retransmits;		/* of orig_pkts, those of TCP that were sent again */
	__u32 resp_retransmits;		/* of resp_pkts, likewise */
	hw_port port HW_IF(ports);	/* its port */
	hw_ipproto proto HW_IF(server); /* transport protocol */
	__u8 unused[5];
};

#ifndef HW_RATE_SLOTS	    /* a test makes them few */
#define HW_RATE_SLOTS 65536 /* of each second and CPU; one more is for what finds no room */
#endif

#define HW_MAX_TERMS 32
#define HW_TERMS 64 /* in memory: a power of two, with room for one behind the last that keeps what gets there */
#define HW_FILTER_KEEP 254
#define HW_FILTER_REFUSE 255

/*
 * One comparison of a filter. It looks at the packet's own values, at `at` or `pair`, and then at another tuple's or tag's. Offsets are
 * those of struct hw_packet; 0 is nowhere.
 *
 * The 8 octets under mask[0] are from value[0] to value[0] + span; of an address those are the last 8, and the first are value[1] under
 * mask[1].
 */
struct hw_term {
	__u64 mask[2];
	__u64 value[2];
	__u64 span;
	__u64 needs; /* layers, as in `has`, and above them a bit of hw_facts() */
	__u32 others_need[2];
	__u8 at;
	__u8 pair;
	__u8 wide;	/* whether the first octets of an address count */
	__u8 leaves_if; /* 1: goes to `to` if it holds, 0: if it does not; else to the next term */
	__u8 to;	/* a term further on, HW_FILTER_KEEP or HW_FILTER_REFUSE */
	__u8 others_at[2];
	__u8 others_proto; /* 0 if any will do */
};

/* Which packets, or flows, are kept. Without terms all are. */
struct hw_filter {
	__u32 count;
	__u32 first; /* 0: a value that the verifier does not know, so that it looks at each term once */
	struct hw_term terms[HW_TERMS];
};

/* What a filter is for: packets that are kept at all; of these, where flows are kept, those that become rows, too; flows whose end becomes one. */
enum hw_filter_of {
	HW_FILTER_OF_packets,
	HW_FILTER_OF_rows,
	HW_FILTER_OF_flows,
	HW_FILTER_OF_MAX,
};

/* What the kernel's table of flows is told, and asked to do (flow_job.h). */
struct hw_flow_control {
	__u64 salt[8];		  /* nobody outside can make keys that collide */
	__u32 buckets;		  /* of the table; 0: none is kept */
	__u32 weirds;		  /* 1: what is odd is told */
	volatile __u32 job;	  /* enum hw_flow_job, */
	volatile __u32 why;	  /* enum hw_conn_end, */
	volatile __u32 at;	  /* the bucket where it goes on, */
	volatile __u32 count;	  /* and how many it looks at */
	volatile __u64 now;	  /* the time that it has */
	volatile __u64 pieces;	  /* when a part of a datagram came */
	volatile __u32 elsewhere; /* 1: there was no room for a flow, which user space keeps */
	volatile __u32 keeps;	  /* 1: packets go to their flows */
	volatile __u32 overlap;	  /* 1: a packet may be seen at several places */
	__u32 known;		  /* 1: of some connections it is known who began them */
	__u32 servers;		  /* slots for what servers do in a second, a power of two; 0: that is not counted */
	volatile __u32 half;	  /* of the slots, that is counted into, */
	volatile __u64 half_at;	  /* since then */
	volatile __u32 carries;	  /* 1: what flows carry is read, */
	__u32 budget;		  /* so many octets of each side to begin with; HW_WANT_ALL: all */
	struct hw_flow_settings settings;
};

/* What user space tells the programs while they run, in memory that both see. */
struct hw_control {
	volatile __s64
		utc_offset; /* UTC less CLOCK_BOOTTIME; set again when the clock is stepped, so that a row keeps the time of its moment */
	volatile __u64 heartbeat;    /* CLOCK_BOOTTIME, written each second: what outlives its reader (clsact) idles when it is old */
	volatile __u64 sample_below; /* a random number of 32 bits below it makes a row: 2^32 / N for 1 in N; 0 for all */
	volatile __u32 filter;	     /* those in force, a bit for each enum hw_filter_of; the other of two is written meanwhile */
	volatile __u32 second;	     /* which half of the rates is counted into; the other is read meanwhile */
	volatile __u32 rates_only;   /* 1: no packet becomes a row */
	__u32 cpus;		     /* whose rates there is room for */
	__u32 carries;		     /* 1: what carries a tunnelled packet is a row before it */
	__u32 unused;
	struct hw_filter filters[HW_FILTER_OF_MAX][2];
	struct hw_flow_control flows;
};

/* What the kernel counts for an interface, per CPU. Each packet adds one to seen and one to one other term. */
struct hw_counters {
	__u32 ifindex;	      /* whose they are; 0: nobody's, or everybody's who has none */
	__u32 starts_with_ip; /* 1: a device without a link-layer header (tun, WireGuard, ppp) */
	__u64 seen;
	__u64 octets;
	__u64 segments;
	__u64 as_row;
	__u64 carriers; /* rows of what carries packets, in addition */
	__u64 filtered;
	__u64 in_flow;
	__u64 duplicate_hook; /* of a flow that has it from another place */
	__u64 deferred;	      /* user space has to look at it: a row of struct hw_deferred, and no other */
	__u64 also_rows;      /* rows of packets that are counted elsewhere, too */
	__u64 also_lost;      /* likewise, that found no room */
	__u64 deferred_rows;  /* rows of struct hw_deferred */
	__u64 undeferred;     /* likewise, that found no room */
	__u64 sampled_out;
	__u64 counted_only;
	__u64 consumed; /* of them, dropped on the mirror port after they were recorded */
	__u64 dropped[HW_DROP_MAX];
};

#endif

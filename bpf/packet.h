/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The header parser: one text, compiled by clang for the kernel and by the C compiler for captures (docs/adr/0001).
 *
 * Whoever includes it copies the first octets of a frame into `window`, fills in what only it knows (time, interface, hook,
 * direction, lengths, segments, a VLAN tag that was taken out) and calls hw_parse(). The parser uses no helper and no global, reads the window alone, and
 * checks each read. A step is a global function, because the verifier looks at such a function once, on its own; inlined, the
 * same walk is refused at a million instructions.
 *
 * Formats: IEEE 802.3 and 802.1Q, RFC 826 (ARP), 791 (IPv4), 8200 and 7045 (IPv6 and its extension headers), 2675 (jumbograms),
 * 9293 and 7323 (TCP and its options), 2018 (SACK), 768 (UDP), 792 and 4443 (ICMP).
 */
#ifndef HW_PACKET_H
#define HW_PACKET_H

#include "records.h"

#define HW_WINDOW 256 /* octets of a frame that the parser sees: a header that ends behind them is the weird headers_beyond_window */
#define HW_MAX_VLAN_TAGS 4
#define HW_MAX_EXTENSIONS 10
#define HW_MAX_OPTION_OCTETS 40 /* of IPv4 and of TCP: four bits of 32-bit words, less the fixed header */

#ifdef __bpf__
#define HW_INLINE static __attribute__((always_inline)) inline
#define HW_STEP __attribute__((noinline)) /* a global function: verified once, with any arguments */
#else
#define HW_INLINE static inline __attribute__((always_inline))
#define HW_STEP static
#endif
#define HW_OPAQUE(value) __asm__ volatile("" : "+r"(value)) /* keeps clang from moving or repeating a bound that was just checked */

enum hw_start { HW_START_ethernet, HW_START_ip };

struct hw_parser {
	__u8 window[HW_WINDOW];
	__u32 have;	 /* octets of the window that are filled */
	__u32 at;	 /* the next header */
	__u32 end;	 /* what lies behind is not part of this layer: padding, or cut off */
	__u32 l4_length; /* octets of the transport header and its payload, as the IP header tells */
	struct hw_packet row;
};

HW_INLINE void hw_begin(struct hw_parser *p)
{
	__builtin_memset(&p->row, 0, sizeof(p->row));
	p->at = 0;
	p->l4_length = 0;
	p->row.segments = 1;
}

HW_INLINE void hw_weird(struct hw_parser *p, enum hw_weird weird)
{
	if (p->row.weird == HW_WEIRD_none)
		p->row.weird = weird;
}

/* The `size` octets at `at`, or NULL. `size` is a constant, so that the verifier sees the bound. */
HW_INLINE const __u8 *hw_look(const struct hw_parser *p, __u64 at, __u32 size)
{
	HW_OPAQUE(at);
	if (at > HW_WINDOW - size)
		return 0;
	if (at + size > p->have || at + size > p->end)
		return 0;
	return p->window + at;
}

/* A read failed: the layer ends before it, or the window does. Returns 0, which ends the walk. */
HW_INLINE int hw_short(struct hw_parser *p, __u32 at, __u32 size, enum hw_weird weird)
{
	hw_weird(p, at + size > p->end ? weird : HW_WEIRD_headers_beyond_window);
	return 0;
}

HW_INLINE __u16 hw_be16(const __u8 *b)
{
	return (__u16)(b[0] << 8 | b[1]);
}

HW_INLINE __u32 hw_be32(const __u8 *b)
{
	return (__u32)b[0] << 24 | (__u32)b[1] << 16 | (__u32)b[2] << 8 | b[3];
}

HW_INLINE void hw_map_ipv4(hw_addr to, const __u8 *from)
{
	__builtin_memset(to, 0, 10);
	__builtin_memset(to + 10, 0xff, 2);
	__builtin_memcpy(to + 12, from, 4);
}

HW_INLINE void hw_vlan(struct hw_packet *row, __u16 tci)
{
	if (!(row->has & HW_HAS_vlan)) {
		row->vlan = tci & 0x0fff;
		row->has |= HW_HAS_vlan;
	} else if (!(row->has & HW_HAS_vlan_inner)) {
		row->vlan_inner = tci & 0x0fff;
		row->has |= HW_HAS_vlan_inner;
	}
}

/* One tag: the id, then the type of what follows. Returns 1 if there may be another. */
HW_STEP int hw_parse_vlan(struct hw_parser *p)
{
	const __u8 *tag;

	if (!p)
		return 0;
	tag = hw_look(p, p->at, 4);
	if (!tag)
		return hw_short(p, p->at, 4, HW_WEIRD_truncated_VLAN_header);
	if (p->row.has & HW_HAS_vlan_inner)
		hw_weird(p, HW_WEIRD_triple_tagged_vlan_unsupported);
	hw_vlan(&p->row, hw_be16(tag));
	p->row.ethertype = hw_be16(tag + 2);
	p->at += 4;
	return 1;
}

HW_INLINE int hw_is_vlan(__u16 ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

/* Ethernet and its tags. Returns 1 if an Ethernet II type says what follows. */
HW_STEP int hw_parse_ethernet(struct hw_parser *p)
{
	const __u8 *eth;
	int tags;

	if (!p)
		return 0;
	eth = hw_look(p, 0, 14);
	if (!eth)
		return hw_short(p, 0, 14, HW_WEIRD_truncated_ethernet_frame);
	__builtin_memcpy(p->row.l2_dst, eth, 6);
	__builtin_memcpy(p->row.l2_src, eth + 6, 6);
	p->row.ethertype = hw_be16(eth + 12);
	p->row.has |= HW_HAS_l2 | HW_HAS_ethertype;
	p->at = 14;
	for (tags = 0; tags < HW_MAX_VLAN_TAGS && hw_is_vlan(p->row.ethertype); tags++)
		if (!hw_parse_vlan(p))
			return 0;
	if (p->row.ethertype >= 1536)
		return 1;
	p->row.has &= ~HW_HAS_ethertype; /* a length, and LLC behind it */
	if (p->row.ethertype > 1500)
		hw_weird(p, p->at == 14 ? HW_WEIRD_undefined_ether_type : HW_WEIRD_undefined_vlan_protocol);
	p->row.ethertype = 0;
	return 0;
}

HW_STEP int hw_parse_arp(struct hw_parser *p)
{
	const __u8 *arp;
	__u16 hardware;

	if (!p)
		return 0;
	arp = hw_look(p, p->at, 8);
	if (!arp)
		return hw_short(p, p->at, 8, HW_WEIRD_truncated_ARP);
	hardware = hw_be16(arp);
	if (hardware != 1 && hardware != 6) {
		hw_weird(p, HW_WEIRD_unknown_arp_hw_address);
		return 0;
	}
	if (hw_be16(arp + 2) != 0x0800) {
		hw_weird(p, HW_WEIRD_unknown_arp_proto_address);
		return 0;
	}
	if (arp[4] != 6 || arp[5] != 4) {
		hw_weird(p, HW_WEIRD_corrupt_arp_header);
		return 0;
	}
	arp = hw_look(p, p->at, 28);
	if (!arp)
		return hw_short(p, p->at, 28, HW_WEIRD_truncated_ARP);
	hw_map_ipv4(p->row.src, arp + 14);
	hw_map_ipv4(p->row.dst, arp + 24);
	p->row.has |= HW_HAS_addr;
	return 0;
}

/* How long the IP packet is: what its header says, or, where that is 0 (offload), all that the frame holds. */
HW_INLINE void hw_ip_extent(struct hw_parser *p, __u32 start, __u32 stated)
{
	__u32 there = p->row.length > start ? p->row.length - start : 0;

	if (!stated) {
		stated = there;
		if (p->row.segments == 1)
			hw_weird(p, HW_WEIRD_ip_hdr_len_zero);
	}
	p->row.ip_length = stated;
	if (stated > there)
		hw_weird(p, HW_WEIRD_truncated_IP_len);
	if (stated < p->end - start)
		p->end = start + stated;
}

/* IPv4's option numbers (RFC 791, 2113, 1108) as bits; 0 for padding. */
HW_INLINE __u16 hw_ipv4_option_bit(__u8 type)
{
	switch (type) {
	case 7:
		return HW_IP_OPTION_record_route;
	case 68:
		return HW_IP_OPTION_timestamp;
	case 131:
		return HW_IP_OPTION_loose_source_route;
	case 137:
		return HW_IP_OPTION_strict_source_route;
	case 148:
		return HW_IP_OPTION_router_alert;
	case 130:
	case 133:
	case 134:
		return HW_IP_OPTION_security;
	default:
		return HW_IP_OPTION_other;
	}
}

/* One option at `at`, of a list that ends at `stop`. Returns where the next one is, 0 at the end. */
HW_STEP int hw_parse_ipv4_option(struct hw_parser *p, __u32 at, __u32 stop)
{
	const __u8 *option;
	__u8 size;

	if (!p || at >= stop)
		return 0;
	option = hw_look(p, at, 1);
	if (!option)
		return hw_short(p, at, 1, HW_WEIRD_internally_truncated_header);
	if (option[0] == 0)
		return 0;
	if (option[0] == 1)
		return at + 1;
	p->row.ip_options |= hw_ipv4_option_bit(option[0]);
	option = hw_look(p, at, 2);
	size = option ? option[1] : 0;
	if (size < 2 || at + size > stop) {
		hw_weird(p, HW_WEIRD_truncated_ip_option);
		return 0;
	}
	return at + size;
}

HW_INLINE void hw_fragment(struct hw_packet *row, __u32 id, __u16 offset, int more)
{
	row->ip_id = id;
	row->fragment_offset = offset;
	row->mf = !!more;
	row->has |= HW_HAS_ip_id | HW_HAS_fragment;
}

/* Returns 1 if the transport header can be read. */
HW_STEP int hw_parse_ipv4(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *ip;
	__u32 start, header, at;
	int i;

	if (!p)
		return 0;
	row = &p->row;
	start = p->at;
	ip = hw_look(p, start, 20);
	if (!ip)
		return hw_short(p, start, 20, HW_WEIRD_truncated_IP);
	row->has |= HW_HAS_addr | HW_HAS_ip | HW_HAS_ipv4 | HW_HAS_proto;
	row->ip_version = 4;
	row->dscp = ip[1] >> 2;
	row->ecn = ip[1] & 3;
	row->df = !!(ip[6] & 0x40);
	row->ttl = ip[8];
	row->proto = ip[9];
	hw_fragment(row, hw_be16(ip + 4), (hw_be16(ip + 6) & 0x1fff) << 3, ip[6] & 0x20);
	hw_map_ipv4(row->src, ip + 12);
	hw_map_ipv4(row->dst, ip + 16);
	header = (ip[0] & 15) * 4;
	hw_ip_extent(p, start, hw_be16(ip + 2));
	if (header > row->ip_length || header < 20) {
		hw_weird(p, header > row->ip_length ? HW_WEIRD_invalid_IP_header_size : HW_WEIRD_IPv4_min_header_size);
		return 0;
	}
	if (start + header > p->end)
		hw_weird(p, HW_WEIRD_internally_truncated_header);
	at = start + 20;
	for (i = 0; header > 20 && i < HW_MAX_OPTION_OCTETS && at; i++)
		at = hw_parse_ipv4_option(p, at, start + header);
	if (row->df && (row->mf || row->fragment_offset))
		hw_weird(p, HW_WEIRD_fragment_with_DF);
	p->at = start + header;
	p->l4_length = row->ip_length - header;
	return 1;
}

/* The length of a jumbogram, if the Hop-by-Hop header at `at` opens with that option. */
HW_INLINE __u32 hw_jumbo_length(const struct hw_parser *p, __u32 at)
{
	const __u8 *hop = hw_look(p, at, 8);

	return hop && hop[2] == 0xc2 && hop[3] == 4 && hop[4] != 0xff ? hw_be32(hop + 4) + 40 : 0; /* no sum over 32 bits */
}

/* One extension header. Returns 1 if row.proto names a further header that follows at p->at. */
HW_STEP int hw_parse_extension(struct hw_parser *p)
{
	const __u8 *header;
	__u32 size;
	__u16 bit;
	__u8 kind;

	if (!p)
		return 0;
	kind = p->row.proto;
	header = hw_look(p, p->at, 8);
	if (!header)
		return hw_short(p, p->at, 8, HW_WEIRD_internally_truncated_header);
	size = (header[1] + 1) * 8;
	switch (kind) {
	case 0:
		bit = HW_IP_OPTION_hop_by_hop;
		break;
	case 43:
		bit = HW_IP_OPTION_routing;
		break;
	case 44:
		bit = HW_IP_OPTION_fragment;
		size = 8;
		hw_fragment(&p->row, hw_be32(header + 4), hw_be16(header + 2) & 0xfff8, header[3] & 1);
		break;
	case 51:
		bit = HW_IP_OPTION_authentication;
		size = (header[1] + 2) * 4;
		break;
	case 60:
		bit = HW_IP_OPTION_destination;
		break;
	case 135: /* mobility and HIP carry nothing behind them */
		p->row.ip_options |= HW_IP_OPTION_mobility;
		return 0;
	case 139:
		p->row.ip_options |= HW_IP_OPTION_hip;
		return 0;
	default:
		bit = HW_IP_OPTION_shim6;
	}
	p->row.ip_options |= bit;
	p->row.proto = header[0];
	p->at += size;
	p->l4_length -= size < p->l4_length ? size : p->l4_length;
	return !(kind == 44 && p->row.fragment_offset); /* what follows in a later fragment is no header */
}

HW_INLINE int hw_is_extension(__u8 proto)
{
	return proto == 0 || proto == 43 || proto == 44 || proto == 51 || proto == 60 || proto == 135 || proto == 139 || proto == 140;
}

HW_STEP int hw_parse_ipv6(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *ip;
	__u32 start, stated;
	int i;

	if (!p)
		return 0;
	row = &p->row;
	start = p->at;
	ip = hw_look(p, start, 40);
	if (!ip)
		return hw_short(p, start, 40, HW_WEIRD_truncated_IP);
	row->has |= HW_HAS_addr | HW_HAS_ip | HW_HAS_ipv6 | HW_HAS_proto;
	row->ip_version = 6;
	row->dscp = hw_be16(ip) >> 6 & 63;
	row->ecn = ip[1] >> 4 & 3;
	row->flow_label = hw_be32(ip) & 0xfffff;
	row->proto = ip[6];
	row->ttl = ip[7];
	__builtin_memcpy(row->src, ip + 8, 16);
	__builtin_memcpy(row->dst, ip + 24, 16);
	stated = hw_be16(ip + 4);
	if (stated)
		stated += 40;
	else if (row->proto == 0)
		stated = hw_jumbo_length(p, start + 40);
	else if (row->proto == 59)
		stated = 40;
	hw_ip_extent(p, start, stated);
	p->at = start + 40;
	p->l4_length = row->ip_length > 40 ? row->ip_length - 40 : 0;
	for (i = 0; i < HW_MAX_EXTENSIONS && hw_is_extension(row->proto); i++)
		if (!hw_parse_extension(p))
			return row->fragment_offset != 0; /* a later fragment still has a payload */
	if (hw_is_extension(row->proto)) {
		hw_weird(p, HW_WEIRD_too_many_ipv6_extension_headers);
		return 0;
	}
	if (row->proto == 59)
		hw_weird(p, HW_WEIRD_ipv6_no_next);
	return 1;
}

/* Zeek has two names for a transport header that is not there: the IP header leaves no room for it, or the frame was cut. */
HW_INLINE int hw_short_transport(struct hw_parser *p, __u32 size)
{
	return hw_short(p, p->at, size, p->l4_length < size ? HW_WEIRD_truncated_header : HW_WEIRD_internally_truncated_header);
}

HW_INLINE void hw_payload(struct hw_parser *p, __u32 header)
{
	if (p->l4_length < header)
		return;
	p->row.payload_length = p->l4_length - header;
	p->row.has |= HW_HAS_payload;
}

/* One option at `at`, of a list that ends at `stop`. Returns where the next one is, 0 at the end. */
HW_STEP int hw_parse_tcp_option(struct hw_parser *p, __u32 at, __u32 stop)
{
	struct hw_packet *row;
	const __u8 *option;
	__u8 kind, size;

	if (!p || at >= stop)
		return 0;
	row = &p->row;
	option = hw_look(p, at, 1);
	if (!option)
		return hw_short(p, at, 1, HW_WEIRD_truncated_tcp_option);
	kind = option[0];
	if (kind == 0)
		return 0;
	if (kind == 1)
		return at + 1;
	option = hw_look(p, at, 2);
	if (!option)
		return hw_short(p, at, 2, HW_WEIRD_truncated_tcp_option);
	size = option[1];
	if (size < 2 || at + size > stop) {
		hw_weird(p, size < 2 ? HW_WEIRD_bad_tcp_option_length : HW_WEIRD_truncated_tcp_option);
		return 0;
	}
	if (kind == 2 && size == 4 && (option = hw_look(p, at, 4))) {
		row->mss = hw_be16(option + 2);
		row->has |= HW_HAS_mss;
	} else if (kind == 3 && size == 3 && (option = hw_look(p, at, 3))) {
		row->window_scale = option[2];
		row->has |= HW_HAS_window_scale;
	} else if (kind == 4 && size == 2) {
		row->sack_permitted = 1;
	} else if (kind == 8 && size == 10 && (option = hw_look(p, at, 10))) {
		row->tsval = hw_be32(option + 2);
		row->tsecr = hw_be32(option + 6);
		row->has |= HW_HAS_timestamps;
	} else if ((kind == 2 && size != 4) || (kind == 3 && size != 3) || (kind == 4 && size != 2) || (kind == 8 && size != 10)) {
		hw_weird(p, HW_WEIRD_bad_tcp_option_length);
	}
	return at + size;
}

HW_STEP int hw_parse_tcp(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *tcp;
	__u32 header, at;
	int i;

	if (!p)
		return 0;
	row = &p->row;
	tcp = hw_look(p, p->at, 4);
	if (tcp) {
		row->sport = hw_be16(tcp);
		row->dport = hw_be16(tcp + 2);
		row->has |= HW_HAS_ports;
	}
	tcp = hw_look(p, p->at, 20);
	if (!tcp)
		return hw_short_transport(p, 20);
	row->seq = hw_be32(tcp + 4);
	row->ack = hw_be32(tcp + 8);
	row->tcp_flags = hw_be16(tcp + 12) & 0x0fff;
	row->window = hw_be16(tcp + 14);
	row->has |= HW_HAS_tcp;
	header = (tcp[12] >> 4) * 4;
	if (header < 20) {
		hw_weird(p, HW_WEIRD_bad_TCP_header_len);
		return 0;
	}
	if (p->l4_length < header || p->at + header > p->end)
		hw_weird(p, HW_WEIRD_truncated_header);
	hw_payload(p, header);
	at = p->at + 20;
	for (i = 0; header > 20 && i < HW_MAX_OPTION_OCTETS && at; i++)
		at = hw_parse_tcp_option(p, at, p->at + header);
	return 1;
}

HW_STEP int hw_parse_udp(struct hw_parser *p)
{
	const __u8 *udp;

	if (!p)
		return 0;
	udp = hw_look(p, p->at, 4);
	if (udp) {
		p->row.sport = hw_be16(udp);
		p->row.dport = hw_be16(udp + 2);
		p->row.has |= HW_HAS_ports;
	}
	udp = hw_look(p, p->at, 8);
	if (!udp)
		return hw_short_transport(p, 8);
	hw_payload(p, 8);
	if (hw_be16(udp + 4) != p->l4_length && !p->row.mf && p->row.segments == 1)
		hw_weird(p, HW_WEIRD_UDP_datagram_length_mismatch);
	return 1;
}

HW_STEP int hw_parse_icmp(struct hw_parser *p)
{
	const __u8 *icmp;

	if (!p)
		return 0;
	icmp = hw_look(p, p->at, 2);
	if (icmp) {
		p->row.icmp_type = icmp[0];
		p->row.icmp_code = icmp[1];
		p->row.has |= HW_HAS_icmp;
	}
	icmp = hw_look(p, p->at, 8);
	if (!icmp)
		return hw_short_transport(p, 8);
	hw_payload(p, 8);
	return 1;
}

HW_INLINE void hw_parse_transport(struct hw_parser *p)
{
	if (p->row.fragment_offset) {
		hw_payload(p, 0);
		return;
	}
	switch (p->row.proto) {
	case 6:
		hw_parse_tcp(p);
		break;
	case 17:
		hw_parse_udp(p);
		break;
	case 1:
	case 58:
		hw_parse_icmp(p);
		break;
	default:
		hw_payload(p, 0);
	}
}

/* An IP packet at p->at: the version in it decides, as in Zeek, whatever an Ethernet type said. */
HW_INLINE void hw_parse_ip(struct hw_parser *p)
{
	const __u8 *ip = hw_look(p, p->at, 1);
	int more;

	if (!ip) {
		hw_short(p, p->at, 1, HW_WEIRD_truncated_IP);
		return;
	}
	switch (ip[0] >> 4) {
	case 4:
		more = hw_parse_ipv4(p);
		break;
	case 6:
		more = hw_parse_ipv6(p);
		break;
	default:
		hw_weird(p, HW_WEIRD_unknown_ip_version);
		more = 0;
	}
	if (more)
		hw_parse_transport(p);
}

/* Fill p->row from p->window. Whatever the octets are, this ends, and the row holds what was read. */
HW_INLINE void hw_parse(struct hw_parser *p, enum hw_start start)
{
	p->end = p->row.captured;
	if (start == HW_START_ip)
		hw_parse_ip(p);
	else if (hw_parse_ethernet(p)) {
		if (p->row.ethertype == 0x0800 || p->row.ethertype == 0x86dd)
			hw_parse_ip(p);
		else if (p->row.ethertype == 0x0806)
			hw_parse_arp(p);
	}
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The network layer: RFC 791 (IPv4), 8200 and 7045 (IPv6 and its extension headers), 2460 and 6275 (whose addresses stand in for those of
 * the fixed header), 2675 (jumbograms), 4302 (AH), and the tunnels that an IP protocol number announces: 2003, 4213, 2473 (IP in IP), 4023
 * (MPLS in IP), 8986 (Ethernet).
 */
#ifndef HW_NETWORK_H
#define HW_NETWORK_H

#include "parser.h"

#define HW_MAX_EXTENSIONS 10
#define HW_MAX_DESTINATION_OPTIONS 8
#define HW_MAX_OPTION_OCTETS 40 /* of IPv4 and of TCP: four bits of 32-bit words, less the fixed header */

/* How long the IP packet is: what its header says, or, where that is 0 (offload), all that the layer below holds. */
HW_INLINE void hw_ip_extent(struct hw_parser *p, __u32 start, __u32 stated)
{
	__u32 there = p->limit > start ? p->limit - start : 0;

	if (!stated) {
		stated = there;
		if (p->row.segments == 1)
			hw_weird(p, HW_WEIRD_ip_hdr_len_zero);
	}
	p->row.ip_length = stated;
	if (stated > there && !p->cut)
		hw_weird(p, HW_WEIRD_truncated_IP_len);
	if (stated < there)
		hw_trim(p, start + stated);
}

/*
 * TCP's header may come in pieces, and who puts these together (native/fragments.c) needs what each has of it: what lies in the second
 * eight octets is here in the row, though the row does not say that it has it; the offset and the flags in place of the sequence number.
 */
HW_INLINE void hw_tcp_second_piece(struct hw_parser *p)
{
	const __u8 *tcp = hw_look(p, p->at, 8);

	if (!tcp)
		return;
	p->row.ack = hw_be32(tcp);
	p->row.seq = hw_be16(tcp + 4);
	p->row.window = hw_be16(tcp + 6);
	p->headers += 8; /* who cuts packets leaves it */
}

/* What the transport's number says that follows. Later fragments have no transport header. */
HW_INLINE int hw_next_of_proto(struct hw_parser *p)
{
	struct hw_packet *row = &p->row;

	if (row->fragment_offset) {
		hw_payload(p, 0);
		if (row->proto == 6 && row->fragment_offset == 8)
			hw_tcp_second_piece(p);
		return HW_NEXT_nothing;
	}
	switch (row->proto) {
	case 6:
		return HW_NEXT_tcp;
	case 17:
		return HW_NEXT_udp;
	case 1:
	case 58:
		return HW_NEXT_icmp;
	case 2:
		return HW_NEXT_igmp;
	case 132:
		return HW_NEXT_sctp;
	case 50:
		return HW_NEXT_esp;
	}
	hw_payload(p, 0);
	p->cut |= row->mf;
	switch (row->proto) {
	case 4:
		return hw_enter(p, row->ip_version == 4 ? HW_TUNNEL_ipip : HW_TUNNEL_4in6, -1, HW_NEXT_ip);
	case 41:
		return hw_enter(p, row->ip_version == 4 ? HW_TUNNEL_6in4 : HW_TUNNEL_6in6, -1, HW_NEXT_ip);
	case 47:
		return HW_NEXT_gre;
	case 97:
		return HW_NEXT_etherip;
	case 143:
		return hw_enter(p, HW_TUNNEL_ethernet, -1, HW_NEXT_frame);
	case 137:
		return hw_enter(p, HW_TUNNEL_mpls, -1, HW_NEXT_mpls);
	default:
		return HW_NEXT_nothing;
	}
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
	if (!option)
		return hw_short(p, at, 2, HW_WEIRD_truncated_ip_option);
	size = option[1];
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
	row->has |= HW_HAS_fragment;
}

/* The length of a jumbogram, if the Hop-by-Hop header at `at` opens with that option. */
HW_INLINE __u32 hw_jumbo_length(struct hw_parser *p, __u32 at)
{
	const __u8 *hop = hw_see(p, at, 8);

	return hop && hop[2] == 0xc2 && hop[3] == 4 && hop[4] != 0xff ? hw_be32(hop + 4) + 40 : 0; /* no sum over 32 bits */
}

/* A Destination Options header of `size` octets at `at` may hold the sender's home address (RFC 6275, 6.3): that is who speaks. */
HW_STEP int hw_parse_home_address(struct hw_parser *p, __u32 at, __u32 size)
{
	const __u8 *option;
	__u32 stop = at + size;
	int i;

	if (!p)
		return 0;
	at += 2;
	for (i = 0; i < HW_MAX_DESTINATION_OPTIONS; i++) {
		if (at + 18 > stop) /* no room for one */
			return 0;
		option = hw_see(p, at, 18);
		if (!option)
			return 0;
		if (option[0] == 0xc9 && option[1] == 16) {
			hw_copy_addr(p->row.src, option + 2);
			return 0;
		}
		at += option[0] ? 2 + option[1] : 1; /* Pad1 has no length */
	}
	return 0;
}

/* The last address of a Routing header of type 0 or 2 that is still on its way (RFC 2460, 4.4; 6275, 6.4) is to whom the packet goes. */
HW_STEP int hw_parse_routing(struct hw_parser *p, __u32 at, __u32 size)
{
	const __u8 *header;

	if (!p)
		return 0;
	header = hw_look(p, at, 4);
	if (!header || !header[3] || size < 24 || size % 16 != 8 || (header[2] != 0 && (header[2] != 2 || size != 24)))
		return 0;
	header = hw_see(p, at + size - 16, 16);
	if (header)
		hw_copy_addr(p->row.dst, header);
	return 0;
}

/* One extension header, or AH behind IPv4. Returns 1 if row.proto names a further header that follows at p->at. */
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
		hw_parse_routing(p, p->at, size);
		break;
	case 44:
		bit = HW_IP_OPTION_fragment;
		size = 8;
		hw_fragment(&p->row, hw_be32(header + 4), hw_be16(header + 2) & 0xfff8, header[3] & 1);
		break;
	case 51:
		bit = HW_IP_OPTION_authentication;
		size = (header[1] + 2) * 4;
		p->row.spi = hw_be32(header + 4);
		p->row.has |= HW_HAS_spi;
		break;
	case 60:
		bit = HW_IP_OPTION_destination;
		hw_parse_home_address(p, p->at, size);
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

/* What the fixed header tells, but for lengths and fragments. */
HW_INLINE void hw_ipv4_fields(struct hw_packet *row, const __u8 *ip)
{
	row->ip_version = 4;
	row->dscp = ip[1] >> 2;
	row->ecn = ip[1] & 3;
	row->df = !!(ip[6] & 0x40);
	row->ttl = ip[8];
	row->proto = ip[9];
	hw_map_ipv4(row->src, ip + 12);
	hw_map_ipv4(row->dst, ip + 16);
}

HW_STEP int hw_parse_ipv4(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *ip;
	__u32 start, header, at;
	int i;

	if (!p)
		return HW_NEXT_nothing;
	row = &p->row;
	start = p->at;
	ip = hw_look(p, start, 20);
	if (!ip)
		return hw_short(p, start, 20, HW_WEIRD_truncated_IP);
	row->has |= HW_HAS_addr | HW_HAS_ip | HW_HAS_ipv4;
	hw_ipv4_fields(row, ip);
	hw_fragment(row, hw_be16(ip + 4), (hw_be16(ip + 6) & 0x1fff) << 3, ip[6] & 0x20);
	header = (ip[0] & 15) * 4;
	hw_ip_extent(p, start, hw_be16(ip + 2));
	if (header > row->ip_length || header < 20) {
		hw_weird(p, header > row->ip_length ? HW_WEIRD_invalid_IP_header_size : HW_WEIRD_IPv4_min_header_size);
		return HW_NEXT_nothing;
	}
	if (start + header > p->stop)
		hw_short(p, start, header, HW_WEIRD_internally_truncated_header);
	at = start + 20;
	for (i = 0; header > 20 && i < HW_MAX_OPTION_OCTETS && at; i++)
		at = hw_parse_ipv4_option(p, at, start + header);
	if (row->df && (row->mf || row->fragment_offset))
		hw_weird(p, HW_WEIRD_fragment_with_DF);
	p->at = start + header;
	p->l4_length = row->ip_length - header;
	for (i = 0; row->proto == 51 && !row->fragment_offset && i < HW_MAX_EXTENSIONS; i++)
		if (!hw_parse_extension(p))
			return HW_NEXT_nothing;
	return hw_next_of_proto(p);
}

/* What the fixed header tells, but for lengths. */
HW_INLINE void hw_ipv6_fields(struct hw_packet *row, const __u8 *ip)
{
	row->ip_version = 6;
	row->dscp = hw_be16(ip) >> 6 & 63;
	row->ecn = ip[1] >> 4 & 3;
	row->flow_label = hw_be32(ip) & 0xfffff;
	row->proto = ip[6];
	row->ttl = ip[7];
	hw_copy_addr(row->src, ip + 8);
	hw_copy_addr(row->dst, ip + 24);
}

HW_STEP int hw_parse_ipv6(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *ip;
	__u32 start, stated;
	int i;

	if (!p)
		return HW_NEXT_nothing;
	row = &p->row;
	start = p->at;
	ip = hw_look(p, start, 40);
	if (!ip)
		return hw_short(p, start, 40, HW_WEIRD_truncated_IP);
	row->has |= HW_HAS_addr | HW_HAS_ip | HW_HAS_ipv6;
	hw_ipv6_fields(row, ip);
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
		if (!hw_parse_extension(p)) {
			if (row->fragment_offset)
				hw_payload(p, 0);
			return HW_NEXT_nothing;
		}
	if (hw_is_extension(row->proto)) {
		hw_weird(p, HW_WEIRD_too_many_ipv6_extension_headers);
		return HW_NEXT_nothing;
	}
	if (row->proto == 59 && row->tunnel != HW_TUNNEL_teredo) /* there it is a bubble, which keeps an address translation open */
		hw_weird(p, HW_WEIRD_ipv6_no_next);
	return hw_next_of_proto(p);
}

/* An IP packet at p->at: the version in it decides, as in Zeek, whatever a type said. */
HW_INLINE int hw_parse_ip(struct hw_parser *p)
{
	const __u8 *ip = hw_look(p, p->at, 1);

	if (!ip)
		return hw_short(p, p->at, 1, HW_WEIRD_truncated_IP);
	switch (ip[0] >> 4) {
	case 4:
		return hw_parse_ipv4(p);
	case 6:
		return hw_parse_ipv6(p);
	default:
		hw_weird(p, HW_WEIRD_unknown_ip_version);
		return HW_NEXT_nothing;
	}
}

#endif

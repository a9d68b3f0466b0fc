/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The transport layer: RFC 9293 and 7323 (TCP and its options), 2018 (SACK), 768 (UDP), 9260 (SCTP), 792 and 4443 (ICMP, and what its
 * errors quote), 1191 and 8201 (the MTU they tell), 4861 (neighbour discovery), 2236 and 3376 (IGMP), 4303 and 3948 (ESP, alone and in
 * UDP).
 */
#ifndef HW_TRANSPORT_H
#define HW_TRANSPORT_H

#include "network.h"

#define HW_MAX_ND_OPTIONS 10

/* Zeek has two names for a transport header that is not there: the IP header leaves no room for it, or the frame was cut. */
HW_INLINE int hw_short_transport(struct hw_parser *p, __u32 size)
{
	return hw_short(p, p->at, size, p->l4_length < size ? HW_WEIRD_truncated_header : HW_WEIRD_internally_truncated_header);
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

/* The first piece of a header in pieces: as hw_tcp_second_piece(). Where that is longer than this piece, payload_length has its length. */
HW_INLINE int hw_tcp_first_piece(struct hw_parser *p)
{
	const __u8 *tcp = hw_look(p, p->at, 8);

	if (tcp)
		p->row.seq = hw_be32(tcp + 4);
	tcp = hw_look(p, p->at, 16);
	if (tcp) {
		p->row.ack = hw_be32(tcp + 8);
		p->row.tcp_flags = hw_be16(tcp + 12) & 0x0fff;
		p->row.window = hw_be16(tcp + 14);
		p->row.payload_length = (tcp[12] >> 4) * 4;
	}
	return hw_short_transport(p, 20);
}

HW_STEP int hw_parse_tcp(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *tcp;
	__u32 header, at;
	int i;

	if (!p)
		return HW_NEXT_nothing;
	row = &p->row;
	tcp = hw_look(p, p->at, 4);
	if (tcp) {
		row->sport = hw_be16(tcp);
		row->dport = hw_be16(tcp + 2);
		row->has |= HW_HAS_ports;
	}
	tcp = hw_look(p, p->at, 20);
	if (!tcp)
		return row->mf ? hw_tcp_first_piece(p) : hw_short_transport(p, 20);
	row->seq = hw_be32(tcp + 4);
	row->ack = hw_be32(tcp + 8);
	row->tcp_flags = hw_be16(tcp + 12) & 0x0fff;
	row->window = hw_be16(tcp + 14);
	row->has |= HW_HAS_tcp;
	header = (tcp[12] >> 4) * 4;
	if (header < 20) {
		hw_weird(p, HW_WEIRD_bad_TCP_header_len);
		return HW_NEXT_nothing;
	}
	if (p->at + header > p->stop)
		hw_short(p, p->at, header, HW_WEIRD_truncated_header);
	if (row->mf && p->l4_length < header)
		row->payload_length = header;
	hw_payload(p, header);
	at = p->at + 20;
	for (i = 0; header > 20 && i < HW_MAX_OPTION_OCTETS && at; i++)
		at = hw_parse_tcp_option(p, at, p->at + header);
	return HW_NEXT_nothing;
}

/* What a UDP port announces. Who answers has the well-known port in VXLAN, Geneve and GRE or MPLS in UDP; the others use it both ways. */
HW_INLINE int hw_next_of_port(__u16 sport, __u16 dport)
{
	switch (dport) {
	case 4789:
	case 4790:
	case 8472: /* Linux took this one before there was a standard */
		return HW_NEXT_vxlan;
	case 6081:
		return HW_NEXT_geneve;
	case 4754:
		return HW_NEXT_gre;
	case 6635:
		return HW_NEXT_mpls;
	}
	if (dport == 2152 || sport == 2152)
		return HW_NEXT_gtp;
	if (dport == 1701 || sport == 1701)
		return HW_NEXT_l2tp;
	if (dport == 3544 || sport == 3544)
		return HW_NEXT_teredo;
	if (dport == 5072 || sport == 5072)
		return HW_NEXT_ayiya;
	if (dport == 4500 || sport == 4500)
		return HW_NEXT_esp;
	return HW_NEXT_nothing;
}

/* Whether `addr` is one that Teredo gives (RFC 4380, 2.6). */
HW_INLINE int hw_is_teredo(const __u8 *addr)
{
	return HW_LOAD(__u32, addr) == __builtin_bswap32(0x20010000);
}

/* Whether the `length` octets of a datagram at `at` are an IPv6 packet from or to such an address: relays choose their ports. */
HW_INLINE int hw_looks_like_teredo(struct hw_parser *p, __u32 at, __u32 length)
{
	const __u8 *ip = hw_look(p, at, 6);

	if (!ip || ip[0] >> 4 != 6 || hw_be16(ip + 4) + 40u != length)
		return 0;
	ip = hw_see(p, at, 40);
	if (!ip)
		p->headers = 0;
	return ip && (hw_is_teredo(ip + 8) || hw_is_teredo(ip + 24));
}

/* What a datagram at `at` carries, if its ports announce a tunnel, or Teredo. It ends where its length says, at the latest at `stop`. */
HW_INLINE int hw_in_datagram(struct hw_parser *p, __u32 at, __u32 stated, __u32 stop)
{
	int next = hw_next_of_port(p->row.sport, p->row.dport);

	if (!next && at + stated <= stop && hw_looks_like_teredo(p, at + 8, stated - 8)) /* before `stop`: padding is no part of it */
		next = HW_NEXT_teredo;
	if (!next)
		return HW_NEXT_nothing;
	p->headers = 0;
	hw_trim(p, stated >= 8 && p->row.segments == 1 && at + stated < stop ? at + stated : stop);
	p->cut |= p->row.mf;
	p->at = at + 8;
	return next == HW_NEXT_mpls ? hw_enter(p, HW_TUNNEL_mpls, -1, next) : next;
}

HW_STEP int hw_parse_udp(struct hw_parser *p)
{
	const __u8 *udp;
	__u32 stated;

	if (!p)
		return HW_NEXT_nothing;
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
	stated = hw_be16(udp + 4);
	if (stated != p->l4_length && !p->row.mf && p->row.segments == 1)
		hw_weird(p, HW_WEIRD_UDP_datagram_length_mismatch);
	return hw_in_datagram(p, p->at, stated, p->limit);
}

HW_STEP int hw_parse_sctp(struct hw_parser *p)
{
	const __u8 *sctp;

	if (!p)
		return HW_NEXT_nothing;
	sctp = hw_look(p, p->at, 4);
	if (sctp) {
		p->row.sport = hw_be16(sctp);
		p->row.dport = hw_be16(sctp + 2);
		p->row.has |= HW_HAS_ports;
	}
	sctp = hw_look(p, p->at, 13);
	if (!sctp)
		return hw_short_transport(p, 13);
	p->row.sctp_tag = hw_be32(sctp + 4);
	p->row.sctp_chunk = sctp[12];
	p->row.has |= HW_HAS_sctp;
	hw_payload(p, 12);
	p->headers = p->at + 16; /* with the first chunk's */
	return HW_NEXT_nothing;
}

HW_STEP int hw_parse_igmp(struct hw_parser *p)
{
	const __u8 *igmp;

	if (!p)
		return HW_NEXT_nothing;
	igmp = hw_look(p, p->at, 1);
	if (igmp) {
		p->row.igmp_type = igmp[0];
		p->row.has |= HW_HAS_igmp;
	}
	if (!hw_look(p, p->at, 8))
		return hw_short_transport(p, 8);
	hw_payload(p, 8);
	return HW_NEXT_nothing;
}

/* ESP, behind IP or in UDP, where four octets of 0 say that it is IKE, and fewer keep an address translation alive. */
HW_STEP int hw_parse_esp(struct hw_parser *p)
{
	const __u8 *esp;

	if (!p)
		return HW_NEXT_nothing;
	esp = hw_see(p, p->at, 4);
	if (esp && hw_be32(esp)) {
		p->row.spi = hw_be32(esp);
		p->row.has |= HW_HAS_spi;
	}
	if (p->row.proto != 50)
		return HW_NEXT_nothing;
	hw_payload(p, 8);
	return hw_look(p, p->at, 8) ? HW_NEXT_nothing : hw_short_transport(p, 8);
}

/* The ports of the packet that an ICMP error quotes, behind its IP header at `at`. */
HW_INLINE void hw_quoted_ports(struct hw_parser *p, __u32 at)
{
	__u8 proto = p->row.quoted_proto;
	const __u8 *ports;

	if (proto != 6 && proto != 17 && proto != 132)
		return;
	ports = hw_see(p, at, 4);
	if (!ports)
		return;
	p->row.quoted_sport = hw_be16(ports);
	p->row.quoted_dport = hw_be16(ports + 2);
	p->row.has |= HW_HAS_quoted_ports;
}

/* One extension header of the quoted packet. Returns where the next header is, 0 if there is none to be read. */
HW_STEP int hw_parse_quoted_extension(struct hw_parser *p, __u32 at)
{
	const __u8 *header;
	__u8 kind;

	if (!p)
		return 0;
	kind = p->row.quoted_proto;
	header = hw_see(p, at, 8);
	if (!header || (kind == 44 && hw_be16(header + 2) & 0xfff8))
		return 0;
	p->row.quoted_proto = header[0];
	return at + (kind == 44 ? 8 : kind == 51 ? (header[1] + 2) * 4 : (header[1] + 1) * 8);
}

/* What an ICMP error is about: the packet's first octets follow its header. What is cut off is absent, and no weird. */
HW_STEP int hw_parse_quoted(struct hw_parser *p, __u32 at)
{
	struct hw_packet *row;
	const __u8 *ip;
	int i;

	if (!p)
		return 0;
	row = &p->row;
	ip = hw_see(p, at, 20);
	if (!ip)
		return 0;
	if (ip[0] >> 4 == 4) {
		row->quoted_proto = ip[9];
		hw_map_ipv4(row->quoted_src, ip + 12);
		hw_map_ipv4(row->quoted_dst, ip + 16);
		row->has |= HW_HAS_quoted;
		if ((ip[0] & 15) < 5 || hw_be16(ip + 6) & 0x1fff)
			return 0;
		at += (ip[0] & 15) * 4;
		if (row->quoted_proto == 51)
			at = hw_parse_quoted_extension(p, at);
		if (at)
			hw_quoted_ports(p, at);
		return 0;
	}
	if (ip[0] >> 4 != 6)
		return 0;
	ip = hw_see(p, at, 40);
	if (!ip)
		return 0;
	row->quoted_proto = ip[6];
	hw_copy_addr(row->quoted_src, ip + 8);
	hw_copy_addr(row->quoted_dst, ip + 24);
	row->has |= HW_HAS_quoted | HW_HAS_quoted_ipv6;
	at += 40;
	for (i = 0; i < HW_MAX_EXTENSIONS && hw_is_extension(row->quoted_proto); i++) {
		at = hw_parse_quoted_extension(p, at);
		if (!at)
			return 0;
	}
	hw_quoted_ports(p, at);
	return 0;
}

/* One option of neighbour discovery at `at`. Returns where the next one is, 0 at the end or behind the address that is looked for. */
HW_STEP int hw_parse_nd_option(struct hw_parser *p, __u32 at, __u32 advertised)
{
	const __u8 *option, *target;

	if (!p)
		return 0;
	option = hw_see(p, at, 8);
	if (!option || !option[1])
		return 0;
	if (option[0] != (advertised ? 2 : 1) || option[1] != 1) /* of the target or the sender; of Ethernet's size */
		return at + option[1] * 8;
	target = advertised ? hw_look(p, p->at + 8, 16) : p->row.src;
	if (target)
		hw_neighbor(p, target, option + 2);
	return 0;
}

/* A link-layer address that neighbour discovery tells: the target's in an advertisement (136), else the sender's. */
HW_INLINE void hw_neighbor_discovery(struct hw_parser *p, __u8 type)
{
	__u32 at = p->at + (type == 133 ? 8 : type == 134 ? 16 : 24);
	int i;

	for (i = 0; i < HW_MAX_ND_OPTIONS && at; i++)
		at = hw_parse_nd_option(p, at, type == 136);
}

HW_STEP int hw_parse_icmp(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *icmp;
	int is_error;

	if (!p)
		return HW_NEXT_nothing;
	row = &p->row;
	icmp = hw_look(p, p->at, 2);
	if (icmp) {
		row->icmp_type = icmp[0];
		row->icmp_code = icmp[1];
		row->has |= HW_HAS_icmp;
	}
	icmp = hw_look(p, p->at, 8);
	if (!icmp)
		return hw_short_transport(p, 8);
	hw_payload(p, 8);
	if (row->proto == 58) {
		is_error = icmp[0] >= 1 && icmp[0] <= 4;
		if (icmp[0] == 2)
			row->icmp_mtu = hw_be32(icmp + 4);
		if (icmp[0] >= 133 && icmp[0] <= 136) {
			p->headers = 0; /* its options are headers too */
			hw_neighbor_discovery(p, icmp[0]);
		}
	} else {
		is_error = icmp[0] == 3 || icmp[0] == 4 || icmp[0] == 5 || icmp[0] == 11 || icmp[0] == 12;
		if (icmp[0] == 3 && icmp[1] == 4)
			row->icmp_mtu = hw_be16(icmp + 6);
	}
	if (row->icmp_mtu) /* routers from before RFC 1191 say 0 */
		row->has |= HW_HAS_icmp_mtu;
	if (is_error) {
		p->headers = 0;
		hw_parse_quoted(p, p->at + 8);
	}
	return HW_NEXT_nothing;
}

#endif

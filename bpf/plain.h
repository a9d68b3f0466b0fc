/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What nearly every packet is: Ethernet without tags, IPv4 without options or IPv6 without extension headers, whole and no fragment, then
 * TCP or UDP. It is read in one go, from one checked piece of the window, in half the time that the steps take.
 *
 * The steps say the same of such a packet, and everything of any other: whatever is not plain is left to them. Tests build the parser with
 * HW_STEPS_ALONE and compare.
 */
#ifndef HW_PLAIN_H
#define HW_PLAIN_H

#include "transport.h"

/* TCP behind `ip_header` octets of IP: options are the step's, but for the pair of time stamps that most segments carry (RFC 7323, A). */
HW_INLINE int hw_plain_tcp(struct hw_parser *p, const __u8 *tcp, __u32 at, __u32 length, __u32 has)
{
	struct hw_packet *row = &p->row;
	__u32 header = (tcp[12] >> 4) * 4;
	const __u8 *options;

	if (header == 32 && length >= 32) {
		options = hw_look(p, at + 20, 12);
		if (!options || HW_LOAD(__u32, options) != __builtin_bswap32(0x0101080a))
			header = 0;
		else {
			row->tsval = hw_be32(options + 4);
			row->tsecr = hw_be32(options + 8);
			has |= HW_HAS_timestamps;
		}
	} else if (header != 20)
		header = 0;
	if (!header) {
		row->has = has;
		p->at = at;
		p->l4_length = length;
		hw_trim(p, at + length);
		return HW_NEXT_tcp;
	}
	row->sport = hw_be16(tcp);
	row->dport = hw_be16(tcp + 2);
	row->seq = hw_be32(tcp + 4);
	row->ack = hw_be32(tcp + 8);
	row->tcp_flags = hw_be16(tcp + 12) & 0x0fff;
	row->window = hw_be16(tcp + 14);
	row->payload_length = length - header;
	p->headers = at + header;
	row->has = has | HW_HAS_ports | HW_HAS_tcp | HW_HAS_payload;
	return HW_NEXT_nothing;
}

HW_INLINE int hw_plain_udp(struct hw_parser *p, const __u8 *udp, __u32 at, __u32 length, __u32 has)
{
	struct hw_packet *row = &p->row;

	if (hw_be16(udp + 4) != length && row->segments == 1)
		hw_weird(p, HW_WEIRD_UDP_datagram_length_mismatch);
	row->sport = hw_be16(udp);
	row->dport = hw_be16(udp + 2);
	row->payload_length = length - 8;
	p->headers = at + 8;
	row->has = has | HW_HAS_ports | HW_HAS_payload;
	return hw_in_datagram(p, at, hw_be16(udp + 4), at + length);
}

/* A plain packet at p->at. Returns what follows what was read: Ethernet, if it is not plain, and nothing was. */
HW_INLINE int hw_parse_plain(struct hw_parser *p)
{
	struct hw_packet *row;
	const __u8 *eth, *ip;
	__u32 at, stated, has;

	row = &p->row;
	at = p->at;
	eth = hw_look(p, at, 54);
	if (!eth)
		return HW_NEXT_ethernet;
	ip = eth + 14;
	has = row->has | HW_HAS_l2 | HW_HAS_ethertype | HW_HAS_addr | HW_HAS_ip;
	if (HW_LOAD(__u16, eth + 12) == __builtin_bswap16(0x0800)) {
		stated = hw_be16(ip + 2);
		if (ip[0] != 0x45 || HW_LOAD(__u16, ip + 6) & __builtin_bswap16(0x3fff) || stated < 40 || at + 14 + stated > p->limit ||
		    (ip[9] != 6 && ip[9] != 17))
			return HW_NEXT_ethernet;
		has |= HW_HAS_ipv4 | HW_HAS_fragment;
		hw_ipv4_fields(row, ip);
		row->ip_id = hw_be16(ip + 4);
		ip += 20;
		at += 34;
		row->ip_length = stated;
		stated -= 20;
	} else if (HW_LOAD(__u16, eth + 12) == __builtin_bswap16(0x86dd)) {
		stated = hw_be16(ip + 4);
		eth = hw_look(p, at, 74);
		if (!eth || ip[0] >> 4 != 6 || stated < 20 || at + 54 + stated > p->limit || (ip[6] != 6 && ip[6] != 17))
			return HW_NEXT_ethernet;
		ip = eth + 14;
		has |= HW_HAS_ipv6;
		hw_ipv6_fields(row, ip);
		ip += 40;
		at += 54;
		row->ip_length = stated + 40;
	} else {
		return HW_NEXT_ethernet;
	}
	if (has & HW_PACKET_HAS_l2_apart) { /* the outer frame's tags are not this one's */
		has &= ~(HW_HAS_vlan | HW_HAS_vlan_inner | HW_PACKET_HAS_l2_apart);
		row->vlan = row->vlan_inner = 0;
	}
	row->ethertype = hw_be16(eth + 12);
	HW_STORE(__u64, row->l2_dst, HW_LOAD(__u64, eth));
	HW_STORE(__u32, row->l2_src + 2, HW_LOAD(__u32, eth + 8));
	return row->proto == 6 ? hw_plain_tcp(p, ip, at, stated, has) : hw_plain_udp(p, ip, at, stated, has);
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Tunnels behind IP and UDP: GRE (RFC 2784, 2890, 1701, 2637), ERSPAN (draft-foschiano-erspan), WCCP (draft-mclaggan-wccp-v2rev1), EtherIP
 * (RFC 3378), VXLAN (RFC 7348, draft-ietf-nvo3-vxlan-gpe), Geneve (RFC 8926), GTP-U (3GPP TS 29.281), L2TP (RFC 2661), Teredo (RFC 4380),
 * AYIYA (draft-massar-v6ops-ayiya).
 *
 * A port alone proves nothing: what does not look like the tunnel's header is left as what it is, a UDP datagram.
 */
#ifndef HW_TUNNEL_H
#define HW_TUNNEL_H

#include "link.h"

#define HW_MAX_ROUTES 8		 /* source route entries of GRE */
#define HW_MAX_GTP_EXTENSIONS 50 /* more than the window has room for */

/* Behind the routing field of RFC 1701, whose entries are addresses; 0 if it does not end. */
HW_INLINE __u32 hw_skip_gre_routes(struct hw_parser *p, __u32 at)
{
	const __u8 *entry;
	int i;

	for (i = 0; i < HW_MAX_ROUTES; i++) {
		entry = hw_see(p, at, 4);
		if (!entry)
			return 0;
		at += 4 + entry[3];
		if (!hw_be16(entry) && !entry[3])
			return at;
	}
	return 0;
}

/* What GRE's type says that follows. */
HW_INLINE int hw_next_of_gre(struct hw_parser *p, __u16 type)
{
	const __u8 *ip;

	if ((type & 0xfe0f) == 0x8200) /* Aruba's access points */
		return HW_NEXT_wlan;
	switch (type) {
	case 0x6558:
		return HW_NEXT_frame;
	case 0x88be:
	case 0x22eb:
		return HW_NEXT_erspan;
	case 0x883e: /* WCCP puts four octets before the packet, or none */
		ip = hw_look(p, p->at, 1);
		if (ip && ip[0] >> 4 != 4)
			p->at += 4;
		return HW_NEXT_ip;
	default:
		return hw_next_of_type(type);
	}
}

HW_STEP int hw_parse_gre(struct hw_parser *p)
{
	const __u8 *gre, *key;
	__u16 flags, type;
	__s64 id = -1;
	__u32 at;
	int next;

	if (!p)
		return HW_NEXT_nothing;
	p->headers = 0;
	gre = hw_look(p, p->at, 4);
	if (!gre)
		return hw_short(p, p->at, 4, HW_WEIRD_truncated_GRE);
	flags = hw_be16(gre);
	type = hw_be16(gre + 2);
	if ((flags & 7) > 1) {
		hw_weird(p, HW_WEIRD_unknown_gre_version);
		return HW_NEXT_nothing;
	}
	at = p->at + 4;
	if (flags & 0xc000) /* checksum, or routing, which has its offset beside it */
		at += 4;
	if (flags & 0x2000) {
		key = hw_look(p, at, 4);
		if (!key)
			return hw_short(p, at, 4, HW_WEIRD_truncated_GRE);
		id = hw_be32(key);
		at += 4;
	}
	if (flags & 0x1000) /* sequence number */
		at += 4;
	if (flags & 1) {
		if (type != 0x880b) {
			hw_weird(p, HW_WEIRD_egre_protocol_type);
			return HW_NEXT_nothing;
		}
		if (flags & 0x0080) /* acknowledgement number */
			at += 4;
		if (at >= p->limit) /* an acknowledgement alone */
			return HW_NEXT_nothing;
		p->at = at;
		next = hw_parse_ppp(p);
		if (!next) {
			hw_weird(p, HW_WEIRD_non_ip_packet_in_encap);
			return HW_NEXT_nothing;
		}
		return hw_enter(p, HW_TUNNEL_pptp, id < 0 ? id : id & 0xffff, next);
	}
	if (flags & 0x4000)
		at = hw_skip_gre_routes(p, at);
	if (!at)
		return hw_short(p, p->end, 1, HW_WEIRD_truncated_GRE);
	p->at = at;
	next = hw_next_of_gre(p, type);
	if (!next)
		return HW_NEXT_nothing;
	if (next == HW_NEXT_erspan)
		return type == 0x88be && !(flags & 0x1000) ? hw_enter(p, HW_TUNNEL_erspan, -1, HW_NEXT_frame) : next;
	return hw_enter(p, HW_TUNNEL_gre, id, next);
}

/* ERSPAN II and III; the first type has no header of its own. */
HW_STEP int hw_parse_erspan(struct hw_parser *p)
{
	const __u8 *erspan;
	int next = HW_NEXT_frame;
	__u32 size = 8;

	if (!p)
		return HW_NEXT_nothing;
	erspan = hw_look(p, p->at, 8);
	if (!erspan)
		return hw_short(p, p->at, 8, HW_WEIRD_truncated_GRE);
	if (erspan[0] >> 4 == 2) {
		erspan = hw_look(p, p->at, 12);
		if (!erspan)
			return hw_short(p, p->at, 12, HW_WEIRD_truncated_GRE);
		size = erspan[11] & 1 ? 20 : 12;
		if (erspan[10] >> 2 & 31) /* the type of frame: Ethernet, or IP */
			next = (erspan[10] >> 2 & 31) == 2 ? HW_NEXT_ip : HW_NEXT_nothing;
	} else if (erspan[0] >> 4 != 1) {
		hw_weird(p, HW_WEIRD_unknown_ERSPAN_version);
		return HW_NEXT_nothing;
	}
	if (!next)
		return HW_NEXT_nothing;
	p->at += size;
	return hw_enter(p, HW_TUNNEL_erspan, hw_be16(erspan + 2) & 0x3ff, next);
}

HW_STEP int hw_parse_etherip(struct hw_parser *p)
{
	const __u8 *etherip;

	if (!p)
		return HW_NEXT_nothing;
	p->headers = 0;
	etherip = hw_see(p, p->at, 2);
	if (!etherip || etherip[0] >> 4 != 3)
		return HW_NEXT_nothing;
	p->at += 2;
	return hw_enter(p, HW_TUNNEL_etherip, -1, HW_NEXT_frame);
}

HW_INLINE int hw_vxlan(struct hw_parser *p)
{
	int next = HW_NEXT_frame;
	const __u8 *vxlan;

	vxlan = hw_see(p, p->at, 8);
	if (!vxlan || !(vxlan[0] & 8)) /* without a valid VNI */
		return HW_NEXT_nothing;
	if (p->row.dport == 4790 && (vxlan[0] & 4 || vxlan[3])) /* not all who write what follows also set the bit for it */
		next = hw_next_of_nsh(vxlan[3]);
	if (!next)
		return HW_NEXT_nothing;
	p->at += 8;
	if (p->at >= p->limit) {
		hw_weird(p, HW_WEIRD_vxlan_empty_packet);
		return HW_NEXT_nothing;
	}
	return hw_enter(p, HW_TUNNEL_vxlan, hw_be32(vxlan + 4) >> 8, next);
}

HW_STEP int hw_parse_vxlan(struct hw_parser *p)
{
	return p ? hw_vxlan(p) : HW_NEXT_nothing;
}

HW_STEP int hw_parse_geneve(struct hw_parser *p)
{
	const __u8 *geneve;
	__u16 type;
	int next;

	if (!p)
		return HW_NEXT_nothing;
	geneve = hw_see(p, p->at, 8);
	if (!geneve)
		return HW_NEXT_nothing;
	if (geneve[0] >> 6) {
		hw_weird(p, HW_WEIRD_geneve_invalid_version);
		return HW_NEXT_nothing;
	}
	type = hw_be16(geneve + 2);
	next = type == 0x6558 ? HW_NEXT_frame : hw_next_of_type(type);
	if (!next)
		return HW_NEXT_nothing;
	p->at += 8 + (geneve[0] & 63) * 4;
	if (p->at >= p->limit) {
		hw_weird(p, HW_WEIRD_geneve_empty_packet);
		return HW_NEXT_nothing;
	}
	return hw_enter(p, HW_TUNNEL_geneve, hw_be32(geneve + 4) >> 8, next);
}

/* GTP-U carries IP where its first four bits say so; else it may be Ethernet or PPP, and only the peers know. */
HW_STEP int hw_parse_gtp(struct hw_parser *p)
{
	const __u8 *gtp, *extension;
	__u32 at, size;
	__u8 type;
	int i;

	if (!p)
		return HW_NEXT_nothing;
	gtp = hw_see(p, p->at, 8);
	if (!gtp || gtp[0] >> 4 != 3 || gtp[1] != 0xff) /* version 1 without prime, a user's packet */
		return HW_NEXT_nothing;
	at = p->at + 8;
	if (gtp[0] & 7) {
		extension = hw_see(p, at, 4);
		if (!extension)
			return HW_NEXT_nothing;
		type = gtp[0] & 4 ? extension[3] : 0;
		at += 4;
		for (i = 0; type && i < HW_MAX_GTP_EXTENSIONS; i++) {
			extension = hw_see(p, at, 4);
			if (!extension || !extension[0])
				return HW_NEXT_nothing;
			size = extension[0] * 4;
			extension = hw_see(p, at + size - 1, 1);
			if (!extension)
				return HW_NEXT_nothing;
			type = extension[0];
			at += size;
		}
		if (type)
			return HW_NEXT_nothing;
	}
	p->at = at;
	if (!hw_is_ip(p))
		return HW_NEXT_nothing;
	return hw_enter(p, HW_TUNNEL_gtp, hw_be32(gtp + 4), HW_NEXT_ip);
}

/* L2TP version 2, of which only data messages carry something: PPP. */
HW_STEP int hw_parse_l2tp(struct hw_parser *p)
{
	const __u8 *l2tp, *offset;
	__u16 flags;
	__u32 at;
	int next;

	if (!p)
		return HW_NEXT_nothing;
	l2tp = hw_see(p, p->at, 6);
	if (!l2tp)
		return HW_NEXT_nothing;
	flags = hw_be16(l2tp);
	if (flags & 0x8000 || (flags & 15) != 2)
		return HW_NEXT_nothing;
	at = p->at + (flags & 0x4000 ? 4 : 2); /* behind the length */
	l2tp = hw_see(p, at, 4);
	if (!l2tp)
		return HW_NEXT_nothing;
	at += flags & 0x0800 ? 8 : 4; /* sequence numbers */
	if (flags & 0x0200) {
		offset = hw_see(p, at, 2);
		if (!offset)
			return HW_NEXT_nothing;
		at += 2 + hw_be16(offset);
	}
	p->at = at;
	next = hw_parse_ppp(p);
	return next ? hw_enter(p, HW_TUNNEL_l2tp, hw_be32(l2tp), next) : HW_NEXT_nothing;
}

/* Teredo: IPv6 behind an authentication and an origin header, which may both be missing. */
HW_STEP int hw_parse_teredo(struct hw_parser *p)
{
	const __u8 *teredo;

	if (!p)
		return HW_NEXT_nothing;
	teredo = hw_see(p, p->at, 4);
	if (teredo && teredo[0] == 0 && teredo[1] == 1) {
		p->at += 13 + teredo[2] + teredo[3];
		teredo = hw_see(p, p->at, 4);
	}
	if (teredo && teredo[0] == 0 && teredo[1] == 0)
		p->at += 8;
	teredo = hw_see(p, p->at, 6);
	if (!teredo || teredo[0] >> 4 != 6 || p->at + 40 + hw_be16(teredo + 4) > p->limit || !hw_see(p, p->at, 40))
		return HW_NEXT_nothing;
	return hw_enter(p, HW_TUNNEL_teredo, -1, HW_NEXT_ip);
}

HW_STEP int hw_parse_ayiya(struct hw_parser *p)
{
	const __u8 *ayiya;

	if (!p)
		return HW_NEXT_nothing;
	ayiya = hw_see(p, p->at, 8);
	if (!ayiya || (ayiya[2] & 15) != 1 || (ayiya[3] != 4 && ayiya[3] != 41)) /* to be forwarded, and IP */
		return HW_NEXT_nothing;
	p->at += 8 + (1u << (ayiya[0] >> 4)) + (ayiya[1] >> 4) * 4;
	if (p->at == p->limit)
		hw_weird(p, HW_WEIRD_ayiya_empty_packet);
	if (!hw_is_ip(p))
		return HW_NEXT_nothing;
	return hw_enter(p, HW_TUNNEL_ayiya, -1, HW_NEXT_ip);
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Link layers that hosts and mirror ports see: Ethernet with its tags (IEEE 802.3, 802.1Q, 802.1BR's VN-Tag, Cisco FabricPath), LLC and SNAP
 * (IEEE 802.2, RFC 1042, 948), ARP (RFC 826), MPLS (RFC 3032, 4385), PPPoE (RFC 2516), PPP (RFC 1661, 1662), MAC in MAC (IEEE 802.1ah),
 * NSH (RFC 8300), and IEEE 802.11, which access points send on in GRE.
 */
#ifndef HW_LINK_H
#define HW_LINK_H

#include "parser.h"

#define HW_MAX_TAGS 4
#define HW_MAX_LABELS 64 /* as many as the window has room for */

enum { HW_TYPE_VNTAG = 0x8926, HW_TYPE_FABRICPATH = 0x8903 };

/* What an Ethernet type says that follows. */
HW_INLINE int hw_next_of_type(__u16 ethertype)
{
	switch (ethertype) {
	case 0x0800:
	case 0x86dd:
		return HW_NEXT_ip;
	case 0x0806:
	case 0x8035: /* the reverse (RFC 903) has the same header */
		return HW_NEXT_arp;
	case 0x8847:
	case 0x8848:
		return HW_NEXT_mpls;
	case 0x8863:
	case 0x8864:
		return HW_NEXT_pppoe;
	case 0x880b:
		return HW_NEXT_ppp;
	case 0x88e7:
		return HW_NEXT_pbb;
	case 0x894f:
		return HW_NEXT_nsh;
	default:
		return HW_NEXT_nothing;
	}
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

HW_INLINE int hw_is_tag(__u16 ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100 || ethertype == HW_TYPE_VNTAG;
}

/* One tag: the id, then the type of what follows. Returns 1 if there may be another. */
HW_STEP int hw_parse_tag(struct hw_parser *p)
{
	const __u8 *tag;

	if (!p)
		return 0;
	if (p->row.ethertype == HW_TYPE_VNTAG) {
		tag = hw_look(p, p->at, 6);
		if (!tag)
			return hw_short(p, p->at, 6, HW_WEIRD_truncated_vntag_header);
		p->row.ethertype = hw_be16(tag + 4);
		p->at += 6;
		return 1;
	}
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

/* What row.ethertype says that is at p->at: tags, and a type behind them, or a length and LLC. */
HW_INLINE int hw_parse_type(struct hw_parser *p)
{
	__u32 length, start = p->at;
	int tags;

	p->row.has |= HW_HAS_ethertype;
	for (tags = 0; tags < HW_MAX_TAGS && hw_is_tag(p->row.ethertype); tags++)
		if (!hw_parse_tag(p))
			return HW_NEXT_nothing;
	length = p->row.ethertype;
	if (length >= 1536)
		return hw_next_of_type(p->row.ethertype);
	p->row.has &= ~HW_HAS_ethertype;
	p->row.ethertype = 0;
	if (length > 1500) {
		hw_weird(p, p->at == start ? HW_WEIRD_undefined_ether_type : HW_WEIRD_undefined_vlan_protocol);
		return HW_NEXT_nothing;
	}
	if (p->at + length > p->limit)
		hw_weird(p, HW_WEIRD_truncated_ethernet_frame);
	hw_trim(p, p->at + length);
	return HW_NEXT_llc;
}

/* A frame of its own: an outer frame's tags are not this one's, if IP lies between. */
HW_INLINE void hw_forget_tags(struct hw_parser *p)
{
	if (!(p->row.has & HW_PACKET_HAS_l2_apart))
		return;
	p->row.has &= ~(HW_HAS_vlan | HW_HAS_vlan_inner | HW_PACKET_HAS_l2_apart);
	p->row.vlan = p->row.vlan_inner = 0;
}

/* Ethernet and its tags. */
HW_STEP int hw_parse_ethernet(struct hw_parser *p)
{
	const __u8 *eth;

	if (!p)
		return HW_NEXT_nothing;
	eth = hw_look(p, p->at, 14);
	if (eth && hw_be16(eth + 12) == HW_TYPE_FABRICPATH) {
		p->at += 16;
		eth = hw_look(p, p->at, 14);
	}
	if (!eth)
		return hw_short(p, p->at, 14, HW_WEIRD_truncated_ethernet_frame);
	hw_forget_tags(p);
	HW_STORE(__u64, p->row.l2_dst, HW_LOAD(__u64, eth)); /* both, in the order of the wire */
	HW_STORE(__u32, p->row.l2_src + 2, HW_LOAD(__u32, eth + 8));
	p->row.ethertype = hw_be16(eth + 12);
	p->row.has |= HW_HAS_l2;
	p->at += 14;
	return hw_parse_type(p);
}

HW_STEP int hw_parse_llc(struct hw_parser *p)
{
	const __u8 *llc;
	__u16 type;

	if (!p)
		return HW_NEXT_nothing;
	llc = hw_look(p, p->at, 3);
	if (!llc)
		return hw_short(p, p->at, 3, HW_WEIRD_truncated_llc_header);
	if (llc[0] == 0x06 && llc[2] == 3) { /* IP without SNAP */
		p->at += 3;
		return HW_NEXT_ip;
	}
	if (llc[0] != 0xaa || llc[1] != 0xaa || llc[2] != 3)
		return HW_NEXT_nothing;
	llc = hw_look(p, p->at, 8);
	if (!llc)
		return hw_short(p, p->at, 8, HW_WEIRD_truncated_llc_header);
	if (llc[3] || llc[4] || (llc[5] && llc[5] != 0xf8)) /* of another organisation than those that use Ethernet's types */
		return HW_NEXT_nothing;
	type = hw_be16(llc + 6);
	if (type < 1536)
		return HW_NEXT_nothing;
	p->row.ethertype = type;
	p->at += 8;
	return hw_parse_type(p);
}

HW_STEP int hw_parse_arp(struct hw_parser *p)
{
	const __u8 *arp;
	__u16 hardware;

	if (!p)
		return HW_NEXT_nothing;
	arp = hw_look(p, p->at, 8);
	if (!arp)
		return hw_short(p, p->at, 8, HW_WEIRD_truncated_ARP);
	hardware = hw_be16(arp);
	if (hardware != 1 && hardware != 6) {
		hw_weird(p, HW_WEIRD_unknown_arp_hw_address);
		return HW_NEXT_nothing;
	}
	if (hw_be16(arp + 2) != 0x0800) {
		hw_weird(p, HW_WEIRD_unknown_arp_proto_address);
		return HW_NEXT_nothing;
	}
	if (arp[4] != 6 || arp[5] != 4) {
		hw_weird(p, HW_WEIRD_corrupt_arp_header);
		return HW_NEXT_nothing;
	}
	arp = hw_look(p, p->at, 28);
	if (!arp)
		return hw_short(p, p->at, 28, HW_WEIRD_truncated_ARP);
	hw_map_ipv4(p->row.src, arp + 14);
	hw_map_ipv4(p->row.dst, arp + 24);
	p->row.arp_operation = hw_be16(arp + 6);
	hw_neighbor(p, p->row.src, arp + 8);
	p->row.has |= HW_HAS_addr;
	return HW_NEXT_nothing;
}

/* Ethernet behind labels (RFC 4448). Nothing says whether a control word is before it: there is none where a type stands in its place. */
HW_STEP int hw_parse_pseudowire(struct hw_parser *p)
{
	const __u8 *start;
	__u16 type;

	if (!p)
		return HW_NEXT_nothing;
	start = hw_see(p, p->at, 14);
	if (!start)
		return HW_NEXT_nothing;
	type = hw_be16(start + 12);
	if (!hw_is_tag(type) && !hw_next_of_type(type)) {
		if (start[0] >> 4 || start[1])
			return HW_NEXT_nothing;
		p->at += 4;
	}
	return hw_enter(p, HW_TUNNEL_eompls, -1, HW_NEXT_frame);
}

/* A stack of labels. No label says what it carries: the first four bits do (RFC 4928), and where they are not IP's it is a pseudowire. */
HW_STEP int hw_parse_mpls(struct hw_parser *p)
{
	const __u8 *label;
	int i;

	if (!p)
		return HW_NEXT_nothing;
	for (i = 0; i < HW_MAX_LABELS; i++) {
		label = hw_look(p, p->at, 4);
		if (!label)
			return hw_short(p, p->at, 4, HW_WEIRD_truncated_link_header);
		if (!(p->row.has & HW_HAS_mpls)) {
			p->row.mpls_label = hw_be32(label) >> 12;
			p->row.has |= HW_HAS_mpls;
		}
		p->at += 4;
		if (label[2] & 1)
			break;
	}
	if (hw_is_ip(p))
		return HW_NEXT_ip;
	return hw_parse_pseudowire(p);
}

/* What PPP says that follows; p->at is moved there. Its two fields may be compressed (RFC 1661, 6.5 and 6.6). */
HW_STEP int hw_parse_ppp(struct hw_parser *p)
{
	const __u8 *ppp;
	__u16 protocol;

	if (!p)
		return HW_NEXT_nothing;
	ppp = hw_look(p, p->at, 2);
	if (ppp && ppp[0] == 0xff && ppp[1] == 3) {
		p->at += 2;
		ppp = hw_look(p, p->at, 2);
	}
	if (!ppp)
		return hw_short(p, p->at, 2, HW_WEIRD_truncated_link_header);
	protocol = ppp[0] & 1 ? ppp[0] : hw_be16(ppp);
	p->at += ppp[0] & 1 ? 1 : 2;
	switch (protocol) {
	case 0x0021:
	case 0x0057:
		return HW_NEXT_ip;
	case 0x0281:
	case 0x0283:
		return HW_NEXT_mpls;
	default:
		return HW_NEXT_nothing;
	}
}

HW_STEP int hw_parse_pppoe(struct hw_parser *p)
{
	const __u8 *pppoe;

	if (!p)
		return HW_NEXT_nothing;
	pppoe = hw_look(p, p->at, 6);
	if (!pppoe)
		return hw_short(p, p->at, 6, HW_WEIRD_truncated_pppoe_header);
	p->row.pppoe_session = hw_be16(pppoe + 2);
	p->row.has |= HW_HAS_pppoe;
	p->at += 6;
	hw_trim(p, p->at + hw_be16(pppoe + 4));
	return pppoe[1] ? HW_NEXT_nothing : HW_NEXT_ppp; /* a code: discovery */
}

HW_STEP int hw_parse_pbb(struct hw_parser *p)
{
	const __u8 *tag;

	if (!p)
		return HW_NEXT_nothing;
	tag = hw_look(p, p->at, 4);
	if (!tag)
		return hw_short(p, p->at, 4, HW_WEIRD_truncated_pbb_header);
	p->at += 4;
	return hw_enter(p, HW_TUNNEL_pbb, hw_be32(tag) & 0xffffff, HW_NEXT_frame);
}

/* The addresses of a link layer that has them in another order than Ethernet. */
HW_INLINE void hw_set_l2(struct hw_parser *p, const __u8 *dst, const __u8 *src)
{
	HW_STORE(__u32, p->row.l2_dst, HW_LOAD(__u32, dst));
	HW_STORE(__u16, p->row.l2_dst + 4, HW_LOAD(__u16, dst + 4));
	HW_STORE(__u32, p->row.l2_src, HW_LOAD(__u32, src));
	HW_STORE(__u16, p->row.l2_src + 4, HW_LOAD(__u16, src + 4));
	p->row.has |= HW_HAS_l2;
	hw_forget_tags(p);
}

/*
 * IEEE 802.11 at p->at: data frames that are not encrypted. Of an A-MSDU the first subframe is read, and whoever has the whole frame may
 * read the others in its place. What radios add to captures may say that a header is padded to 32 bits.
 */
HW_INLINE int hw_wlan(struct hw_parser *p, int padded)
{
	const __u8 *header = hw_look(p, p->at, 2), *rest;
	__u32 size = 24, qos = 0;

	if (header && ((header[0] >> 2 & 3) != 2 || header[0] & 3)) /* another type of frame, which may be shorter; another version */
		return HW_NEXT_nothing;
	header = hw_look(p, p->at, 24);
	if (!header)
		return hw_short(p, p->at, 24, HW_WEIRD_truncated_802_11_header);
	if ((header[1] & 3) == 3)
		size += 6;
	if (header[0] & 0x80) { /* quality of service */
		rest = hw_look(p, p->at + size, 2);
		if (!rest)
			return hw_short(p, p->at + size, 2, HW_WEIRD_truncated_802_11_header);
		qos = rest[0];
		size += header[1] & 0x80 ? 6 : 2; /* and high throughput control */
	}
	switch (header[1] & 3) { /* to and from a distribution system */
	case 0:
		hw_set_l2(p, header + 4, header + 10);
		break;
	case 1:
		hw_set_l2(p, header + 16, header + 10);
		break;
	case 2:
		hw_set_l2(p, header + 4, header + 16);
		break;
	default:
		rest = hw_see(p, p->at, 30);
		if (rest)
			hw_set_l2(p, header + 16, rest + 24);
	}
	if (header[0] & 0x40 || header[1] & 0x40 || header[22] & 15) /* without data, encrypted, a later fragment */
		return HW_NEXT_nothing;
	p->at += padded ? (size + 3) & ~3u : size;
	if (qos & 0x80) {
		rest = hw_look(p, p->at, 14);
		if (!rest)
			return hw_short(p, p->at, 14, HW_WEIRD_truncated_802_11_amsdu_header);
		hw_set_l2(p, rest, rest + 6);
		p->subframe = p->at;
		p->subframes = p->limit;
		p->at += 14;
		hw_trim(p, p->at + hw_be16(rest + 12));
	}
	return HW_NEXT_llc;
}

/* What a wireless access point sends on to its controller. */
HW_STEP int hw_parse_wlan(struct hw_parser *p)
{
	return p ? hw_wlan(p, 0) : HW_NEXT_nothing;
}

/* What NSH and VXLAN's generic extension say that follows. */
HW_INLINE int hw_next_of_nsh(__u8 protocol)
{
	switch (protocol) {
	case 1:
	case 2:
		return HW_NEXT_ip;
	case 3:
		return HW_NEXT_frame;
	case 4:
		return HW_NEXT_nsh;
	case 5:
		return HW_NEXT_mpls;
	default:
		return HW_NEXT_nothing;
	}
}

HW_STEP int hw_parse_nsh(struct hw_parser *p)
{
	const __u8 *nsh;
	__u32 size;
	int next;

	if (!p)
		return HW_NEXT_nothing;
	nsh = hw_look(p, p->at, 8);
	if (!nsh)
		return hw_short(p, p->at, 8, HW_WEIRD_truncated_link_header);
	size = (nsh[1] & 63) * 4;
	next = hw_next_of_nsh(nsh[3]);
	if (nsh[0] >> 6 || size < 8 || !next)
		return HW_NEXT_nothing;
	p->at += size;
	return hw_enter(p, HW_TUNNEL_nsh, hw_be32(nsh + 4) >> 8, next);
}

#endif

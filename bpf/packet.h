/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The header parser: one text, compiled by clang for the kernel and by the C compiler for captures (docs/adr/0001).
 *
 * Whoever includes it copies the first octets of a frame into `window`, calls hw_begin(), fills in what only it knows (time, interface,
 * hook, direction, lengths, segments, a VLAN tag that was taken out) and calls hw_parse(). The parser uses no helper and no global, reads
 * the window alone, and checks each read.
 *
 * A new encapsulation is a step in link.h or tunnel.h, a line in enum hw_next, and a line in hw_step().
 */
#ifndef HW_PACKET_H
#define HW_PACKET_H

#include "link.h"
#include "network.h"
#include "parser.h"
#include "plain.h"
#include "transport.h"
#include "tunnel.h"

#ifdef HW_STEPS_ALONE
#define HW_FRAME(p) HW_NEXT_ethernet
#else
#define HW_FRAME(p) hw_parse_plain(p)
#endif
#define HW_MAX_STEPS 40 /* more than four tunnels take */

/* What a device's or a capture's frames begin with. */
enum hw_start { HW_START_ethernet = HW_NEXT_frame, HW_START_ip = HW_NEXT_ip };

/* A frame within a frame. The first one's is not a step: a call costs 7 ns where the processor must be kept from guessing returns. */
HW_STEP int hw_parse_frame(struct hw_parser *p)
{
	return p ? HW_FRAME(p) : HW_NEXT_nothing;
}

HW_INLINE int hw_step(struct hw_parser *p, int next)
{
	switch (next) {
	case HW_NEXT_frame:
		return hw_parse_frame(p);
	case HW_NEXT_ethernet:
		return hw_parse_ethernet(p);
	case HW_NEXT_ip:
		return hw_parse_ip(p);
	case HW_NEXT_tcp:
		return hw_parse_tcp(p);
	case HW_NEXT_udp:
		return hw_parse_udp(p);
	case HW_NEXT_icmp:
		return hw_parse_icmp(p);
	case HW_NEXT_arp:
		return hw_parse_arp(p);
	case HW_NEXT_llc:
		return hw_parse_llc(p);
	case HW_NEXT_mpls:
		return hw_parse_mpls(p);
	case HW_NEXT_pppoe:
		return hw_parse_pppoe(p);
	case HW_NEXT_ppp:
		return hw_parse_ppp(p);
	case HW_NEXT_igmp:
		return hw_parse_igmp(p);
	case HW_NEXT_sctp:
		return hw_parse_sctp(p);
	case HW_NEXT_esp:
		return hw_parse_esp(p);
	case HW_NEXT_etherip:
		return hw_parse_etherip(p);
	case HW_NEXT_gre:
		return hw_parse_gre(p);
	case HW_NEXT_erspan:
		return hw_parse_erspan(p);
	case HW_NEXT_vxlan:
		return hw_parse_vxlan(p);
	case HW_NEXT_geneve:
		return hw_parse_geneve(p);
	case HW_NEXT_gtp:
		return hw_parse_gtp(p);
	case HW_NEXT_l2tp:
		return hw_parse_l2tp(p);
	case HW_NEXT_teredo:
		return hw_parse_teredo(p);
	case HW_NEXT_ayiya:
		return hw_parse_ayiya(p);
	case HW_NEXT_nsh:
		return hw_parse_nsh(p);
	case HW_NEXT_pbb:
		return hw_parse_pbb(p);
	case HW_NEXT_wlan:
		return hw_parse_wlan(p);
	default:
		return HW_NEXT_nothing;
	}
}

/* Where the frame ends. */
HW_INLINE void hw_frame(struct hw_parser *p)
{
	p->end = p->row.captured;
	p->stop = p->have < p->end ? p->have : p->end;
	p->limit = p->row.length;
	p->cut = 0;
}

/* Step by step, from `next` at p->at on. */
HW_INLINE void hw_walk(struct hw_parser *p, int next)
{
	int i;

	if (next == HW_NEXT_frame)
		next = HW_FRAME(p);
	if (next == HW_NEXT_vxlan) {
		next = hw_vxlan(p);
		if (next == HW_NEXT_frame)
			next = HW_FRAME(p);
	}
	for (i = 0; next && i < HW_MAX_STEPS; i++)
		next = hw_step(p, next);
}

/* Fill p->row from p->window. Whatever the octets are, this ends, and the row holds what was read. */
HW_INLINE void hw_parse(struct hw_parser *p, enum hw_start start)
{
	hw_frame(p);
	hw_walk(p, start);
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The packet filter: data that a program walks, so that no program is made while it runs, and a filter can be changed at any time.
 *
 * A filter is a list of terms (struct hw_term in records.h), made by headwater.filters. Each says when to leave the list for a term further on, or
 * for a verdict; else the next one follows. What most terms and packets need is in one short loop; the rest
 * (a second tuple, the first octets of an IPv6 address) is looked at where the loop finds that it matters.
 */
#ifndef HW_FILTER_H
#define HW_FILTER_H

#include "parser.h"

/* Layers in which a packet has more than one tuple or tag. */
#define HW_HAS_OTHERS (HW_HAS_outer | HW_HAS_quoted | HW_HAS_vlan_inner)

/* The last 8 octets, or a number. */
HW_INLINE int hw_within(const struct hw_parser *p, const struct hw_term *term, __u8 at)
{
	const __u8 *octets = (const __u8 *)&p->row + at; /* behind the row lies the window */

	return (HW_LOAD(__u64, octets) & term->mask[0]) - term->value[0] <= term->span;
}

/* All 16 octets of an address. */
HW_INLINE int hw_under(const struct hw_parser *p, const struct hw_term *term, __u8 at)
{
	const __u8 *octets = (const __u8 *)&p->row + at; /* before the row lies the rest of the parser */

	return at && hw_within(p, term, at) && (HW_LOAD(__u64, octets - 8) & term->mask[1]) == term->value[1];
}

HW_STEP int hw_term_is_under(const struct hw_parser *p, const struct hw_term *term)
{
	return p && term && (hw_under(p, term, term->at) || hw_under(p, term, term->pair));
}

/* The outer tuple, the quoted one, or the inner tag. `others_proto` is that of the tuple. */
HW_STEP int hw_term_holds_elsewhere(const struct hw_parser *p, const struct hw_term *term)
{
	__u8 at, pair, proto;
	int i;

	if (!p || !term)
		return 0;
	for (i = 0; i < 2; i++) {
		if (!term->others_need[i] || (p->row.has & term->others_need[i]) != term->others_need[i])
			continue;
		proto = term->others_need[i] & HW_HAS_outer_ports ? p->row.outer_proto : p->row.quoted_proto;
		if (term->others_proto && proto != term->others_proto)
			continue;
		at = term->others_at[i];
		pair = term->pair ? at + (term->pair - term->at) : 0;
		if (hw_under(p, term, at) || hw_under(p, term, pair))
			return 1;
	}
	return 0;
}

/* Whether it may hold there: the last 8 octets do. Most do not, which saves the call. */
HW_INLINE int hw_term_may_hold_elsewhere(const struct hw_parser *p, const struct hw_term *term)
{
	__u8 between = term->pair ? term->pair - term->at : 0;
	int i;

	for (i = 0; i < 2; i++) {
		if (p->row.has & term->others_need[i] &&
		    (hw_within(p, term, term->others_at[i]) || hw_within(p, term, term->others_at[i] + between)))
			return 1;
	}
	return 0;
}

/* What the terms' needs are compared with: layers, and the protocol's last five bits, which no two that have those layers share. */
HW_INLINE __u64 hw_facts(const struct hw_parser *p)
{
	return p->row.has | 1ull << (32 + (p->row.proto & 31));
}

/* Whether the row passes. */
HW_INLINE int hw_filter_keeps(const struct hw_parser *p, const struct hw_filter *filter)
{
	const struct hw_term *term;
	__u64 at, facts;
	int i, holds;

	at = filter->first;
	facts = hw_facts(p);
	for (i = 0; i <= HW_MAX_TERMS; i++) {
		HW_OPAQUE(at);
		term = &filter->terms[at & (HW_TERMS - 1)];
		HW_OPAQUE(term);
		holds = (facts & term->needs) == term->needs &&
			(hw_within(p, term, term->at) || (term->pair && hw_within(p, term, term->pair)));
		if (holds && term->wide)
			holds = hw_term_is_under(p, term);
		if (!holds && facts & HW_HAS_OTHERS && hw_term_may_hold_elsewhere(p, term))
			holds = hw_term_holds_elsewhere(p, term);
		if (holds == term->leaves_if) {
			at = term->to;
			if (at >= HW_TERMS)
				return at == HW_FILTER_KEEP;
		} else {
			/* not a value that the term tells: the processor runs ahead to the next one */
			at = (at + 1) & (HW_TERMS - 1);
		}
	}
	return 0;
}

/* The same where a packet seldom comes. A step, for the verifier to walk it once. */
HW_STEP int hw_filter_holds(const struct hw_parser *p, const struct hw_filter *filter)
{
	return p && filter && hw_filter_keeps(p, filter);
}

#endif

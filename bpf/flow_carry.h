/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a packet of a flow carries goes to user space, as far as it is wanted. A program of its own, behind the one that has given the packet to its flow. */
#ifndef HW_FLOW_CARRY_H
#define HW_FLOW_CARRY_H

#include "tap.h"

/* By the number of the flow's entry. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_wants);
} hw_flow_wants SEC(".maps");

/* One for all CPUs, so that a flow's packets come in their order: what answers one is sent after it was seen. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} hw_carried_ring SEC(".maps");

/* Ports behind which there is nothing but messages: there is no waiting until somebody has seen that. */
HW_INLINE int hw_is_of_messages(__u32 port)
{
	return port == 53 || port == 67 || port == 68 || port == 123 || port == 137 || port == 5353 || port == 5355;
}

/*
 * So many octets are wanted from the begin of this packet on, whatever was wanted before: it begins as the head of a request or answer of HTTP
 * does, or the handshake of TLS, which may go on for some packets. By when user space would have asked they are past. 0: nothing is known.
 * Apart, so that where it looks stays in a register: kernels before 6.8 forget what was checked of a number that lies on the stack.
 */
HW_STEP __u32 hw_begins_message(const struct hw_parser *p)
{
	const __u8 *octets;

	if (!p || !p->headers)
		return 0;
	octets = hw_look(p, p->headers, 8);
	if (!octets)
		return 0;
	switch (hw_be32(octets)) {
	case 0x48545450: /* "HTTP" */
	case 0x47455420: /* "GET " */
	case 0x504f5354: /* "POST" */
	case 0x50555420: /* "PUT " */
	case 0x48454144: /* "HEAD" */
	case 0x44454c45: /* "DELE" */
	case 0x4f505449: /* "OPTI" */
	case 0x50415443: /* "PATC" */
	case 0x434f4e4e: /* "CONN" */
	case 0x50524f50: /* "PROP" */
		return hw_control.flows.budget;
	}
	if (octets[0] == 22 && octets[1] == 3 && octets[5] <= 2) /* a record with a hello: RFC 8446, 5.1 and 4 */
		return 4 * hw_control.flows.budget;
	return 0;
}

/* What is wanted of a flow that begins. */
HW_INLINE void hw_wants_begin(struct hw_wants *wants, const struct hw_flow_way *at)
{
	__u32 most = hw_control.flows.budget, i;

	if (hw_is_of_messages(at->key.port[0]) || hw_is_of_messages(at->key.port[1]))
		most = HW_WANT_ALL;
	for (i = 0; i < 2; i++) {
		wants->sides[i].from = 1;
		wants->sides[i].to = 1 + most;
		wants->sides[i].passed = 1;
	}
	wants->first = at->first;
}

/*
 * What user space is told of the packet, but for the octets. Returns from which of its octets on they are wanted, and -1 if nothing is to be
 * told.
 */
HW_STEP int hw_carry_judge(const struct hw_parser *p, struct hw_flow_way *at, struct hw_carried *head)
{
	__u32 length, from, to, all, skip = 0, given = 0, place, entry, more;
	const struct hw_packet *row;
	struct hw_wants *wants;
	struct hw_want *want;

	if (!p || !at || !head)
		return -1;
	row = &p->row;
	entry = hw_flow_place_of(at);
	wants = bpf_map_lookup_elem(&hw_flow_wants, &entry);
	if (!wants)
		return -1;
	if (wants->first != at->first)
		hw_wants_begin(wants, at);
	length = hw_is_whole(row) ? row->payload_length : 0;
	if (row->proto == HW_PROTO_TCP)
		head->place = at->moment.delivered +
			      (__s32)(row->seq + !!(row->tcp_flags & HW_SYN) - at->moment.first - (__u32)at->moment.delivered);
	else
		head->place = at->moment.bytes - length + 1;
	want = &wants->sides[at->second & 1];
	from = want->from;
	to = want->to;
	all = to - from;
	place = head->place;
	more = row->proto == HW_PROTO_TCP && all && all != HW_WANT_ALL ? hw_begins_message(p) : 0;
	if (more && (__s32)(place + more - to) > 0) {
		if (place - from >= all)
			want->from = from = place;
		want->to = to = place + more;
		all = to - from;
	}
	if (all == HW_WANT_ALL) {
		given = length;
	} else if (row->proto != HW_PROTO_TCP) {
		given = place - from < all ? length : 0;
	} else if (all) {
		if ((__s32)(from - place) > 0)
			skip = from - place;
		if (skip < length && (__s32)(to - place - skip) > 0)
			given = to - place - skip < length - skip ? to - place - skip : length - skip;
	}
	at->totals.carried += length;
	if (all)
		at->totals.beyond += length - given;
	else
		at->totals.unwanted += length;
	if (!given && row->proto == HW_PROTO_TCP) {
		want->passed = at->moment.delivered;
		want->passed_at = row->ts / HW_PASSED_NS;
	}
	if (!given && (!all || row->proto != HW_PROTO_TCP || !(row->tcp_flags & (HW_FIN | HW_RST))))
		return -1;
	head->ts = row->ts;
	head->first = at->first;
	head->again = at->again;
	head->entry = entry;
	head->place += skip;
	head->delivered = at->moment.delivered;
	want = &wants->sides[~at->second & 1];
	head->passed = want->passed;
	head->passed_at = row->ts - (__u64)((__u32)(row->ts / HW_PASSED_NS) - want->passed_at) * HW_PASSED_NS;
	head->key = at->key;
	head->given = given;
	head->ended = at->moment.ended;
	head->unfollowed = at->moment.unfollowed;
	head->second = at->second;
	head->orig = at->orig;
	head->partial = at->moment.partial;
	head->network = at->moment.network;
	head->tcp_flags = row->tcp_flags;
	head->skipped = skip;
	return skip;
}

/* So many octets of the frame into the record. Returns 0 if they are there. `ctx` is a struct __sk_buff or xdp_md. */
HW_INLINE long hw_carry_load(void *ctx, const struct hw_parser *p, struct hw_carried_frame *frame, __u32 offset, __u64 octets, int is_xdp)
{
	if (!p->headers || !octets || octets > HW_CARRIED_MOST)
		return -1;
	octets = (octets - 1) & (HW_CARRIED_MOST - 1); /* to kernels before 6.8, `if (octets)` says nothing of a range */
	HW_OPAQUE(octets);
	octets++;
	return is_xdp ? bpf_xdp_load_bytes(ctx, offset, frame->octets, octets) : bpf_skb_load_bytes(ctx, offset, frame->octets, octets);
}

/* The packet that hw_keep() has given to its flow. */
HW_INLINE void hw_carry_given(void *ctx, struct hw_parser *p, struct hw_flow_way *at, struct hw_carried_frame *frame, __u32 each,
			      int is_xdp)
{
	__u64 given;
	int skip;

	skip = hw_carry_judge(p, at, &frame->head);
	if (skip < 0)
		return;
	frame->head.each = each;
	given = frame->head.given;
	if (given > HW_CARRIED_MOST) {
		at->totals.beyond += given - HW_CARRIED_MOST;
		given = HW_CARRIED_MOST;
		frame->head.given = given;
	}
	if (given && hw_carry_load(ctx, p, frame, p->headers + skip, given, is_xdp)) {
		at->totals.carried_unreadable += given;
		return;
	}
	HW_OPAQUE(given);
	if (given > HW_CARRIED_MOST)
		return;
	if (bpf_ringbuf_output(&hw_carried_ring, &frame->head, sizeof(frame->head) + given, BPF_RB_NO_WAKEUP)) {
		at->totals.carried_lost += given;
		return;
	}
	at->totals.handed += given;
}

/*
 * The packet whose record hw_deferred_begin() has begun. Of one for whose flow there is no room all is handed on, or the record without it; a
 * part of a datagram is judged when that is whole.
 */
HW_INLINE void hw_carry_deferred(void *ctx, struct hw_parser *p, struct hw_flow_way *at, struct hw_carried_frame *frame, int is_xdp)
{
	struct hw_counters *counters = hw_counters_of(p->row.interface);
	__u32 cpu = bpf_get_smp_processor_id(), is_flow = frame->deferred.why == HW_DEFERRED_WHY_flow;
	void *ring = bpf_map_lookup_elem(&hw_deferred_rings, &cpu);
	__u64 octets = p->row.payload_length;
	long unreadable, failed = -1;

	if (!counters || !ring)
		return;
	unreadable = hw_carry_load(ctx, p, frame, p->headers, octets, is_xdp);
	if (!unreadable) {
		HW_OPAQUE(octets);
		if (octets > HW_CARRIED_MOST)
			return;
		failed = bpf_ringbuf_output(ring, &frame->deferred, sizeof(frame->deferred) + octets, BPF_RB_NO_WAKEUP);
	}
	if (is_flow) {
		at->totals.carried += octets;
		at->totals.carried_unreadable += unreadable ? octets : 0;
		at->totals.carried_lost += !unreadable && failed ? octets : 0;
		at->totals.handed += failed ? 0 : octets;
	}
	if (failed && (unreadable || is_flow))
		failed = bpf_ringbuf_output(ring, &frame->deferred, sizeof(frame->deferred), BPF_RB_NO_WAKEUP);
	counters->deferred_rows += !failed;
	counters->undeferred += !!failed;
	hw_count_deferred(counters, !failed);
}

/* What the packet carries that hw_keep() has looked at. */
HW_INLINE void hw_carry(void *ctx, __u32 each, int is_xdp)
{
	__u32 zero = 0, cpu = bpf_get_smp_processor_id();
	struct hw_flow_way *at = bpf_map_lookup_elem(&hw_flow_ways_taken, &zero);
	struct hw_carried_frame *frame = bpf_map_lookup_elem(&hw_carried_frames, &cpu);
	struct hw_parser *p = bpf_map_lookup_elem(&hw_parsers, &zero);

	if (!at || !frame || !p)
		return;
	if (at->awaits)
		hw_carry_deferred(ctx, p, at, frame, is_xdp);
	else
		hw_carry_given(ctx, p, at, frame, each, is_xdp);
}

/*
 * The packet that user space has put together, and what became of it. What it carries is there already, if p->headers tells so, and is only
 * told of. Returns whether a record does.
 */
HW_STEP int hw_carry_late(const struct hw_parser *p, struct hw_flow_way *at, int is_refused, int there)
{
	__u32 place = hw_control.cpus;
	struct hw_carried_frame *frame;
	__u64 octets;

	if (!p || !at || !hw_control.flows.carries || !hw_flow_has_payload(&p->row))
		return 0;
	frame = bpf_map_lookup_elem(&hw_carried_frames, &place);
	if (!frame)
		return 0;
	octets = p->row.payload_length;
	if (is_refused) {
		at->totals.carried += octets;
	} else {
		if (!at->is_given || hw_carry_judge(p, at, &frame->head) < 0)
			return 0;
		octets = frame->head.given;
		there = p->headers && !bpf_ringbuf_output(&hw_carried_ring, &frame->head, sizeof(frame->head), BPF_RB_NO_WAKEUP);
	}
	if (!p->headers) {
		at->totals.carried_unreadable += octets;
		return 0;
	}
	if (!there) {
		at->totals.carried_lost += octets;
		return 0;
	}
	at->totals.handed += octets;
	return octets != 0;
}

#endif

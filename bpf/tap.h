/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What every program of the tap does with a packet: its maps, counters, rates and rows. */
#ifndef HW_TAP_H
#define HW_TAP_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "filter.h"
#include "packet.h"
#include "rate.h"

struct hw_control hw_control;

/* The one in force. */
HW_INLINE const struct hw_filter *hw_filter_of(enum hw_filter_of what)
{
	return &hw_control.filters[what][hw_control.filter >> what & 1];
}

#define HW_BLOCK 32
/* The same number, if it is one to HW_WINDOW, so that kernels before 6.8 see it too: to them `!= 0` says nothing about a range. */
#define HW_ONE_TO_WINDOW(size) ((((size)-1) & (HW_WINDOW - 1)) + 1)

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_parser);
} hw_parsers SEC(".maps");

/*
 * Counters by interface, in the first free place of HW_PROBES from that of its number on: a hash table would take 40 ns a packet. User space
 * takes the place before it attaches. Place 0 is for what has none.
 */
#ifndef HW_PLACES /* a test makes them few */
#define HW_PLACES 1024
#endif
#define HW_PROBES 4
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HW_PLACES);
	__type(key, __u32);
	__type(value, struct hw_counters);
} hw_counts SEC(".maps");

struct hw_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

/* A ring for each possible CPU, set by user space; all records of a ring have one size, so that it reads as an array. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct hw_ring);
} hw_packet_rings SEC(".maps");

/* Likewise, of rows that analyses in user space need and nobody else: see struct hw_deferred. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct hw_ring);
} hw_deferred_rings SEC(".maps");

/* Rates: for each half (hw_control.second) and CPU HW_RATE_SLOTS + 1. User space reads them where they are. */
#define HW_RATE_PROBES 8
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_rate_slot);
} hw_rates SEC(".maps");

/*
 * Where flows are kept in the kernel, the program that has parsed a packet goes on to another one, for that to be verified on its own. One
 * array for each type of program; it is empty where they are not.
 */
struct hw_further {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
};
#define HW_FURTHER_carry 2 /* the first two keep flows */
struct hw_further hw_tc_further SEC(".maps");
struct hw_further hw_xdp_further SEC(".maps");

#ifndef HW_NOW /* a test says what time it is */
#define HW_NOW (bpf_ktime_get_boot_ns() + hw_control.utc_offset)
#endif

HW_INLINE __u64 hw_now(void)
{
	return HW_NOW;
}

HW_INLINE struct hw_counters *hw_counters_of(__u32 ifindex)
{
	struct hw_counters *counters;
	__u32 place, i;

	for (i = 0; i < HW_PROBES; i++) {
		place = 1 + (ifindex + i) % (HW_PLACES - 1);
		counters = bpf_map_lookup_elem(&hw_counts, &place);
		if (counters && counters->ifindex == ifindex)
			return counters;
	}
	place = 0;
	return bpf_map_lookup_elem(&hw_counts, &place);
}

/* Count the packet, whether it becomes a row or not. */
HW_INLINE void hw_count_rate(const struct hw_packet *row)
{
	__u32 cpu = bpf_get_smp_processor_id(), base, place, start, i;
	struct hw_rate_slot *slot;
	__u64 key[2];

	base = ((hw_control.second & 1) * hw_control.cpus + cpu) * (HW_RATE_SLOTS + 1);
	hw_rate_key(row, key);
	start = hw_rate_mix(key);
	for (i = 0; i <= HW_RATE_PROBES; i++) {
		place = base + (i < HW_RATE_PROBES ? (start + i) & (HW_RATE_SLOTS - 1) : HW_RATE_SLOTS);
		slot = bpf_map_lookup_elem(&hw_rates, &place);
		if (!slot)
			return;
		if (i < HW_RATE_PROBES) {
			if (slot->packets && (slot->key[0] != key[0] || slot->key[1] != key[1]))
				continue;
			slot->key[0] = key[0];
			slot->key[1] = key[1];
		}
		slot->packets += row->segments;
		slot->octets += row->length;
		return;
	}
}

/* A row into the ring of this CPU. Returns whether there was room. */
HW_INLINE int hw_put_row(const struct hw_packet *row)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct hw_packet *slot = 0;
	void *ring;

	ring = bpf_map_lookup_elem(&hw_packet_rings, &cpu);
	if (ring)
		slot = bpf_ringbuf_reserve(ring, sizeof(*slot), 0);
	if (!slot)
		return 0;
	*slot = *row;
	bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP); /* the reader polls: a busy line costs no wake-ups */
	return 1;
}

/* The packet becomes a row, behind those of what carries it. Returns whether there was room for all of them. */
HW_INLINE int hw_emit(struct hw_parser *p, struct hw_counters *counters)
{
	__u32 i;

	for (i = 0; i < HW_MAX_TUNNELS && i < p->carrier_count; i++) {
		if (!hw_put_row(&p->carriers[i]))
			return 0;
		counters->carriers++;
	}
	return hw_put_row(&p->row);
}

/* A record for analyses alone, which the caller counts; 0 if there is no room. */
HW_INLINE struct hw_deferred *hw_deferred_new(void)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct hw_deferred *slot = 0;
	void *ring = bpf_map_lookup_elem(&hw_deferred_rings, &cpu);

	if (ring)
		slot = bpf_ringbuf_reserve(ring, sizeof(*slot), 0);
	return slot;
}

/* A row for them. Returns whether there was room. */
HW_STEP int hw_put_deferred(const struct hw_packet *row, struct hw_counters *counters, __u32 why)
{
	struct hw_deferred *slot;

	if (!row || !counters)
		return 0;
	slot = hw_deferred_new();
	if (!slot) {
		counters->undeferred++;
		return 0;
	}
	slot->row = *row;
	slot->why = why;
	counters->deferred_rows++;
	bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP);
	return 1;
}

#include "flow_frame.h"

/* The frame, if user space has to look at it first. Returns whether there was room. */
HW_INLINE int hw_defer_frame(struct hw_parser *p, struct hw_flow_way *at, struct hw_counters *counters)
{
	struct hw_deferred *slot;
	__u32 i;

	for (i = 0; i < HW_MAX_TUNNELS && i < p->carrier_count; i++)
		if (!hw_put_deferred(&p->carriers[i], counters, HW_DEFERRED_WHY_frame))
			return 0;
	slot = hw_deferred_begin(&p->row, at);
	if (slot) {
		slot->row = p->row;
		slot->why = HW_DEFERRED_WHY_frame;
		return 1;
	}
	return hw_put_deferred(&p->row, counters, HW_DEFERRED_WHY_frame);
}

/* User space has to look at the packet; `there`: and can. */
HW_INLINE void hw_count_deferred(struct hw_counters *counters, int there)
{
	if (there)
		counters->deferred++;
	else
		counters->dropped[HW_DROP_deferred__full]++;
}

/* The frame to its flows. Returns 1 if that is what became of the packet, and it is counted. */
HW_INLINE int hw_to_flows(struct hw_parser *p, struct hw_counters *counters)
{
	__u32 zero = 0;
	struct hw_flow_way *at = bpf_map_lookup_elem(&hw_flow_ways_taken, &zero);
	int odd, taken, there = 0;

	if (!at)
		return 0;
	at->is_given = at->is_late = at->awaits = 0;
	if (!hw_control.flows.keeps)
		return 0;
	odd = hw_control.flows.weirds && hw_control.rates_only && (p->row.weird || p->row.has & HW_HAS_neighbor);
	if (odd)
		odd = hw_put_deferred(&p->row, counters, HW_DEFERRED_WHY_weird);
	if (hw_flow_has_fragment(p)) {
		taken = HW_FLOW_FRAGMENT;
		hw_control.flows.pieces = p->row.ts;
	} else {
		taken = hw_flow_frame(p, at, counters, 1, &there);
		if (taken == HW_FLOW_CONTENDED && at->may_wait)
			taken = HW_FLOW_FRAGMENT;
		if (at->unblamed && p->row.ts - hw_control.flows.pieces < HW_SECOND) /* that may be about a datagram that was in pieces */
			hw_put_deferred(&p->row, counters, HW_DEFERRED_WHY_blame);
	}
	switch (taken) {
	case HW_FLOW_TAKEN:
		counters->in_flow++;
		return 1;
	case HW_FLOW_SAMPLED_OUT:
		counters->sampled_out++;
		return 1;
	case HW_FLOW_FRAGMENT:
		there = hw_defer_frame(p, at, counters);
		/* fall through */
	case HW_FLOW_FULL:
	case HW_FLOW_ELSEWHERE:
		if (!at->awaits)
			hw_count_deferred(counters, there);
		return 1;
	case HW_FLOW_CONTENDED:
		counters->dropped[HW_DROP_flows__contended]++;
		return 1;
	case HW_FLOW_DUPLICATE:
		counters->duplicate_hook++;
		return 1;
	case HW_FLOW_UNHEARD:
		counters->dropped[HW_DROP_flows__ring_full]++;
		return 1;
	default:
		counters->deferred += odd;
		return odd;
	}
}

/* Whether the filter keeps the packet; counts it if not. */
HW_INLINE int hw_is_kept(struct hw_parser *p, struct hw_counters *counters)
{
	const struct hw_filter *filter = hw_filter_of(HW_FILTER_OF_packets);

	if (!filter->count || hw_filter_keeps(p, filter))
		return 1;
	counters->filtered++;
	return 0;
}

/* The packet becomes a row, if such are wanted; `counted`: flows have it, and it is one beside that. */
HW_INLINE void hw_to_row(struct hw_parser *p, struct hw_counters *counters, int counted)
{
	__u64 below = hw_control.sample_below;

	if (hw_control.rates_only) {
		counters->counted_only += !counted;
		return;
	}
	if (below && bpf_get_prandom_u32() >= below) {
		counters->sampled_out += !counted;
		return;
	}
	if (hw_emit(p, counters)) {
		counters->as_row += !counted;
		counters->also_rows += counted;
	} else {
		counters->dropped[HW_DROP_ringbuf__full] += !counted;
		counters->also_lost += counted;
	}
}

/* Whether what a packet carries is news for who reads it. */
HW_INLINE int hw_may_carry(const struct hw_packet *row)
{
	__u32 zero = 0;
	const struct hw_flow_way *at = bpf_map_lookup_elem(&hw_flow_ways_taken, &zero);

	if (at && at->awaits)
		return 1;
	if (!at || !hw_control.flows.carries || !at->is_given)
		return 0;
	if (row->proto == HW_PROTO_TCP)
		return row->payload_length || row->tcp_flags & (HW_FIN | HW_RST);
	return row->proto == HW_PROTO_UDP && row->payload_length;
}

/* What a program does that comes behind the one that has parsed. Returns whether what the packet carries is to be looked at. */
HW_INLINE int hw_keep(__u32 ifindex)
{
	const struct hw_filter *filter = hw_filter_of(HW_FILTER_OF_rows);
	struct hw_counters *counters = hw_counters_of(ifindex);
	__u32 zero = 0;
	struct hw_parser *p = bpf_map_lookup_elem(&hw_parsers, &zero);
	int counted;

	if (!p || !counters)
		return 0;
	counted = hw_to_flows(p, counters);
	if (!hw_control.rates_only && filter->count && !hw_filter_holds(p, filter))
		counters->filtered += !counted;
	else
		hw_to_row(p, counters, counted);
	return hw_may_carry(&p->row);
}

HW_INLINE void hw_copy_block(__u8 *to, const void *from)
{
	__u64 *words = (__u64 *)to;
	int i;

	for (i = 0; i < HW_BLOCK / 8; i++)
		words[i] = ((const __u64 *)from)[i]; /* memcpy() would go octet by octet, not knowing how `from` is aligned */
}

/*
 * Copy the first `have` octets of a frame into the window, a block at a time and the last block over what the one before it left, which
 * takes 20 ns less than the helpers do. Returns 0 where they must do it: the frame is in pieces, or shorter than a block.
 */
HW_INLINE int hw_copy(struct hw_parser *p, const void *data, const void *end, __u64 have)
{
	__u64 at;

	if (have < HW_BLOCK || data + have > end)
		return 0;
	for (at = 0; at < HW_WINDOW && data + at + HW_BLOCK <= end; at += HW_BLOCK)
		hw_copy_block(p->window + at, data + at);
	at = have - HW_BLOCK;
	HW_OPAQUE(at);
	if (at > HW_WINDOW - HW_BLOCK)
		return 0;
	data += at;
	if (data + HW_BLOCK > end)
		return 0;
	hw_copy_block(p->window + at, data);
	return 1;
}

#endif

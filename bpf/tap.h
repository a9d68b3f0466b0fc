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

/* Rates: for each half (hw_control.second) and CPU HW_RATE_SLOTS + 1. User space reads them where they are. */
#define HW_RATE_PROBES 8
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_rate_slot);
} hw_rates SEC(".maps");

struct hw_control hw_control;

HW_INLINE __u64 hw_now(void)
{
	return bpf_ktime_get_boot_ns() + hw_control.utc_offset;
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

/* Whether the packet is to be a row; counts what is not. */
HW_INLINE int hw_wanted(struct hw_parser *p, struct hw_counters *counters)
{
	__u64 below = hw_control.sample_below;
	const struct hw_filter *filter = &hw_control.filters[hw_control.filter & 1];

	if (filter->count && !hw_filter_keeps(p, filter)) {
		counters->filtered++;
		return 0;
	}
	if (hw_control.rates_only) {
		counters->counted_only++;
		return 0;
	}
	if (below && bpf_get_prandom_u32() >= below) {
		counters->sampled_out++;
		return 0;
	}
	return 1;
}

/* A row into the ring of this CPU, or a packet lost. Returns whether there was room. */
HW_INLINE int hw_put_row(const struct hw_packet *row, struct hw_counters *counters)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct hw_packet *slot = 0;
	void *ring;

	ring = bpf_map_lookup_elem(&hw_packet_rings, &cpu);
	if (ring)
		slot = bpf_ringbuf_reserve(ring, sizeof(*slot), 0);
	if (!slot) {
		counters->dropped[HW_DROP_ringbuf__full]++;
		return 0;
	}
	*slot = *row;
	bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP); /* the reader polls: a busy line costs no wake-ups */
	return 1;
}

/* The packet becomes a row, behind those of what carries it. Where there is no room for all of them it is lost. */
HW_INLINE void hw_emit(struct hw_parser *p, struct hw_counters *counters)
{
	__u32 i;

	for (i = 0; i < HW_MAX_TUNNELS && i < p->carrier_count; i++) {
		if (!hw_put_row(&p->carriers[i], counters))
			return;
		counters->carriers++;
	}
	if (hw_put_row(&p->row, counters))
		counters->as_row++;
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

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The packets of a frame to their flows in the kernel's table: what carries it, itself, and what an ICMP error in it is about. */
#ifndef HW_FLOW_FRAME_H
#define HW_FLOW_FRAME_H

#include "flow_kernel.h"

/*
 * Where the records of packets with octets are put together: they have the size that they need, which bpf_ringbuf_reserve() does not give.
 * One for each possible CPU, and one for what user space runs; too large for a map that is made so by its type.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_carried_frame);
} hw_carried_frames SEC(".maps");

/* Whether a packet has something that flows carry. */
HW_INLINE int hw_flow_has_payload(const struct hw_packet *row)
{
	return (row->proto == HW_PROTO_TCP || row->proto == HW_PROTO_UDP) && row->has & HW_HAS_payload && row->payload_length;
}

/*
 * The record of a frame's innermost packet that goes to user space with what it carries: the program behind this one puts that there
 * (hw_carry_deferred()). NULL: it goes without, or is no such packet.
 */
HW_INLINE struct hw_deferred *hw_deferred_begin(const struct hw_packet *row, struct hw_flow_way *at)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct hw_carried_frame *frame;

	if (!hw_control.flows.carries || at->is_late || !hw_flow_has_payload(row))
		return 0;
	frame = bpf_map_lookup_elem(&hw_carried_frames, &cpu);
	if (!frame)
		return 0;
	at->awaits = 1;
	return &frame->deferred;
}

/* Whether a flow carries what is in the packet. A tunnel of GRE over UDP is one between addresses, as in Zeek. */
HW_INLINE int hw_flow_carries_by_flow(const struct hw_packet *row)
{
	return row->has & HW_HAS_ports && row->tunnel != HW_TUNNEL_gre;
}

/* Apart, because of the stack that it takes. */
HW_STEP int hw_flow_make_uid(struct hw_flow_way *at)
{
	if (!at)
		return 0;
	hw_uid_of(&at->key, at->first, at->again, hw_control.flows.settings.secret, at->uid);
	return 0;
}

HW_STEP int hw_flow_is_sampled_out(struct hw_flow_way *at)
{
	return at && (hw_siphash(hw_control.flows.settings.secret, &at->key, sizeof(at->key)) & 0xffffffff) >=
			     hw_control.flows.settings.sample_below;
}

/* The uid of a flow that was just found, into at->uid; it is made when it is first needed. Returns 0 if it is gone. */
HW_STEP int hw_flow_name(struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;
	int found = 0, named = 0;

	if (!at)
		return 0;
	entry = hw_flow_entry_of(at);
	if (!entry)
		return 0;
	if (!hw_lock(&entry->lock))
		return 0;
	if (hw_flow_is_there(entry, at)) {
		found = 1;
		named = entry->is_named;
		at->tunnel = entry->tunnel;
		at->first = entry->flow.first;
		at->again = entry->again;
		hw_copy_uid(at->uid, entry->uid);
	}
	hw_unlock(&entry->lock);
	if (!found || named)
		return found;
	hw_flow_make_uid(at);
	if (!hw_lock(&entry->lock))
		return 1;
	if (hw_flow_is_there(entry, at) && entry->flow.first == at->first && entry->again == at->again) {
		hw_copy_uid(entry->uid, at->uid);
		entry->is_named = 1;
	}
	hw_unlock(&entry->lock);
	return 1;
}

/* Likewise, of one that user space keeps: it has made the same of the first packet. */
HW_STEP int hw_flow_name_elsewhere(struct hw_flow_way *at)
{
	__u64 *first, hash;

	if (!at)
		return 0;
	hash = at->hash;
	first = bpf_map_lookup_elem(&hw_flow_elsewhere, &hash);
	if (!first)
		return 0;
	at->first = *first;
	at->again = 0;
	at->tunnel = 1; /* user space tells of that */
	hw_flow_make_uid(at);
	return 1;
}

HW_INLINE int hw_flow_is_refused(int taken)
{
	return taken == HW_FLOW_FULL || taken == HW_FLOW_ELSEWHERE;
}

/* A packet, or what it tells of its addresses, is to be kept in user space. */
HW_STEP int hw_flow_refuse(struct hw_flow_way *at, __u32 place, __u32 keep, __u32 by)
{
	__u32 slot;

	if (!at)
		return 0;
	slot = at->refusal_count;
	HW_OPAQUE(slot);
	if (slot > HW_MAX_TUNNELS)
		return 0;
	at->refusals[slot].place = place;
	at->refusals[slot].keep = keep;
	at->refusals[slot].by = by;
	at->refusal_count = slot + 1;
	return 0;
}

/* What user space cannot know of a packet that it is to keep. */
HW_INLINE void hw_flow_describe(struct hw_deferred *slot, const struct hw_packet *row, const struct hw_flow_way *at, __u32 number)
{
	__u32 by = at->refusals[number].by, keep = at->refusals[number].keep;

	slot->row = *row;
	slot->why = HW_DEFERRED_WHY_flow;
	slot->keep = keep;
	slot->carries = at->refusals[number].place < at->inner && (keep & HW_DEFERRED_addresses || hw_flow_carries_by_flow(row));
	slot->is_carried = by != 0;
	slot->is_late = at->is_late && at->refusals[number].place == HW_MAX_TUNNELS;
	hw_copy_uid(slot->carrier, at->carriers[(by - 1) & (HW_MAX_TUNNELS - 1)].uid);
}

/* To user space, with that. Returns whether there was room. */
HW_STEP int hw_flow_hand_over(const struct hw_packet *row, struct hw_flow_way *at, struct hw_counters *counters, __u32 number)
{
	struct hw_deferred *slot;

	if (!row || !at || !counters || number > HW_MAX_TUNNELS)
		return 0;
	if (at->refusals[number].place == HW_MAX_TUNNELS) {
		slot = hw_deferred_begin(row, at);
		if (slot) {
			hw_flow_describe(slot, row, at, number);
			return 1;
		}
	}
	slot = hw_deferred_new();
	if (!slot) {
		counters->undeferred++;
		return 0;
	}
	hw_flow_describe(slot, row, at, number);
	counters->deferred_rows++;
	bpf_ringbuf_submit(slot, BPF_RB_NO_WAKEUP);
	return 1;
}

/* Under the entry's lock. */
HW_INLINE struct hw_rare *hw_flow_rare(struct hw_flow_entry *entry)
{
	if (!entry->is_rare)
		__builtin_memset(&entry->rare, 0, sizeof(entry->rare));
	entry->is_rare = 1;
	return &entry->rare;
}

/* It is told that a flow is a tunnel when it carries another one. */
HW_STEP int hw_flow_discover(const struct hw_packet *row, struct hw_flow_way *at, const struct hw_flow_carrier *carrier)
{
	struct hw_flow_event *event;
	struct hw_flow_entry *entry;
	__u32 place, is_there;

	if (!row || !at || !carrier)
		return 0;
	place = carrier->place;
	entry = bpf_map_lookup_elem(&hw_flow_entries, &place);
	if (!entry)
		return 0;
	event = hw_flow_event_new(&is_there);
	if (!is_there) /* the next packet tries again */
		return 0;
	if (!hw_lock(&entry->lock))
		goto out;
	if (entry->tag == carrier->tag && !entry->tunnel && entry->is_named && hw_uid_is(entry->uid, carrier->uid)) {
		entry->tunnel = carrier->tunnel;
		event->kind = HW_FLOW_EVENT_carries;
		event->why = HW_CONN_END_none;
		hw_flow_tell_of(event, entry, row->ts);
	}
	hw_unlock(&entry->lock);
out:
	hw_flow_event_put(event, &at->totals);
	return 0;
}

/* The flow of `at` is within those tunnels. */
HW_STEP int hw_flow_carried(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;
	__u32 i, count;

	if (!row || !at)
		return 0;
	count = at->carrier_count;
	for (i = 0; i < HW_MAX_TUNNELS && i < count; i++)
		if (at->carriers[i].tunnel)
			hw_flow_discover(row, at, &at->carriers[i]);
	i = (count - 1) & (HW_MAX_TUNNELS - 1);
	entry = hw_flow_entry_of(at);
	if (!entry)
		return 0;
	if (!hw_lock(&entry->lock))
		return 0;
	if (hw_flow_is_there(entry, at))
		hw_flow_carry(hw_flow_rare(entry), at->carriers[i].uid);
	hw_unlock(&entry->lock);
	return 0;
}

/* The flow that an ICMP error of the flow `at` is about knows that. Returns 1 if it is not there. */
HW_STEP int hw_flow_blame(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;
	int missing;

	if (!row || !at || !hw_flow_quoted(row, &at->about) || !hw_flow_name(at))
		return 0;
	hw_flow_seek(&at->about, row, at);
	if (!hw_flow_way_of(at))
		return 1;
	entry = hw_flow_entry_of(at);
	if (!entry)
		return 0;
	if (!hw_lock(&entry->lock))
		return 1;
	missing = !hw_flow_is_there(entry, at);
	if (!missing && (row->ts < entry->due || hw_flow_entry_deadline(entry) > row->ts)) {
		entry->flow.error = row->ts;
		entry->flow.marks |= HW_FLOW_error;
		hw_copy_uid(hw_flow_rare(entry)->error_by, at->uid);
		if (hw_control.flows.servers)
			hw_second_refuse(entry, row);
	}
	hw_unlock(&entry->lock);
	return missing;
}

/* A packet to its flow. Returns enum hw_flow_taken. */
HW_STEP int hw_flow_take_packet(const struct hw_packet *row, struct hw_flow_way *at)
{
	int taken;

	if (!row || !at)
		return HW_FLOW_NONE;
	if (!hw_flow_is_of(row) || (!row->segments && !(row->has & HW_HAS_ports))) { /* a carrier that is no flow of its own */
		at->totals.no_flow += row->has != 0;
		return HW_FLOW_NONE;
	}
	hw_flow_seek(row, row, at);
	if (hw_control.flows.settings.sample_below && hw_flow_is_sampled_out(at)) {
		at->totals.sampled_out++;
		return HW_FLOW_SAMPLED_OUT;
	}
	taken = hw_flow_take(row, at);
	if (at->carrier_count && (taken == HW_FLOW_TAKEN || hw_flow_is_refused(taken)))
		hw_flow_carried(row, at);
	if (taken == HW_FLOW_TAKEN) /* counted with its flow */
		return taken;
	at->totals.refused += hw_flow_is_refused(taken);
	at->totals.postponed += taken == HW_FLOW_CONTENDED && at->may_wait;
	at->totals.contended += taken == HW_FLOW_CONTENDED && !at->may_wait;
	at->totals.ring_full += taken == HW_FLOW_UNHEARD;
	at->totals.duplicate_hook += taken == HW_FLOW_DUPLICATE;
	return taken;
}

/* What carries the packets after it, the frame's `place`; `taken` is what became of it as a packet. */
HW_STEP int hw_flow_take_carrier(const struct hw_packet *row, struct hw_flow_way *at, int taken, __u32 place)
{
	__u32 slot, keep, by;
	int i, named;

	if (!row || !at)
		return 0;
	by = at->carrier_count;
	keep = hw_flow_is_refused(taken) ? HW_DEFERRED_packet : 0;
	if (taken == HW_FLOW_TAKEN || keep)
		at->inner = place;
	if (!hw_flow_carries_by_flow(row) && row->has) {
		at->about = *row;
		at->about.proto = 4;
		at->about.has &= ~HW_HAS_ports;
		hw_flow_seek(&at->about, row, at);
		at->flip = 0;
		at->only_carries = 1;
		taken = HW_FLOW_CLOSED;
		for (i = 0; i < HW_TRIES && taken != HW_FLOW_TAKEN; i++) {
			taken = hw_flow_open(&at->about, at);
			if (taken == HW_FLOW_TAKEN)
				taken = hw_flow_give_carried(&at->about, at);
			if (taken == HW_FLOW_FULL)
				hw_flow_send_away(row, at);
			if (hw_flow_is_refused(taken))
				break;
		}
		if (hw_flow_is_refused(taken))
			keep |= HW_DEFERRED_addresses;
	}
	if (keep)
		hw_flow_refuse(at, place, keep, by);
	if (hw_flow_is_refused(taken))
		named = hw_flow_name_elsewhere(at);
	else
		named = (taken == HW_FLOW_TAKEN || taken == HW_FLOW_DUPLICATE) && hw_flow_name(at);
	if (!named)
		return 0;
	slot = at->carrier_count;
	HW_OPAQUE(slot);
	if (slot >= HW_MAX_TUNNELS)
		return 0;
	at->carriers[slot].place = hw_flow_place_of(at);
	at->carriers[slot].tag = at->tag;
	at->carriers[slot].tunnel = at->tunnel ? 0 : row->tunnel;
	hw_copy_uid(at->carriers[slot].uid, at->uid);
	at->carrier_count = slot + 1;
	return 0;
}

/* What of the frame finds no room goes to user space. Returns whether its innermost packet, if that is among it, did. */
HW_STEP int hw_flow_hand_all_over(const struct hw_parser *p, struct hw_flow_way *at, struct hw_counters *counters)
{
	__u32 i, place;
	int there = 0;

	if (!p || !at || !counters)
		return 0;
	for (i = 0; i <= HW_MAX_TUNNELS && i < at->refusal_count; i++) {
		place = at->refusals[i].place;
		HW_OPAQUE(place);
		if (place < HW_MAX_TUNNELS)
			hw_flow_hand_over(&p->carriers[place], at, counters, i);
		else
			there = hw_flow_hand_over(&p->row, at, counters, i);
	}
	return there;
}

/*
 * All of a frame. Returns enum hw_flow_taken, of its innermost packet. It may wait if user space can hand it to us once more. `there`: what
 * finds no room went to user space.
 */
HW_INLINE int hw_flow_frame(struct hw_parser *p, struct hw_flow_way *at, struct hw_counters *counters, int may_wait, int *there)
{
	__u32 i;
	int taken;

	at->carrier_count = at->refusal_count = at->inner = 0;
	at->segments = p->row.segments;
	at->is_late = !may_wait;
	at->may_wait = may_wait && !p->carrier_count;
	for (i = 0; i < HW_MAX_TUNNELS && i < p->carrier_count; i++)
		hw_flow_take_carrier(&p->carriers[i], at, hw_flow_take_packet(&p->carriers[i], at), i);
	at->is_given = 0;
	taken = hw_flow_take_packet(&p->row, at);
	if (hw_flow_is_refused(taken))
		hw_flow_refuse(at, HW_MAX_TUNNELS, HW_DEFERRED_packet, at->carrier_count);
	if (at->refusal_count) {
		if (taken == HW_FLOW_TAKEN || hw_flow_is_refused(taken))
			at->inner = HW_MAX_TUNNELS;
		*there = hw_flow_hand_all_over(p, at, counters);
	}
	at->unblamed = 0;
	if (taken == HW_FLOW_TAKEN && p->row.has & HW_HAS_quoted)
		at->unblamed = hw_flow_blame(&p->row, at);
	return taken;
}

/* Whether user space must look at it first: a datagram in pieces is part of a flow when it is whole. */
HW_INLINE int hw_flow_has_fragment(const struct hw_parser *p)
{
	int found = hw_is_fragment(&p->row);
	__u32 i;

	for (i = 0; i < HW_MAX_TUNNELS && i < p->carrier_count; i++)
		found |= hw_is_fragment(&p->carriers[i]);
	return found;
}

#endif

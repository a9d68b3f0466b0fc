/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet to its flow in the kernel's table. What a flow is says flow.h, where it lies flow_map.h, and what of a frame comes here flow_frame.h. */
#ifndef HW_FLOW_KERNEL_H
#define HW_FLOW_KERNEL_H

#include "flow_asked.h"
#include "flow_carried.h"
#include "flow_late.h"
#include "flow_map.h"
#include "flow_seconds.h"
#include "flow_server.h"
#include "flow_tell.h"
#include "flow_uid.h"

/* What carries the packets of a frame. */
struct hw_flow_carrier {
	__u32 place; /* of its entry */
	__u32 tag;
	__u32 tunnel; /* that it has, if that was not told yet */
	__u8 uid[12];
};

/* A packet of a frame that user space is to keep something of. */
struct hw_flow_refusal {
	__u32 place; /* among what carries, or HW_MAX_TUNNELS */
	__u32 keep;  /* HW_DEFERRED_packet, HW_DEFERRED_addresses */
	__u32 by;    /* carriers before it */
};

/* How far a packet's side is with it, for who reads what that carries. */
struct hw_flow_moment {
	__s64 delivered;
	__u64 bytes;
	__u32 first;
	__u8 ended;
	__u8 unfollowed;
	__u8 partial;
	__u8 unused;
	__u32 network; /* see hw_flow_network() */
};

/* A packet on its way to its flow: too large for a program's stack. */
struct hw_flow_way {
	struct hw_flow_key key;
	__u32 tag;
	__u64 hash;
	__u32 bucket;
	__u32 wanted;
	__u32 way;
	__u32 second;	     /* the packet's sender is the key's second endpoint */
	__u32 flip;	     /* who answers was seen first */
	__u32 again;	     /* of its flow, */
	hw_ktime first;	     /* of its flow, */
	__u32 orig;	     /* as of its flow, */
	__u32 tunnel;	     /* and as of its flow */
	__u32 only_carries;  /* it is to be between addresses alone */
	__u32 weirds;	     /* bits that it has added */
	__u32 reuse;	     /* enum hw_weird: it ends the flow before, and that is odd */
	__u8 uid[12];	     /* of its flow, by hw_flow_name() */
	__u32 segments;	     /* of the frame */
	__u32 is_late;	     /* user space had it: what came after it may have been counted */
	__u32 may_wait;	     /* the frame, where another CPU is in the way: nothing of it was counted yet */
	__u32 weirds_before; /* of its flow, */
	hw_ktime last;	     /* and the time of the packet before it */
	__u32 is_given;	     /* the innermost packet is counted in its flow, */
	__u32 awaits;	     /* its record waits for what it carries, */
	__u32 unblamed;	     /* it is an ICMP error, and what it is about is not there */
	__u32 carrier_count;
	struct hw_flow_carrier carriers[HW_MAX_TUNNELS];
	__u32 inner; /* the place of the innermost packet of the frame that is of a flow */
	__u32 refusal_count;
	struct hw_flow_refusal refusals[HW_MAX_TUNNELS + 1];
	struct hw_packet about;	      /* of an ICMP error */
	struct hw_flow_moment moment; /* and it was like that, if somebody reads what flows carry */
	struct hw_flow_totals totals;
	__u64 looked_at;	 /* packets that the flow had when a filter was asked about it */
	struct hw_parser asking; /* the flow as a row */
};

/* For packets, and for what user space runs while packets may come. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct hw_flow_way);
} hw_flow_ways_taken SEC(".maps");

enum hw_flow_taken {
	HW_FLOW_TAKEN,
	HW_FLOW_NONE,	     /* it can be part of none */
	HW_FLOW_SAMPLED_OUT, /* its flow is not kept */
	HW_FLOW_FULL,	     /* there is no room for its flow */
	HW_FLOW_ELSEWHERE,   /* there was none: user space keeps it */
	HW_FLOW_CONTENDED,   /* another CPU was in the way */
	HW_FLOW_UNHEARD,     /* its flow is over, and there is no room to tell that */
	HW_FLOW_DUPLICATE,   /* it was counted at another place */
	HW_FLOW_FRAGMENT,    /* it is a part of a datagram, which user space puts together */
	HW_FLOW_CLOSED,	     /* its flow is not there, or over by now: hw_flow_open() has to look */
};

#define HW_TRIES 4

/* Under the entry's lock: which flow it is. */
HW_INLINE void hw_flow_tell_of(struct hw_flow_event *event, const struct hw_flow_entry *entry, hw_ktime when)
{
	event->orig = entry->orig;
	event->tunnel = entry->tunnel;
	event->interface = entry->interface;
	event->again = entry->again;
	event->key = entry->key;
	event->first = entry->flow.first;
	event->when = when;
}

/* Likewise: all of it. */
HW_INLINE void hw_flow_tell(struct hw_flow_event *event, const struct hw_flow_entry *entry, enum hw_conn_end why, hw_ktime when)
{
	int i;

	event->kind = entry->only_carries ? HW_FLOW_EVENT_carried : HW_FLOW_EVENT_over;
	event->why = why;
	event->is_rare = entry->is_rare;
	event->asked = hw_control.filter >> HW_FILTER_OF_flows & 1;
	hw_flow_tell_of(event, entry, when);
	HW_UNROLL
	for (i = 0; i < 2 * HW_FLOW_PLACES; i++)
		event->seen_on[i] = entry->sights[i / HW_FLOW_PLACES].places[i % HW_FLOW_PLACES].interface;
	event->flow = entry->flow;
	event->rare = entry->rare;
}

/* Under the entry's lock: it does not end before that. */
HW_INLINE void hw_flow_due(struct hw_flow_entry *entry, struct hw_flow_bucket *bucket, __u32 way, hw_ktime due, hw_ktime now)
{
	entry->due = due;
	bucket->dues[way] = (due > now + HW_DUE_AHEAD ? now + HW_DUE_AHEAD : due) >> HW_DUE_SHIFT;
}

HW_INLINE hw_ktime hw_flow_entry_deadline(const struct hw_flow_entry *entry)
{
	if (entry->only_carries)
		return entry->flow.last + hw_control.flows.settings.tunnel_timeout;
	return hw_flow_deadline(&entry->flow, entry->key.port[!(entry->orig & 1)], &hw_control.flows.settings);
}

/* What brings the end of a flow nearer changes one of these. */
HW_INLINE __u64 hw_flow_stage(const struct hw_flow *flow)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];

	return flow->marks | (__u64)orig->state << 16 | (__u64)orig->closed << 24 | (__u64)resp->state << 32 | (__u64)resp->closed << 40;
}

/* Where a packet's flow is looked for. A step, because of the stack that it takes. */
HW_STEP int hw_flow_seek(const struct hw_packet *of, const struct hw_packet *row, struct hw_flow_way *at)
{
	__u64 hash;

	if (!of || !row || !at)
		return 0;
	at->second = hw_flow_key(of, &at->key);
	if (hw_control.flows.settings.apart)
		hw_flow_key_apart(row, hw_control.flows.settings.apart, row->interface, &at->key);
	hash = hw_flow_map_hash(hw_control.flows.salt, &at->key);
	at->hash = hash;
	at->tag = hash >> 32 | 1;
	at->bucket = (hash & 0xffffffff) * hw_control.flows.buckets >> 32;
	at->wanted = at->way = hash >> 59;
	return 0;
}

HW_INLINE struct hw_flow_bucket *hw_flow_bucket_of(const struct hw_flow_way *at)
{
	__u32 number = at->bucket; /* on the stack: before 6.2 a key may not lie in memory that a function was given */

	return bpf_map_lookup_elem(&hw_flow_buckets, &number);
}

HW_INLINE __u32 hw_flow_place_of(const struct hw_flow_way *at)
{
	return at->bucket * HW_WAYS + (at->way & (HW_WAYS - 1));
}

HW_INLINE struct hw_flow_entry *hw_flow_entry_of(const struct hw_flow_way *at)
{
	__u32 place = hw_flow_place_of(at); /* likewise */

	return bpf_map_lookup_elem(&hw_flow_entries, &place);
}

/* Whether the entry is that of `at`, locked or not. */
HW_INLINE int hw_flow_is_there(const struct hw_flow_entry *entry, const struct hw_flow_way *at)
{
	return entry->tag == at->tag && hw_flow_key_is(&entry->key, &at->key);
}

/* Its way, if there is one of its tag: 1. */
HW_INLINE int hw_flow_way_of(struct hw_flow_way *at)
{
	struct hw_flow_bucket *bucket = hw_flow_bucket_of(at);
	__u32 ways;

	if (!bucket)
		return 0;
	if (bucket->tags[at->way & (HW_WAYS - 1)] == at->tag)
		return 1;
	ways = hw_flow_ways(bucket, at->tag); /* another one has its first choice */
	at->way = hw_lowest_bit(ways);
	return ways != 0;
}

/* Why what lies in the entry ends with this packet of the key's flow; none if it goes on. Locked or, for a first look, not. */
HW_INLINE enum hw_conn_end hw_flow_ends(const struct hw_flow_entry *entry, const struct hw_flow_way *at, const struct hw_packet *row)
{
	if (!entry->tag)
		return HW_CONN_END_none;
	if (entry->tag != at->tag)
		return HW_CONN_END_evicted;
	if (row->ts >= entry->due && hw_flow_entry_deadline(entry) <= row->ts)
		return HW_CONN_END_timeout;
	if (!at->only_carries && hw_flow_is_reused(&entry->flow, (at->second ^ entry->orig) & 1, row))
		return HW_CONN_END_reused;
	return HW_CONN_END_none;
}

enum hw_flow_telling {
	HW_FLOW_NOT_OVER,
	HW_FLOW_TOLD,
	HW_FLOW_UNTOLD, /* it is over, and nobody asks for its row */
};

/* Whether somebody asks for the row of a flow that is over. What carries others is always told: user space has told that it does; and all are
 * where somebody reads what they carry. */
HW_STEP int hw_flow_telling_of(struct hw_flow_entry *entry, struct hw_flow_way *at)
{
	const struct hw_filter *filter = hw_filter_of(HW_FILTER_OF_flows);

	if (!entry || !at || !filter->count || entry->only_carries || entry->tunnel || hw_control.flows.carries || !hw_lock(&entry->lock))
		return HW_FLOW_TOLD;
	at->looked_at = hw_flow_packets(&entry->flow);
	hw_flow_as_row(&entry->flow, &entry->key, entry->orig, &at->asking.row);
	hw_unlock(&entry->lock);
	return hw_filter_holds(&at->asking, filter) ? HW_FLOW_TOLD : HW_FLOW_UNTOLD;
}

/* Under the entry's lock: whether that still holds. */
HW_INLINE int hw_flow_is_untold(const struct hw_flow_entry *entry, const struct hw_flow_way *at, __u32 telling)
{
	return telling == HW_FLOW_UNTOLD && !entry->tunnel && hw_flow_packets(&entry->flow) == at->looked_at;
}

/* From outside of the lock: whether a record of the ring will be needed. */
HW_STEP int hw_flow_will_end(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;

	if (!row || !at)
		return HW_FLOW_NOT_OVER;
	entry = hw_flow_entry_of(at);
	if (!entry || hw_flow_ends(entry, at, row) == HW_CONN_END_none)
		return HW_FLOW_NOT_OVER;
	return hw_flow_telling_of(entry, at);
}

/* What `at` has to tell of a packet: `name`, or the bits that it has added to its flow. */
HW_STEP int hw_flow_tell_weird(const struct hw_packet *row, struct hw_flow_way *at, __u32 name)
{
	struct hw_flow_event *event;
	__u32 is_there;

	if (!row || !at)
		return 0;
	event = hw_flow_event_new(&is_there);
	if (!is_there) {
		at->totals.weirds_lost++;
		return 0;
	}
	event->kind = HW_FLOW_EVENT_weird;
	event->orig = at->orig;
	event->second = at->second;
	event->name = name;
	event->weirds = at->weirds;
	event->interface = row->interface;
	event->again = at->again;
	event->key = at->key;
	event->first = at->first;
	event->when = row->ts;
	event->row = *row;
	hw_flow_event_put(event, &at->totals);
	return 0;
}

/* Under the entry's lock: its server's second counts that; `stopped`: it ends only because all does. */
HW_INLINE void hw_flow_is_over(struct hw_flow_entry *entry, int stopped)
{
	if (hw_control.flows.servers && !entry->only_carries)
		hw_second_count(entry, 0, 0, hw_phase_finish(entry->phase, stopped));
}

/* Under the entry's lock: the flow begins that the packet is of. */
HW_INLINE void hw_flow_settle(struct hw_flow_entry *entry, struct hw_flow_way *at, const struct hw_packet *row, __u32 again)
{
	entry->tag = at->tag;
	entry->key = at->key;
	entry->interface = row->interface;
	entry->again = again;
	entry->orig = (at->second ^ at->flip) & 1;
	entry->only_carries = at->only_carries;
	entry->tunnel = entry->is_named = entry->is_rare = 0;
	entry->told = entry->resent = 0;
	entry->phase = HW_PHASE_new;
	entry->is_half_elsewhere = entry->counted = 0;
	__builtin_memset(entry->sights, 0, sizeof(entry->sights));
	hw_flow_begin(&entry->flow, row, at->flip & 1);
	at->totals.begun += !at->only_carries;
}

/*
 * See to it that the packet's flow is in its entry and goes on: take a way for a new one, end what is over. HW_FLOW_TAKEN if so.
 */
HW_STEP int hw_flow_open(const struct hw_packet *row, struct hw_flow_way *at)
{
	enum hw_conn_end end;
	struct hw_flow_event *event = 0;
	struct hw_flow_bucket *bucket;
	struct hw_flow_entry *entry;
	int taken = HW_FLOW_CONTENDED;
	__u32 way, telling, again = 0, is_there = 0, is_untold;
	__u64 hash;

	if (!row || !at)
		return HW_FLOW_NONE;
	hash = at->hash;
	if (hw_control.flows.elsewhere && bpf_map_lookup_elem(&hw_flow_elsewhere, &hash))
		return HW_FLOW_ELSEWHERE;
	bucket = hw_flow_bucket_of(at);
	if (!bucket)
		return HW_FLOW_FULL;
	way = hw_flow_reserve(bucket, at->tag, at->wanted & (HW_WAYS - 1), row->ts);
	HW_OPAQUE(way);
	if (way >= HW_WAYS)
		return way == HW_NO_WAY ? HW_FLOW_CONTENDED : HW_FLOW_FULL;
	at->way = way;
	entry = hw_flow_entry_of(at);
	if (!entry)
		return HW_FLOW_FULL;
	telling = hw_flow_will_end(row, at);
	if (telling == HW_FLOW_TOLD)
		event = hw_flow_event_new(&is_there);
	at->reuse = 0;
	if (!hw_lock(&entry->lock))
		goto told;
	if (bucket->tags[way] != at->tag)
		goto out;
	if (entry->tag == at->tag && !hw_flow_key_is(&entry->key, &at->key)) {
		taken = HW_FLOW_FULL;
		goto out;
	}
	if (entry->tag) {
		end = hw_flow_ends(entry, at, row);
		is_untold = hw_flow_is_untold(entry, at, telling);
		if (end != HW_CONN_END_none && !is_there && !is_untold && (telling != HW_FLOW_TOLD || end != HW_CONN_END_evicted)) {
			taken = telling == HW_FLOW_TOLD ? HW_FLOW_UNHEARD : HW_FLOW_CONTENDED; /* it was not so a moment ago: try again */
			goto out;
		}
		if (end != HW_CONN_END_none) {
			if (is_there)
				hw_flow_tell(event, entry, end, row->ts);
			at->totals.unasked += is_untold;
			at->totals.unheard += !is_there && !is_untold;
			if (end == HW_CONN_END_reused) {
				at->reuse = hw_weird_of_reuse(&entry->flow, row, &hw_control.flows.settings);
				if (at->reuse == HW_WEIRD_SYN_seq_jump && entry->flow.weirds & 1)
					at->reuse = 0; /* it was told */
				at->first = entry->flow.first;
				at->again = entry->again;
				at->orig = entry->orig;
				if (at->first == row->ts)
					again = at->again + 1;
			}
			hw_flow_is_over(entry, 0);
			at->totals.ended += !entry->only_carries;
			at->totals.evicted += end == HW_CONN_END_evicted;
			entry->tag = 0;
			bucket->begun[way] = hw_ticks(row->ts);
			bucket->stays[way] = 0;
		} else if (row->ts >= entry->due) {
			hw_flow_due(entry, bucket, way, hw_flow_entry_deadline(entry), row->ts);
		}
	}
	if (!entry->tag) {
		hw_flow_settle(entry, at, row, again);
		hw_flow_due(entry, bucket, way, row->ts + 1, row->ts);
	}
	taken = HW_FLOW_TAKEN;
out:
	hw_unlock(&entry->lock);
told:
	if (is_there)
		hw_flow_event_put(event, &at->totals);
	return taken;
}

/* Whether a packet that its flow is to be given is not one that another place has seen. A flow that is not there has not. */
HW_STEP int hw_flow_is_new_here(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;
	int is_new = 1;

	if (!row || !at)
		return 1;
	entry = hw_flow_entry_of(at);
	if (!entry || !hw_lock(&entry->lock))
		return 1;
	if (hw_flow_is_there(entry, at) && row->ts < entry->due)
		is_new = hw_flow_counts_here(&entry->sights[at->second & 1], row, at->segments);
	hw_unlock(&entry->lock);
	return is_new;
}

/* What is odd in a packet that its flow is to be given. Apart, so that neither the verifier's paths nor the stacks of both add up. */
HW_STEP int hw_flow_look_at(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;
	__u32 weirds;

	if (!row || !at)
		return HW_FLOW_NONE;
	entry = hw_flow_entry_of(at);
	if (!entry)
		return HW_FLOW_FULL;
	if (!hw_lock(&entry->lock))
		return HW_FLOW_CONTENDED;
	if (hw_flow_is_there(entry, at) && row->ts < entry->due) {
		weirds = entry->flow.weirds;
		hw_flow_judge(&entry->flow, (at->second ^ entry->orig) & 1, row);
		at->weirds |= entry->flow.weirds & ~weirds;
	}
	hw_unlock(&entry->lock);
	return HW_FLOW_TAKEN;
}

/* A late packet may come before the one that its flow has begun with. A uid that was told is made of that one's time, which then stays. */
HW_STEP int hw_flow_precede(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_bucket *bucket;
	struct hw_flow_entry *entry;
	hw_ktime first;
	int which, flip;

	if (!row || !at || row->proto == HW_PROTO_TCP)
		return 0;
	flip = hw_begins_with_answer(row);
	bucket = hw_flow_bucket_of(at);
	entry = hw_flow_entry_of(at);
	if (!bucket || !entry || !hw_lock(&entry->lock))
		return 0;
	first = entry->flow.first;
	if (hw_flow_is_there(entry, at) && !entry->only_carries && row->ts < first) {
		which = (at->second ^ entry->orig) & 1;
		entry->orig ^= which ^ hw_flow_begin_before(&entry->flow, which, row, flip);
		if (entry->is_named ||
		    (hw_control.flows.carries && row->proto == HW_PROTO_UDP)) /* what it has carried was told by its uid */
			entry->flow.first = first;
		entry->interface = row->interface;
		hw_flow_due(entry, bucket, at->way & (HW_WAYS - 1), row->ts + 1, row->ts); /* it may have another one now */
	}
	hw_unlock(&entry->lock);
	return 0;
}

/* Give the packet to its flow, if that is there and goes on. */
HW_STEP int hw_flow_give(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_bucket *bucket;
	struct hw_flow_entry *entry;
	__u32 way;
	__u64 stage;
	int taken = HW_FLOW_CLOSED;

	if (!row || !at)
		return HW_FLOW_NONE;
	bucket = hw_flow_bucket_of(at);
	if (!bucket)
		return HW_FLOW_FULL;
	way = at->way & (HW_WAYS - 1);
	entry = hw_flow_entry_of(at);
	if (!entry)
		return HW_FLOW_FULL;
	if (!hw_lock(&entry->lock))
		return HW_FLOW_CONTENDED;
	if (bucket->tags[way] == at->tag && hw_flow_is_there(entry, at) && row->ts < entry->due) {
		stage = hw_flow_stage(&entry->flow);
		at->weirds_before = entry->flow.weirds; /* not on the stack, of which Linux 6.1 has no more */
		at->last = entry->flow.last;
		hw_flow_add(&entry->flow, (at->second ^ entry->orig) & 1, row);
		if (at->is_late && at->last > entry->flow.last)
			entry->flow.last = at->last;
		entry->orig ^= !!((stage ^ entry->flow.marks) & HW_FLOW_flipped);
		if (entry->flow.sides[0].packets && entry->flow.sides[1].packets)
			bucket->stays[way] = 1;
		if (stage != hw_flow_stage(&entry->flow)) /* it may end sooner: the next packet, or the clock, makes hw_flow_open() look */
			hw_flow_due(entry, bucket, way, row->ts + 1, row->ts);
		at->weirds |= entry->flow.weirds & ~at->weirds_before;
		at->first = entry->flow.first;
		at->again = entry->again;
		at->orig = entry->orig;
		at->is_given = 1;
		at->totals.packets++;
		taken = HW_FLOW_TAKEN;
	}
	hw_unlock(&entry->lock);
	return taken;
}

/* IP between two addresses carries a packet. */
HW_STEP int hw_flow_give_carried(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_bucket *bucket;
	struct hw_flow_entry *entry;
	int taken = HW_FLOW_CLOSED;
	__u32 way;

	if (!row || !at)
		return HW_FLOW_NONE;
	bucket = hw_flow_bucket_of(at);
	if (!bucket)
		return HW_FLOW_FULL;
	way = at->way & (HW_WAYS - 1);
	entry = hw_flow_entry_of(at);
	if (!entry)
		return HW_FLOW_FULL;
	if (!hw_lock(&entry->lock))
		return HW_FLOW_CONTENDED;
	if (bucket->tags[way] == at->tag && hw_flow_is_there(entry, at)) {
		entry->flow.last = row->ts;
		bucket->stays[way] = 1; /* in use, if only one way */
		hw_flow_due(entry, bucket, way, hw_flow_entry_deadline(entry), row->ts);
		taken = HW_FLOW_TAKEN;
	}
	hw_unlock(&entry->lock);
	return taken;
}

/* There is no room for a flow: from now on user space keeps it. */
HW_STEP int hw_flow_send_away(const struct hw_packet *row, struct hw_flow_way *at)
{
	__u64 hash, first;

	if (!row || !at)
		return 0;
	hash = at->hash;
	first = row->ts;
	hw_control.flows.elsewhere = 1;
	at->totals.homeless += bpf_map_update_elem(&hw_flow_elsewhere, &hash, &first, BPF_ANY) != 0;
	return 0;
}

/* Its server's second counts a packet that its flow was given; apart, because of the stack that giving takes. */
HW_STEP int hw_flow_count_second(const struct hw_packet *row, struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;

	if (!row || !at)
		return 0;
	entry = hw_flow_entry_of(at);
	if (!entry || !hw_lock(&entry->lock))
		return 0;
	if (hw_flow_is_there(entry, at)) {
		if (entry->counted && entry->counted != 1 + (entry->orig & 1))
			hw_second_turn(entry, row);
		hw_second_count(entry, row, (at->second ^ entry->orig) & 1, 0);
	}
	hw_unlock(&entry->lock);
	return 0;
}

/* How far its side is with a packet that its flow was given, for who reads what it carries; apart, likewise. */
HW_STEP int hw_flow_note_moment(struct hw_flow_way *at)
{
	struct hw_flow_entry *entry;
	__u32 which;

	if (!at)
		return 0;
	entry = hw_flow_entry_of(at);
	if (!entry || !hw_lock(&entry->lock))
		return 0;
	which = (at->second ^ entry->orig) & 1;
	HW_OPAQUE(which);
	which &= 1;
	at->moment.delivered = entry->flow.more[which].delivered;
	at->moment.bytes = entry->flow.sides[which].bytes;
	at->moment.first = entry->flow.sides[which].first;
	at->moment.ended = entry->flow.sides[which].ended;
	at->moment.unfollowed = entry->flow.sides[which].unfollowed;
	at->moment.partial = hw_flow_is_partial(&entry->flow);
	at->moment.network = hw_flow_network(&entry->flow);
	hw_unlock(&entry->lock);
	return 0;
}

HW_INLINE int hw_flow_judge_and_give(const struct hw_packet *row, struct hw_flow_way *at)
{
	int taken = HW_FLOW_TAKEN;

	if (hw_control.flows.overlap && !hw_flow_is_new_here(row, at))
		return HW_FLOW_DUPLICATE;
	if (at->is_late)
		hw_flow_precede(row, at);
	if (hw_control.flows.weirds && row->proto == HW_PROTO_TCP)
		taken = hw_flow_look_at(row, at);
	if (taken == HW_FLOW_TAKEN)
		taken = hw_flow_give(row, at);
	if (taken == HW_FLOW_TAKEN && hw_control.flows.servers)
		hw_flow_count_second(row, at);
	if (taken == HW_FLOW_TAKEN && hw_control.flows.carries)
		hw_flow_note_moment(at);
	return taken;
}

/* Whether the first packet of a flow that is seen is an answer: the host's sockets may know. */
HW_STEP int hw_flow_begins_with_answer(const struct hw_packet *row, struct hw_flow_way *at)
{
	const __u64 *orig = 0;
	__u64 hash;

	if (!row || !at)
		return 0;
	if (hw_control.flows.known && row->proto == HW_PROTO_TCP && !(row->tcp_flags & HW_SYN)) {
		hash = hw_flow_known_hash(hw_control.flows.salt, &at->key);
		orig = bpf_map_lookup_elem(&hw_flow_known, &hash);
	}
	return orig ? (at->second ^ *orig) & 1 : hw_begins_with_answer(row);
}

/* A packet that hw_flow_seek() has looked for. Returns enum hw_flow_taken. */
HW_INLINE int hw_flow_take(const struct hw_packet *row, struct hw_flow_way *at)
{
	int taken = HW_FLOW_CLOSED, i;

	at->flip = at->only_carries = at->weirds = 0;
	if (hw_flow_way_of(at) && !(row->has & HW_HAS_tcp && row->tcp_flags & HW_SYN))
		taken = hw_flow_judge_and_give(row, at);
	for (i = 0; i < HW_TRIES && (taken == HW_FLOW_CLOSED || taken == HW_FLOW_CONTENDED); i++) {
		at->flip = hw_flow_begins_with_answer(row, at);
		taken = hw_flow_open(row, at);
		if (taken != HW_FLOW_TAKEN)
			continue;
		if (at->reuse && hw_control.flows.weirds)
			hw_flow_tell_weird(row, at, at->reuse);
		taken = hw_flow_judge_and_give(row, at);
	}
	if (taken == HW_FLOW_TAKEN && at->weirds)
		hw_flow_tell_weird(row, at, 0);
	if (taken == HW_FLOW_FULL)
		hw_flow_send_away(row, at);
	return taken == HW_FLOW_CLOSED ? HW_FLOW_CONTENDED : taken;
}

#endif

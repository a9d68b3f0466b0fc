/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What user space runs (BPF_PROG_RUN): the clock's look at flows, telling of those that go on, and frames that it had to look at first. */
#ifndef HW_FLOW_JOB_H
#define HW_FLOW_JOB_H

#include "flow_carry.h"

enum hw_flow_job {
	HW_FLOW_JOB_expire, /* end what is due at `now` */
	HW_FLOW_JOB_report, /* tell of those that had packets since they were told of; `now` is the time that it is done for */
	HW_FLOW_JOB_end,    /* end all */
	HW_FLOW_JOB_frame,  /* the frame in hw_flow_handed; returns whether it is told of what that carries */
	HW_FLOW_JOB_blame,  /* the ICMP error there, which was counted before */
};

#define HW_SWEEP 1024 /* buckets a run at most */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_parser);
} hw_flow_handed SEC(".maps");

/* Whether the job is to tell of this flow. Locked or, for a first look, not. */
HW_INLINE int hw_flow_concerns(const struct hw_flow_entry *entry, __u32 job, hw_ktime now)
{
	__u32 packets = hw_flow_packets(&entry->flow);

	if (!entry->tag)
		return 0;
	if (job == HW_FLOW_JOB_end)
		return 1;
	if (job == HW_FLOW_JOB_expire)
		return hw_flow_entry_deadline(entry) <= now;
	return !entry->only_carries && packets != entry->told && entry->flow.first + hw_control.flows.settings.progress <= now &&
	       !(entry->flow.marks & HW_FLOW_ended); /* its row comes soon */
}

/* Do the job with one entry. Returns 1 if it must be tried again: there is no room to tell of it, or another CPU was in the way. */
HW_STEP int hw_flow_visit(struct hw_flow_way *at, __u32 at_bucket, __u32 way)
{
	struct hw_flow_event *event = 0;
	struct hw_flow_bucket *bucket;
	struct hw_flow_entry *entry;
	hw_ktime now = hw_control.flows.now;
	__u32 job = hw_control.flows.job, why = hw_control.flows.why, telling = HW_FLOW_NOT_OVER, place, is_there = 0, done = 0;

	way &= HW_WAYS - 1;
	place = at_bucket * HW_WAYS + way;
	bucket = bpf_map_lookup_elem(&hw_flow_buckets, &at_bucket);
	entry = bpf_map_lookup_elem(&hw_flow_entries, &place);
	if (!at || !bucket || !entry || !entry->tag)
		return 0;
	if (hw_flow_concerns(entry, job, now))
		telling = hw_flow_telling_of(entry, at);
	if (telling == HW_FLOW_TOLD) {
		event = hw_flow_event_new(&is_there);
		if (!is_there)
			return 1;
	}
	if (!hw_lock(&entry->lock))
		goto told;
	done = 1;
	if (!entry->tag || entry->tag != bucket->tags[way])
		goto out;
	if (!hw_flow_concerns(entry, job, now)) {
		if (job == HW_FLOW_JOB_expire)
			hw_flow_due(entry, bucket, way, hw_flow_entry_deadline(entry), now);
	} else if (is_there || hw_flow_is_untold(entry, at, telling)) {
		if (is_there)
			hw_flow_tell(event, entry, why, now);
		if (job == HW_FLOW_JOB_report) {
			if (is_there)
				event->kind = HW_FLOW_EVENT_going;
			entry->told = hw_flow_packets(&entry->flow);
		} else {
			hw_flow_is_over(entry, job == HW_FLOW_JOB_end);
			at->totals.ended += !entry->only_carries;
			at->totals.unasked += !is_there;
			entry->tag = 0;
			bucket->tags[way] = 0;
		}
	}
out:
	hw_unlock(&entry->lock);
told:
	if (is_there)
		hw_flow_event_put(event, &at->totals);
	return !done;
}

HW_STEP int hw_flow_visit_bucket(struct hw_flow_way *at, __u32 number)
{
	struct hw_flow_bucket *bucket = bpf_map_lookup_elem(&hw_flow_buckets, &number);
	__u32 now = hw_control.flows.now >> HW_DUE_SHIFT, way;

	if (!bucket || !at)
		return 1;
	for (way = 0; way < HW_WAYS; way++) {
		if (!bucket->tags[way] || (hw_control.flows.job == HW_FLOW_JOB_expire && (__s32)(now - bucket->dues[way]) < 0))
			continue;
		if (hw_flow_visit(at, number, way))
			return 1;
	}
	return 0;
}

/* Look at some buckets, from `at` on. A step, because of the stack that the program needs for a frame. */
HW_STEP int hw_flow_sweep(struct hw_flow_way *at)
{
	__u32 i;

	if (!at)
		return 0;
	for (i = 0; i < HW_SWEEP && i < hw_control.flows.count; i++) {
		if (hw_flow_visit_bucket(at, hw_control.flows.at))
			return 0;
		hw_control.flows.at++;
	}
	return 0;
}

/* The ICMP error that was handed, once more; a step for the same reason. */
HW_STEP int hw_flow_blame_again(struct hw_parser *p, struct hw_flow_way *at)
{
	if (!p || !at)
		return 0;
	hw_flow_seek(&p->row, &p->row, at);
	if (hw_flow_way_of(at))
		hw_flow_blame(&p->row, at);
	return 0;
}

HW_INLINE int hw_flow_do(void)
{
	__u32 zero = 0, one = 1;
	struct hw_flow_way *at = bpf_map_lookup_elem(&hw_flow_ways_taken, &one);
	struct hw_parser *p = bpf_map_lookup_elem(&hw_flow_handed, &zero);
	struct hw_counters *counters;
	int taken, there = 0;

	if (!at || !p)
		return 0;
	switch (hw_control.flows.job) {
	case HW_FLOW_JOB_frame:
		counters = hw_counters_of(p->row.interface);
		if (!counters)
			break;
		taken = hw_flow_frame(p, at, counters, 0, &there);
		return hw_carry_late(p, at, hw_flow_is_refused(taken), there);
	case HW_FLOW_JOB_blame:
		hw_flow_blame_again(p, at);
		break;
	default:
		hw_flow_sweep(at);
	}
	return 0;
}

#endif

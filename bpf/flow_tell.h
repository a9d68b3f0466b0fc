/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel tells user space of flows (native/flow_events.c reads it). */
#ifndef HW_FLOW_TELL_H
#define HW_FLOW_TELL_H

#include "flow_place.h"

enum hw_flow_event_kind {
	HW_FLOW_EVENT_nothing, /* a record that was asked for in vain: another CPU came first */
	HW_FLOW_EVENT_over,    /* a flow, and all that is known of it */
	HW_FLOW_EVENT_going,   /* the same of one that goes on */
	HW_FLOW_EVENT_carries, /* a flow carries others, */
	HW_FLOW_EVENT_carried, /* and what IP carried is no more */
	HW_FLOW_EVENT_weird,   /* a packet shows something odd of a flow */
};

struct hw_flow_event {
	__u8 kind;
	__u8 why; /* enum hw_conn_end */
	__u8 orig;
	__u8 tunnel;
	__u8 is_rare;
	__u8 second;  /* of a weird: the packet's sender is the key's second endpoint */
	__u8 asked;   /* which of the two filters of flows was in force */
	__u8 name;    /* enum hw_weird; or, if 0, */
	__u32 weirds; /* the bits that the packet added */
	__u32 interface;
	__u32 again;
	struct hw_flow_key key;
	__u32 seen_on[2 * HW_FLOW_PLACES]; /* interfaces, where a packet may be seen on several; 0: none */
	hw_ktime first;
	hw_ktime when; /* the packet or the look at the clock that brought it */
	union {
		struct {
			struct hw_flow flow;
			struct hw_rare rare;
		};
		struct hw_packet row; /* of a weird */
	};
};

/* What a CPU counts. Flows in the table are begun less ended. Packets of carriers are among them. */
struct hw_flow_totals {
	__u64 packets; /* in a flow */
	__u64 begun;
	__u64 ended;
	__u64 evicted; /* of them: nobody had answered, and another needed the room */
	__u64 unheard; /* of them: the ring had no room for the row */
	__u64 unasked; /* of them: the filter of flows leaves out the row */
	__u64 no_flow; /* packets that can be part of none */
	__u64 sampled_out;
	__u64 refused;	      /* packets: no room for another flow */
	__u64 duplicate_hook; /* packets: counted at another place */
	__u64 contended;      /* packets: another CPU was in the way */
	__u64 postponed;      /* likewise, that are to come again */
	__u64 ring_full;      /* packets: the flow before is over, and there is no room to tell that */
	__u64 homeless;	      /* packets, among the refused: that their flow is elsewhere could not be noted */
	__u64 told;	      /* events */
	__u64 weirds_lost;
	/* octets of payload, where somebody reads them: carried = handed + unwanted + beyond + carried_unreadable + carried_lost */
	__u64 carried;
	__u64 handed;		  /* to user space */
	__u64 unwanted;		  /* nobody reads that side any more */
	__u64 beyond;		  /* what is wanted of that side */
	__u64 carried_unreadable; /* the frame could not be copied */
	__u64 carried_lost;	  /* the ring had no room */
};

#ifdef __bpf__
/* A ring for each possible CPU, set by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 4096);
		});
} hw_flow_rings SEC(".maps");

/*
 * A record, if there is room. Whether there is says `is_there`, and nobody looks at the pointer: before 6.3 the verifier, asked a second time
 * whether that is NULL, thinks that it may be.
 */
HW_INLINE struct hw_flow_event *hw_flow_event_new(__u32 *is_there)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&hw_flow_rings, &cpu);
	struct hw_flow_event *event = ring ? bpf_ringbuf_reserve(ring, sizeof(*event), 0) : 0;

	*is_there = 0;
	if (event) {
		event->kind = HW_FLOW_EVENT_nothing;
		*is_there = 1;
	}
	HW_OPAQUE(*is_there);
	return event;
}

/* The reader polls: a busy line costs no wake-ups. */
HW_INLINE void hw_flow_event_put(struct hw_flow_event *event, struct hw_flow_totals *totals)
{
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	totals->told++;
}
#endif

#endif

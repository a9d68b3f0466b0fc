/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What of a flow's payload comes to user space (native/flow_carried.c reads it), and how much of it is wanted (docs/adr/0017). */
#ifndef HW_FLOW_CARRIED_H
#define HW_FLOW_CARRIED_H

#include "flow.h"

#define HW_CARRIED_MOST 65536 /* octets of a packet's payload; what is behind them is not carried */
#define HW_PASSED_NS 1024
#define HW_WANT_ALL 0xffffffffu /* so many octets ahead: all */

/*
 * Places of a side from `from` on and before `to` are wanted, by their lower 32 bits. Of TCP they are those of the stream, so that a side may
 * be left alone up to where something begins again; of UDP the octets so far, and a datagram comes whole or not at all. User space writes
 * here while packets come.
 */
struct hw_want {
	volatile __u32 from;
	volatile __u32 to;
	__u32 passed;	 /* up to there the stream was with the last packet of which nothing was given, */
	__u32 passed_at; /* and when that came: units of HW_PASSED_NS, of which it is the lower 32 bits */
};

/* Of the flow in an entry of the kernel's table. */
struct hw_wants {
	hw_ktime first;		 /* when that flow began; another time: they are of the flow before */
	struct hw_want sides[2]; /* of its key's first endpoint, and of the second */
};

/*
 * The payload of a packet, or that a side has ended. Behind it lie `given` octets; or nothing, if user space has put the packet together and
 * has them (HW_FLOW_JOB_frame).
 */
struct hw_carried {
	hw_ktime ts;
	hw_ktime passed_at;
	hw_ktime first;	 /* when its flow began, */
	__u32 again;	 /* and which it is of those that did so at that time */
	__u32 entry;	 /* where that lies */
	__s64 place;	 /* of the first octet that is given */
	__s64 delivered; /* up to there the sender's stream is with this packet */
	struct hw_flow_key key;
	__u32 given;
	__u32 each; /* octets of each datagram that it stands for, but the last; 0: it is one */
	__u8 ended; /* as of struct hw_side */
	__u8 unfollowed;
	__u8 second; /* the sender is the key's second endpoint */
	__u8 orig;   /* which of them is the originator */
	__u8 partial;
	__u8 tcp_flags;
	__u8 unused[2];
	__u32 network; /* see hw_flow_network() */
	__u32 passed;  /* see struct hw_want, of the other side: nothing up to there is on its way from another CPU */
	__u32 skipped; /* octets of the packet before those that are given */
	__u32 unused_4;
};

/* A record on its way: what it tells, and behind that what the packet carries. Rows that are deferred may have octets, too. */
struct hw_carried_frame {
	union {
		struct {
			__u8 unused[sizeof(struct hw_deferred) - sizeof(struct hw_carried)];
			struct hw_carried head;
		};
		struct hw_deferred deferred;
	};
	__u8 octets[HW_CARRIED_MOST];
};

_Static_assert(sizeof(struct hw_carried) % 8 == 0, "nothing of the kernel's memory is between it and the octets");

#endif

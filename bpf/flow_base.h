/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the parts of flow.h share: a flow's state and its history. */
#ifndef HW_FLOW_BASE_H
#define HW_FLOW_BASE_H

#include "parser.h"

#define HW_SECOND 1000000000ull
#define HW_HISTORY 40 /* letters of a history */
#define HW_BLOCKS 4   /* parts of a stream that lie behind a hole */
#define HW_ORIG 0     /* the side that spoke first, */
#define HW_RESP 1     /* and the other */

/* What a side of a TCP flow has done; of other protocols' flows, established is all that there is. */
enum hw_tcp_state {
	HW_TCP_inactive,
	HW_TCP_syn_sent,
	HW_TCP_syn_ack_sent, /* without a SYN before */
	HW_TCP_partial,	     /* packets, and no SYN */
	HW_TCP_established,
	HW_TCP_closed, /* a FIN */
	HW_TCP_reset,
} HW_PACKED;

/* Letters that were put into the history, for each side (the other's lie 16 bits further left). */
enum hw_seen {
	HW_SEEN_syn = 1 << 0,
	HW_SEEN_fin = 1 << 1,
	HW_SEEN_rst = 1 << 2,
	HW_SEEN_fin_rst = 1 << 3,
	HW_SEEN_data = 1 << 4,
	HW_SEEN_ack = 1 << 5,
	HW_SEEN_many = 1 << 6,
};

enum hw_flow_mark {
	HW_FLOW_partial = 1 << 0,   /* its begin was not seen */
	HW_FLOW_orig_seen = 1 << 1, /* packets of this side came */
	HW_FLOW_resp_seen = 1 << 2,
	HW_FLOW_reset = 1 << 3,	     /* reported as reset: only silence ends it */
	HW_FLOW_deferred = 1 << 4,   /* closed but for data that is missing yet */
	HW_FLOW_handshaken = 1 << 5, /* one side is past its handshake: a longer silence is allowed */
	HW_FLOW_flipped = 1 << 6,    /* the sides have changed places: its key is that of the other order */
	HW_FLOW_attempt = 1 << 7,    /* `attempt` is set, */
	HW_FLOW_half_ended = 1 << 8, /* `half`, */
	HW_FLOW_ended = 1 << 9,	     /* and `ended` */
	HW_FLOW_syn = 1 << 10,	     /* `syn` is set, */
	HW_FLOW_syn_ack = 1 << 11,   /* `syn_ack`, */
	HW_FLOW_acked = 1 << 12,     /* `handshaken`, */
	HW_FLOW_error = 1 << 13,     /* and `error` */
};

enum hw_side_mark {
	HW_SIDE_asked = 1 << 0,	  /* an acknowledgement of `awaited` is waited for: the time that it takes is a round trip */
	HW_SIDE_stamped = 1 << 1, /* what is waited for had the time stamp `stamp` */
	HW_SIDE_again = 1 << 2,	  /* something was sent again meanwhile */
	HW_SIDE_rtt = 1 << 3,	  /* `rtt` is set, */
	HW_SIDE_data = 1 << 4,	  /* `first_data`, */
	HW_SIDE_mss = 1 << 5,	  /* `mss`, */
	HW_SIDE_scale = 1 << 6,	  /* and `scale` */
};

/* A part of a stream, by the lower 32 bits of its places. */
struct hw_block {
	__u32 begin;
	__u32 end;
};

/* One direction. Places in a TCP stream count from its SYN, which is 0; the first octet is 1. */
struct hw_side {
	__u64 packets;
	__u64 ip_bytes;
	__u64 bytes;  /* payload; of TCP see hw_stream_bytes() */
	__s64 sent;   /* TCP: the place behind the last octet sent */
	__s64 acked;  /* TCP: the place that the other side has acknowledged */
	__u32 first;  /* TCP: the sequence number of place 0 */
	__u32 window; /* TCP, scaled */
	enum hw_tcp_state state;
	enum hw_tcp_state before; /* the state before this one */
	__u8 closed;		  /* reported as closed */
	__u8 fins;		  /* 1: a FIN was sent */
	__u8 ended;		  /* all that will come has come */
	__u8 unfollowed;	  /* too much is missing: holes are not looked for any more */
	__u8 block_count;
	__u8 window_scale;
	__u8 marks; /* enum hw_side_mark */
	__u8 ttl;   /* the lowest */
	__u8 ttl_max;
	__u8 dscp; /* of the first packet */
	__u8 dscp_last;
	__u8 ecn;	 /* bits of the code points seen */
	__u16 tcp_flags; /* seen */
	__u32 awaited;	 /* TCP: a sequence number */
	__u32 stamp;
	hw_ktime asked; /* when what ends there was sent */
};

/* What is touched rarely of a direction. */
struct hw_side_more {
	__s64 delivered; /* up to this place nothing is missing, or is waited for */
	__s64 trimmed;	 /* up to this place nothing is kept */
	__s64 fin;	 /* the place behind the FIN */
	__u64 missed;	 /* octets that were acknowledged and not seen */
	__u64 resent_bytes;
	__u64 rtt; /* from here to this side and back, smoothed, nanoseconds */
	hw_ktime first_data;
	hw_ktime hole;	/* when the first of `blocks` came */
	__u32 last_syn; /* places, lower 32 bits */
	__u32 last_fin;
	__u32 last_rst;
	__u32 window_seq; /* of the packet that told the window */
	__u32 window_ack;
	__u32 gaps;
	__u32 not_new; /* segments that took the stream no further (history's T) */
	__u32 zero_windows;
	struct hw_block blocks[HW_BLOCKS];
	hw_ktime over_at; /* the last FIN or RST */
	__u32 resent;	  /* packets that carry what this side had sent before */
	__u32 dup_acks;	  /* packets of this side that acknowledge nothing new */
	__u32 late;	  /* packets that others of this side have overtaken */
	__u32 damaged;	  /* packets whose checksum is wrong; of nothing else are they part */
	__u16 mss;
	__u16 fin_count; /* up to what makes a storm */
	__u16 rst_count;
	__u8 scale;
	__u8 unused[1];
};

struct hw_flow {
	hw_ktime first;
	hw_ktime last; /* see `duration` in docs/records.md */
	__u32 seen;    /* enum hw_seen */
	__u32 weirds;  /* what was odd so far, a bit each: hw_flow_weird() */
	__u16 marks;   /* enum hw_flow_mark */
	__u8 proto;
	__u8 history_length;
	__u32 turn; /* for hw_flow_afresh() */
	struct hw_side sides[2];
	struct hw_side_more more[2];
	hw_ktime attempt;    /* the last SYN */
	hw_ktime half;	     /* one side has ended, */
	hw_ktime ended;	     /* and both, or one by a RST */
	hw_ktime syn;	     /* the originator's first SYN, */
	hw_ktime syn_ack;    /* the responder's first answer to it, */
	hw_ktime handshaken; /* and when that was acknowledged */
	hw_ktime error;	     /* the last ICMP error about it */
	char history[HW_HISTORY];
	__u32 overflows; /* letters and blocks for which there was no room */
	__u16 vlan;
	__u16 vlan_inner;
	hw_mac l2[2]; /* of the packet that began it */
	__u32 has;    /* enum hw_has, of that packet */
};

_Static_assert(sizeof(struct hw_flow) <= 640, "a million of them fit into 640 MB");
_Static_assert(__builtin_offsetof(struct hw_flow, more) <= 192, "what each packet touches lies in three cache lines");

#define HW_PARENTS 4 /* carriers that a flow has one after another; the row names so many */

struct hw_parent {
	__u8 uid[12];
	__u32 packets;
};

/* What few flows have. */
struct hw_rare {
	struct hw_parent parents[HW_PARENTS]; /* of those that carry it, the first ones */
	__u8 error_by[12];		      /* uid of the flow of the last ICMP error about it */
};

#define HW_WEIRD_OF_FLOWS HW_WEIRD_SYN_seq_jump /* bit 0 of weirds */

_Static_assert(HW_WEIRD_excessive_data_without_further_acks - HW_WEIRD_OF_FLOWS < 32, "a bit for each");

/* Whether all of what it carries was there to read: a frame may be cut, and a layer before IP shorter than IP says. */
HW_INLINE int hw_is_whole(const struct hw_packet *row)
{
	__u64 cut = row->length > row->captured, longer = row->weird ^ HW_WEIRD_truncated_IP_len;

	HW_OPAQUE(longer);
	longer = (longer - 1) >> 63; /* a comparison would be two more paths for the verifier */
	return !(cut | longer);
}

/* Something is odd. The store is not put off, so that paths of the verifier meet. */
HW_INLINE void hw_flow_weird(struct hw_flow *flow, enum hw_weird name)
{
	*(volatile __u32 *)&flow->weirds |= 1u << (name - HW_WEIRD_OF_FLOWS);
}

/*
 * The side's number again, of which the verifier then knows nothing: what it learned of it in each branch would keep paths from meeting.
 * With this it looks at half of the instructions.
 */
HW_INLINE int hw_flow_afresh(struct hw_flow *flow, int which)
{
#ifdef __bpf__
	*(volatile __u32 *)&flow->turn = which;
	which = *(volatile __u32 *)&flow->turn & 1;
#else
	(void)flow;
#endif
	return which;
}

HW_INLINE int hw_addr_is(const __u8 *one, const __u8 *other)
{
	return HW_LOAD(__u64, one) == HW_LOAD(__u64, other) && HW_LOAD(__u64, one + 8) == HW_LOAD(__u64, other + 8);
}

HW_INLINE int hw_uid_is(const __u8 *one, const __u8 *other)
{
	return HW_LOAD(__u32, one) == HW_LOAD(__u32, other) && HW_LOAD(__u32, one + 4) == HW_LOAD(__u32, other + 4) &&
	       HW_LOAD(__u32, one + 8) == HW_LOAD(__u32, other + 8);
}

HW_INLINE void hw_copy_uid(__u8 *to, const __u8 *from)
{
	HW_STORE(__u32, to, HW_LOAD(__u32, from));
	HW_STORE(__u32, to + 4, HW_LOAD(__u32, from + 4));
	HW_STORE(__u32, to + 8, HW_LOAD(__u32, from + 8));
}

/* This flow is carried by the one of that uid. */
HW_INLINE void hw_flow_carry(struct hw_rare *rare, const __u8 uid[12])
{
	struct hw_parent *parent;
	int i;

	for (i = 0; i < HW_PARENTS; i++) {
		parent = &rare->parents[i];
		if (parent->packets && !hw_uid_is(parent->uid, uid))
			continue;
		hw_copy_uid(parent->uid, uid);
		parent->packets += parent->packets + 1 != 0;
		return;
	}
}

/* Whether its begin was not seen. The answer to a SYN says all of it that matters. */
HW_INLINE int hw_flow_is_partial(const struct hw_flow *flow)
{
	return flow->marks & HW_FLOW_partial && !(flow->history[0] == '^' && flow->history[1] == 'h');
}

/* From one time to a later one; 0 where they are not in order. */
HW_INLINE __u64 hw_between(hw_ktime begin, hw_ktime end)
{
	return end > begin ? end - begin : 0;
}

/* What both sides come to. */
HW_INLINE __u64 hw_flow_packets(const struct hw_flow *flow)
{
	return flow->sides[HW_ORIG].packets + flow->sides[HW_RESP].packets;
}

HW_INLINE __u32 hw_flow_resent(const struct hw_flow *flow)
{
	return flow->more[HW_ORIG].resent + flow->more[HW_RESP].resent;
}

/* From the first SYN to the acknowledgement of the SYN-ACK. */
HW_INLINE __u64 hw_flow_handshake(const struct hw_flow *flow)
{
	return hw_between(flow->syn, flow->syn_ack) + hw_between(flow->syn_ack, flow->handshaken);
}

/* From here to the responder and back, in nanoseconds, as far as they fit; 0 where it could not be measured. */
HW_INLINE __u32 hw_flow_network(const struct hw_flow *flow)
{
	__u64 rtt = flow->sides[HW_RESP].marks & HW_SIDE_rtt ? flow->more[HW_RESP].rtt : 0;

	return rtt < 0xffffffff ? rtt : 0xffffffff;
}

/* -- history ---------------------------------------------------------------------------------------------------------------- */

HW_INLINE void hw_history(struct hw_flow *flow, int side, char letter)
{
	__u32 at = flow->history_length;

	HW_OPAQUE(at);
	if (at >= HW_HISTORY) {
		flow->overflows++;
		return;
	}
	flow->history[at] = side == HW_RESP && letter != '^' ? letter + ('a' - 'A') : letter;
	flow->history_length = at + 1;
}

/* The letter, if it is this side's first. Returns whether there was one before. */
HW_INLINE int hw_history_once(struct hw_flow *flow, int side, enum hw_seen what, char letter)
{
	__u32 bit = (__u32)what << (16 * side);

	if (flow->seen & bit)
		return 1;
	flow->seen |= bit;
	hw_history(flow, side, letter);
	return 0;
}

/* The letter at 1, 10, 100 ... times. */
HW_INLINE void hw_history_scaled(struct hw_flow *flow, int side, __u32 *count, char letter)
{
	__u32 times = ++*count;

	if (times == 1 || times == 10 || times == 100 || times == 1000 || times == 10000 || times == 100000 || times == 1000000 ||
	    times == 10000000 || times == 100000000 || times == 1000000000)
		hw_history(flow, side, letter);
}

#endif

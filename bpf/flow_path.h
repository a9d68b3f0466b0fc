/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the path does to a flow, which Zeek's conn.log does not tell: how long a round trip takes on each side of here, what is sent again
 * and what comes late, and how the packets were marked.
 */
#ifndef HW_FLOW_PATH_H
#define HW_FLOW_PATH_H

#include "flow_stream.h"

#define HW_USUAL_LATE (3 * HW_SECOND / 1000) /* how much later a packet comes that was overtaken, where no round trip is known */

/* Of every packet of the side `which`, whatever its protocol. */
HW_INLINE void hw_path_add(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	struct hw_side *side = &flow->sides[which];

	if (!side->packets) {
		side->ttl = side->ttl_max = row->ttl;
		side->dscp = row->dscp;
	} else if (row->ttl < side->ttl) {
		side->ttl = row->ttl;
	} else if (row->ttl > side->ttl_max) {
		side->ttl_max = row->ttl;
	}
	side->dscp_last = row->dscp;
	side->ecn |= 1 << (row->ecn & 3);
	if (row->has & HW_HAS_tcp)
		side->tcp_flags |= row->tcp_flags;
	if (side->marks & HW_SIDE_data || !(row->has & HW_HAS_payload) || !row->payload_length)
		return;
	if (row->has & HW_HAS_tcp && row->tcp_flags & HW_RST)
		return; /* words about the reason */
	side->marks |= HW_SIDE_data;
	flow->more[which].first_data = row->ts;
}

/* A round trip from here to the side `which` and back took so long (RFC 6298, section 2). */
HW_INLINE void hw_path_took(struct hw_flow *flow, int which, __u64 time)
{
	struct hw_side_more *more = &flow->more[which];

	if (flow->sides[which].marks & HW_SIDE_rtt)
		time = more->rtt - (more->rtt >> 3) + (time >> 3);
	flow->sides[which].marks |= HW_SIDE_rtt;
	more->rtt = time;
}

/* The side `which` acknowledges. What was sent again does not tell which of them it got, unless a time stamp does (RFC 7323, section 4). */
HW_INLINE void hw_path_acks(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	int known;

	if (peer->marks & HW_SIDE_asked && (__s32)(row->ack - peer->awaited) >= 0) {
		peer->marks &= ~HW_SIDE_asked;
		if (peer->marks & HW_SIDE_stamped && row->has & HW_HAS_timestamps)
			known = (__s32)(row->tsecr - peer->stamp) <= 0;
		else
			known = !(peer->marks & HW_SIDE_again);
		if (known && row->ts >= peer->asked)
			hw_path_took(flow, which, row->ts - peer->asked);
	}
	if (row->tcp_flags & HW_SYN)
		return;
	if (which == HW_ORIG && (flow->marks & (HW_FLOW_syn_ack | HW_FLOW_acked)) == HW_FLOW_syn_ack &&
	    (__s32)(row->ack - peer->first) > 0) {
		flow->marks |= HW_FLOW_acked;
		flow->handshaken = row->ts;
	}
	/* the number again, and no other reason to send (RFC 5681, section 2) */
	if (!row->payload_length && !(row->tcp_flags & HW_FIN) && peer->state != HW_TCP_inactive && peer->sent > peer->acked &&
	    row->ack == (__u32)(peer->first + peer->acked) && (__u32)row->window << side->window_scale == side->window)
		flow->more[which].dup_acks++;
}

HW_INLINE void hw_path_syn(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	struct hw_side *side = &flow->sides[which];

	if (which == HW_ORIG && !(row->tcp_flags & HW_ACK) && !(flow->marks & HW_FLOW_syn)) {
		flow->marks |= HW_FLOW_syn;
		flow->syn = row->ts;
	}
	if (which == HW_RESP && row->tcp_flags & HW_ACK && (flow->marks & (HW_FLOW_syn | HW_FLOW_syn_ack)) == HW_FLOW_syn) {
		flow->marks |= HW_FLOW_syn_ack;
		flow->syn_ack = row->ts;
	}
	if (row->has & HW_HAS_mss) {
		side->marks |= HW_SIDE_mss;
		flow->more[which].mss = row->mss;
	}
	if (row->has & HW_HAS_window_scale) {
		side->marks |= HW_SIDE_scale;
		flow->more[which].scale = row->window_scale;
	}
}

/* Whether none of [place, end) was seen, though something behind it was. */
HW_INLINE int hw_path_is_hole(const struct hw_side *side, const struct hw_side_more *more, __s64 place, __s64 end)
{
	__s64 touches = 0;
	__u32 i;

	if (!side->block_count || place < more->delivered)
		return 0;
	for (i = 0; i < HW_BLOCKS; i++) { /* without branches: all three are negative where a block that is not empty touches it */
		__s64 from = hw_block_place(more, more->blocks[i].begin), to = hw_block_place(more, more->blocks[i].end);

		touches |= (from - end) & (place - to) & (from - to);
	}
	return touches >= 0;
}

/* A packet that does not begin where the one before ended, but before that. */
HW_INLINE void hw_path_again(struct hw_flow *flow, int which, const struct hw_packet *row, __s64 place)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	struct hw_side_more *more = &flow->more[which];
	__u64 late = HW_USUAL_LATE;
	__s64 octets = row->payload_length;

	if (!(row->tcp_flags & (HW_SYN | HW_FIN)) && row->payload_length <= 1 && place == side->sent - 1 && side->acked >= side->sent)
		return; /* a keep-alive */
	if (octets && hw_path_is_hole(side, more, place, place + octets)) {
		/* the sender cannot know of a loss before a round trip of the whole path is over: it was overtaken */
		if (side->marks & peer->marks & HW_SIDE_rtt)
			late = more->rtt + flow->more[!which].rtt;
		if (row->ts - more->hole < late) {
			more->late++;
			return;
		}
	}
	if (octets > side->sent - place)
		octets = side->sent - place;
	more->resent++;
	more->resent_bytes += octets;
	side->marks |= HW_SIDE_again;
}

/*
 * A TCP packet of the side `which`, before anything else has learned from it. It takes `length` of the stream from `place` on; `again` is
 * whether it is the SYN that was seen before.
 */
HW_INLINE void hw_path_tcp(struct hw_flow *flow, int which, const struct hw_packet *row, __s64 place, __u32 length, int again)
{
	struct hw_side *side = &flow->sides[which];

	if (row->tcp_flags & HW_RST)
		return;
	if (row->tcp_flags & HW_ACK)
		hw_path_acks(flow, which, row);
	if (row->tcp_flags & HW_SYN)
		hw_path_syn(flow, which, row);
	if (!length)
		return;
	if (row->tcp_flags & HW_SYN ? again : place < side->sent) {
		hw_path_again(flow, which, row, place);
		return;
	}
	if (side->marks & HW_SIDE_asked)
		return;
	side->marks = (side->marks & ~(HW_SIDE_again | HW_SIDE_stamped)) | HW_SIDE_asked;
	if (row->has & HW_HAS_timestamps)
		side->marks |= HW_SIDE_stamped;
	side->awaited = row->seq + length;
	side->stamp = row->tsval;
	side->asked = row->ts;
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is odd in a TCP flow, with Zeek's names and Zeek's conditions (src/packet_analysis/protocol/tcp/TCPSessionAdapter.cc,
 * src/analyzer/protocol/tcp/TCP_Endpoint.cc). A flow keeps a bit for each name that it has met. hw_weird_tcp() judges a packet by the flow as
 * it was before: apart from what follows the packets, so that the verifier need not multiply the paths of both.
 */
#ifndef HW_FLOW_WEIRD_H
#define HW_FLOW_WEIRD_H

#include "flow_stream.h"

#define HW_URG 32
#define HW_MOST_SCALE 14 /* RFC 7323 */
#define HW_STORM 1000	 /* tcp_storm_thresh: FINs or RSTs of a side, less than a second apart (tcp_storm_interarrival_thresh) */

HW_INLINE void hw_weird_syn(struct hw_flow *flow, const struct hw_packet *row)
{
	if (row->tcp_flags & HW_RST)
		hw_flow_weird(flow, HW_WEIRD_TCP_christmas);
	if (row->tcp_flags & HW_URG)
		hw_flow_weird(flow, HW_WEIRD_baroque_SYN);
	if (row->payload_length)
		hw_flow_weird(flow, HW_WEIRD_SYN_with_data);
	if (row->has & HW_HAS_window_scale && row->window_scale > HW_MOST_SCALE && !flow->weirds)
		hw_flow_weird(flow, HW_WEIRD_TCP_scale_range);
}

/* Whether the packet lies before the side's first number. Most SYNs are that number (hw_begin_side). */
HW_INLINE int hw_weird_number(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	const struct hw_side *side = &flow->sides[which];
	enum hw_tcp_state state = side->state;
	int talks = state == HW_TCP_established || state == HW_TCP_partial;

	if (row->tcp_flags & HW_SYN) {
		if (talks && hw_stream_bytes(side, &flow->sides[!which]))
			hw_flow_weird(flow, HW_WEIRD_SYN_inside_connection);
		if ((talks || state == HW_TCP_syn_sent || state == HW_TCP_syn_ack_sent) && row->seq != side->first)
			hw_flow_weird(flow, HW_WEIRD_SYN_seq_jump);
		if (state != HW_TCP_closed && !(state == HW_TCP_reset && side->before != HW_TCP_inactive))
			return 0;
	}
	if (state == HW_TCP_inactive || hw_place(side, row->seq, side->sent) >= 0)
		return 0;
	if (!(row->tcp_flags & HW_RST))
		hw_flow_weird(flow, HW_WEIRD_TCP_seq_underflow_or_misorder);
	return 1;
}

/* Of what is neither SYN nor FIN nor RST. */
HW_INLINE void hw_weird_window(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	const struct hw_side *side = &flow->sides[which];
	const struct hw_side_more *more = &flow->more[which];
	__u32 edge = row->ack + ((__u32)row->window << side->window_scale);

	if (side->state == HW_TCP_closed || side->state == HW_TCP_reset)
		return;
	if ((__s32)(row->seq - more->window_seq) < 0 || (__s32)(row->ack - more->window_ack) < 0)
		return;
	if ((__s32)(edge - (more->window_ack + side->window)) <= -(1 << side->window_scale))
		hw_flow_weird(flow, HW_WEIRD_window_recision);
}

/* A FIN or RST. */
HW_INLINE void hw_weird_over(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	struct hw_side_more *more = &flow->more[which];
	int soon = (__s64)(row->ts - more->over_at) < (__s64)HW_SECOND;

	if (row->tcp_flags & HW_FIN) {
		more->fin_count += more->fin_count < HW_STORM;
		if (more->fin_count >= HW_STORM && soon)
			hw_flow_weird(flow, HW_WEIRD_FIN_storm);
	}
	if (row->tcp_flags & HW_RST) {
		more->rst_count += more->rst_count < HW_STORM;
		if (more->rst_count >= HW_STORM && soon)
			hw_flow_weird(flow, HW_WEIRD_RST_storm);
	}
	more->over_at = row->ts;
}

HW_INLINE void hw_weird_ack(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	const struct hw_side *peer = &flow->sides[!which];
	enum hw_tcp_state state = flow->sides[which].state;

	if (peer->state != HW_TCP_inactive) {
		if (hw_place(peer, row->ack, peer->acked) < 0)
			hw_flow_weird(flow, HW_WEIRD_TCP_ack_underflow_or_misorder);
		return;
	}
	if (!(row->tcp_flags & (HW_SYN | HW_FIN | HW_RST)) && !flow->weirds &&
	    (state == HW_TCP_syn_sent || state == HW_TCP_syn_ack_sent || state == HW_TCP_established))
		hw_flow_weird(flow, HW_WEIRD_possible_split_routing);
}

/* The first packet of a side. */
HW_INLINE void hw_weird_first(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	const struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	__u32 flags = row->tcp_flags;

	if (flags & HW_SYN && which == HW_ORIG) {
		if (flags & HW_ACK)
			hw_flow_weird(flow, HW_WEIRD_connection_originator_SYN_ack);
	} else if (flags & HW_SYN) {
		if (peer->state == HW_TCP_inactive)
			hw_flow_weird(flow, HW_WEIRD_unsolicited_SYN_response);
		else if (flags & HW_ACK && peer->state != HW_TCP_partial && row->ack - peer->first > (__u32)peer->sent)
			hw_flow_weird(flow, HW_WEIRD_bad_SYN_ack);
		if (!(flags & HW_ACK) && !(peer->state == HW_TCP_syn_ack_sent && row->seq == side->first))
			hw_flow_weird(flow, HW_WEIRD_simultaneous_open);
	}
	if (flags & HW_FIN && !(flags & HW_SYN) && peer->state != HW_TCP_partial)
		hw_flow_weird(flow, HW_WEIRD_spontaneous_FIN);
	if (flags & HW_RST && peer->state == HW_TCP_inactive)
		hw_flow_weird(flow, HW_WEIRD_spontaneous_RST);
}

/* A packet of a side that has sent a SYN, and is not past its handshake. */
HW_INLINE void hw_weird_handshake(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	enum hw_tcp_state state = flow->sides[which].state, other = flow->sides[!which].state;
	__u32 flags = row->tcp_flags;

	if (which == HW_ORIG && state == HW_TCP_syn_sent && (flags & (HW_SYN | HW_ACK | HW_FIN | HW_RST)) == (HW_SYN | HW_ACK))
		hw_flow_weird(flow, HW_WEIRD_repeated_SYN_with_ack);
	if (flags & HW_FIN && (other == HW_TCP_inactive || other == HW_TCP_syn_sent))
		hw_flow_weird(flow, HW_WEIRD_inappropriate_FIN);
	if (!(flags & HW_RST) && row->payload_length)
		hw_flow_weird(flow, HW_WEIRD_data_before_established);
}

/* A packet of a side that has sent a FIN. */
HW_INLINE void hw_weird_closed(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	const struct hw_side *side = &flow->sides[which];
	__u32 flags = row->tcp_flags, end = row->seq + 1 + !!(flags & HW_SYN) + (flags & HW_RST ? 0 : row->payload_length);

	if (flags & HW_SYN)
		hw_flow_weird(flow, HW_WEIRD_SYN_after_close);
	if (flags & HW_FIN && (__s32)(end - (__u32)(side->first + side->sent)) > 0)
		hw_flow_weird(flow, HW_WEIRD_FIN_advanced_last_seq);
}

/* A packet of a side that has sent a RST. */
HW_INLINE void hw_weird_reset(struct hw_flow *flow, const struct hw_packet *row)
{
	if (row->tcp_flags & HW_SYN)
		hw_flow_weird(flow, HW_WEIRD_SYN_after_reset);
	if (row->tcp_flags & HW_FIN)
		hw_flow_weird(flow, HW_WEIRD_FIN_after_reset);
	if (!(row->tcp_flags & HW_RST) && row->payload_length)
		hw_flow_weird(flow, HW_WEIRD_data_after_reset);
}

/* A packet of the side `which`, that hw_tcp_add() will be given. */
HW_INLINE void hw_weird_tcp(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	__u32 flags = row->tcp_flags;
	int before_begin = hw_weird_number(flow, which, row);

	if (flags & HW_SYN)
		hw_weird_syn(flow, row);
	if (flags & (HW_FIN | HW_RST))
		hw_weird_over(flow, which, row);
	else if (!(flags & HW_SYN))
		hw_weird_window(flow, which, row);
	if (flags & HW_ACK)
		hw_weird_ack(flow, which, row);
	if (row->payload_length && !(flags & HW_RST) && !before_begin && !hw_is_whole(row))
		hw_flow_weird(flow, HW_WEIRD_truncated_tcp_payload);
	switch (flow->sides[which].state) {
	case HW_TCP_established:
		break;
	case HW_TCP_inactive:
		hw_weird_first(flow, which, row);
		break;
	case HW_TCP_syn_sent:
	case HW_TCP_syn_ack_sent:
		hw_weird_handshake(flow, which, row);
		break;
	case HW_TCP_partial:
		if (flags & HW_SYN && !(flags & HW_ACK) && flow->sides[!which].state == HW_TCP_inactive)
			hw_flow_weird(flow, HW_WEIRD_SYN_after_partial);
		break;
	case HW_TCP_closed:
		hw_weird_closed(flow, which, row);
		break;
	case HW_TCP_reset:
		hw_weird_reset(flow, row);
		break;
	}
}

/* What it is called that this packet begins another flow while `flow` is there, as hw_flow_is_reused() says; HW_WEIRD_none if nothing is odd. */
HW_INLINE enum hw_weird hw_weird_of_reuse(const struct hw_flow *flow, const struct hw_packet *row, const struct hw_flow_settings *settings)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];
	const struct hw_side *side = row->tcp_flags & HW_ACK ? resp : orig;

	if (!(orig->closed && resp->closed))
		return side->state == HW_TCP_syn_sent ? HW_WEIRD_SYN_seq_jump : HW_WEIRD_active_connection_reuse;
	if (orig->state == HW_TCP_reset || resp->state == HW_TCP_reset || (__s64)(row->ts - flow->last) >= (__s64)settings->linger_timeout)
		return HW_WEIRD_none;
	return HW_WEIRD_premature_connection_reuse;
}

#endif

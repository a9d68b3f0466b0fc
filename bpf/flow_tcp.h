/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A TCP flow's states, as Zeek has them (src/packet_analysis/protocol/tcp/TCPSessionAdapter.cc). */
#ifndef HW_FLOW_TCP_H
#define HW_FLOW_TCP_H

#include "flow_path.h"

#define HW_FARTHEST 1048576	     /* a SYN's or RST's number further off than this is not trusted */
#define HW_NEXT_LOOK (6 * HW_SECOND) /* tcp_session_timer */

HW_INLINE int hw_in_handshake(const struct hw_side *side)
{
	return side->state <= HW_TCP_syn_ack_sent;
}

HW_INLINE void hw_tcp_enter(struct hw_flow *flow, int which, enum hw_tcp_state state)
{
	struct hw_side *side = &flow->sides[which];

	if (state == side->state)
		return;
	if (state > HW_TCP_syn_ack_sent && hw_in_handshake(side) && hw_in_handshake(&flow->sides[!which]))
		flow->marks |= HW_FLOW_handshaken;
	side->before = side->state;
	side->state = state;
}

HW_INLINE void hw_restart(struct hw_side *side, __u32 seq, __u32 length)
{
	side->first = seq;
	side->acked = 0;
	side->sent = length;
}

/* Where a side's stream begins: at its first packet, or at a SYN that says otherwise. `length` is what the packet takes of the stream. */
HW_INLINE void hw_begin_side(struct hw_side *side, const struct hw_packet *row, __u32 length)
{
	int syn = row->tcp_flags & HW_SYN;

	if (side->state == HW_TCP_inactive && !syn) {
		hw_restart(side, row->seq - 1, 1); /* as if there had been a SYN */
		return;
	}
	if (!syn || side->state == HW_TCP_closed)
		return;
	if (side->state == HW_TCP_reset && side->before != HW_TCP_inactive)
		return;
	if ((side->state == HW_TCP_syn_sent || side->state == HW_TCP_syn_ack_sent) && row->seq == side->first)
		return;
	hw_restart(side, row->seq, length);
}

HW_INLINE void hw_tcp_history(struct hw_flow *flow, int which, const struct hw_packet *row, __u32 place)
{
	struct hw_side_more *more = &flow->more[which];
	__u32 flags = row->tcp_flags & (HW_SYN | HW_FIN | HW_RST);

	if (flags & (flags - 1)) {
		if (flags & HW_FIN && flags & HW_RST)
			hw_history_once(flow, which, HW_SEEN_fin_rst, 'I');
		else
			hw_history_once(flow, which, HW_SEEN_many, 'Q');
	} else if (flags == HW_SYN) {
		char letter = row->tcp_flags & HW_ACK ? 'H' : 'S';

		if (hw_history_once(flow, which, HW_SEEN_syn, letter) && place != more->last_syn)
			hw_history(flow, which, letter);
		more->last_syn = place;
	} else if (flags == HW_FIN) {
		place += row->payload_length;
		if (hw_history_once(flow, which, HW_SEEN_fin, 'F') && place != more->last_fin)
			hw_history(flow, which, 'F');
		more->last_fin = place;
	} else if (flags == HW_RST) {
		if (hw_history_once(flow, which, HW_SEEN_rst, 'R') && place != more->last_rst)
			hw_history(flow, which, 'R');
		more->last_rst = place;
	} else if (row->payload_length) {
		hw_history_once(flow, which, HW_SEEN_data, 'D');
	} else if (row->tcp_flags & HW_ACK) {
		hw_history_once(flow, which, HW_SEEN_ack, 'A');
	}
}

HW_INLINE void hw_tcp_window(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	struct hw_side_more *more = &flow->more[which];
	__u32 window = (__u32)row->window << side->window_scale;

	if (!window && !(row->tcp_flags & HW_RST) && peer->state != HW_TCP_closed && side->state != HW_TCP_reset)
		hw_history_scaled(flow, which, &more->zero_windows, 'W');
	if (row->tcp_flags & (HW_SYN | HW_FIN | HW_RST) || side->state == HW_TCP_closed || side->state == HW_TCP_reset)
		return;
	if ((__s32)(row->seq - more->window_seq) < 0 || (__s32)(row->ack - more->window_ack) < 0)
		return;
	side->window = window;
	more->window_seq = row->seq;
	more->window_ack = row->ack;
}

HW_INLINE void hw_tcp_scale(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];

	if (!(row->has & HW_HAS_window_scale)) {
		side->window_scale = 0;
		if (row->tcp_flags & HW_ACK)
			peer->window_scale = 0;
		return;
	}
	side->window_scale = row->window_scale < 14 ? row->window_scale : 14; /* RFC 7323 */
	flow->more[which].window_seq = row->seq;
	flow->more[which].window_ack = row->ack;
	flow->more[!which].window_seq = row->ack;
	flow->more[!which].window_ack = row->seq;
}

/* How far the end of this packet is behind the last one's; less than 0: before it. */
HW_INLINE __s32 hw_tcp_advance(struct hw_flow *flow, int which, const struct hw_packet *row, __u32 length)
{
	struct hw_side *side = &flow->sides[which];
	__s32 ahead = row->seq + length - (__u32)(side->first + side->sent);

	if (row->tcp_flags & (HW_SYN | HW_RST) && (ahead > HW_FARTHEST || ahead < -HW_FARTHEST))
		return ahead;
	if (row->tcp_flags & HW_FIN && side->sent == 1)
		side->sent += (__u32)ahead; /* only a SYN and a FIN were seen: more than 2 GB may lie between */
	else if (side->state == HW_TCP_reset)
		return ahead;
	else if (ahead > 0)
		side->sent += ahead;
	else if (row->payload_length)
		hw_history_scaled(flow, which, &flow->more[which].not_new, 'T');
	return ahead;
}

/* Two things of `size` octets change places, word by word: there is no room for either on a stack of 512 octets. */
HW_INLINE void hw_swap(__u8 *one, __u8 *other, __u32 size)
{
	__u32 i;

	for (i = 0; i < size; i += 8) {
		__u64 word = HW_LOAD(__u64, one + i);

		HW_STORE(__u64, one + i, HW_LOAD(__u64, other + i));
		HW_STORE(__u64, other + i, word);
	}
}

/* The sides change places: who seemed to answer had begun. */
HW_INLINE void hw_flow_flip(struct hw_flow *flow)
{
	__u16 marks = flow->marks & ~(HW_FLOW_orig_seen | HW_FLOW_resp_seen | HW_FLOW_partial);
	__u8 mac[6];

	_Static_assert(sizeof(struct hw_side) % 8 == 0 && sizeof(struct hw_side_more) % 8 == 0, "words");
	hw_swap((__u8 *)&flow->sides[0], (__u8 *)&flow->sides[1], sizeof(struct hw_side));
	hw_swap((__u8 *)&flow->more[0], (__u8 *)&flow->more[1], sizeof(struct hw_side_more));
	if (flow->marks & HW_FLOW_orig_seen)
		marks |= HW_FLOW_resp_seen;
	if (flow->marks & HW_FLOW_resp_seen)
		marks |= HW_FLOW_orig_seen;
	flow->marks = marks ^ HW_FLOW_flipped;
	__builtin_memcpy(mac, flow->l2[0], 6);
	__builtin_memcpy(flow->l2[0], flow->l2[1], 6);
	__builtin_memcpy(flow->l2[1], mac, 6);
	hw_history(flow, HW_ORIG, '^');
}

/*
 * A flow that began with a SYN-ACK, and now there is an acknowledgement or data: no scan, but somebody whose SYN was not seen. Returns the
 * side that the packet is of.
 */
HW_INLINE int hw_tcp_answered(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	if (flow->history_length != 1 || flow->history[0] != 'H' || row->tcp_flags & (HW_SYN | HW_FIN | HW_RST) ||
	    !(row->tcp_flags & HW_ACK || row->payload_length))
		return which;
	if (row->sport == row->dport && hw_addr_is(row->src, row->dst))
		return which; /* nobody else is there */
	hw_flow_flip(flow);
	flow->history[0] = '^';
	flow->history[1] = 'h';
	return hw_flow_afresh(flow, !which);
}

/* Returns whether the side is closed with this packet. */
HW_INLINE int hw_tcp_first(struct hw_flow *flow, int *which, const struct hw_packet *row)
{
	struct hw_side *side = &flow->sides[*which], *peer = &flow->sides[!*which];
	int closes = 0, flags = row->tcp_flags;

	if (flags & HW_SYN && *which == HW_ORIG) {
		hw_tcp_enter(flow, *which, flags & HW_ACK ? HW_TCP_syn_ack_sent : HW_TCP_syn_sent);
		flow->attempt = row->ts;
		flow->marks |= HW_FLOW_attempt;
	} else if (flags & HW_SYN) {
		if (!(flags & HW_ACK) && peer->state == HW_TCP_syn_ack_sent && row->seq == side->first) {
			/* the SYN-ACK came first: two interfaces, read one after the other */
			hw_flow_flip(flow);
			*which = HW_ORIG;
			side = &flow->sides[HW_ORIG];
			peer = &flow->sides[HW_RESP];
			hw_tcp_enter(flow, HW_RESP, HW_TCP_established);
			flow->marks |= HW_FLOW_orig_seen;
		}
		if (peer->state == HW_TCP_syn_sent)
			hw_tcp_enter(flow, !*which, HW_TCP_established);
		hw_tcp_enter(flow, *which, HW_TCP_established);
	}
	if (flags & HW_FIN) {
		hw_tcp_enter(flow, *which, HW_TCP_closed);
		closes = 1;
	}
	if (flags & HW_RST) {
		hw_tcp_enter(flow, *which, HW_TCP_reset);
		closes = 1;
	}
	if (side->state != HW_TCP_inactive)
		return closes;
	if (*which == HW_RESP && !row->payload_length && peer->state == HW_TCP_syn_sent)
		return closes;					   /* some acknowledge a SYN before they answer it */
	if (flags & HW_ACK && peer->state == HW_TCP_established) { /* only the SYN is missing */
		hw_tcp_enter(flow, *which, HW_TCP_established);
		flow->marks &= ~HW_FLOW_partial;
		flow->marks |= *which == HW_ORIG ? HW_FLOW_orig_seen : HW_FLOW_resp_seen;
	} else {
		hw_tcp_enter(flow, *which, HW_TCP_partial);
	}
	return closes;
}

HW_INLINE int hw_tcp_established(struct hw_flow *flow, int which, int flags)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	int closes = 0;

	if (flags & HW_SYN && !(flags & HW_ACK) && side->state == HW_TCP_partial && peer->state == HW_TCP_inactive)
		hw_tcp_enter(flow, which, HW_TCP_syn_sent);
	if (flags & HW_FIN && !(flags & HW_RST)) {
		hw_tcp_enter(flow, which, HW_TCP_closed);
		if (peer->state == HW_TCP_reset && peer->before == HW_TCP_closed)
			hw_tcp_enter(flow, !which, HW_TCP_closed); /* its RST came after its FIN: a usual end */
		closes = 1;
	}
	if (flags & HW_RST) {
		hw_tcp_enter(flow, which, HW_TCP_reset);
		if (peer->state != HW_TCP_reset || peer->before != HW_TCP_established)
			flow->marks |= HW_FLOW_reset;
		closes = 1;
	}
	return closes;
}

HW_INLINE int hw_tcp_state(struct hw_flow *flow, int *which, const struct hw_packet *row)
{
	struct hw_side *side = &flow->sides[*which], *peer = &flow->sides[!*which];
	int closes = 0;

	switch (side->state) {
	case HW_TCP_inactive:
		return hw_tcp_first(flow, which, row);
	case HW_TCP_syn_sent:
	case HW_TCP_syn_ack_sent:
		if (row->tcp_flags & HW_FIN) {
			hw_tcp_enter(flow, *which, HW_TCP_closed);
			closes = 1;
		}
		if (row->tcp_flags & HW_RST) {
			hw_tcp_enter(flow, *which, HW_TCP_reset);
			flow->marks |= HW_FLOW_reset;
			closes = 1;
		}
		return closes;
	case HW_TCP_partial:
	case HW_TCP_established:
		return hw_tcp_established(flow, *which, row->tcp_flags);
	case HW_TCP_closed:
		if (row->tcp_flags & HW_RST && peer->state != HW_TCP_closed) {
			hw_tcp_enter(flow, *which, HW_TCP_reset);
			return !side->closed;
		}
		return 0;
	case HW_TCP_reset:
		return 0;
	}
	return 0;
}

/* That side's end is complete, unless data is missing that may still come. */
HW_INLINE void hw_tcp_close(struct hw_flow *flow, int which)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];

	if (hw_is_pending(flow, which)) {
		flow->marks |= HW_FLOW_deferred;
		return;
	}
	flow->marks &= ~HW_FLOW_deferred;
	if (side->closed)
		return;
	side->closed = 1;
	if (side->state == HW_TCP_reset || peer->closed || peer->state == HW_TCP_inactive) {
		flow->ended = flow->last;
		flow->marks |= HW_FLOW_ended;
	} else if (side->before != HW_TCP_inactive) {
		flow->half = flow->last;
		flow->marks |= HW_FLOW_half_ended;
	}
}

HW_INLINE void hw_tcp_end(struct hw_flow *flow, int which)
{
	struct hw_side *side = &flow->sides[which];

	if (side->ended || !(side->fins || side->state == HW_TCP_closed || side->state == HW_TCP_reset) || hw_is_pending(flow, which))
		return;
	side->ended = 1;
	if (flow->marks & HW_FLOW_deferred) {
		hw_tcp_close(flow, which);
		flow->marks &= ~HW_FLOW_deferred;
	}
}

/* The other side has acknowledged all before `place`. */
HW_INLINE void hw_tcp_acked(struct hw_flow *flow, int which, __s64 place)
{
	struct hw_side *side = &flow->sides[which];

	if (side->fins && place >= flow->more[which].fin)
		place = flow->more[which].fin - 1;
	if (place <= flow->more[which].trimmed)
		return;
	hw_stream_trim(flow, which, place);
	hw_tcp_end(flow, which);
}

/* A packet of the side `which`. `whole` is whether its payload was captured. Returns the side that it is of, which a flip may change. */
HW_INLINE int hw_tcp_add(struct hw_flow *flow, int which, const struct hw_packet *row, int whole)
{
	struct hw_side *side, *peer;
	__u32 flags = row->tcp_flags, length = 0;
	__s64 place, acked = 0;
	int closes, before_begin, again, blocks;

	which = hw_tcp_answered(flow, which, row);
	side = &flow->sides[which];
	peer = &flow->sides[!which];

	if (!(flow->marks & (which == HW_ORIG ? HW_FLOW_orig_seen : HW_FLOW_resp_seen))) {
		if (which == HW_ORIG ? !(flags & HW_SYN) || flags & HW_ACK : !(flow->marks & HW_FLOW_partial) && !(flags & HW_SYN))
			flow->marks |= HW_FLOW_partial;
		else if (which == HW_ORIG)
			flow->marks &= ~HW_FLOW_partial;
	}
	if (!(flags & HW_RST))
		length = row->payload_length;
	length += !!(flags & HW_SYN) + !!(flags & HW_FIN);
	again = flags & HW_SYN && side->state != HW_TCP_inactive && row->seq == side->first;
	hw_begin_side(side, row, length);
	place = hw_place(side, row->seq, side->sent);
	before_begin = place < 0;
	hw_path_tcp(flow, which, row, place, length, again);
	which = hw_flow_afresh(flow, which);
	side = &flow->sides[which];
	peer = &flow->sides[!which];
	flags = HW_AFRESH(row->tcp_flags);
	hw_tcp_history(flow, which, row, place);
	hw_tcp_window(flow, which, row);
	if (!side->closed || !peer->closed)
		flow->last = row->ts;
	if (flags & HW_SYN)
		hw_tcp_scale(flow, which, row);
	if (flags & HW_FIN) {
		side->fins = 1;
		flow->more[which].fin = place + length;
	}
	if (flags & HW_ACK) {
		if (peer->state == HW_TCP_inactive) {
			acked = 1;
			hw_restart(peer, row->ack - 1, 0);
		} else {
			acked = hw_place(peer, row->ack, peer->acked);
			if (acked < 0)
				acked = 0;
			else if (!(flags & HW_RST) && acked > peer->acked && !(!row->ack && acked - peer->acked > HW_FARTHEST))
				peer->acked = acked;
		}
	}
	hw_tcp_advance(flow, which, row, length);
	closes = hw_tcp_state(flow, &which, row);
	which = hw_flow_afresh(flow, which);
	flags = HW_AFRESH(row->tcp_flags);
	if (flags & HW_ACK)
		hw_tcp_acked(flow, !which, acked);
	flow->marks |= which == HW_ORIG ? HW_FLOW_orig_seen : HW_FLOW_resp_seen;
	which = hw_flow_afresh(flow, which);
	side = &flow->sides[which];
	blocks = side->block_count;
	if (row->payload_length && whole && !(flags & HW_RST) && !before_begin)
		hw_stream_add(flow, which, place + !!(flags & HW_SYN), row->payload_length);
	if (!blocks && side->block_count)
		flow->more[which].hole = row->ts;
	hw_tcp_end(flow, which);
	if (closes)
		hw_tcp_close(flow, which);
	return which;
}

#endif

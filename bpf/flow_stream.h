/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is missing of a TCP stream, without its octets: only places are kept. A hole is a gap once the other side has acknowledged what lies
 * in it (Zeek: src/analyzer/protocol/tcp/TCP_Reassembler.cc and src/Reassem.cc).
 */
#ifndef HW_FLOW_STREAM_H
#define HW_FLOW_STREAM_H

#include "flow_base.h"

#define HW_INITIAL_WINDOW 16384	       /* octets that nobody acknowledges: acknowledgements are not seen */
#define HW_MOST_ABOVE_HOLE 16384       /* likewise, behind a hole */
#define HW_MOST_UNACKED (10 << 20)     /* octets since the last acknowledgement */

/* The place that is nearest to `near` and has this sequence number. */
HW_INLINE __s64 hw_place(const struct hw_side *side, __u32 seq, __s64 near)
{
	return near + (__s32)(seq - (__u32)(side->first + near));
}

HW_INLINE int hw_nothing_acked(const struct hw_side *side)
{
	return side->acked == 0 || side->acked == 1;
}

/* Octets of payload that the sequence numbers tell of. */
HW_INLINE __u64 hw_stream_bytes(const struct hw_side *side, const struct hw_side *peer)
{
	__s64 bytes = side->sent > side->acked ? side->sent : side->acked;

	if (side->before == HW_TCP_syn_sent && side->state == HW_TCP_reset && peer->state == HW_TCP_inactive && !hw_nothing_acked(side))
		return 0; /* a connection that the other side had forgotten: its numbers are of another one */
	if (bytes > 0)
		bytes--; /* the SYN */
	if (bytes > 0 && side->fins)
		bytes--;
	return bytes > 0 ? bytes : 0;
}

HW_INLINE int hw_is_clean(const struct hw_side *side)
{
	return side->state == HW_TCP_established || (side->state == HW_TCP_closed && side->before == HW_TCP_established);
}

HW_INLINE void hw_gap(struct hw_flow *flow, int which, __u64 octets)
{
	if (!hw_is_clean(&flow->sides[0]) || !hw_is_clean(&flow->sides[1]))
		return; /* numbers of a RST, or of a flow whose begin is missing, say little */
	flow->more[which].missed += octets;
	hw_history_scaled(flow, which, &flow->more[which].gaps, 'G');
}

/* The block's place, as the nearest one to what is delivered. */
HW_INLINE __s64 hw_block_place(const struct hw_side_more *more, __u32 place)
{
	return more->delivered + (__s32)(place - (__u32)more->delivered);
}

HW_INLINE void hw_block_remove(struct hw_side *side, struct hw_side_more *more, __u32 which)
{
	__u32 i;

	for (i = 0; i + 1 < HW_BLOCKS; i++)
		if (i >= which)
			more->blocks[i] = more->blocks[i + 1];
	side->block_count--;
}

/* Deliver the blocks that begin where the stream is now. */
HW_INLINE void hw_absorb(struct hw_side *side, struct hw_side_more *more)
{
	__u32 i;

	for (i = 0; i < HW_BLOCKS && side->block_count; i++) {
		if (hw_block_place(more, more->blocks[0].begin) > more->delivered)
			return;
		if (hw_block_place(more, more->blocks[0].end) > more->delivered)
			more->delivered = hw_block_place(more, more->blocks[0].end);
		hw_block_remove(side, more, 0);
	}
}

/* Remember [begin, end), which lies behind a hole. Without room, what lies between the last two blocks is not looked for. */
HW_INLINE void hw_block_insert(struct hw_flow *flow, struct hw_side *side, struct hw_side_more *more, __s64 begin, __s64 end)
{
	struct hw_block fresh = {begin, end};
	__u32 i, at = 0;

	for (i = 0; i < HW_BLOCKS && i < side->block_count; i++) /* behind all that begin before it */
		if (hw_block_place(more, more->blocks[i].begin) <= begin)
			at = i + 1;
	if (at && at <= HW_BLOCKS && hw_block_place(more, more->blocks[(at - 1) % HW_BLOCKS].end) >= begin) { /* it goes on where that one ends */
		if (hw_block_place(more, more->blocks[(at - 1) % HW_BLOCKS].end) < end)
			more->blocks[(at - 1) % HW_BLOCKS].end = end;
		at--;
	} else {
		if (side->block_count >= HW_BLOCKS) {
			flow->overflows++;
			if (at >= HW_BLOCKS) {
				if (hw_block_place(more, more->blocks[HW_BLOCKS - 1].end) < end)
					more->blocks[HW_BLOCKS - 1].end = end;
				return;
			}
			more->blocks[HW_BLOCKS - 2].end = more->blocks[HW_BLOCKS - 1].end;
			side->block_count--;
			if (at == HW_BLOCKS - 1) {
				if (hw_block_place(more, more->blocks[HW_BLOCKS - 2].end) < end)
					more->blocks[HW_BLOCKS - 2].end = end;
				return;
			}
		}
		for (i = HW_BLOCKS - 1; i > 0; i--)
			if (i > at)
				more->blocks[i] = more->blocks[i - 1];
		more->blocks[at % HW_BLOCKS] = fresh;
		side->block_count++;
	}
	/* those that it reaches become part of it */
	for (i = 0; i < HW_BLOCKS; i++) {
		if (at + 1 >= side->block_count || at + 1 >= HW_BLOCKS)
			return;
		if (hw_block_place(more, more->blocks[(at + 1) % HW_BLOCKS].begin) > hw_block_place(more, more->blocks[at % HW_BLOCKS].end))
			return;
		if (hw_block_place(more, more->blocks[(at + 1) % HW_BLOCKS].end) > hw_block_place(more, more->blocks[at % HW_BLOCKS].end))
			more->blocks[at % HW_BLOCKS].end = more->blocks[(at + 1) % HW_BLOCKS].end;
		hw_block_remove(side, more, at + 1);
	}
}

/* Up to `place` nobody will send again: what is missing there is a gap. */
HW_INLINE void hw_give_up(struct hw_flow *flow, int which, __s64 place)
{
	struct hw_side *side = &flow->sides[which];
	struct hw_side_more *more = &flow->more[which];
	__u32 i;

	if (place <= 2 && flow->marks & HW_FLOW_partial)
		return; /* the first number was guessed; a keep-alive is one less */
	for (i = 0; i < HW_BLOCKS && side->block_count && !side->unfollowed; i++) {
		__s64 begin = hw_block_place(more, more->blocks[0].begin);

		if (begin >= place)
			break;
		hw_gap(flow, which, begin - more->delivered);
		more->delivered = begin;
		hw_absorb(side, more);
	}
	if (place <= more->delivered)
		return;
	if (!side->unfollowed)
		hw_gap(flow, which, place - more->delivered);
	more->delivered = place;
}

/* Nothing before `place` is needed any more. */
HW_INLINE void hw_stream_trim(struct hw_flow *flow, int which, __s64 place)
{
	struct hw_side *side = &flow->sides[which];
	struct hw_side_more *more = &flow->more[which];

	if (place > more->delivered)
		hw_give_up(flow, which, place);
	hw_absorb(side, more);
	more->trimmed = place;
}

/* Octets of payload at [place, place + length) were seen. */
HW_INLINE void hw_stream_add(struct hw_flow *flow, int which, __s64 place, __u32 length)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	struct hw_side_more *more = &flow->more[which];
	__s64 end = place + length, top;

	if (side->unfollowed || end <= side->acked || end <= more->trimmed)
		return;
	if (place < side->acked)
		place = side->acked;
	if (place < more->trimmed)
		place = more->trimmed;
	if (place <= more->delivered) {
		if (end > more->delivered) {
			more->delivered = end;
			hw_absorb(side, more);
			if (hw_nothing_acked(side) && hw_stream_bytes(side, peer) > HW_INITIAL_WINDOW)
				more->trimmed = more->delivered;
		}
	} else {
		hw_block_insert(flow, side, more, place, end);
	}
	top = more->delivered;
	if (side->block_count)
		top = hw_block_place(more, more->blocks[(side->block_count - 1) % HW_BLOCKS].end);
	if ((hw_nothing_acked(side) && top - more->delivered > HW_MOST_ABOVE_HOLE) || top - more->trimmed > HW_MOST_UNACKED) {
		side->block_count = 0;
		side->unfollowed = 1;
	}
}

/* Whether something that was sent has not been seen yet, and may come. */
HW_INLINE int hw_is_pending(const struct hw_flow *flow, int which)
{
	const struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	__s64 delivered = flow->more[which].delivered;

	if (side->unfollowed || side->sent < delivered)
		return 0;
	if (delivered != side->sent - 1 && delivered != side->sent)
		return 1;
	return side->state != HW_TCP_reset && peer->block_count;
}

#endif

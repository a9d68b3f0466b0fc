/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is missing of a TCP stream, without its octets: only places are kept. A hole is a gap once the other side has acknowledged what lies
 * in it (Zeek: src/analyzer/protocol/tcp/TCP_Reassembler.cc and src/Reassem.cc).
 */
#ifndef HW_FLOW_STREAM_H
#define HW_FLOW_STREAM_H

#include "flow_base.h"

#define HW_FIN 1
#define HW_SYN 2
#define HW_RST 4
#define HW_ACK 16
#define HW_INITIAL_WINDOW 16384	     /* octets that nobody acknowledges: acknowledgements are not seen */
#define HW_MOST_ABOVE_HOLE 16384     /* likewise, behind a hole */
#define HW_MOST_UNACKED (10 << 20)   /* octets that came since the last acknowledgement */
#define HW_FARTHEST_BLOCK 0x7fffffff /* behind a hole: no window is that large, and a block does not tell a place further off */

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

/* The place that these lower 32 bits stand for: the nearest to what is delivered. */
HW_INLINE __s64 hw_block_place(const struct hw_side_more *more, __u32 place)
{
	return more->delivered + (__s32)(place - (__u32)more->delivered);
}

HW_INLINE void hw_block_clear(struct hw_side *side, struct hw_block *block)
{
	block->begin = block->end = 0;
	side->block_count--;
}

/* The block that begins first, or HW_BLOCKS if there is none. */
HW_INLINE __u32 hw_block_first(const struct hw_side_more *more)
{
	__u32 i, first = HW_BLOCKS;
	__s32 least = 0, ahead;

	for (i = 0; i < HW_BLOCKS; i++) {
		ahead = more->blocks[i].begin - (__u32)more->delivered;
		if (more->blocks[i].begin != more->blocks[i].end && (first == HW_BLOCKS || ahead < least)) {
			first = i;
			least = ahead;
		}
	}
	return first;
}

/* Go on to the end of each block that begins at `place` or before it, with gaps between them, or where the stream is by then. */
HW_INLINE void hw_deliver(struct hw_flow *flow, int which, __s64 place)
{
	struct hw_side *side = &flow->sides[which];
	struct hw_side_more *more = &flow->more[which];
	__s64 begin, end;
	__u32 i, first;

	for (i = 0; i < HW_BLOCKS && side->block_count; i++) {
		first = hw_block_first(more);
		if (first >= HW_BLOCKS)
			return;
		begin = hw_block_place(more, more->blocks[first].begin);
		end = hw_block_place(more, more->blocks[first].end);
		if (begin > more->delivered) {
			if (begin > place)
				return;
			hw_gap(flow, which, begin - more->delivered);
		}
		if (end > more->delivered)
			more->delivered = end;
		hw_block_clear(side, &more->blocks[first]);
	}
}

/* Remember [begin, end), which lies behind a hole. Without room the first hole counts as filled. */
HW_INLINE void hw_block_insert(struct hw_flow *flow, struct hw_side *side, struct hw_side_more *more, __s64 begin, __s64 end)
{
	__u32 i, empty = HW_BLOCKS;

	for (i = 0; i < HW_BLOCKS; i++) { /* blocks do not touch each other, so those that touch this one are found in one pass */
		__s64 from = hw_block_place(more, more->blocks[i].begin), to = hw_block_place(more, more->blocks[i].end);

		if (more->blocks[i].begin != more->blocks[i].end && from <= end && to >= begin) {
			begin = from < begin ? from : begin;
			end = to > end ? to : end;
			hw_block_clear(side, &more->blocks[i]);
		}
		if (more->blocks[i].begin == more->blocks[i].end)
			empty = i;
	}
	if (empty >= HW_BLOCKS) {
		flow->overflows++;
		empty = hw_block_first(more);
		if (empty >= HW_BLOCKS)
			return;
		if (hw_block_place(more, more->blocks[empty].begin) > begin) { /* this one is before them all */
			more->delivered = end;
			return;
		}
		more->delivered = hw_block_place(more, more->blocks[empty].end);
		hw_block_clear(side, &more->blocks[empty]);
	}
	more->blocks[empty].begin = begin;
	more->blocks[empty].end = end;
	side->block_count++;
}

/* Nothing before `place` will be sent again: what is missing there is a gap. */
HW_INLINE void hw_stream_trim(struct hw_flow *flow, int which, __s64 place)
{
	struct hw_side *side = &flow->sides[which];
	struct hw_side_more *more = &flow->more[which];
	int guessed = place <= 2 && flow->marks & HW_FLOW_partial; /* the first number was; and a keep-alive is one less */

	hw_deliver(flow, which, guessed ? more->delivered : place);
	if (place > more->delivered && !guessed) {
		if (!side->unfollowed)
			hw_gap(flow, which, place - more->delivered);
		more->delivered = place;
	}
	more->trimmed = place;
}

/* Whether it is no use to wait for what is missing. */
HW_INLINE int hw_is_too_much(const struct hw_side *side, const struct hw_side_more *more)
{
	__s64 kept = more->delivered - more->trimmed, ahead, farthest = 0;
	__u32 i;

	for (i = 0; i < HW_BLOCKS && side->block_count; i++) {
		kept += more->blocks[i].end - more->blocks[i].begin;
		ahead = hw_block_place(more, more->blocks[i].end) - more->delivered;
		if (more->blocks[i].begin != more->blocks[i].end && ahead > farthest)
			farthest = ahead;
	}
	return kept > HW_MOST_UNACKED || (farthest > HW_MOST_ABOVE_HOLE && hw_nothing_acked(side));
}

/* Octets of payload at [place, place + length) were seen. */
HW_INLINE void hw_stream_add(struct hw_flow *flow, int which, __s64 place, __u32 length)
{
	struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];
	struct hw_side_more *more = &flow->more[which];
	__s64 end = place + length;
	int too_much;

	if (side->unfollowed || end <= side->acked || end <= more->trimmed)
		return;
	if (place < side->acked)
		place = side->acked;
	if (place < more->trimmed)
		place = more->trimmed;
	if (place <= more->delivered) {
		if (end > more->delivered) {
			more->delivered = end;
			hw_deliver(flow, which, end);
			if (hw_nothing_acked(side) && hw_stream_bytes(side, peer) > HW_INITIAL_WINDOW)
				more->trimmed = more->delivered;
		}
	} else {
		hw_block_insert(flow, side, more, place, end);
	}
	too_much = hw_is_too_much(side, more);
	if (!too_much && end - more->delivered <= HW_FARTHEST_BLOCK)
		return;
	if (hw_nothing_acked(side))
		hw_flow_weird(flow, HW_WEIRD_above_hole_data_without_any_acks);
	else if (too_much)
		hw_flow_weird(flow, HW_WEIRD_excessive_data_without_further_acks);
	side->block_count = 0;
	__builtin_memset(more->blocks, 0, sizeof(more->blocks));
	side->unfollowed = 1;
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
	if (side->state == HW_TCP_reset || peer->unfollowed)
		return 0;
	return peer->block_count ||
	       flow->more[!which].delivered > flow->more[!which].trimmed; /* the peer's last octets, not acknowledged yet */
}

#endif

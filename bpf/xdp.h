/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A frame at XDP. Whoever includes this has hw_metadata(): what the card tells besides, put into the row; octets of a tag that it took out. */
#ifndef HW_XDP_H
#define HW_XDP_H

#include "tap.h"

/* Returns 1 if the frame was seen whole, row or not: on a mirror port it has no other use on this host. */
HW_INLINE int hw_xdp_frame(struct xdp_md *ctx, int consume, int keeps_flows)
{
	struct hw_counters *counters = hw_counters_of(ctx->ingress_ifindex);
	__u32 zero = 0, length, tag;
	__u64 have;
	struct hw_parser *p;

	p = bpf_map_lookup_elem(&hw_parsers, &zero);
	if (!p || !counters)
		return 0;
	length = bpf_xdp_get_buff_len(ctx);
	counters->seen++;
	counters->octets += length;
	counters->segments++;
	have = length < HW_WINDOW ? length : HW_WINDOW;
	HW_OPAQUE(have);
	if (!hw_copy(p, (void *)(long)ctx->data, (void *)(long)ctx->data_end, have) &&
	    bpf_xdp_load_bytes(ctx, 0, p->window, HW_ONE_TO_WINDOW(have))) {
		counters->dropped[HW_DROP_xdp__unreadable]++;
		return 0;
	}
	hw_begin(p);
	p->have = have;
	p->row.ts = hw_now();
	p->row.interface = ctx->ingress_ifindex;
	p->row.length = length;
	p->row.captured = length;
	p->row.hook = HW_HOOK_xdp;
	p->row.direction = HW_DIRECTION_in;
	p->carries = hw_control.carries;
	tag = hw_metadata(ctx, &p->row);
	hw_apart(p, tag);
	hw_parse(p, HW_START_ethernet);
	p->row.length += tag; /* after the parser, whose offsets are those of the frame without the tag */
	p->row.captured += tag;
	counters->octets += tag;
	hw_count_rate(&p->row);
	counters->consumed += consume;
	if (!hw_is_kept(p, counters))
		return 1;
	if (keeps_flows)
		bpf_tail_call(ctx, &hw_xdp_further, consume);
	hw_to_row(p, counters, 0);
	return 1;
}

#endif

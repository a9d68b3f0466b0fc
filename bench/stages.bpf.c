// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The tap's stages, for bench/filters.py: programs that do what hw_xdp does up to a point. */
#include "../bpf/tap.bpf.c"

SEC("xdp.frags")
int stage_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp.frags")
int stage_clock(struct xdp_md *ctx)
{
	return hw_now() ? XDP_PASS : XDP_DROP;
}

/* The frame copied and parsed into a row that has all but its time; then the filter, if there is one. */
HW_INLINE int stage(struct xdp_md *ctx, int filtered)
{
	const struct hw_filter *filter = hw_filter_of(HW_FILTER_OF_packets);
	__u32 zero = 0, length = bpf_xdp_get_buff_len(ctx);
	struct hw_parser *p = bpf_map_lookup_elem(&hw_parsers, &zero);
	__u64 have = length < HW_WINDOW ? length : HW_WINDOW;

	HW_OPAQUE(have);
	if (!p || !hw_copy(p, (void *)(long)ctx->data, (void *)(long)ctx->data_end, have))
		return XDP_ABORTED;
	hw_begin(p);
	p->have = have;
	p->row.length = length;
	p->row.captured = length;
	hw_parse(p, HW_START_ethernet);
	return filtered && filter->count && !hw_filter_keeps(p, filter) ? XDP_DROP : XDP_PASS;
}

SEC("xdp.frags")
int stage_parsed(struct xdp_md *ctx)
{
	return stage(ctx, 0);
}

SEC("xdp.frags")
int stage_filtered(struct xdp_md *ctx)
{
	return stage(ctx, 1);
}

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The kernel's table of flows under packets of many flows, for bench/kernel_table.py: each run makes another packet of the same frame. */
#include "../bpf/tap.bpf.c"

struct choice {
	__u64 random;
	__u32 hot; /* of 1024 packets, so many are of the first `few` flows, */
	__u32 few;
	__u32 many; /* and the others of so many */
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct choice);
} bench_choice SEC(".maps");

/* The frame, UDP in IPv4, with the source address of a flow. */
HW_INLINE struct hw_parser *table_packet(struct xdp_md *ctx)
{
	__u32 zero = 0, length = bpf_xdp_get_buff_len(ctx), flow;
	struct hw_parser *p = bpf_map_lookup_elem(&hw_parsers, &zero);
	struct choice *choice = bpf_map_lookup_elem(&bench_choice, &zero);
	__u64 have = length < HW_WINDOW ? length : HW_WINDOW;

	HW_OPAQUE(have);
	if (!p || !choice || !hw_copy(p, (void *)(long)ctx->data, (void *)(long)ctx->data_end, have))
		return 0;
	choice->random ^= choice->random << 13;
	choice->random ^= choice->random >> 7;
	choice->random ^= choice->random << 17;
	flow = (choice->random & 0xffffffff) % (choice->random >> 54 < choice->hot ? choice->few : choice->many);
	HW_STORE(__u32, p->window + 26, 10 | (__builtin_bswap32(flow) & 0xffffff00));
	hw_begin(p);
	p->have = have;
	p->row.ts = hw_now();
	p->row.length = length;
	p->row.captured = length;
	hw_parse(p, HW_START_ethernet);
	return p;
}

SEC("xdp.frags")
int table_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp.frags")
int table_parsed(struct xdp_md *ctx)
{
	return table_packet(ctx) ? XDP_PASS : XDP_DROP;
}

SEC("xdp.frags")
int table_kept(struct xdp_md *ctx)
{
	struct hw_parser *p = table_packet(ctx);
	__u32 zero = 0;
	struct hw_flow_way *at = bpf_map_lookup_elem(&hw_flow_ways_taken, &zero);
	struct hw_counters *counters = bpf_map_lookup_elem(&hw_counts, &zero); /* a run has found them by now */
	int there;

	return p && at && counters ? hw_flow_frame(p, at, counters, 1, &there) : XDP_DROP;
}

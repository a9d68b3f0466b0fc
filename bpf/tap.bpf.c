// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The tap: each packet of an interface becomes a row in the ring buffer of its CPU, or a counted drop.
 * It observes: tcx and clsact programs leave the verdict to whoever comes next; XDP passes, unless it was asked to consume (mirror ports).
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

struct hw_packet;
static inline __attribute__((always_inline)) __u32 hw_metadata(struct xdp_md *ctx, struct hw_packet *row)
{
	(void)ctx;
	(void)row;
	return 0; /* only a program for one device may ask (bound.bpf.c) */
}

#include "xdp.h"
#include "flow_job.h"

#define HW_HEARTBEAT_OLD 5000000000 /* nanoseconds */

SEC("xdp.frags")
int hw_xdp(struct xdp_md *ctx)
{
	hw_xdp_frame(ctx, 0, 0);
	return XDP_PASS;
}

SEC("xdp.frags")
int hw_xdp_consume(struct xdp_md *ctx)
{
	return hw_xdp_frame(ctx, 1, 0) ? XDP_DROP : XDP_PASS;
}

/* The same where flows are kept. They are programs of their own because a kernel before 5.10 loads none that has both steps and a tail call. */
SEC("xdp.frags")
int hw_xdp_flows(struct xdp_md *ctx)
{
	hw_xdp_frame(ctx, 0, 1);
	return XDP_PASS;
}

SEC("xdp.frags")
int hw_xdp_consume_flows(struct xdp_md *ctx)
{
	return hw_xdp_frame(ctx, 1, 1) ? XDP_DROP : XDP_PASS;
}

/* clsact filters stay when their process is killed. */
HW_INLINE int hw_reader_gone(void)
{
	return bpf_ktime_get_boot_ns() > hw_control.heartbeat + HW_HEARTBEAT_OLD;
}

HW_INLINE int hw_tc_frame(struct __sk_buff *skb, enum hw_hook hook, enum hw_direction direction, int keeps_flows)
{
	struct hw_counters *counters = hw_counters_of(skb->ifindex);
	__u32 zero = 0, length, tag = 0, segments;
	__u64 have;
	struct hw_parser *p;

	p = bpf_map_lookup_elem(&hw_parsers, &zero);
	if (!p || !counters)
		return TC_ACT_UNSPEC;
	length = skb->len;
	segments = skb->gso_segs ? skb->gso_segs : 1;
	if (skb->vlan_present)
		tag = 4;
	counters->seen++;
	counters->octets += length + tag;
	counters->segments += segments;
	if (hook == HW_HOOK_clsact && hw_reader_gone()) {
		counters->dropped[HW_DROP_tc__reader_gone]++;
		return TC_ACT_UNSPEC;
	}
	have = length < HW_WINDOW ? length : HW_WINDOW;
	HW_OPAQUE(have);
	if (!hw_copy(p, (void *)(long)skb->data, (void *)(long)skb->data_end, have) &&
	    bpf_skb_load_bytes(skb, 0, p->window, HW_ONE_TO_WINDOW(have))) {
		counters->dropped[hook == HW_HOOK_clsact ? HW_DROP_clsact__unreadable : HW_DROP_tcx__unreadable]++;
		return TC_ACT_UNSPEC;
	}
	hw_begin(p);
	p->have = have;
	p->row.ts = hw_now();
	p->row.interface = skb->ifindex;
	p->row.length = length;
	p->row.captured = length;
	p->row.segments = segments;
	p->row.hook = hook;
	p->row.direction = direction;
	p->carries = hw_control.carries;
	if (tag)
		hw_vlan(&p->row, skb->vlan_tci);
	hw_apart(p, tag);
	hw_parse(p, counters->starts_with_ip ? HW_START_ip : HW_START_ethernet);
	p->row.length += tag; /* after the parser, whose offsets are those of the frame without the tag */
	p->row.captured += tag;
	hw_count_rate(&p->row);
	if (!hw_is_kept(p, counters))
		return TC_ACT_UNSPEC;
	if (keeps_flows)
		bpf_tail_call(skb, &hw_tc_further, 0);
	hw_to_row(p, counters, 0);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int hw_tcx_in(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_tcx, HW_DIRECTION_in, 0);
}

SEC("tc")
int hw_tcx_out(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_tcx, HW_DIRECTION_out, 0);
}

/* The same as direct-action filters of a clsact qdisc. */
SEC("tc")
int hw_clsact_in(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_clsact, HW_DIRECTION_in, 0);
}

SEC("tc")
int hw_clsact_out(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_clsact, HW_DIRECTION_out, 0);
}

/* And all four where flows are kept. */
SEC("tc")
int hw_tcx_in_flows(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_tcx, HW_DIRECTION_in, 1);
}

SEC("tc")
int hw_tcx_out_flows(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_tcx, HW_DIRECTION_out, 1);
}

SEC("tc")
int hw_clsact_in_flows(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_clsact, HW_DIRECTION_in, 1);
}

SEC("tc")
int hw_clsact_out_flows(struct __sk_buff *skb)
{
	return hw_tc_frame(skb, HW_HOOK_clsact, HW_DIRECTION_out, 1);
}

SEC("tc")
int hw_tc_keep(struct __sk_buff *skb)
{
	if (hw_keep(skb->ifindex))
		bpf_tail_call(skb, &hw_tc_further, HW_FURTHER_carry);
	return TC_ACT_UNSPEC;
}

SEC("xdp.frags")
int hw_xdp_keep(struct xdp_md *ctx)
{
	if (hw_keep(ctx->ingress_ifindex))
		bpf_tail_call(ctx, &hw_xdp_further, HW_FURTHER_carry);
	return XDP_PASS;
}

SEC("xdp.frags")
int hw_xdp_consume_keep(struct xdp_md *ctx)
{
	if (hw_keep(ctx->ingress_ifindex))
		bpf_tail_call(ctx, &hw_xdp_further, HW_FURTHER_carry + 1);
	return XDP_DROP;
}

SEC("tc")
int hw_tc_carry(struct __sk_buff *skb)
{
	hw_carry(skb, skb->gso_segs > 1 ? skb->gso_size : 0, 0);
	return TC_ACT_UNSPEC;
}

SEC("xdp.frags")
int hw_xdp_carry(struct xdp_md *ctx)
{
	hw_carry(ctx, 0, 1);
	return XDP_PASS;
}

SEC("xdp.frags")
int hw_xdp_consume_carry(struct xdp_md *ctx)
{
	hw_carry(ctx, 0, 1);
	return XDP_DROP;
}

/* Run by user space, and attached nowhere. */
SEC("tc")
int hw_flows(struct __sk_buff *skb)
{
	(void)skb;
	return hw_flow_do();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

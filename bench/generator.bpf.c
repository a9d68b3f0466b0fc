// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Frames for generator.c. The kernel hands in the same few pages again and again, so only what differs between packets is written here:
 * the last octets of the source address, and the source port.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "generator.h"

#define ETHERNET 14
#define ADDRESS_END_4 (ETHERNET + 16) /* the source address ends here, */
#define ADDRESS_END_6 (ETHERNET + 24)
#define PORT_4 (ETHERNET + 20) /* and the source port begins here */
#define PORT_6 (ETHERNET + 40)
#define CATCH_UP 20000000 /* ns: at the highest rates less than a ring of 16 MiB holds */

struct generator_state state;

/* Whether the next packet is due. What was not sent within CATCH_UP, for instance while another process had the CPU, is not caught up with. */
static __always_inline int due(void)
{
	__u64 now;

	if (!state.left)
		return 0;
	if (!state.interval)
		return 1;
	now = bpf_ktime_get_ns();
	if (now < state.next_at)
		return 0;
	state.next_at = (now > state.next_at + CATCH_UP ? now : state.next_at) + state.interval;
	return 1;
}

static __always_inline void put32(__u8 *at, __u32 number)
{
	at[0] = number >> 24;
	at[1] = number >> 16;
	at[2] = number >> 8;
	at[3] = number;
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u8 *end = (void *)(long)ctx->data_end;
	__u32 number = state.next_tuple;

	if (frame + PORT_6 + 2 > end)
		return XDP_ABORTED;
	if (!due())
		return XDP_DROP;
	state.sent++;
	state.left--;
	state.next_tuple = number + 1 < state.tuples ? number + 1 : 0;
	if (frame[ETHERNET] >> 4 == 4) {
		put32(frame + ADDRESS_END_4 - 4, 10 << 24 | (number & 0xffffff));
		frame[PORT_4] = 0x80 | number >> 8;
		frame[PORT_4 + 1] = number;
	} else {
		put32(frame + ADDRESS_END_6 - 4, number);
		frame[PORT_6] = 0x80 | number >> 8;
		frame[PORT_6 + 1] = number;
	}
	return XDP_TX;
}

/* The floors that other programs are measured from. */
SEC("xdp.frags")
int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("tc")
int leave(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A link that loses every twentieth packet. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define EVERY 20

__u32 count;

SEC("tc")
int drop(struct __sk_buff *skb)
{
	return __sync_fetch_and_add(&count, 1) % EVERY == EVERY - 1 ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char terms[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * XDP that also asks the card what it knows of a packet: its receive time, the hash that it computed, the VLAN tag that it took out. The kernel
 * lets only a program do this that is loaded for one device (since 6.8, for all three); it attaches nowhere else. The maps are the tap's own.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct hw_packet;
static __u32 hw_metadata(struct xdp_md *ctx, struct hw_packet *row);
#include "xdp.h"

#define HW_CARD_LAG 100000000 /* nanoseconds that a packet may have waited in the card; more is another clock than ours */

enum xdp_rss_hash_type { HW_RSS_HASH_TYPE };
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym;
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, enum xdp_rss_hash_type *type) __ksym;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *tpid, __u16 *tci) __ksym;

HW_INLINE __u32 hw_metadata(struct xdp_md *ctx, struct hw_packet *row)
{
	enum xdp_rss_hash_type type;
	__u64 ts = 0;
	__be16 tpid;
	__u16 tci;
	__u32 hash;

	if (!bpf_xdp_metadata_rx_timestamp(ctx, &ts) && ts <= row->ts && row->ts - ts < HW_CARD_LAG)
		row->ts = ts;
	if (!bpf_xdp_metadata_rx_hash(ctx, &hash, &type)) {
		row->hash = hash;
		row->has |= HW_HAS_hash;
	}
	if (bpf_xdp_metadata_rx_vlan_tag(ctx, &tpid, &tci))
		return 0;
	hw_vlan(row, tci);
	return 4;
}

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

char LICENSE[] SEC("license") = "Dual BSD/GPL";

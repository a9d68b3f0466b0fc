/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the parser's steps share: the window that they read, the row that they fill, and how a tunnel is entered.
 *
 * A step reads one header at p->at and returns what follows it (enum hw_next). It is a global function, because the verifier looks at
 * such a function once, on its own, with any arguments; inlined, the same walk is refused at a million instructions.
 */
#ifndef HW_PARSER_H
#define HW_PARSER_H

#include "records.h"

#define HW_WINDOW 256 /* octets of a frame that the parser sees: a header that ends behind them is the weird headers_beyond_window */
#define HW_MAX_TUNNELS 4

#ifdef __bpf__
#define HW_INLINE static __attribute__((always_inline)) inline
#define HW_STEP __attribute__((noinline)) /* a global function: verified once, with any arguments */
#define HW_UNROLL _Pragma("unroll")
#else
#define HW_INLINE static inline __attribute__((always_inline))
#define HW_STEP static __attribute__((unused))
#define HW_UNROLL
#endif
#ifdef __bpf__ /* clang would go octet by octet, not knowing how a header is aligned; the machines load from anywhere */
#define HW_LOAD(type, from) (*(const type *)(from))
#define HW_STORE(type, to, what) (*(type *)(to) = (what))
#else
#define HW_LOAD(type, from) (((const struct { type value; } __attribute__((packed, may_alias)) *)(from))->value)
#define HW_STORE(type, to, what) (((struct { type value; } __attribute__((packed, may_alias)) *)(to))->value = (what))
#endif
#define HW_AFRESH(value) (*(const volatile __typeof__(value) *)&(value)) /* read again, so that the verifier forgets what it knows of it */
#define HW_OPAQUE(value) __asm__ volatile("" : "+r"(value)) /* keeps clang from moving or repeating a bound that was just checked */

/* What follows a header. */
enum hw_next {
	HW_NEXT_nothing,
	HW_NEXT_frame, /* Ethernet, perhaps a plain packet (plain.h) */
	HW_NEXT_ethernet,
	HW_NEXT_ip,
	HW_NEXT_tcp,
	HW_NEXT_udp,
	HW_NEXT_icmp,
	HW_NEXT_arp,
	HW_NEXT_llc,
	HW_NEXT_mpls,
	HW_NEXT_pppoe,
	HW_NEXT_ppp,
	HW_NEXT_igmp,
	HW_NEXT_sctp,
	HW_NEXT_esp,
	HW_NEXT_etherip,
	HW_NEXT_gre,
	HW_NEXT_erspan,
	HW_NEXT_vxlan,
	HW_NEXT_geneve,
	HW_NEXT_gtp,
	HW_NEXT_l2tp,
	HW_NEXT_teredo,
	HW_NEXT_ayiya,
	HW_NEXT_nsh,
	HW_NEXT_pbb,
	HW_NEXT_wlan,
};

struct hw_parser {
	__u32 have;	 /* octets of the window that are filled */
	__u32 at;	 /* the next header */
	__u32 end;	 /* what lies behind is not part of this layer: padding, or cut off */
	__u32 stop;	 /* where the window's octets or this layer end */
	__u32 limit;	 /* where this layer ends on the wire, which may be behind what was captured */
	__u32 cut;	 /* this is in a first fragment: its end is in another packet */
	__u32 l4_length; /* octets of the transport header and its payload, as the IP header tells */
	__u32 headers;	 /* where the innermost payload begins; 0: not known, or headers may be in it */
	__u32 subframe;	 /* where an A-MSDU begins whose first packet this is; 0: it is of none */
	__u32 subframes; /* and where that ends */
	struct hw_packet row;
	__u8 window[HW_WINDOW]; /* behind the row, so that a filter may load words from its last octets */
	__u32 carries;		/* whether rows of what carries the packet are wanted */
	__u32 carrier_count;
	struct hw_packet carriers[HW_MAX_TUNNELS]; /* the outermost first; each of 0 segments, and with the tunnel that it carries */
};

/* Parts of the row, by their first members: a tunnel begins anew with `inner`; `rare` is written only where `has` tells of it. */
#define HW_ROW_INNER __builtin_offsetof(struct hw_packet, sport)
#define HW_ROW_RARE __builtin_offsetof(struct hw_packet, quoted_src)
#define HW_ROW_OUTER __builtin_offsetof(struct hw_packet, outer_src)

/* The layers that stay when a tunnel is entered. */
#define HW_HAS_KEPT                                                                                                                        \
	(HW_HAS_l2 | HW_HAS_ethertype | HW_HAS_vlan | HW_HAS_vlan_inner | HW_HAS_mpls | HW_HAS_pppoe | HW_HAS_outer | HW_HAS_outer_ports | \
	 HW_HAS_outer_ipv6 | HW_HAS_hash | HW_PACKET_HAS_l2_apart)
/* The rare columns: of what begins anew, and of what stays. */
#define HW_HAS_RARE (HW_HAS_quoted | HW_HAS_quoted_ports | HW_HAS_neighbor | HW_HAS_icmp_mtu | HW_HAS_spi | HW_HAS_sctp)
#define HW_HAS_RARE_OUTER (HW_HAS_outer | HW_HAS_outer_ports | HW_HAS_tunnel_id | HW_HAS_mpls | HW_HAS_hash)

/* An empty row. Of the last packet's, the rare parts are cleared that it had: most have none, and a third of the row is saved. */
HW_INLINE void hw_begin(struct hw_parser *p)
{
	if (p->row.has & HW_HAS_RARE)
		__builtin_memset((__u8 *)&p->row + HW_ROW_RARE, 0, HW_ROW_OUTER - HW_ROW_RARE);
	if (p->row.has & HW_HAS_RARE_OUTER)
		__builtin_memset((__u8 *)&p->row + HW_ROW_OUTER, 0, sizeof(p->row) - HW_ROW_OUTER);
	__builtin_memset(&p->row, 0, HW_ROW_RARE);
	p->at = 0;
	p->l4_length = 0;
	p->headers = 0;
	p->subframe = 0;
	p->carrier_count = 0;
	p->row.segments = 1;
}

HW_INLINE void hw_weird(struct hw_parser *p, enum hw_weird weird)
{
	if (p->row.weird == HW_WEIRD_none)
		p->row.weird = weird;
}

/* The `size` octets at `at`, or NULL. `size` is a constant, so that the verifier sees the bound. */
HW_INLINE const __u8 *hw_look(const struct hw_parser *p, __u64 at, __u32 size)
{
	HW_OPAQUE(at);
	if (at > HW_WINDOW - size)
		return 0;
	if (at + size > p->stop)
		return 0;
	return p->window + at;
}

/* A read failed: the layer ends before it, or the window does. Nothing follows. */
HW_INLINE int hw_short(struct hw_parser *p, __u32 at, __u32 size, enum hw_weird weird)
{
	hw_weird(p, at + size > p->end ? weird : HW_WEIRD_headers_beyond_window);
	return HW_NEXT_nothing;
}

/* hw_look() where a header is to be: that it is there, but behind the window, is told. */
HW_INLINE const __u8 *hw_see(struct hw_parser *p, __u32 at, __u32 size)
{
	const __u8 *there = hw_look(p, at, size);

	if (!there)
		hw_short(p, at, size, HW_WEIRD_none);
	return there;
}

/* This layer ends at `stop`; what lies behind is padding or a trailer. */
HW_INLINE void hw_trim(struct hw_parser *p, __u32 stop)
{
	if (stop < p->limit)
		p->limit = stop;
	if (stop < p->end)
		p->end = stop;
	if (stop < p->stop)
		p->stop = stop;
}

/* What reads the frame took `tag` octets of a tag out of it: the window ends where it does in a frame that still has the tag. */
HW_INLINE void hw_apart(struct hw_parser *p, __u32 tag)
{
	if (p->have > HW_WINDOW - tag)
		p->have = HW_WINDOW - tag;
}

HW_INLINE __u16 hw_be16(const __u8 *b)
{
	return __builtin_bswap16(HW_LOAD(__u16, b));
}

HW_INLINE __u32 hw_be32(const __u8 *b)
{
	return __builtin_bswap32(HW_LOAD(__u32, b));
}

/* Addresses of a row lie at multiples of 8. */
HW_INLINE void hw_copy_addr(hw_addr to, const __u8 *from)
{
	HW_STORE(__u64, to, HW_LOAD(__u64, from));
	HW_STORE(__u64, to + 8, HW_LOAD(__u64, from + 8));
}

HW_INLINE void hw_map_ipv4(hw_addr to, const __u8 *from)
{
	HW_STORE(__u64, to, 0);
	HW_STORE(__u64, to + 8, (__u64)HW_LOAD(__u32, from) << 32 | 0xffff0000);
}

/* The packet says that `addr` has the link-layer address at `mac`. Only what ends a packet says so: no tunnel is entered behind it. */
HW_INLINE void hw_neighbor(struct hw_parser *p, const __u8 *addr, const __u8 *mac)
{
	hw_copy_addr(p->row.neighbor, addr);
	HW_STORE(__u32, p->row.neighbor_mac, HW_LOAD(__u32, mac));
	HW_STORE(__u16, p->row.neighbor_mac + 4, HW_LOAD(__u16, mac + 4));
	p->row.has |= HW_HAS_neighbor;
}

/* Octets behind a transport header of `header` octets. */
HW_INLINE void hw_payload(struct hw_parser *p, __u32 header)
{
	if (p->l4_length < header)
		return;
	p->row.payload_length = p->l4_length - header;
	p->row.has |= HW_HAS_payload;
	p->headers = p->at + header;
}

/* Whether there is an IP packet at p->at, by its version. */
HW_INLINE int hw_is_ip(struct hw_parser *p)
{
	const __u8 *ip = hw_look(p, p->at, 1);

	if (!ip && p->at < p->end)
		hw_weird(p, HW_WEIRD_headers_beyond_window);
	return ip && (ip[0] >> 4 == 4 || ip[0] >> 4 == 6);
}

/* The row until now is that of a carrier, which stands for no packet of its own. */
HW_INLINE void hw_keep_carrier(struct hw_parser *p, enum hw_tunnel tunnel)
{
	__u32 at = p->carrier_count;

	HW_OPAQUE(at);
	if (at >= HW_MAX_TUNNELS)
		return;
	p->carriers[at] = p->row;
	p->carriers[at].tunnel = tunnel;
	p->carriers[at].segments = 0;
	p->carrier_count = at + 1;
}

/*
 * Go into what a tunnel carries: the first IP header's tuple becomes the outer one, and the row begins anew with the inner packet. `id` is
 * below 0 if the tunnel has none. Returns `next`, or nothing where tunnels are too deep.
 */
HW_INLINE int hw_enter(struct hw_parser *p, enum hw_tunnel tunnel, __s64 id, int next)
{
	struct hw_packet *row = &p->row;

	if (row->tunnel_depth >= HW_MAX_TUNNELS) {
		hw_weird(p, HW_WEIRD_exceeded_tunnel_max_depth);
		return HW_NEXT_nothing;
	}
	if (p->carries && row->has & HW_HAS_ip)
		hw_keep_carrier(p, tunnel);
	if (row->has & HW_HAS_ip && !(row->has & HW_HAS_outer)) {
		hw_copy_addr(row->outer_src, row->src);
		hw_copy_addr(row->outer_dst, row->dst);
		row->outer_proto = row->proto;
		row->outer_sport = row->sport;
		row->outer_dport = row->dport;
		row->has |= HW_HAS_outer | (row->has & HW_HAS_ipv6 ? HW_HAS_outer_ipv6 : 0);
		if (row->has & HW_HAS_ports)
			row->has |= HW_HAS_outer_ports;
	}
	if (row->has & HW_HAS_RARE)
		__builtin_memset((__u8 *)row + HW_ROW_RARE, 0, HW_ROW_OUTER - HW_ROW_RARE);
	row->has = (row->has & HW_HAS_KEPT) | (row->has & HW_HAS_ip ? (__u32)HW_PACKET_HAS_l2_apart : 0);
	p->headers = 0;
	__builtin_memset((__u8 *)row + HW_ROW_INNER, 0, HW_ROW_RARE - HW_ROW_INNER);
	row->tunnel = tunnel;
	row->tunnel_depth++;
	row->tunnel_id = 0;
	if (id >= 0) {
		row->tunnel_id = (__u32)id;
		row->has |= HW_HAS_tunnel_id;
	}
	return next;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame through the parser, for the fuzzers of single frames: it reads no octet behind the frame, its row is consistent, and what the row
 * of a cut frame has is what the row of the whole frame has.
 */
#ifndef FRAME_H
#define FRAME_H

#include <sanitizer/asan_interface.h>

#include "packet.h"
#include "rows.h"

/* Before a frame: two octets that say how much longer it was on the wire, and one where to cut it. */
#define PREFIX 3

/* `begin` reads what the frame begins with, and says what follows. */
static struct hw_packet parse(const __u8 *frame, __u32 captured, __u32 length, int (*begin)(struct hw_parser *))
{
	static struct hw_parser p;
	static const struct hw_packet given;

	memset(&p, 0xee, sizeof(p));
	p.have = captured < HW_WINDOW ? captured : HW_WINDOW;
	memcpy(p.window, frame, p.have);
	hw_begin(&p);
	p.row.length = length;
	p.row.captured = captured;
	ASAN_POISON_MEMORY_REGION(p.window + p.have, HW_WINDOW - p.have);
	hw_frame(&p);
	hw_walk(&p, begin(&p));
	ASAN_UNPOISON_MEMORY_REGION(p.window, HW_WINDOW);
	REQUIRE(p.row.length == length && p.row.captured == captured && p.row.segments == 1);
	REQUIRE(p.row.ts == given.ts && p.row.interface == given.interface && !p.row.hook);
	check_row(&p.row);
	return p.row;
}

#define SAME(column) REQUIRE(!memcmp(&cut->column, &whole->column, sizeof(cut->column)))

/* A row keeps what was read before the frame's end; what the whole frame adds is more layers, options, and the end of a chain. */
static void check_cut(const struct hw_packet *cut, const struct hw_packet *whole)
{
	const __u32 frame = HW_HAS_l2 | HW_HAS_vlan | HW_HAS_vlan_inner | HW_PACKET_HAS_l2_apart;
	__u32 link = HW_HAS_ethertype | (cut->tunnel_depth ? frame : 0);

	REQUIRE(cut->tunnel_depth <= whole->tunnel_depth);
	if (HAS(cut, mpls))
		SAME(mpls_label);
	if (HAS(cut, outer)) {
		if (HAS(cut, addr) || !HAS(cut, outer_ipv6)) { /* it is not cut in the headers that have further addresses */
			SAME(outer_src);
			SAME(outer_dst);
		}
		SAME(outer_proto);
		SAME(outer_sport);
		SAME(outer_dport);
	}
	if (cut->tunnel_depth < whole->tunnel_depth)
		return; /* what it saw last is a tunnel to the other */
	SAME(tunnel);
	SAME(tunnel_id);
	REQUIRE(!(cut->has & ~whole->has & ~link)); /* an inner frame that is cut off leaves the outer one's */
	if (HAS(cut, l2) && !cut->tunnel_depth && cut->weird != HW_WEIRD_truncated_802_11_amsdu_header) { /* the subframe has its own */
		SAME(l2_src);
		SAME(l2_dst);
	}
	if (HAS(cut, vlan) && !cut->tunnel_depth)
		SAME(vlan);
	if (HAS(cut, vlan_inner) && !cut->tunnel_depth)
		SAME(vlan_inner);
	if (HAS(cut, addr)) {
		if (!(whole->ip_options & HW_IP_OPTION_destination)) /* in which a home address may be */
			SAME(src);
		if (!(whole->ip_options & HW_IP_OPTION_routing))
			SAME(dst);
		SAME(ip_version);
		SAME(ttl);
		SAME(dscp);
		SAME(ecn);
		SAME(flow_label);
		SAME(df);
		REQUIRE(!(cut->ip_options & ~whole->ip_options));
	}
	if (HAS(cut, ports)) {
		SAME(sport);
		SAME(dport);
		SAME(proto);
	}
	if (HAS(cut, tcp)) {
		SAME(seq);
		SAME(ack);
		SAME(tcp_flags);
		SAME(window);
		REQUIRE(cut->sack_permitted <= whole->sack_permitted);
	}
	if (HAS(cut, icmp)) {
		SAME(icmp_type);
		SAME(icmp_code);
	}
	if (HAS(cut, neighbor)) {
		SAME(neighbor);
		SAME(neighbor_mac);
		SAME(arp_operation);
	}
	if (HAS(cut, payload))
		SAME(payload_length);
}

/* A prefix and a frame. Returns the frame's row. */
static struct hw_packet try_frame(const __u8 *data, size_t size, int (*begin)(struct hw_parser *))
{
	__u32 captured = (__u32)size - PREFIX, length = captured + (__u32)(data[0] << 8 | data[1]);
	struct hw_packet whole = parse(data + PREFIX, captured, length, begin);
	struct hw_packet cut = parse(data + PREFIX, captured ? data[2] % captured : 0, length, begin);

	check_cut(&cut, &whole);
	return whole;
}

#endif

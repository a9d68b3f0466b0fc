/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of any row, whatever the octets were that it is made of. */
#ifndef ROWS_H
#define ROWS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"

#define REQUIRE(condition)                                                                                                                 \
	do {                                                                                                                               \
		if (!(condition)) {                                                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                    \
			abort();                                                                                                           \
		}                                                                                                                          \
	} while (0)
#define HAS(row, layer) (((row)->has & HW_HAS_##layer) != 0)

static int is_zero(const void *octets, size_t size)
{
	static const __u8 zeros[16];

	return !memcmp(octets, zeros, size);
}

/* What a piece of TCP's header leaves in the row (hw_tcp_first_piece(), hw_tcp_second_piece()). */
static int has_piece(const struct hw_packet *row)
{
	return HAS(row, fragment) && row->proto == 6 && !HAS(row, quoted) &&
	       (row->fragment_offset == 8 || (row->mf && !row->fragment_offset));
}

/* Columns that are absent hold 0, but for pieces of TCP's header, and layers lie on the layers that they need. */
static void check_row(const struct hw_packet *row)
{
	REQUIRE(row->weird <= HW_WEIRD_headers_beyond_window ||
		(row->weird >= HW_WEIRD_bad_IP_checksum && row->weird <= HW_WEIRD_bad_ICMP_checksum));
	REQUIRE(row->direction <= HW_DIRECTION_out);
	REQUIRE(HAS(row, l2) || (is_zero(row->l2_src, 6) && is_zero(row->l2_dst, 6)));
	REQUIRE(HAS(row, ethertype) ? row->ethertype >= 1536 : !row->ethertype);
	REQUIRE(HAS(row, vlan) || (!row->vlan && !HAS(row, vlan_inner)));
	REQUIRE(HAS(row, vlan_inner) || !row->vlan_inner);
	REQUIRE(row->vlan < 4096 && row->vlan_inner < 4096);
	REQUIRE(HAS(row, addr) || (is_zero(row->src, 16) && is_zero(row->dst, 16)));
	REQUIRE(HAS(row, ip) == (HAS(row, ipv4) || HAS(row, ipv6)) && !(HAS(row, ipv4) && HAS(row, ipv6)));
	REQUIRE(row->ip_version == (HAS(row, ipv4) ? 4 : HAS(row, ipv6) ? 6 : 0));
	REQUIRE(HAS(row, ip) ? HAS(row, addr) : !row->ip_length && !row->ttl && !row->dscp && !row->ecn && !row->ip_options);
	REQUIRE(row->dscp < 64 && row->ecn < 4 && row->flow_label < 1 << 20 && (HAS(row, ipv6) || !row->flow_label));
	REQUIRE(!HAS(row, ipv4) || HAS(row, fragment));
	REQUIRE(HAS(row, fragment) ? row->fragment_offset % 8 == 0 && row->mf < 2 : !row->fragment_offset && !row->mf && !row->ip_id);
	REQUIRE(HAS(row, ipv4) ? row->df < 2 : !row->df);
	REQUIRE(HAS(row, ports) ? row->proto == 6 || row->proto == 17 || row->proto == 132 : !row->sport && !row->dport);
	REQUIRE(HAS(row, tcp) ? HAS(row, ports) && row->proto == 6
			      : (has_piece(row) || (!row->seq && !row->ack && !row->tcp_flags && !row->window)) && !row->sack_permitted);
	REQUIRE(HAS(row, mss) ? HAS(row, tcp) : !row->mss);
	REQUIRE(HAS(row, window_scale) ? HAS(row, tcp) : !row->window_scale);
	REQUIRE(HAS(row, timestamps) ? HAS(row, tcp) : !row->tsval && !row->tsecr);
	REQUIRE(HAS(row, icmp) ? row->proto == 1 || row->proto == 58 : !row->icmp_type && !row->icmp_code);
	REQUIRE(!(HAS(row, ports) || HAS(row, icmp)) || !row->fragment_offset);
	REQUIRE(HAS(row, icmp_mtu) ? HAS(row, icmp) && row->icmp_mtu : !row->icmp_mtu);
	REQUIRE(HAS(row, igmp) ? row->proto == 2 : !row->igmp_type);
	REQUIRE(HAS(row, sctp) ? row->proto == 132 : !row->sctp_tag && !row->sctp_chunk);
	REQUIRE(HAS(row, spi) ? HAS(row, ip) : !row->spi);
	REQUIRE(HAS(row, quoted) ? HAS(row, icmp) && !HAS(row, neighbor) : !row->quoted_proto);
	REQUIRE(HAS(row, quoted) || HAS(row, neighbor) || (is_zero(row->quoted_src, 16) && is_zero(row->quoted_dst, 16)));
	REQUIRE(HAS(row, quoted_ports) ? HAS(row, quoted) : !row->quoted_sport && !row->quoted_dport);
	REQUIRE(!HAS(row, neighbor) || (HAS(row, addr) && HAS(row, ip) == HAS(row, icmp) && is_zero(row->quoted_dst + 8, 8)));
	REQUIRE(!HAS(row, neighbor) || !HAS(row, ip) || !row->arp_operation);
	REQUIRE(HAS(row, mpls) ? row->mpls_label < 1 << 20 : !row->mpls_label);
	REQUIRE(HAS(row, pppoe) || !row->pppoe_session);
	REQUIRE(row->tunnel_depth <= HW_MAX_TUNNELS && !row->tunnel == !row->tunnel_depth);
	REQUIRE(HAS(row, outer) ? row->tunnel_depth > 0 : !row->outer_proto && is_zero(row->outer_src, 16) && is_zero(row->outer_dst, 16));
	REQUIRE(HAS(row, outer_ports) ? HAS(row, outer) : !row->outer_sport && !row->outer_dport);
	REQUIRE(HAS(row, tunnel_id) ? row->tunnel_depth > 0 : !row->tunnel_id);
	REQUIRE(!row->hash);
	REQUIRE(HAS(row, payload) ? row->payload_length <= row->ip_length
				  : !row->payload_length || (has_piece(row) && row->payload_length <= 60));
}

#endif

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What packets are counted by, each second: interface, direction, protocol and service port. */
#ifndef HW_RATE_H
#define HW_RATE_H

#include "parser.h"

/* The port that names a service: the responder's of a TCP handshake, else the lower one, which is the well-known one. */
HW_INLINE __u16 hw_service_port(const struct hw_packet *row)
{
	if (row->has & HW_HAS_tcp && row->tcp_flags & 2)
		return row->tcp_flags & 16 ? row->sport : row->dport;
	return row->sport < row->dport ? row->sport : row->dport;
}

/* key[0]: the layers that the rate has, and above them the interface; key[1]: direction, proto, port, ethertype, from the lowest octet on. */
HW_INLINE void hw_rate_key(const struct hw_packet *row, __u64 key[2])
{
	key[0] = (row->has & (HW_HAS_ip | HW_HAS_ports)) | HW_HAS_interface | (__u64)row->interface << 32;
	key[1] = row->direction;
	if (row->has & HW_HAS_ip)
		key[1] |= (__u64)row->proto << 8;
	else {
		key[0] |= row->has & HW_HAS_ethertype;
		key[1] |= (__u64)row->ethertype << 32;
	}
	if (row->has & HW_HAS_ports)
		key[1] |= (__u64)hw_service_port(row) << 16;
}

/* Spreads keys over a table; take the lower bits. */
HW_INLINE __u64 hw_rate_mix(const __u64 key[2])
{
	__u64 mixed = key[0] * 0x9e3779b97f4a7c15ull ^ (key[1] + 0x7f4a7c15ull) * 0xc2b2ae3d27d4eb4full;

	return (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9ull >> 20;
}

#endif

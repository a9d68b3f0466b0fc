/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A flow: what two endpoints say to each other, packet by packet, with the meaning of Zeek's conn.log (src/Conn.cc,
 * src/packet_analysis/protocol). One text, compiled for the kernel and for captures, as the parser is.
 *
 * Whoever includes it keeps the flows: finds the one of a packet by hw_flow_key(), makes it with hw_flow_begin(), gives it each packet by
 * hw_flow_add(), and ends it when hw_flow_deadline() has come. All this runs under a lock: no helper is called, nothing loops but over the
 * few blocks of a stream. What is here has bounds; what exceeds them is counted in `overflows`.
 */
#ifndef HW_FLOW_H
#define HW_FLOW_H

#include "flow_base.h"
#include "flow_tcp.h"

#define HW_PROTO_ICMP 1
#define HW_PROTO_TCP 6
#define HW_PROTO_UDP 17
#define HW_PROTO_ICMPV6 58

/* Endpoints of a flow, the lower one first, so that both directions have the same. Of ICMP, ports are a type and the one that answers it. */
struct hw_flow_key {
	hw_addr addr[2];
	hw_port port[2];
	__u8 proto;
	__u8 one_way; /* an ICMP message that nothing answers: its directions are two flows */
	__u8 unused[2];
	__u32 apart; /* what else makes a flow another one (flow_key) */
};

/* Silence after which a flow is over, in nanoseconds. */
struct hw_flow_timeouts {
	__u64 tcp;
	__u64 handshake; /* of TCP */
	__u64 udp;
	__u64 icmp;
	__u64 other;
};

/* The type that answers an ICMP type (RFC 792, 950, 1256; RFC 4443, 2710, 4861, 4620, 6275); 0x10000 and the code, if nothing does. */
HW_INLINE __u32 hw_icmp_counterpart(int is_v6, __u32 type, __u32 code)
{
	if (is_v6) {
		switch (type) {
		case 128: case 130: case 133: case 135: case 139: case 144: case 146:
			return type + 1;
		case 129: case 131: case 134: case 136: case 140: case 145: case 147:
			return type - 1;
		}
		return 0x10000 | code;
	}
	switch (type) {
	case 0:
		return 8;
	case 8:
		return 0;
	case 9:
		return 10;
	case 10:
		return 9;
	case 13: case 15: case 17:
		return type + 1;
	case 14: case 16: case 18:
		return type - 1;
	}
	return 0x10000 | code;
}

/* Whether a packet can be part of a flow: IP, with all of its header that matters. */
HW_INLINE int hw_flow_is_of(const struct hw_packet *row)
{
	if (!(row->has & HW_HAS_ip))
		return 0;
	switch (row->proto) {
	case HW_PROTO_TCP:
		return !!(row->has & HW_HAS_tcp);
	case HW_PROTO_UDP:
		return !!(row->has & HW_HAS_ports);
	case HW_PROTO_ICMP:
	case HW_PROTO_ICMPV6:
		return !!(row->has & HW_HAS_icmp);
	case 4: case 41: case 47: /* tunnels whose inside could not be read */
	case 50: case 59: case 135:
		return 0;
	}
	return 1;
}

/* Fills in the key; returns whether the packet's sender is the second of it. */
HW_INLINE int hw_flow_key(const struct hw_packet *row, struct hw_flow_key *key)
{
	__u32 sport = 0, dport = 0, answer;
	__u64 src[2], dst[2];
	int swap, i;

	__builtin_memset(key, 0, sizeof(*key));
	key->proto = row->proto;
	if (row->proto == HW_PROTO_ICMP || row->proto == HW_PROTO_ICMPV6) {
		answer = hw_icmp_counterpart(row->proto == HW_PROTO_ICMPV6, row->icmp_type, row->icmp_code);
		key->one_way = answer >> 16;
		sport = row->icmp_type;
		dport = answer & 0xffff;
	} else if (row->has & HW_HAS_ports && (row->proto == HW_PROTO_TCP || row->proto == HW_PROTO_UDP)) {
		sport = row->sport;
		dport = row->dport;
	}
	for (i = 0; i < 2; i++) {
		src[i] = __builtin_bswap64(HW_LOAD(__u64, row->src + 8 * i));
		dst[i] = __builtin_bswap64(HW_LOAD(__u64, row->dst + 8 * i));
	}
	if (src[0] != dst[0])
		swap = src[0] > dst[0];
	else if (src[1] != dst[1])
		swap = src[1] > dst[1];
	else
		swap = __builtin_bswap16(sport) > __builtin_bswap16(dport); /* as Zeek's community ids have it */
	if (key->one_way)
		swap = 0;
	__builtin_memcpy(key->addr[0], swap ? row->dst : row->src, 16);
	__builtin_memcpy(key->addr[1], swap ? row->src : row->dst, 16);
	key->port[0] = swap ? dport : sport;
	key->port[1] = swap ? sport : dport;
	return swap;
}

/* A flow that begins with this packet; hw_flow_add() is yet to be called with it. `flip`: who answers was seen first. */
HW_INLINE void hw_flow_begin(struct hw_flow *flow, const struct hw_packet *row, int flip)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->first = flow->last = row->ts;
	flow->proto = row->proto;
	flow->has = row->has;
	flow->vlan = row->vlan;
	flow->vlan_inner = row->vlan_inner;
	__builtin_memcpy(flow->l2[0], row->l2_src, 6);
	__builtin_memcpy(flow->l2[1], row->l2_dst, 6);
	flow->more[0].delivered = flow->more[0].trimmed = 1;
	flow->more[1].delivered = flow->more[1].trimmed = 1;
	if (flip)
		hw_flow_flip(flow);
}

/* Whether a TCP packet begins another flow between the same endpoints. `which` is its sender's side. */
HW_INLINE int hw_flow_is_reused(const struct hw_flow *flow, int which, const struct hw_packet *row)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];
	const struct hw_side *side = orig;

	(void)which;
	if (row->proto != HW_PROTO_TCP || !(row->tcp_flags & HW_SYN))
		return 0;
	if (row->tcp_flags & HW_ACK) {
		if (orig->state != HW_TCP_inactive)
			return 0;
		side = resp;
	}
	if (orig->closed && resp->closed)
		return 1;
	if (row->seq == side->first)
		return 0;
	return !(!(row->tcp_flags & HW_ACK) && side->state == HW_TCP_syn_ack_sent && resp->state == HW_TCP_inactive &&
		 row->seq == resp->first);
}

/* Give it a packet of the side `which`. */
HW_INLINE void hw_flow_add(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	int whole = row->captured >= row->length;
	struct hw_side *side;

	if (flow->proto == HW_PROTO_TCP)
		which = hw_tcp_add(flow, which, row, whole);
	else
		flow->last = row->ts;
	side = &flow->sides[which & 1];
	side->packets++;
	side->ip_bytes += row->ip_length;
	if (flow->proto == HW_PROTO_TCP)
		return;
	side->state = HW_TCP_established;
	if (flow->proto == HW_PROTO_UDP)
		hw_history_once(flow, which, HW_SEEN_data, 'D');
	if (flow->proto == HW_PROTO_UDP || flow->proto == HW_PROTO_ICMP || flow->proto == HW_PROTO_ICMPV6)
		side->bytes += row->payload_length;
}

/* When it ends if no packet comes before. */
HW_INLINE hw_ktime hw_flow_deadline(const struct hw_flow *flow, const struct hw_flow_timeouts *timeouts)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];
	hw_ktime end, at, calm = flow->last + HW_LINGER;
	__u64 steps;

	switch (flow->proto) {
	case HW_PROTO_TCP:
		end = flow->last + (flow->marks & HW_FLOW_handshaken ? timeouts->tcp : timeouts->handshake);
		break;
	case HW_PROTO_UDP:
		return flow->last + timeouts->udp;
	case HW_PROTO_ICMP:
	case HW_PROTO_ICMPV6:
		return flow->last + timeouts->icmp;
	default:
		return flow->last + timeouts->other;
	}
	if (flow->close_at)
		return flow->close_at < end ? flow->close_at : end;
	if (flow->marks & HW_FLOW_reset)
		return end;
	if (flow->attempt_at && (orig->state == HW_TCP_syn_sent || orig->state == HW_TCP_syn_ack_sent) && resp->state == HW_TCP_inactive &&
	    flow->attempt_at < end)
		end = flow->attempt_at;
	if ((orig->closed || resp->closed) &&
	    ((orig->closed && resp->closed) || orig->state == HW_TCP_reset || resp->state == HW_TCP_reset || orig->state == HW_TCP_inactive ||
	     resp->state == HW_TCP_inactive)) {
		/* it is looked at now and then, and must have been calm */
		at = flow->first + HW_FIRST_LOOK;
		if (at <= calm) {
			steps = (calm - at) / HW_NEXT_LOOK + 1;
			at += steps * HW_NEXT_LOOK;
		}
		if (at < end)
			end = at;
		if (flow->half_at) {
			at = flow->half_at;
			if (at <= calm) {
				steps = (calm - at) / HW_NEXT_LOOK + 1;
				at += steps * HW_NEXT_LOOK;
			}
			if (at < end)
				end = at;
		}
	}
	return end;
}

#endif

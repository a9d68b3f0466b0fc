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
#include "flow_weird.h"

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
	__u32 apart[3]; /* what else makes a flow another one (hw_flow_key_apart) */
};

/* The type that answers an ICMP type (RFC 792, 950, 1256; RFC 4443, 2710, 4861, 4620, 6275); 0x10000 and the code, if nothing does. */
HW_INLINE __u32 hw_icmp_counterpart(int is_v6, __u32 type, __u32 code)
{
	if (is_v6) {
		switch (type) {
		case 128:
		case 130:
		case 133:
		case 135:
		case 139:
		case 144:
		case 146:
			return type + 1;
		case 129:
		case 131:
		case 134:
		case 136:
		case 140:
		case 145:
		case 147:
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
	case 13:
	case 15:
	case 17:
		return type + 1;
	case 14:
	case 16:
	case 18:
		return type - 1;
	}
	return 0x10000 | code;
}

/* Whether a packet can be part of a flow: IP, with all of its header that matters. */
HW_INLINE int hw_flow_is_of(const struct hw_packet *row)
{
	if (!(row->has & HW_HAS_ip))
		return 0;
	switch (row->weird) { /* no packet of the length that its header tells, or not what was sent */
	case HW_WEIRD_truncated_IP_len:
		if (row->tunnel_depth || row->ip_length + (row->has & HW_HAS_l2 ? 14 : 0) > row->length) /* a layer between may be wrong */
			return 0;
		break;
	case HW_WEIRD_truncated_IP:
	case HW_WEIRD_invalid_IP_header_size:
	case HW_WEIRD_IPv4_min_header_size:
	case HW_WEIRD_bad_IP_checksum:
		return 0;
	default:
		break;
	}
	switch (row->proto) {
	case HW_PROTO_TCP: /* not one whose header would be shorter than a header is, or longer than the packet */
		return (row->has & (HW_HAS_tcp | HW_HAS_payload)) == (HW_HAS_tcp | HW_HAS_payload);
	case HW_PROTO_UDP:
		return !!(row->has & HW_HAS_payload);
	case HW_PROTO_ICMP:
	case HW_PROTO_ICMPV6:
		return (row->has & (HW_HAS_icmp | HW_HAS_payload)) == (HW_HAS_icmp | HW_HAS_payload);
	case 4:
	case 41:
	case 47: /* tunnels whose inside could not be read */
	case 50:
	case 59:
	case 135:
		return 0;
	}
	return 1;
}

HW_INLINE int hw_is_fragment(const struct hw_packet *row)
{
	return row->has & HW_HAS_fragment && (row->mf || row->fragment_offset);
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

/* The networks around the packet, the inner one 16 bits further left. VLAN id 0 is none (IEEE 802.1Q, 9.6: it tells of priority alone). */
HW_INLINE __u32 hw_flow_vlans(const struct hw_packet *row)
{
	__u32 outer = row->has & HW_HAS_vlan ? row->vlan : 0, inner = row->has & HW_HAS_vlan_inner ? row->vlan_inner : 0;

	return outer ? outer | inner << 16 : inner;
}

/* What keeps flows apart besides endpoints: bits of enum hw_flow_apart say which of a packet's tags, tunnel and interface do. */
HW_INLINE void hw_flow_key_apart(const struct hw_packet *row, __u32 by, __u32 interface, struct hw_flow_key *key)
{
	if (by & HW_FLOW_APART_vlan)
		key->apart[0] = hw_flow_vlans(row);
	if (by & HW_FLOW_APART_vni && row->has & HW_HAS_tunnel_id && row->tunnel != HW_TUNNEL_gtp && row->tunnel != HW_TUNNEL_l2tp &&
	    row->tunnel != HW_TUNNEL_pptp) /* there each receiver has its own number */
		key->apart[1] = row->tunnel_id + 1;
	if (by & HW_FLOW_APART_interface)
		key->apart[2] = interface + 1;
}

/* The packet that an ICMP error is about, as far as a flow's key needs it. Returns 0 if that tells of no flow, or of no end. */
HW_INLINE int hw_flow_quoted(const struct hw_packet *row, struct hw_packet *about)
{
	int ends;

	if (!(row->has & HW_HAS_quoted) || !(row->has & HW_HAS_icmp))
		return 0;
	if (!hw_addr_is(row->dst, row->quoted_src))
		return 0; /* not told to who sent it: anybody may say so */
	if (row->proto == HW_PROTO_ICMPV6)
		ends = row->icmp_type >= 1 && row->icmp_type <= 4; /* RFC 4443 */
	else
		ends = row->icmp_type == 3 || row->icmp_type == 11 || row->icmp_type == 12; /* RFC 792 */
	if (!ends || row->quoted_proto == HW_PROTO_ICMP || row->quoted_proto == HW_PROTO_ICMPV6)
		return 0; /* an ICMP message's flow is that of its type, which is not kept */
	__builtin_memset(about, 0, sizeof(*about));
	__builtin_memcpy(about->src, row->quoted_src, 16);
	__builtin_memcpy(about->dst, row->quoted_dst, 16);
	about->proto = row->quoted_proto;
	about->has = HW_HAS_ip;
	if (row->has & HW_HAS_quoted_ports) {
		about->has |= HW_HAS_ports;
		about->sport = row->quoted_sport;
		about->dport = row->quoted_dport;
	}
	return 1;
}

/* Why a flow ends, if `why` is what brings that about now; what both sides, or a RST, have done before counts for more. */
HW_INLINE enum hw_conn_end hw_flow_end(const struct hw_flow *flow, enum hw_conn_end why)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];

	if (flow->marks & (HW_FLOW_ended | HW_FLOW_reset))
		return orig->state == HW_TCP_reset || resp->state == HW_TCP_reset ? HW_CONN_END_rst : HW_CONN_END_fin;
	if (flow->marks & HW_FLOW_error && flow->error >= flow->last)
		return HW_CONN_END_icmp_error;
	if (why != HW_CONN_END_timeout)
		return why;
	if (flow->proto == HW_PROTO_TCP && flow->marks & HW_FLOW_attempt && resp->state == HW_TCP_inactive)
		return HW_CONN_END_attempt;
	return HW_CONN_END_timeout;
}

/* What a flow has of the packet of the side `which` that began it. */
HW_INLINE void hw_flow_begun_by(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	flow->first = row->ts;
	flow->has = row->has & HW_PACKET_HAS_l2_apart ? row->has & ~(HW_HAS_l2 | HW_HAS_vlan | HW_HAS_vlan_inner) : row->has;
	flow->vlan = row->vlan;
	flow->vlan_inner = row->vlan_inner;
	__builtin_memcpy(flow->l2[which & 1], row->l2_src, 6);
	__builtin_memcpy(flow->l2[!(which & 1)], row->l2_dst, 6);
}

/* A flow that begins with this packet; hw_flow_add() is yet to be called with it. `flip`: who answers was seen first. */
HW_INLINE void hw_flow_begin(struct hw_flow *flow, const struct hw_packet *row, int flip)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	hw_flow_begun_by(flow, HW_ORIG, row);
	flow->last = row->ts;
	flow->proto = row->proto;
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

/* Whether its transport checksum is wrong: no word of it is to be relied on. */
HW_INLINE int hw_flow_is_damaged(const struct hw_packet *row)
{
	return row->weird >= HW_WEIRD_bad_TCP_checksum && row->weird <= HW_WEIRD_bad_ICMP_checksum;
}

/* A packet of the side `which` that hw_flow_add() is to be called with next: what is odd in it becomes a bit of `weirds`. */
HW_INLINE void hw_flow_judge(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	if (flow->proto == HW_PROTO_TCP && !hw_flow_is_damaged(row))
		hw_weird_tcp(flow, which, row);
}

/* Give it a packet of the side `which`. */
HW_INLINE void hw_flow_add(struct hw_flow *flow, int which, const struct hw_packet *row)
{
	struct hw_side *side;

	if (hw_flow_is_damaged(row)) {
		if (flow->proto == HW_PROTO_TCP || flow->proto == HW_PROTO_UDP)
			hw_history_scaled(flow, which & 1, &flow->more[which & 1].damaged, 'C');
		return;
	}

	if (flow->proto == HW_PROTO_TCP)
		which = hw_tcp_add(flow, which, row, hw_is_whole(row));
	else
		flow->last = row->ts;
	hw_path_add(flow, which & 1, row);
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

/* A flow is looked at `first`, and then each `next` nanoseconds; it ends at the first look by which it was calm for `calm`. */
HW_INLINE hw_ktime hw_flow_look(const struct hw_flow *flow, hw_ktime first, __u64 next, __u64 calm)
{
	hw_ktime least = flow->last + calm;

	if (first > least || !next)
		return first;
	return first + ((least - first) / next + 1) * next;
}

HW_INLINE hw_ktime hw_earlier(hw_ktime one, hw_ktime other)
{
	return one < other ? one : other;
}

HW_INLINE hw_ktime hw_tcp_deadline(const struct hw_flow *flow, const struct hw_flow_settings *settings)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];
	hw_ktime end = flow->last + (flow->marks & HW_FLOW_handshaken ? settings->tcp_timeout : settings->handshake_timeout);

	if (flow->marks & HW_FLOW_ended)
		return hw_earlier(flow->ended + settings->close_timeout, end);
	if (flow->marks & HW_FLOW_reset)
		return end;
	if (flow->marks & HW_FLOW_attempt && (orig->state == HW_TCP_syn_sent || orig->state == HW_TCP_syn_ack_sent) &&
	    resp->state == HW_TCP_inactive)
		end = hw_earlier(flow->attempt + settings->attempt_timeout, end);
	if (!orig->closed && !resp->closed)
		return end;
	if (!(orig->closed && resp->closed) && orig->state != HW_TCP_reset && resp->state != HW_TCP_reset &&
	    orig->state != HW_TCP_inactive && resp->state != HW_TCP_inactive)
		return end;
	end = hw_earlier(hw_flow_look(flow, flow->first + settings->linger_timeout, HW_NEXT_LOOK, settings->linger_timeout), end);
	if (flow->marks & HW_FLOW_half_ended)
		end = hw_earlier(hw_flow_look(flow, flow->half + HW_NEXT_LOOK, HW_NEXT_LOOK, settings->linger_timeout), end);
	return end;
}

/* When it ends if no packet comes before. `resp_port` is the responder's. */
HW_INLINE hw_ktime hw_flow_deadline(const struct hw_flow *flow, hw_port resp_port, const struct hw_flow_settings *settings)
{
	hw_ktime end;

	switch (flow->proto) {
	case HW_PROTO_TCP:
		return hw_tcp_deadline(flow, settings);
	case HW_PROTO_UDP:
		end = flow->last + settings->udp_timeout;
		if (resp_port == 53 || resp_port == 137 || resp_port == 5353 || resp_port == 5355)
			end = hw_earlier(hw_flow_look(flow, flow->first + settings->dns_timeout, settings->dns_timeout,
						      settings->dns_timeout > HW_SECOND ? settings->dns_timeout - HW_SECOND : 0),
					 end);
		return end;
	case HW_PROTO_ICMP:
	case HW_PROTO_ICMPV6:
		return flow->last + settings->icmp_timeout;
	default:
		return flow->last + settings->other_timeout;
	}
}

#endif

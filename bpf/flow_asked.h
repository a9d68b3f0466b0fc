/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a filter may ask of a flow (docs/filters.md): its endpoints, as a packet of the originator has them, and in the row's place for what
 * tells of one packet alone, struct hw_flow_asked.
 */
#ifndef HW_FLOW_ASKED_H
#define HW_FLOW_ASKED_H

#include "filter.h"
#include "flow.h"

#define HW_ASKED_AT __builtin_offsetof(struct hw_packet, ip_length)

_Static_assert(HW_ASKED_AT + sizeof(struct hw_flow_asked) <= __builtin_offsetof(struct hw_packet, proto), "it covers nothing else");
_Static_assert(HW_ASKED_AT % 8 == 0, "its words are aligned");

/* The layers of a packet that a flow has, too. */
#define HW_HAS_OF_FLOWS (HW_HAS_vlan | HW_HAS_vlan_inner | HW_HAS_addr | HW_HAS_ip | HW_HAS_ipv4 | HW_HAS_ipv6 | HW_HAS_ports | HW_HAS_icmp)

/* A SYN and then a RST, and nothing from the other side between them. A step, for the verifier to walk its loop once. */
HW_STEP int hw_flow_gave_up(const struct hw_flow *flow)
{
	int begun = 0, i;
	char letter;

	if (!flow)
		return 0;
	for (i = 0; i < HW_HISTORY && i < flow->history_length; i++) {
		letter = flow->history[i];
		if (!begun) {
			if (letter == '^' && !i)
				continue;
			if (letter != 'S')
				return 0;
			begun = 1;
			continue;
		}
		switch (letter) {
		case 'R':
			return 1;
		case 'H':
		case 'A':
		case 'F':
		case 'G':
		case 'I':
		case 'Q':
			return 0;
		}
	}
	return 0;
}

/* Zeek's conn_state (scripts/base/protocols/conn/main.zeek). `bytes` is the payload of both sides. */
HW_STEP int hw_flow_state(const struct hw_flow *flow, __u64 bytes)
{
	enum hw_tcp_state o, r;
	int o_silent, r_silent;

	if (!flow)
		return HW_CONN_STATE_OTH;
	o = flow->sides[HW_ORIG].state;
	r = flow->sides[HW_RESP].state;
	if (flow->proto == HW_PROTO_UDP)
		return o ? r ? HW_CONN_STATE_SF : HW_CONN_STATE_S0 : r ? HW_CONN_STATE_SHR : HW_CONN_STATE_OTH;
	if (flow->proto != HW_PROTO_TCP)
		return HW_CONN_STATE_OTH;
	o_silent = o == HW_TCP_inactive || o == HW_TCP_partial;
	r_silent = r == HW_TCP_inactive || r == HW_TCP_partial;
	if (r == HW_TCP_reset) {
		if (o == HW_TCP_syn_sent || o == HW_TCP_syn_ack_sent || (o == HW_TCP_reset && !bytes))
			return HW_CONN_STATE_REJ;
		return o_silent ? HW_CONN_STATE_RSTRH : HW_CONN_STATE_RSTR;
	}
	if (o == HW_TCP_reset) {
		if (!r_silent)
			return HW_CONN_STATE_RSTO;
		return hw_flow_gave_up(flow) ? HW_CONN_STATE_RSTOS0 : HW_CONN_STATE_OTH;
	}
	if (r == HW_TCP_closed && o == HW_TCP_closed)
		return HW_CONN_STATE_SF;
	if (o == HW_TCP_closed)
		return r_silent ? HW_CONN_STATE_SH : HW_CONN_STATE_S2;
	if (r == HW_TCP_closed)
		return o_silent ? HW_CONN_STATE_SHR : HW_CONN_STATE_S3;
	if (o == HW_TCP_syn_sent && r == HW_TCP_inactive)
		return HW_CONN_STATE_S0;
	return o == HW_TCP_established && r == HW_TCP_established ? HW_CONN_STATE_S1 : HW_CONN_STATE_OTH;
}

/* Payload of the side `which`. */
HW_INLINE __u64 hw_flow_bytes(const struct hw_flow *flow, int which)
{
	const struct hw_side *side = &flow->sides[which], *peer = &flow->sides[!which];

	return flow->proto == HW_PROTO_TCP ? hw_stream_bytes(side, peer) : side->bytes;
}

/* TCP: a RST, or a SYN that nothing answered. */
HW_INLINE int hw_flow_has_failed(const struct hw_flow *flow)
{
	enum hw_tcp_state o = flow->sides[HW_ORIG].state, r = flow->sides[HW_RESP].state;

	if (flow->proto != HW_PROTO_TCP)
		return 0;
	return o == HW_TCP_reset || r == HW_TCP_reset || (flow->marks & HW_FLOW_syn && !(flow->marks & HW_FLOW_syn_ack) && !r);
}

HW_INLINE void hw_flow_as_row(const struct hw_flow *flow, const struct hw_flow_key *key, __u32 orig, struct hw_packet *row)
{
	struct hw_flow_asked *asked = (struct hw_flow_asked *)((__u8 *)row + HW_ASKED_AT);
	__u64 packets = hw_flow_packets(flow), resent = hw_flow_resent(flow);
	__u64 bytes = hw_flow_bytes(flow, HW_ORIG) + hw_flow_bytes(flow, HW_RESP);

	row->has = flow->has & HW_HAS_OF_FLOWS;
	row->vlan = flow->vlan;
	row->vlan_inner = flow->vlan_inner;
	row->proto = flow->proto;
	hw_copy_addr(row->src, orig & 1 ? key->addr[1] : key->addr[0]);
	hw_copy_addr(row->dst, orig & 1 ? key->addr[0] : key->addr[1]);
	row->sport = orig & 1 ? key->port[1] : key->port[0];
	row->dport = orig & 1 ? key->port[0] : key->port[1];
	asked->handshaken = !!(flow->marks & HW_FLOW_acked);
	asked->handshake = hw_flow_handshake(flow);
	asked->duration = hw_between(flow->first, flow->last);
	asked->bytes = bytes;
	asked->packets = packets < 0xffffffff ? packets : 0xffffffff;
	asked->retransmitted = packets ? resent * 1000000 / packets : 0;
	asked->failed = hw_flow_has_failed(flow);
	asked->state = hw_flow_state(flow, bytes);
}

#endif

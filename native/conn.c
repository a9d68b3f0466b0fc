/* SPDX-License-Identifier: Apache-2.0 */
/* From a flow to its row, with the meaning of Zeek's conn.log (scripts/base/protocols/conn/main.zeek). */
#include <string.h>

#include "../bpf/flow_asked.h"
#include "flow_ids.h"
#include "flows.h"

static enum hw_transport transport_of(uint8_t proto)
{
	switch (proto) {
	case HW_PROTO_TCP:
		return HW_TRANSPORT_tcp;
	case HW_PROTO_UDP:
		return HW_TRANSPORT_udp;
	case HW_PROTO_ICMP:
	case HW_PROTO_ICMPV6:
		return HW_TRANSPORT_icmp;
	}
	return HW_TRANSPORT_unknown_transport;
}

static int is_zero(const uint8_t *mac)
{
	return !memcmp(mac, (const uint8_t[6]){0}, 6);
}

/* The one with the most packets first; among equals, the first one. */
static void put_parents(const struct hw_parent *parents, uint8_t *uids)
{
	struct hw_parent sorted[HW_PARENTS], one;
	int i, j;

	for (i = 0; i < HW_PARENTS; i++) {
		one = parents[i];
		for (j = i; j && sorted[j - 1].packets < one.packets; j--)
			sorted[j] = sorted[j - 1];
		sorted[j] = one;
	}
	for (i = 0; i < HW_PARENTS; i++)
		memcpy(uids + 12 * i, sorted[i].uid, 12);
}

static void put_path(const struct hw_flow *flow, struct hw_conn *row)
{
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];
	const struct hw_side_more *orig_more = &flow->more[HW_ORIG], *resp_more = &flow->more[HW_RESP];
	uint32_t has = 0;

	has |= orig->packets ? HW_CONN_HAS_orig : 0;
	has |= resp->packets ? HW_CONN_HAS_resp : 0;
	has |= flow->proto == HW_PROTO_TCP ? HW_CONN_HAS_tcp : 0;
	has |= flow->marks & HW_FLOW_syn_ack ? HW_CONN_HAS_syn_ack : 0;
	has |= flow->marks & HW_FLOW_acked ? HW_CONN_HAS_handshake : 0;
	has |= orig->marks & HW_SIDE_rtt ? HW_CONN_HAS_orig_rtt : 0;
	has |= resp->marks & HW_SIDE_rtt ? HW_CONN_HAS_resp_rtt : 0;
	has |= orig->marks & HW_SIDE_data ? HW_CONN_HAS_orig_data : 0;
	has |= resp->marks & HW_SIDE_data ? HW_CONN_HAS_resp_data : 0;
	has |= orig->marks & HW_SIDE_mss ? HW_CONN_HAS_orig_mss : 0;
	has |= resp->marks & HW_SIDE_mss ? HW_CONN_HAS_resp_mss : 0;
	has |= orig->marks & HW_SIDE_scale ? HW_CONN_HAS_orig_scale : 0;
	has |= resp->marks & HW_SIDE_scale ? HW_CONN_HAS_resp_scale : 0;
	row->has |= has;
	row->syn_ack_time = hw_between(flow->syn, flow->syn_ack);
	row->ack_time = hw_between(flow->syn_ack, flow->handshaken);
	row->orig_rtt = orig_more->rtt;
	row->resp_rtt = resp_more->rtt;
	row->orig_first_data = hw_between(flow->first, orig_more->first_data);
	row->resp_first_data = hw_between(flow->first, resp_more->first_data);
	row->orig_retransmitted_bytes = orig_more->resent_bytes;
	row->resp_retransmitted_bytes = resp_more->resent_bytes;
	row->orig_retransmits = orig_more->resent;
	row->resp_retransmits = resp_more->resent;
	row->orig_dup_acks = orig_more->dup_acks;
	row->resp_dup_acks = resp_more->dup_acks;
	row->orig_out_of_order = orig_more->late;
	row->resp_out_of_order = resp_more->late;
	row->orig_zero_windows = orig_more->zero_windows;
	row->resp_zero_windows = resp_more->zero_windows;
	row->orig_tcp_flags = orig->tcp_flags;
	row->resp_tcp_flags = resp->tcp_flags;
	row->orig_mss = orig_more->mss;
	row->resp_mss = resp_more->mss;
	row->orig_window_scale = orig_more->scale;
	row->resp_window_scale = resp_more->scale;
	row->orig_ttl = orig->ttl;
	row->resp_ttl = resp->ttl;
	row->orig_ttl_max = orig->ttl_max;
	row->resp_ttl_max = resp->ttl_max;
	row->orig_dscp = orig->dscp;
	row->resp_dscp = resp->dscp;
	row->orig_dscp_last = orig->dscp_last;
	row->resp_dscp_last = resp->dscp_last;
	row->orig_ecn = orig->ecn;
	row->resp_ecn = resp->ecn;
}

void hw_conn_of(const struct hw_entry *entry, uint16_t community_id_seed, enum hw_conn_end why, struct hw_conn *row)
{
	const struct hw_flow *flow = &entry->flow;
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];

	memset(row, 0, sizeof(*row));
	row->ts = flow->first;
	row->orig_bytes = hw_flow_bytes(flow, HW_ORIG);
	row->resp_bytes = hw_flow_bytes(flow, HW_RESP);
	row->conn_state = hw_flow_state(flow, row->orig_bytes + row->resp_bytes);
	row->missed_bytes = flow->more[0].missed + flow->more[1].missed;
	row->orig_pkts = orig->packets;
	row->orig_ip_bytes = orig->ip_bytes;
	row->resp_pkts = resp->packets;
	row->resp_ip_bytes = resp->ip_bytes;
	if (flow->last > flow->first) {
		row->has |= HW_CONN_HAS_lasting;
		row->duration = flow->last - flow->first;
	}
	if (flow->has & HW_HAS_l2)
		row->has |= (is_zero(flow->l2[0]) ? 0 : HW_CONN_HAS_orig_l2) | (is_zero(flow->l2[1]) ? 0 : HW_CONN_HAS_resp_l2);
	if (flow->has & HW_HAS_vlan)
		row->has |= HW_CONN_HAS_vlan;
	if (flow->has & HW_HAS_vlan_inner)
		row->has |= HW_CONN_HAS_inner_vlan;
	row->interface = entry->interface;
	memcpy(row->id_orig_h, entry->key.addr[entry->orig], 16);
	memcpy(row->id_resp_h, entry->key.addr[!entry->orig], 16);
	row->id_orig_p = entry->key.port[entry->orig];
	row->id_resp_p = entry->key.port[!entry->orig];
	row->ip_proto = flow->proto;
	row->proto = transport_of(flow->proto);
	row->vlan = flow->vlan;
	row->inner_vlan = flow->vlan_inner;
	memcpy(row->orig_l2_addr, flow->l2[0], 6);
	memcpy(row->resp_l2_addr, flow->l2[1], 6);
	memcpy(row->history, flow->history, flow->history_length);
	if (flow->history_length)
		row->has |= HW_CONN_HAS_history;
	put_path(flow, row);
	if (why != HW_CONN_END_none)
		row->end_reason = hw_flow_end(flow, why);
	if (row->end_reason == HW_CONN_END_icmp_error)
		memcpy(row->ended_by, entry->rare->error_by, sizeof(row->ended_by));
	memcpy(row->uid, entry->uid, sizeof(row->uid));
	if (entry->rare)
		put_parents(entry->rare->parents, row->tunnel_parents);
	hw_community_id_of(&entry->key, community_id_seed, row->community_id);
}

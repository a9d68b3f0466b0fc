/* SPDX-License-Identifier: Apache-2.0 */
/* Flows to rows: of flows that end, when they do, of those that go on, and of what is odd in them. */
#include <string.h>

#include "../bpf/flow_asked.h"
#include "../bpf/flow_hash.h"
#include "flow_state.h"

#define SPARE 64	 /* rows that one packet may make, with those that datagrams in pieces carry which are whole with it */
#define SPARE_WEIRDS 400 /* likewise; and one of each name for the second before */
#define TRIES 64

static int is_local(const struct hw_flows *flows, const uint8_t *addr)
{
	for (size_t i = 0; i < flows->local_count; i++) {
		const struct hw_prefix *prefix = &flows->local[i];
		uint32_t octets = prefix->bits / 8, bits = prefix->bits % 8;

		if (!memcmp(prefix->addr, addr, octets) && (!bits || !((prefix->addr[octets] ^ addr[octets]) >> (8 - bits))))
			return 1;
	}
	return 0;
}

void hw_flows_put_tunnel(struct hw_flows *flows, const struct hw_entry *entry, uint64_t ts, enum hw_tunnel_action action)
{
	struct hw_tunnel_row *row;

	if (!hw_flows_is_ours(flows, &entry->key))
		return;
	row = (struct hw_tunnel_row *)flows->found->tunnels + flows->found->tunnel_count++;
	memset(row, 0, sizeof(*row));
	row->ts = ts;
	memcpy(row->id_orig_h, entry->key.addr[entry->orig], 16);
	memcpy(row->id_resp_h, entry->key.addr[!entry->orig], 16);
	row->id_orig_p = entry->key.port[entry->orig];
	row->id_resp_p = entry->key.port[!entry->orig];
	memcpy(row->uid, entry->uid, sizeof(row->uid));
	row->tunnel_type = entry->tunnel;
	row->action = action;
}

static struct hw_conn *put_conn(struct hw_flows *flows, const struct hw_entry *entry, enum hw_conn_end why, struct hw_conn *row)
{
	hw_conn_of(entry, flows->settings.community_id_seed, why, row);
	if (flows->local_count) {
		row->has |= HW_CONN_HAS_local;
		row->local_orig = is_local(flows, row->id_orig_h);
		row->local_resp = is_local(flows, row->id_resp_h);
	}
	hw_flows_tell_places(flows, entry, row);
	return row;
}

/* Whether somebody asks for its row. */
static int is_asked(struct hw_flows *flows, const struct hw_entry *entry)
{
	if (!flows->asked->count)
		return 1;
	hw_flow_as_row(&entry->flow, &entry->key, entry->orig, &flows->asking.row);
	return hw_filter_keeps(&flows->asking, flows->asked);
}

/* The number of its stream, or HW_NO_STREAM. An entry that lies elsewhere is made of what the kernel has told. */
static uint32_t stream_of(const struct hw_flows *flows, const struct hw_entry *entry)
{
	uint32_t flow;

	if (entry >= flows->table.entries && entry < flows->table.entries + flows->table.places)
		return hw_streams_of(flows->streams, hw_flow_number(&flows->table, entry));
	flow = flows->kernels ? hw_carried_find(flows->kernels, entry->uid) : HW_NOT_CARRIED;
	return flow == HW_NOT_CARRIED ? HW_NO_STREAM : hw_streams_of(flows->streams, flows->table.most + flow);
}

struct hw_conn *hw_flows_put_going(struct hw_flows *flows, const struct hw_entry *entry, uint64_t when)
{
	struct hw_conn *row;

	if (!is_asked(flows, entry) || !hw_flows_is_ours(flows, &entry->key))
		return NULL;
	if (flows->streams)
		flows->found->long_streams[flows->found->long_count] = stream_of(flows, entry);
	row = put_conn(flows, entry, HW_CONN_END_none, (struct hw_conn *)flows->found->longs + flows->found->long_count++);
	row->progress = when;
	return row;
}

struct hw_conn *hw_flows_put_over(struct hw_flows *flows, const struct hw_entry *entry, uint64_t when, enum hw_conn_end why)
{
	if (entry->tunnel)
		hw_flows_put_tunnel(flows, entry, when ? when : flows->counts.latest, HW_TUNNEL_ACTION_close);
	flows->counts.letters_lost += entry->flow.overflows;
	if (!is_asked(flows, entry)) {
		flows->counts.unasked++;
		return NULL;
	}
	if (!hw_flows_is_ours(flows, &entry->key))
		return NULL;
	return put_conn(flows, entry, why, (struct hw_conn *)flows->found->conns + flows->found->conn_count++);
}

void hw_flows_finish(struct hw_flows *flows, uint32_t flow, uint64_t now, enum hw_conn_end why)
{
	struct hw_entry *entry = hw_flow_at(&flows->table, flow);

	if (flows->tells_left)
		flows->found->left[flows->found->left_count++] = hw_flow_map_hash(flows->salt, &entry->key);
	if (entry->only_carries) {
		if (now && entry->tunnel)
			hw_flows_put_tunnel(flows, entry, now, HW_TUNNEL_ACTION_expire);
		flows->counts.only_carrying--;
	} else {
		if (flows->streams)
			flows->found->conn_streams[flows->found->conn_count] =
				hw_streams_finish(flows->streams, flow, now ? now : flows->counts.latest);
		hw_flows_put_over(flows, entry, now, why);
		if (flows->servers)
			hw_servers_finish(flows->servers, entry, why == HW_CONN_END_stopped);
		flows->counts.ended++;
	}
	hw_flow_forget(&flows->table, flow);
}

int hw_flows_is_full(const struct hw_flows *flows)
{
	return flows->found->conn_count + SPARE > HW_CONNS_ROOM || flows->found->long_count + SPARE > HW_CONNS_ROOM ||
	       flows->found->tunnel_count + SPARE > HW_CONNS_ROOM || flows->found->left_count + SPARE > HW_CONNS_ROOM ||
	       flows->weirds.made + HW_WEIRD_NAMES + SPARE_WEIRDS > HW_WEIRDS_ROOM;
}

void hw_flows_put_weird(struct hw_flows *flows, const struct hw_entry *entry, int is_orig, const struct hw_packet *row, enum hw_weird name)
{
	struct hw_weird_row *weird = hw_weird_rows_put(&flows->weirds, row, name);

	if (!weird)
		return;
	weird->interface += flows->interface;
	weird->has |= HW_WEIRD_HAS_flow;
	weird->is_orig = is_orig;
	memcpy(weird->uid, entry->uid, sizeof(weird->uid));
}

void hw_flows_put_weirds(struct hw_flows *flows, const struct hw_entry *entry, int is_orig, const struct hw_packet *row, uint32_t added)
{
	for (; added; added &= added - 1)
		hw_flows_put_weird(flows, entry, is_orig, row, HW_WEIRD_OF_FLOWS + __builtin_ctz(added));
}

/* -- when they end -------------------------------------------------------------------------------------------------------------- */

/* End what is due. Returns 0 if there is no more room for rows. */
static int expire(struct hw_flows *flows, uint64_t now)
{
	uint32_t flow;
	uint64_t at;

	for (;;) {
		if (hw_flows_is_full(flows))
			return 0;
		flow = hw_flow_next_due(&flows->table, now);
		if (flow == HW_NOBODY)
			return 1;
		at = hw_flows_deadline(flows, hw_flow_at(&flows->table, flow));
		if (at > now)
			hw_flow_is_due(&flows->table, flow, at);
		else
			hw_flows_finish(flows, flow, now, HW_CONN_END_timeout);
	}
}

/*
 * Tell of flows that go on: at multiples of `progress`, of those that have lasted so long and had packets since. Returns 0 if there is no
 * more room for rows.
 */
static int report(struct hw_flows *flows, uint64_t now)
{
	uint64_t every = flows->settings.progress;

	for (; flows->reporting < flows->table.places; flows->reporting++) {
		struct hw_entry *entry = hw_flow_at(&flows->table, flows->reporting);
		uint32_t packets = hw_flow_packets(&entry->flow);

		if (!entry->due || entry->only_carries || packets == entry->told || entry->flow.first + every > flows->report_at)
			continue;
		if (entry->flow.marks & HW_FLOW_ended)
			continue; /* its row comes soon */
		if (hw_flows_is_full(flows))
			return 0;
		entry->told = packets;
		hw_flows_put_going(flows, entry, flows->report_at);
	}
	flows->reporting = 0;
	flows->report_at += every;
	if (flows->calm++ && flows->report_at <= now) /* the second time every flow has lasted long enough: no more is to be told */
		flows->report_at = (now / every + 1) * every;
	return 1;
}

int hw_flows_pass(struct hw_flows *flows, uint64_t now)
{
	uint64_t every = flows->settings.progress;

	if (every && !flows->report_at)
		flows->report_at = (now / every + 1) * every;
	while (every && flows->report_at <= now)
		if (!expire(flows, flows->report_at) || !report(flows, now))
			return 0;
	return expire(flows, now);
}

void hw_flows_make_room(struct hw_flows *flows, uint64_t now)
{
	uint32_t flow = flows->table.oldest, next;
	uint64_t at;

	for (int i = 0; flow == HW_NOBODY && i < TRIES; i++) {
		next = hw_flow_next_due(&flows->table, UINT64_MAX);
		if (next == HW_NOBODY)
			return;
		at = hw_flows_deadline(flows, hw_flow_at(&flows->table, next));
		hw_flow_is_due(&flows->table, next, at);
		if (flows->table.heap[0].at >= at || i == TRIES - 1)
			flow = next;
	}
	flows->counts.evicted += !hw_flow_at(&flows->table, flow)->only_carries;
	hw_flows_finish(flows, flow, now, HW_CONN_END_evicted);
}

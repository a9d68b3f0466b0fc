/* SPDX-License-Identifier: Apache-2.0 */
/* Packets to flows: which flow a packet is of, and what carries it. */
#include <string.h>

#include "../bpf/flow_uid.h"
#include "flow_state.h"
#include "fragments.h"

void hw_flows_seek(const struct hw_flows *flows, const struct hw_packet *of, const struct hw_packet *row, struct hw_sought *sought)
{
	sought->second = hw_flow_key(of, &sought->key);
	if (flows->settings.apart)
		hw_flow_key_apart(row, flows->settings.apart, flows->interface + row->interface, &sought->key);
	sought->hash = hw_flow_hash(&flows->table, &sought->key);
}

static uint32_t begin(struct hw_flows *flows, const struct hw_packet *row, const struct hw_sought *sought, int only_carries, uint32_t again)
{
	int flip = !only_carries && hw_flows_begin_with_answer(flows, row, sought);
	struct hw_entry *entry;
	uint32_t flow;

	if (flows->table.used >= flows->settings.most)
		hw_flows_make_room(flows, row->ts);
	flow = hw_flow_make(&flows->table, &sought->key, sought->hash);
	if (flow == HW_NOBODY)
		return flow;
	entry = hw_flow_at(&flows->table, flow);
	entry->orig = sought->second ^ flip;
	entry->interface = flows->interface + row->interface;
	entry->only_carries = only_carries;
	entry->again = again;
	hw_uid_of(&sought->key, row->ts, again, flows->settings.secret, entry->uid);
	hw_flow_begin(&entry->flow, row, flip);
	hw_flows_own_nothing(flows, flow);
	if (flows->streams)
		hw_streams_clear(flows->streams, flow);
	flows->counts.begun += !only_carries;
	flows->counts.only_carrying += only_carries;
	return flow;
}

/* A flow carries another one: that is told once. */
static void discover(struct hw_flows *flows, struct hw_entry *by, uint64_t ts, enum hw_tunnel tunnel)
{
	if (by->tunnel)
		return;
	by->tunnel = tunnel;
	hw_flows_put_tunnel(flows, by, ts, HW_TUNNEL_ACTION_discover);
}

/* This flow is within those tunnels. */
static void carry(struct hw_flows *flows, struct hw_entry *entry, const struct hw_packet *row)
{
	const struct hw_carrier *innermost = &flows->carriers[flows->carrier_count - 1];
	struct hw_rare *rare = hw_flow_rare(entry);

	for (uint32_t i = 0; i < flows->carrier_count; i++) {
		struct hw_entry *by = hw_flow_at(&flows->table, flows->carriers[i].flow);

		if (by->due && !memcmp(by->uid, flows->carriers[i].uid, sizeof(by->uid)))
			discover(flows, by, row->ts, flows->carriers[i].tunnel);
	}
	if (rare)
		hw_flow_carry(rare, innermost->uid);
}

static int is_sampled_out(const struct hw_flows *flows, const struct hw_flow_key *key)
{
	return flows->settings.sample_below &&
	       (hw_siphash(flows->settings.secret, key, sizeof(*key)) & UINT32_MAX) >= flows->settings.sample_below;
}

/* An ICMP error of the flow `by`: the flow that it is about knows that. */
static void blame(struct hw_flows *flows, const struct hw_packet *row, const uint8_t by[12])
{
	struct hw_packet about;
	struct hw_entry *entry;
	struct hw_sought sought;
	struct hw_rare *rare;
	uint32_t flow;

	if (!hw_flow_quoted(row, &about))
		return;
	hw_flows_seek(flows, &about, row, &sought);
	flow = hw_flow_find(&flows->table, &sought.key, sought.hash);
	if (flow == HW_NOBODY)
		return;
	entry = hw_flow_at(&flows->table, flow);
	rare = hw_flow_rare(entry);
	if (!rare)
		return;
	entry->flow.error = row->ts;
	entry->flow.marks |= HW_FLOW_error;
	memcpy(rare->error_by, by, sizeof(rare->error_by));
	if (flows->servers)
		hw_servers_refuse(flows->servers, entry, row);
	if (flows->picks)
		hw_flows_pick_packet(flows, entry->uid, flows->in_pieces);
}

/* This packet ends a flow by beginning another one of the same endpoints. */
static void reused(struct hw_flows *flows, const struct hw_entry *entry, int is_orig, const struct hw_packet *row)
{
	enum hw_weird name = hw_weird_of_reuse(&entry->flow, row, &flows->settings);

	if (name == HW_WEIRD_SYN_seq_jump && entry->flow.weirds >> (name - HW_WEIRD_OF_FLOWS) & 1)
		return; /* it was told */
	if (name)
		hw_flows_put_weird(flows, entry, is_orig, row, name);
}

/* Whether a flow to a port of DNS or NTP begins with an answer, which the first octets tell. */
static int begins_with_answer(const struct hw_packet *row, const struct hw_payload *payload)
{
	static const uint8_t v4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	int is_v4 = !memcmp(row->dst, v4, sizeof(v4)), is_multicast = is_v4 ? (row->dst[12] & 0xf0) == 0xe0 : row->dst[0] == 0xff;

	if (row->proto != HW_PROTO_UDP || payload->length < 12 || is_multicast)
		return 0;
	if (row->dport == 123) /* RFC 5905, 7.3: a server's, with a code or without */
		return (payload->octets[0] & 7) == 4 &&
		       (payload->length == 48 || payload->length == 52 || payload->length == 68 || payload->length == 72);
	return payload->octets[2] & 0x80 && (row->dport == 53 || row->dport == 137 || row->dport == 5353 || row->dport == 5355);
}

/* Its receiver is the originator then, as in Zeek, which has counted the packet for the originator by that time. */
static void turn(struct hw_entry *entry)
{
	uint8_t mac[6];

	memcpy(mac, entry->flow.l2[0], 6);
	memcpy(entry->flow.l2[0], entry->flow.l2[1], 6);
	memcpy(entry->flow.l2[1], mac, 6);
	hw_history(&entry->flow, HW_ORIG, '^');
	entry->orig ^= 1;
}

/* A packet of a flow. Returns its flow. */
static uint32_t add(struct hw_flows *flows, const struct hw_packet *row, const struct hw_sought *sought)
{
	struct hw_entry *entry;
	uint32_t flow, again = 0, before;
	int which, flipped, is_new;

	if (is_sampled_out(flows, &sought->key)) {
		flows->counts.sampled_out++;
		return HW_NOBODY;
	}
	flow = hw_flow_find(&flows->table, &sought->key, sought->hash);
	if (flow != HW_NOBODY && !hw_flows_counts_here(flows, flow, sought->second, row)) {
		flows->is_duplicate = 1;
		flows->counts.duplicate_hook++;
		return flow;
	}
	if (flow != HW_NOBODY) {
		entry = hw_flow_at(&flows->table, flow);
		if (hw_flow_is_reused(&entry->flow, sought->second ^ entry->orig, row)) {
			again = entry->flow.first == row->ts ? entry->again + 1 : 0;
			if (flows->weirds.a_second)
				reused(flows, entry, sought->second == entry->orig, row);
			hw_flows_finish(flows, flow, row->ts, HW_CONN_END_reused);
			flow = HW_NOBODY;
		}
	}
	is_new = flow == HW_NOBODY;
	if (is_new) {
		flow = begin(flows, row, sought, 0, again);
		if (flow != HW_NOBODY)
			hw_flows_counts_here(flows, flow, sought->second, row); /* from now on */
	}
	if (flow == HW_NOBODY) {
		flows->counts.no_memory++;
		return flow;
	}
	entry = hw_flow_at(&flows->table, flow);
	which = sought->second ^ entry->orig;
	flipped = entry->flow.marks & HW_FLOW_flipped;
	before = entry->flow.weirds;
	if (flows->weirds.a_second) /* somebody asks */
		hw_flow_judge(&entry->flow, which, row);
	hw_flow_add(&entry->flow, which, row);
	if (flipped != (entry->flow.marks & HW_FLOW_flipped)) {
		entry->orig ^= 1;
		which ^= 1;
		if (flows->servers)
			hw_servers_turn(flows->servers, entry, row);
		if (flows->streams)
			hw_streams_flip(flows->streams, flow, row->ts);
	}
	if (before != entry->flow.weirds)
		hw_flows_put_weirds(flows, entry, sought->second == entry->orig, row, entry->flow.weirds & ~before);
	if (entry->waiting && entry->flow.sides[0].packets && entry->flow.sides[1].packets)
		hw_flow_answered(&flows->table, flow);
	hw_flow_is_due(&flows->table, flow, hw_flows_deadline(flows, entry));
	if (hw_flow_is_damaged(row)) {
		flows->counts.damaged++;
		return flow;
	}
	if (flows->servers)
		hw_servers_add(flows->servers, entry, which, row);
	if (flows->streams && is_new && begins_with_answer(row, &flows->payload))
		turn(entry);
	if (flows->streams && hw_flows_is_ours(flows, &entry->key))
		hw_streams_add(flows->streams, flow, entry, which, row, &flows->payload);
	if (row->has & HW_HAS_quoted)
		blame(flows, row, entry->uid);
	flows->counts.in_flow++;
	if (flows->picks)
		hw_flows_pick_packet(flows, entry->uid, flows->in_pieces);
	return flow;
}

/* Two addresses between which IP carries IP: no flow of its own, but it has a name. */
static uint32_t carry_ip(struct hw_flows *flows, const struct hw_packet *row)
{
	struct hw_packet bare = *row;
	struct hw_sought sought;
	uint32_t flow;

	bare.proto = 4;
	bare.has &= ~HW_HAS_ports;
	hw_flows_seek(flows, &bare, row, &sought);
	flow = hw_flow_find(&flows->table, &sought.key, sought.hash);
	if (flow == HW_NOBODY)
		flow = begin(flows, &bare, &sought, 1, 0);
	if (flow == HW_NOBODY)
		return flow;
	hw_flow_at(&flows->table, flow)->flow.last = row->ts;
	hw_flow_answered(&flows->table, flow); /* in use, if only one way */
	hw_flow_is_due(&flows->table, flow, row->ts + flows->settings.tunnel_timeout);
	if (flows->picks)
		hw_flows_pick_packet(flows, hw_flow_at(&flows->table, flow)->uid, flows->in_pieces);
	return flow;
}

static void put_odd_fragment(struct hw_flows *flows, const struct hw_packet *row, uint32_t odd)
{
	for (int i = 0; odd >> i; i++)
		if (odd >> i & 1)
			hw_weird_rows_put(&flows->weirds, row, HW_WEIRD_excessively_small_fragment + i);
}

/* A packet. Returns its flow. */
static uint32_t take(struct hw_flows *flows, const struct hw_packet *row, const struct hw_sought *sought)
{
	if (hw_flow_is_of(row))
		return add(flows, row, sought);
	flows->counts.no_flow++;
	return HW_NOBODY;
}

/*
 * The packets of a datagram that is whole by now, the last of them with what it carries. The others have been counted as fragments, and the row
 * with which it became whole is still to be.
 */
static void unpack(struct hw_flows *flows, const struct hw_packet *rows, uint32_t count)
{
	struct hw_payload payload = flows->payload;
	struct hw_sought sought;

	flows->counts.fragments -= count - 1;
	flows->payload.length = 0;
	flows->unpacking++;
	for (; count > 1; count--, rows++) {
		hw_flows_seek(flows, rows, rows, &sought);
		hw_flows_take_carrier(flows, rows, &sought);
	}
	flows->payload = payload;
	hw_flows_seek(flows, rows, rows, &sought);
	hw_flows_take_packet(flows, rows, &sought);
	flows->unpacking--;
}

/* A piece of a datagram, and of what it carries as many rows as make `count`. Returns the datagram's flow, if it is whole with it. */
static uint32_t take_piece(struct hw_flows *flows, const struct hw_packet *rows, uint32_t count)
{
	struct hw_packet whole[HW_MOST_ROWS];
	struct hw_sought sought;
	uint32_t odd = 0;

	hw_flows_seek(flows, rows, rows, &sought);
	if (rows->captured < rows->length)
		count = 0;
	else
		count = hw_fragments_add(flows->fragments, rows, count, sought.key.apart, whole, &flows->payload, &odd);
	if (odd && flows->weirds.a_second)
		put_odd_fragment(flows, rows, odd);
	if (!count || (count > 1 && flows->unpacking == HW_WITHIN)) {
		flows->counts.fragments++;
		return HW_NOBODY;
	}
	flows->in_pieces = 1;
	if (flows->streams && flows->payload.length) /* the next datagram may be put together in the same place */
		hw_streams_hold(flows->streams, &flows->payload);
	if (count == 1) {
		hw_flows_seek(flows, whole, whole, &sought);
		return take(flows, whole, &sought);
	}
	unpack(flows, whole, count);
	return HW_NOBODY;
}

/* Whether a row waits for the rest of its frame: it is of a piece of a datagram that carries packets, or of one of these. */
static int hold(struct hw_flows *flows, const struct hw_packet *row)
{
	if (row->ts != flows->held[0].ts || flows->held_count == HW_MOST_ROWS) /* live, the rest may be lost */
		flows->held_count = 0;
	if (!flows->held_count && (row->segments || !hw_is_fragment(row) || row->captured < row->length))
		return 0;
	flows->held[flows->held_count++] = *row;
	return 1;
}

/* What carries the packets after it. A tunnel of GRE over UDP is one between addresses, as in Zeek. */
void hw_flows_take_carrier(struct hw_flows *flows, const struct hw_packet *row, const struct hw_sought *sought)
{
	int by_flow = row->has & HW_HAS_ports && row->tunnel != HW_TUNNEL_gre;
	uint32_t flow = HW_NOBODY;
	struct hw_carrier *carrier;

	if (hold(flows, row)) {
		flows->counts.fragments++;
		return;
	}
	flows->is_duplicate = 0;
	flows->in_pieces = flows->unpacking > 0;
	if (row->has & HW_HAS_ports)
		flow = take(flows, row, sought);
	if (row->ts != flows->carrier_ts)
		flows->carrier_count = 0;
	flows->carrier_ts = row->ts;
	flows->counts.no_flow += !(row->has & HW_HAS_ports);
	if (!by_flow)
		flow = carry_ip(flows, row);
	if (flow == HW_NOBODY || flows->carrier_count == HW_MAX_TUNNELS)
		return;
	if (by_flow && flows->carrier_count && !flows->is_duplicate)
		carry(flows, hw_flow_at(&flows->table, flow), row);
	carrier = &flows->carriers[flows->carrier_count++];
	carrier->flow = flow;
	carrier->tunnel = row->tunnel;
	memcpy(carrier->uid, hw_flow_at(&flows->table, flow)->uid, sizeof(carrier->uid));
}

void hw_flows_take_refused(struct hw_flows *flows, const struct hw_deferred *refused)
{
	const struct hw_packet *row = &refused->row;
	uint32_t flow = HW_NOBODY;
	struct hw_sought sought;
	struct hw_rare *rare;

	if (refused->why == HW_DEFERRED_WHY_frame) { /* its datagram is the kernel's */
		if (flows->weirds.a_second)
			put_odd_fragment(flows, row, refused->odd);
		return;
	}
	hw_flows_seek(flows, row, row, &sought);
	flows->is_duplicate = flows->in_pieces = 0;
	if (refused->keep & HW_DEFERRED_packet)
		flow = take(flows, row, &sought);
	else
		flows->counts.no_flow++;
	if (flow != HW_NOBODY && !flows->is_duplicate && refused->is_carried) {
		rare = hw_flow_rare(hw_flow_at(&flows->table, flow));
		if (rare)
			hw_flow_carry(rare, refused->carrier);
	}
	if (refused->keep & HW_DEFERRED_addresses)
		flow = carry_ip(flows, row);
	if (flow != HW_NOBODY && refused->carries)
		discover(flows, hw_flow_at(&flows->table, flow), row->ts, row->tunnel);
}

/* Whether that is of the same frame as the packet before. */
static int is_further(const struct hw_flows *flows, const struct hw_packet *row)
{
	const struct hw_packet *before = &flows->carried;

	return flows->carried_by && row->has & HW_HAS_outer && row->ts == before->ts && row->tunnel == before->tunnel &&
	       row->outer_sport == before->outer_sport && row->outer_dport == before->outer_dport &&
	       !memcmp(row->outer_src, before->outer_src, 16) && !memcmp(row->outer_dst, before->outer_dst, 16);
}

void hw_flows_take_packet(struct hw_flows *flows, const struct hw_packet *row, const struct hw_sought *sought)
{
	uint32_t flow, held;

	flows->is_duplicate = 0;
	flows->in_pieces = flows->unpacking > 0;
	if (hold(flows, row)) {
		held = flows->held_count;
		flows->held_count = 0;
		take_piece(flows, flows->held, held);
		flows->carrier_count = flows->carried_by = 0;
		return;
	}
	if (hw_fragment_is_alone(row))
		flow = take(flows, row, sought);
	else
		flow = take_piece(flows, row, 1);
	if (!flows->carrier_count && is_further(flows, row))
		flows->carrier_count = flows->carried_by;
	if (flow != HW_NOBODY && !flows->is_duplicate && flows->carrier_count && row->ts == flows->carrier_ts)
		carry(flows, hw_flow_at(&flows->table, flow), row);
	flows->carried_by = flows->carrier_count;
	flows->carrier_count = 0;
	if (flows->carried_by)
		flows->carried = *row;
}

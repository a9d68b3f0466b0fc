/* SPDX-License-Identifier: Apache-2.0 */
/* Packets to flows, in user space: which flow a packet is of, when that ends, what carries it. What a flow is says bpf/flow.h. */
#include <stdlib.h>
#include <string.h>

#include "flow_ids.h"
#include "flows.h"
#include "fragments.h"
#include "servers.h"
#include "weird_rows.h"

#define SPARE 8		/* rows that one packet may make */
#define SPARE_WEIRDS 40 /* likewise; and one of each name for the second before */
#define DATAGRAMS 4096
#define TRIES 64
#define FAR 16 /* packets before its turn that a flow is looked for, */
#define NEAR 8 /* and that it is asked for */

struct carrier {
	uint32_t flow;
	enum hw_tunnel tunnel;
	uint8_t uid[12];
};

/* Where a packet's flow is looked for; `second`: its sender is the second endpoint of the key. */
struct sought {
	struct hw_flow_key key;
	uint32_t hash;
	int second;
};

struct hw_flows {
	struct hw_flow_settings settings;
	uint64_t secret[2]; /* of them */
	struct hw_flow_table table;
	struct hw_fragments *fragments;
	struct hw_servers *servers; /* NULL: nobody asks for them */
	struct hw_prefix *local;
	size_t local_count;
	struct carrier carriers[HW_MAX_TUNNELS]; /* of the next packet, the outermost first */
	uint32_t carrier_count;
	uint64_t carrier_ts; /* of one packet they have one time; live, a packet may be lost whose carriers are not */
	uint32_t interface;  /* our number of that which a batch calls 0 */
	uint32_t ending;     /* where hw_flows_end() goes on, */
	uint32_t reporting;  /* and report() */
	uint64_t report_at;  /* the next time to tell of flows that go on */
	uint32_t calm;	     /* times told since there was a packet */
	struct hw_flows_counts counts;
	struct hw_weird_rows weirds;
	struct hw_found *found;
};

struct hw_flows *hw_flows_new(const void *settings, const struct hw_prefix *local, size_t local_count)
{
	struct hw_flows *flows = calloc(1, sizeof(*flows));

	if (!flows)
		return NULL;
	memcpy(&flows->settings, settings, sizeof(flows->settings));
	memcpy(flows->secret, flows->settings.secret, sizeof(flows->secret));
	hw_weird_rows_make(&flows->weirds, flows->settings.weirds_a_second, flows->settings.ignored_weirds);
	flows->local = calloc(local_count + 1, sizeof(*local));
	flows->local_count = local_count;
	if (!flows->local || hw_flow_table_make(&flows->table, flows->settings.most) ||
	    !(flows->fragments = hw_fragments_new(DATAGRAMS, flows->table.salt[0]))) {
		hw_flows_free(flows);
		return NULL;
	}
	if (local_count)
		memcpy(flows->local, local, local_count * sizeof(*local));
	return flows;
}

void hw_flows_free(struct hw_flows *flows)
{
	if (!flows)
		return;
	hw_flow_table_clear(&flows->table);
	hw_fragments_free(flows->fragments);
	hw_servers_free(flows->servers);
	free(flows->local);
	free(flows);
}

int hw_flows_tell_servers(struct hw_flows *flows, uint32_t most)
{
	flows->servers = hw_servers_new(most, &flows->table);
	return flows->servers ? 0 : -1;
}

void hw_flows_counts_of(const struct hw_flows *flows, struct hw_flows_counts *into)
{
	*into = flows->counts;
	into->flows = flows->table.used - flows->counts.only_carrying;
	into->octets = hw_flow_table_octets(&flows->table);
	hw_fragments_counts(flows->fragments, &into->fragments_waiting, &into->fragments_given_up);
}

/* -- rows ----------------------------------------------------------------------------------------------------------------------- */

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

static void put_tunnel(struct hw_flows *flows, const struct hw_entry *entry, uint64_t ts, enum hw_tunnel_action action)
{
	struct hw_tunnel_row *row = (struct hw_tunnel_row *)flows->found->tunnels + flows->found->tunnel_count++;

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
	return row;
}

/* A flow is over. `now` is 0 at the end of all. */
static void finish(struct hw_flows *flows, uint32_t flow, uint64_t now, enum hw_conn_end why)
{
	struct hw_entry *entry = hw_flow_at(&flows->table, flow);

	if (entry->only_carries) {
		if (now && entry->tunnel)
			put_tunnel(flows, entry, now, HW_TUNNEL_ACTION_expire);
		flows->counts.only_carrying--;
	} else {
		put_conn(flows, entry, why, (struct hw_conn *)flows->found->conns + flows->found->conn_count++);
		if (entry->tunnel)
			put_tunnel(flows, entry, now ? now : flows->counts.latest, HW_TUNNEL_ACTION_close);
		if (flows->servers)
			hw_servers_finish(flows->servers, entry, why == HW_CONN_END_stopped);
		flows->counts.ended++;
		flows->counts.letters_lost += entry->flow.overflows;
	}
	hw_flow_forget(&flows->table, flow);
}

static int is_full(const struct hw_flows *flows)
{
	return flows->found->conn_count + SPARE > HW_CONNS_ROOM || flows->found->long_count + SPARE > HW_CONNS_ROOM ||
	       flows->found->tunnel_count + SPARE > HW_CONNS_ROOM || flows->weirds.made + HW_WEIRD_NAMES + SPARE_WEIRDS > HW_WEIRDS_ROOM;
}

/* This packet shows something odd of a flow. */
static void put_weird(struct hw_flows *flows, const struct hw_entry *entry, int is_orig, const struct hw_packet *row, enum hw_weird name)
{
	struct hw_weird_row *weird = hw_weird_rows_put(&flows->weirds, row, name);

	if (!weird)
		return;
	weird->interface += flows->interface;
	weird->has |= HW_WEIRD_HAS_flow;
	weird->is_orig = is_orig;
	memcpy(weird->uid, entry->uid, sizeof(weird->uid));
}

/* Bits that it has added to the flow's `weirds`. */
static void put_weirds(struct hw_flows *flows, const struct hw_entry *entry, int is_orig, const struct hw_packet *row, uint32_t added)
{
	for (; added; added &= added - 1) {
		enum hw_weird name = HW_WEIRD_OF_FLOWS + __builtin_ctz(added);

		if (name == HW_WEIRD_unsolicited_SYN_response && row->tcp_flags & HW_ACK && !hw_is_answer_by_port(row))
			name = HW_WEIRD_connection_originator_SYN_ack; /* Zeek takes its sender for the originator until it is acknowledged */
		put_weird(flows, entry, is_orig, row, name);
	}
}

/* -- when they end -------------------------------------------------------------------------------------------------------------- */

static uint64_t deadline(const struct hw_flows *flows, const struct hw_entry *entry)
{
	if (entry->only_carries)
		return entry->flow.last + flows->settings.tunnel_timeout;
	return hw_flow_deadline(&entry->flow, entry->key.port[!entry->orig], &flows->settings);
}

/* End what is due. Returns 0 if there is no more room for rows. */
static int expire(struct hw_flows *flows, uint64_t now)
{
	uint32_t flow;
	uint64_t at;

	for (;;) {
		if (is_full(flows))
			return 0;
		flow = hw_flow_next_due(&flows->table, now);
		if (flow == HW_NOBODY)
			return 1;
		at = deadline(flows, hw_flow_at(&flows->table, flow));
		if (at > now)
			hw_flow_is_due(&flows->table, flow, at);
		else
			finish(flows, flow, now, HW_CONN_END_timeout);
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
		uint32_t packets = entry->flow.sides[0].packets + entry->flow.sides[1].packets;

		if (!entry->due || entry->only_carries || packets == entry->told || entry->flow.first + every > flows->report_at)
			continue;
		if (is_full(flows))
			return 0;
		entry->told = packets;
		put_conn(flows, entry, HW_CONN_END_none, (struct hw_conn *)flows->found->longs + flows->found->long_count++)->progress =
			flows->report_at;
	}
	flows->reporting = 0;
	flows->report_at += every;
	if (flows->calm++ && flows->report_at <= now) /* the second time every flow has lasted long enough: no more is to be told */
		flows->report_at = (now / every + 1) * every;
	return 1;
}

/* It is `now`: tell of flows, and end them. Returns 0 if there is no more room for rows. */
static int pass(struct hw_flows *flows, uint64_t now)
{
	uint64_t every = flows->settings.progress;

	if (every && !flows->report_at)
		flows->report_at = (now / every + 1) * every;
	while (every && flows->report_at <= now)
		if (!expire(flows, flows->report_at) || !report(flows, now))
			return 0;
	return expire(flows, now);
}

/* The table is full: one goes that nobody has answered, the oldest; or else the one that would end first. */
static void make_room(struct hw_flows *flows, uint64_t now)
{
	uint32_t flow = flows->table.oldest, next;
	uint64_t at;

	for (int i = 0; flow == HW_NOBODY && i < TRIES; i++) {
		next = hw_flow_next_due(&flows->table, UINT64_MAX);
		if (next == HW_NOBODY)
			return;
		at = deadline(flows, hw_flow_at(&flows->table, next));
		hw_flow_is_due(&flows->table, next, at);
		if (flows->table.heap[0].at >= at || i == TRIES - 1)
			flow = next;
	}
	flows->counts.evicted += !hw_flow_at(&flows->table, flow)->only_carries;
	finish(flows, flow, now, HW_CONN_END_evicted);
}

/* -- packets -------------------------------------------------------------------------------------------------------------------- */

/* The flow that has the ends of `of`, seen where `row` was. */
static void seek(const struct hw_flows *flows, const struct hw_packet *of, const struct hw_packet *row, struct sought *sought)
{
	sought->second = hw_flow_key(of, &sought->key);
	if (flows->settings.apart)
		hw_flow_key_apart(row, flows->settings.apart, flows->interface + row->interface, &sought->key);
	sought->hash = hw_flow_hash(&flows->table, &sought->key);
}

static uint32_t begin(struct hw_flows *flows, const struct hw_packet *row, const struct sought *sought, int only_carries, uint32_t again)
{
	int flip = !only_carries && hw_begins_with_answer(row);
	struct hw_entry *entry;
	uint32_t flow;

	if (flows->table.used >= flows->settings.most)
		make_room(flows, row->ts);
	flow = hw_flow_make(&flows->table, &sought->key, sought->hash);
	if (flow == HW_NOBODY)
		return flow;
	entry = hw_flow_at(&flows->table, flow);
	entry->orig = sought->second ^ flip;
	entry->interface = flows->interface + row->interface;
	entry->only_carries = only_carries;
	entry->again = again;
	hw_uid_of(&sought->key, row->ts, again, flows->secret, entry->uid);
	hw_flow_begin(&entry->flow, row, flip);
	flows->counts.begun += !only_carries;
	flows->counts.only_carrying += only_carries;
	return flow;
}

/* This flow is within those tunnels. */
static void carry(struct hw_flows *flows, struct hw_entry *entry, const struct hw_packet *row)
{
	const struct carrier *innermost = &flows->carriers[flows->carrier_count - 1];
	struct hw_rare *rare = hw_flow_rare(entry);
	struct hw_parent *parent;

	for (uint32_t i = 0; i < flows->carrier_count; i++) {
		struct hw_entry *by = hw_flow_at(&flows->table, flows->carriers[i].flow);

		if (!by->due || by->tunnel || memcmp(by->uid, flows->carriers[i].uid, sizeof(by->uid)))
			continue;
		by->tunnel = flows->carriers[i].tunnel;
		put_tunnel(flows, by, row->ts, HW_TUNNEL_ACTION_discover);
	}
	for (parent = rare ? rare->parents : NULL; parent && parent < rare->parents + HW_PARENTS; parent++)
		if (!parent->packets || !memcmp(parent->uid, innermost->uid, sizeof(parent->uid))) {
			memcpy(parent->uid, innermost->uid, sizeof(parent->uid));
			parent->packets += parent->packets < UINT32_MAX;
			return;
		}
}

static int is_sampled_out(const struct hw_flows *flows, const struct hw_flow_key *key)
{
	return flows->settings.sample_below && (hw_siphash(flows->secret, key, sizeof(*key)) & UINT32_MAX) >= flows->settings.sample_below;
}

/* An ICMP error of the flow `by`: the flow that it is about knows that. */
static void blame(struct hw_flows *flows, const struct hw_packet *row, const uint8_t by[12])
{
	struct hw_packet about;
	struct hw_entry *entry;
	struct sought sought;
	struct hw_rare *rare;
	uint32_t flow;

	if (!hw_flow_quoted(row, &about))
		return;
	seek(flows, &about, row, &sought);
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
}

/* This packet ends a flow by beginning another one of the same endpoints. */
static void reused(struct hw_flows *flows, const struct hw_entry *entry, int is_orig, const struct hw_packet *row)
{
	enum hw_weird name = hw_weird_of_reuse(&entry->flow, row, &flows->settings);

	if (name == HW_WEIRD_SYN_seq_jump && entry->flow.weirds >> (name - HW_WEIRD_OF_FLOWS) & 1)
		return; /* it was told */
	if (name)
		put_weird(flows, entry, is_orig, row, name);
}

/* A packet of a flow. Returns its flow. */
static uint32_t add(struct hw_flows *flows, const struct hw_packet *row, const struct sought *sought)
{
	struct hw_entry *entry;
	uint32_t flow, again = 0, before;
	int which, flipped;

	if (is_sampled_out(flows, &sought->key)) {
		flows->counts.sampled_out++;
		return HW_NOBODY;
	}
	flow = hw_flow_find(&flows->table, &sought->key, sought->hash);
	if (flow != HW_NOBODY) {
		entry = hw_flow_at(&flows->table, flow);
		if (hw_flow_is_reused(&entry->flow, sought->second ^ entry->orig, row)) {
			again = entry->flow.first == row->ts ? entry->again + 1 : 0;
			if (flows->weirds.a_second)
				reused(flows, entry, sought->second == entry->orig, row);
			finish(flows, flow, row->ts, HW_CONN_END_reused);
			flow = HW_NOBODY;
		}
	}
	if (flow == HW_NOBODY)
		flow = begin(flows, row, sought, 0, again);
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
			hw_servers_turn(flows->servers, entry);
	}
	if (before != entry->flow.weirds)
		put_weirds(flows, entry, sought->second == entry->orig, row, entry->flow.weirds & ~before);
	if (entry->waiting && entry->flow.sides[0].packets && entry->flow.sides[1].packets)
		hw_flow_answered(&flows->table, flow);
	hw_flow_is_due(&flows->table, flow, deadline(flows, entry));
	if (hw_flow_is_damaged(row)) {
		flows->counts.damaged++;
		return flow;
	}
	if (flows->servers)
		hw_servers_add(flows->servers, entry, which, row);
	if (row->has & HW_HAS_quoted)
		blame(flows, row, entry->uid);
	flows->counts.in_flow++;
	return flow;
}

/* Two addresses between which IP carries IP: no flow of its own, but it has a name. */
static uint32_t carry_ip(struct hw_flows *flows, const struct hw_packet *row)
{
	struct hw_packet bare = *row;
	struct sought sought;
	uint32_t flow;

	bare.proto = 4;
	bare.has &= ~HW_HAS_ports;
	seek(flows, &bare, row, &sought);
	flow = hw_flow_find(&flows->table, &sought.key, sought.hash);
	if (flow == HW_NOBODY)
		flow = begin(flows, &bare, &sought, 1, 0);
	if (flow == HW_NOBODY)
		return flow;
	hw_flow_at(&flows->table, flow)->flow.last = row->ts;
	hw_flow_answered(&flows->table, flow); /* in use, if only one way */
	hw_flow_is_due(&flows->table, flow, row->ts + flows->settings.tunnel_timeout);
	return flow;
}

/* A packet, or a datagram that is whole by now. Returns its flow. */
static uint32_t take(struct hw_flows *flows, const struct hw_packet *row, const struct sought *sought)
{
	struct hw_packet whole;
	struct sought anew;

	if (hw_is_fragment(row)) {
		if (row->captured >= row->length ? !hw_fragments_add(flows->fragments, row, &whole) : row->fragment_offset) {
			flows->counts.fragments++;
			return HW_NOBODY;
		}
		if (row->captured >= row->length) { /* else the first one, of a datagram that cannot be put together */
			row = &whole;
			seek(flows, row, row, &anew);
			sought = &anew;
		}
	}
	if (hw_flow_is_of(row))
		return add(flows, row, sought);
	flows->counts.no_flow++;
	return HW_NOBODY;
}

/* What carries the packets after it. A tunnel of GRE over UDP is one between addresses, as in Zeek. */
static void take_carrier(struct hw_flows *flows, const struct hw_packet *row, const struct sought *sought)
{
	int by_flow = row->has & HW_HAS_ports && row->tunnel != HW_TUNNEL_gre;
	uint32_t flow = row->has & HW_HAS_ports ? take(flows, row, sought) : HW_NOBODY;
	struct carrier *carrier;

	if (row->ts != flows->carrier_ts)
		flows->carrier_count = 0;
	flows->carrier_ts = row->ts;
	flows->counts.no_flow += !(row->has & HW_HAS_ports);
	if (!by_flow)
		flow = carry_ip(flows, row);
	if (flow == HW_NOBODY || flows->carrier_count == HW_MAX_TUNNELS)
		return;
	if (by_flow && flows->carrier_count)
		carry(flows, hw_flow_at(&flows->table, flow), row);
	carrier = &flows->carriers[flows->carrier_count++];
	carrier->flow = flow;
	carrier->tunnel = row->tunnel;
	memcpy(carrier->uid, hw_flow_at(&flows->table, flow)->uid, sizeof(carrier->uid));
}

static void take_packet(struct hw_flows *flows, const struct hw_packet *row, const struct sought *sought)
{
	uint32_t flow = take(flows, row, sought);

	if (flow != HW_NOBODY && flows->carrier_count && row->ts == flows->carrier_ts)
		carry(flows, hw_flow_at(&flows->table, flow), row);
	flows->carrier_count = 0;
}

static void begin_found(struct hw_flows *flows, struct hw_found *found)
{
	flows->found = found;
	found->conn_count = found->long_count = found->tunnel_count = found->server_count = 0;
	hw_weird_rows_begin(&flows->weirds, found->weirds);
}

/* It is `now`. Returns whether there are rows of the servers' second, which is over then. */
static int tell_servers(struct hw_flows *flows, uint64_t now)
{
	if (!flows->servers)
		return 0;
	flows->found->server_count = hw_servers_pass(flows->servers, now, flows->found->servers);
	return flows->found->server_count > 0;
}

size_t hw_flows_add(struct hw_flows *flows, const void *rows, size_t stride, size_t count, uint32_t interface, struct hw_found *found)
{
	const char *at = rows, *ahead = rows;
	struct sought sought[2 * FAR], *next;
	size_t i, looked = 0;

	begin_found(flows, found);
	flows->interface = interface;
	for (i = 0; i < count; i++, at += stride) {
		const struct hw_packet *row = (const struct hw_packet *)at;

		for (; looked < count && looked <= i + FAR; looked++, ahead += stride) {
			const struct hw_packet *of = (const struct hw_packet *)ahead;

			next = &sought[looked % (2 * FAR)];
			seek(flows, of, of, next);
			hw_flow_expect_slot(&flows->table, next->hash);
		}
		if (i + NEAR < looked) {
			next = &sought[(i + NEAR) % (2 * FAR)];
			hw_flow_expect(&flows->table, next->hash, next->key.proto == HW_PROTO_TCP);
		}
		if (tell_servers(flows, row->ts) || !pass(flows, row->ts))
			break;
		flows->calm = 0;
		if (row->ts > flows->counts.latest)
			flows->counts.latest = row->ts;
		hw_weird_rows_at(&flows->weirds, row->ts);
		if (row->segments)
			take_packet(flows, row, &sought[i % (2 * FAR)]);
		else
			take_carrier(flows, row, &sought[i % (2 * FAR)]);
	}
	found->weird_count = flows->weirds.made;
	return i;
}

void hw_flows_expire(struct hw_flows *flows, uint64_t now, struct hw_found *found)
{
	begin_found(flows, found);
	if (!tell_servers(flows, now - HW_SECOND)) /* packets of the last one may be in the rings yet */
		pass(flows, now);
	found->weird_count = flows->weirds.made;
}

void hw_flows_end(struct hw_flows *flows, struct hw_found *found)
{
	begin_found(flows, found);
	for (; flows->ending < flows->table.places && !is_full(flows); flows->ending++)
		if (hw_flow_at(&flows->table, flows->ending)->due)
			finish(flows, flows->ending, 0, HW_CONN_END_stopped);
	hw_weird_rows_end(&flows->weirds);
	found->weird_count = flows->weirds.made;
	if (found->conn_count || found->tunnel_count || found->weird_count)
		return;
	flows->ending = 0; /* more may begin, and end */
	if (flows->servers)
		found->server_count = hw_servers_end(flows->servers, found->servers);
}

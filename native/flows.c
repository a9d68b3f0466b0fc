/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows of packets that reach user space: where they are kept, when they end, and their rows. What a flow is says bpf/flow.h.
 *
 * Flows lie in chunks and never move; an open-addressing table finds them by their key. When each may end is in a heap; a packet makes that
 * later without touching the heap, so an entry that comes up too early is put back.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../bpf/flow.h"
#include "flow_ids.h"
#include "headwater.h"

#define CHUNK 1024
#define NOBODY UINT32_MAX

struct entry {
	struct hw_flow flow;
	struct hw_flow_key key;
	uint8_t orig; /* which of the key's endpoints is the originator */
	uint32_t interface;
	uint32_t next_free;
	uint64_t looked_at; /* when the heap has it next; 0: free */
	uint8_t uid[12];
	uint8_t parent[12];
};

struct tunnel {
	struct hw_flow_key key;
	uint8_t uid[12];
};

struct due {
	uint64_t at;
	uint32_t flow;
};

struct hw_flows {
	struct hw_flow_timeouts timeouts;
	uint64_t secret[2]; /* of uids */
	uint64_t salt[2];   /* of the table: nobody outside can make keys that collide */
	struct entry **chunks;
	uint32_t chunk_count, used, free;
	uint32_t *slots;
	uint32_t mask;
	struct due *heap;
	size_t heap_count, heap_room;
	struct tunnel *tunnels; /* of IP in IP, by their endpoints */
	uint32_t tunnel_count, tunnel_room;
	uint8_t carrier[12]; /* the uid of what carries the next packet */
	uint32_t ending; /* where hw_flows_end() goes on */
	struct hw_conn *into;
	size_t made;
};

static struct entry *entry_of(const struct hw_flows *flows, uint32_t flow)
{
	return &flows->chunks[flow / CHUNK][flow % CHUNK];
}

size_t hw_flows_count(const struct hw_flows *flows)
{
	return flows->used;
}

struct hw_flows *hw_flows_new(const uint64_t secret[2])
{
	struct hw_flows *flows = calloc(1, sizeof(*flows));

	if (!flows)
		return NULL;
	flows->timeouts = (struct hw_flow_timeouts){300 * HW_SECOND, 60 * HW_SECOND, 60 * HW_SECOND, 60 * HW_SECOND, 60 * HW_SECOND};
	memcpy(flows->secret, secret, sizeof(flows->secret));
	flows->free = NOBODY;
	flows->mask = 1023;
	flows->slots = malloc((flows->mask + 1ul) * sizeof(*flows->slots));
	if (!flows->slots || getrandom(flows->salt, sizeof(flows->salt), 0) < 0) {
		hw_flows_free(flows);
		return NULL;
	}
	memset(flows->slots, 0xff, (flows->mask + 1ul) * sizeof(*flows->slots));
	return flows;
}

void hw_flows_free(struct hw_flows *flows)
{
	if (!flows)
		return;
	for (uint32_t i = 0; i < flows->chunk_count; i++)
		free(flows->chunks[i]);
	free(flows->chunks);
	free(flows->slots);
	free(flows->heap);
	free(flows->tunnels);
	free(flows);
}

/* -- finding ------------------------------------------------------------------------------------------------------------------ */

static inline uint64_t mix(uint64_t hash, uint64_t word)
{
	unsigned __int128 product = (unsigned __int128)(hash ^ word) * 0x9e3779b97f4a7c15ull;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_of(const struct hw_flows *flows, const struct hw_flow_key *key)
{
	uint64_t words[sizeof(*key) / 8], hash = flows->salt[0];

	memcpy(words, key, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		hash = mix(hash, words[i]);
	hash = mix(hash, *(const uint32_t *)((const char *)key + sizeof(words)) ^ flows->salt[1]);
	return hash ^ hash >> 32;
}

/* The slot of that key, or the free one where it belongs. */
static uint32_t slot_of(const struct hw_flows *flows, const struct hw_flow_key *key)
{
	uint32_t at = hash_of(flows, key) & flows->mask;

	while (flows->slots[at] != NOBODY && memcmp(&entry_of(flows, flows->slots[at])->key, key, sizeof(*key)))
		at = (at + 1) & flows->mask;
	return at;
}

static int grow(struct hw_flows *flows)
{
	uint32_t *old = flows->slots, mask = flows->mask;

	flows->slots = malloc((mask + 1ul) * 2 * sizeof(*flows->slots));
	if (!flows->slots) {
		flows->slots = old;
		return -1;
	}
	flows->mask = mask * 2 + 1;
	memset(flows->slots, 0xff, (flows->mask + 1ul) * sizeof(*flows->slots));
	for (uint32_t i = 0; i <= mask; i++)
		if (old[i] != NOBODY)
			flows->slots[slot_of(flows, &entry_of(flows, old[i])->key)] = old[i];
	free(old);
	return 0;
}

/* Take a flow out, and close the hole that it leaves in its run of slots. */
static void forget(struct hw_flows *flows, uint32_t slot)
{
	uint32_t hole = slot, at = slot, home;
	struct entry *entry = entry_of(flows, flows->slots[slot]);

	entry->looked_at = 0;
	entry->next_free = flows->free;
	flows->free = flows->slots[slot];
	flows->used--;
	for (;;) {
		at = (at + 1) & flows->mask;
		if (flows->slots[at] == NOBODY)
			break;
		home = hash_of(flows, &entry_of(flows, flows->slots[at])->key) & flows->mask;
		if (((at - home) & flows->mask) >= ((at - hole) & flows->mask)) {
			flows->slots[hole] = flows->slots[at];
			hole = at;
		}
	}
	flows->slots[hole] = NOBODY;
}

static uint32_t new_entry(struct hw_flows *flows)
{
	struct entry **chunks;
	uint32_t flow = flows->free;

	if (flow == NOBODY) {
		chunks = realloc(flows->chunks, (flows->chunk_count + 1ul) * sizeof(*chunks));
		if (!chunks)
			return NOBODY;
		flows->chunks = chunks;
		chunks[flows->chunk_count] = calloc(CHUNK, sizeof(struct entry));
		if (!chunks[flows->chunk_count])
			return NOBODY;
		for (uint32_t i = CHUNK; i-- > 0;) {
			flow = flows->chunk_count * CHUNK + i;
			chunks[flows->chunk_count][i].next_free = flows->free;
			flows->free = flow;
		}
		flows->chunk_count++;
	}
	flows->free = entry_of(flows, flow)->next_free;
	flows->used++;
	return flow;
}

/* -- when they end -------------------------------------------------------------------------------------------------------------- */

static int schedule(struct hw_flows *flows, uint32_t flow, uint64_t at)
{
	struct due *heap;
	size_t i, parent;

	if (flows->heap_count == flows->heap_room) {
		heap = realloc(flows->heap, (flows->heap_room * 2 + 1024) * sizeof(*heap));
		if (!heap)
			return -1;
		flows->heap = heap;
		flows->heap_room = flows->heap_room * 2 + 1024;
	}
	heap = flows->heap;
	for (i = flows->heap_count++; i && heap[parent = (i - 1) / 2].at > at; i = parent)
		heap[i] = heap[parent];
	heap[i] = (struct due){at, flow};
	entry_of(flows, flow)->looked_at = at;
	return 0;
}

static struct due next_due(struct hw_flows *flows)
{
	struct due first = flows->heap[0], last = flows->heap[--flows->heap_count], *heap = flows->heap;
	size_t i = 0, child;

	while ((child = 2 * i + 1) < flows->heap_count) {
		child += child + 1 < flows->heap_count && heap[child + 1].at < heap[child].at;
		if (heap[child].at >= last.at)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return first;
}

/* -- rows ----------------------------------------------------------------------------------------------------------------------- */

static int has_rst_first(const struct hw_flow *flow)
{
	int i = 0;

	i += i < flow->history_length && flow->history[i] == '^';
	if (i >= flow->history_length || flow->history[i] != 'S')
		return 0;
	for (i++; i < flow->history_length; i++) {
		if (flow->history[i] == 'R')
			return 1;
		if (strchr("HAFGIQ", flow->history[i]))
			return 0;
	}
	return 0;
}

static enum hw_conn_state state_of(const struct hw_flow *flow, uint64_t orig_bytes, uint64_t resp_bytes)
{
	enum hw_tcp_state o = flow->sides[HW_ORIG].state, r = flow->sides[HW_RESP].state;
	int o_silent = o == HW_TCP_inactive || o == HW_TCP_partial, r_silent = r == HW_TCP_inactive || r == HW_TCP_partial;

	if (flow->proto == HW_PROTO_UDP)
		return o ? r ? HW_CONN_STATE_SF : HW_CONN_STATE_S0 : r ? HW_CONN_STATE_SHR : HW_CONN_STATE_OTH;
	if (flow->proto != HW_PROTO_TCP)
		return HW_CONN_STATE_OTH;
	if (r == HW_TCP_reset) {
		if (o == HW_TCP_syn_sent || o == HW_TCP_syn_ack_sent || (o == HW_TCP_reset && !orig_bytes && !resp_bytes))
			return HW_CONN_STATE_REJ;
		return o_silent ? HW_CONN_STATE_RSTRH : HW_CONN_STATE_RSTR;
	}
	if (o == HW_TCP_reset) {
		if (!r_silent)
			return HW_CONN_STATE_RSTO;
		return has_rst_first(flow) ? HW_CONN_STATE_RSTOS0 : HW_CONN_STATE_OTH;
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

static int is_zero(const uint8_t *mac)
{
	return !memcmp(mac, (const uint8_t[6]){0}, 6);
}

static void put(struct hw_flows *flows, const struct entry *entry)
{
	const struct hw_flow *flow = &entry->flow;
	const struct hw_side *orig = &flow->sides[HW_ORIG], *resp = &flow->sides[HW_RESP];
	struct hw_conn *row = &flows->into[flows->made++];

	memset(row, 0, sizeof(*row));
	row->ts = flow->first;
	row->orig_bytes = flow->proto == HW_PROTO_TCP ? hw_stream_bytes(orig, resp) : orig->bytes;
	row->resp_bytes = flow->proto == HW_PROTO_TCP ? hw_stream_bytes(resp, orig) : resp->bytes;
	row->conn_state = state_of(flow, row->orig_bytes, row->resp_bytes);
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
	row->proto = flow->proto == HW_PROTO_TCP                                        ? HW_TRANSPORT_tcp :
		     flow->proto == HW_PROTO_UDP                                        ? HW_TRANSPORT_udp :
		     flow->proto == HW_PROTO_ICMP || flow->proto == HW_PROTO_ICMPV6 ? HW_TRANSPORT_icmp :
											  HW_TRANSPORT_unknown_transport;
	row->vlan = flow->vlan;
	row->inner_vlan = flow->vlan_inner;
	memcpy(row->orig_l2_addr, flow->l2[0], 6);
	memcpy(row->resp_l2_addr, flow->l2[1], 6);
	memcpy(row->history, flow->history, flow->history_length);
	if (flow->history_length)
		row->has |= HW_CONN_HAS_history;
	memcpy(row->uid, entry->uid, sizeof(row->uid));
	memcpy(row->tunnel_parent, entry->parent, sizeof(row->tunnel_parent));
	hw_community_id_of(&entry->key, 0, row->community_id);
}

/* -- packets -------------------------------------------------------------------------------------------------------------------- */

/* End what is due at `now`. Returns 0 if there is no more room for rows. */
static int expire(struct hw_flows *flows, uint64_t now, size_t room)
{
	while (flows->heap_count && flows->heap[0].at <= now) {
		struct due due;
		struct entry *entry;
		uint64_t deadline;

		if (flows->made >= room)
			return 0;
		due = next_due(flows);
		entry = entry_of(flows, due.flow);
		if (entry->looked_at != due.at)
			continue;
		deadline = hw_flow_deadline(&entry->flow, &flows->timeouts);
		if (deadline > now) {
			schedule(flows, due.flow, deadline); /* there is room for what was there before */
			continue;
		}
		put(flows, entry);
		forget(flows, slot_of(flows, &entry->key));
	}
	return 1;
}

static int is_server(const struct hw_packet *row, uint16_t port)
{
	static const uint16_t TCP[] = {21, 22, 25, 53, 80, 81, 88, 102, 110, 135, 139, 143, 389, 443, 445, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993, 995,
		1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389, 5222, 5223, 5269, 5432, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8888, 20000};
	static const uint16_t UDP[] = {53, 67, 88, 123, 137, 161, 162, 389, 443, 514, 1812, 2123, 2152, 3268, 3389, 3544, 4789, 5060, 5072, 5353, 5355, 6081, 20000};
	const uint16_t *list = row->proto == HW_PROTO_TCP ? TCP : UDP;
	size_t count = row->proto == HW_PROTO_TCP ? sizeof(TCP) / sizeof(*TCP) : sizeof(UDP) / sizeof(*UDP);

	for (size_t k = 0; k < count; k++)
		if (list[k] == port)
			return 1;
	return 0;
}

static int begins_with_answer(const struct hw_packet *row)
{
	if (row->proto == HW_PROTO_TCP) {
		if ((row->tcp_flags & (HW_SYN | HW_ACK)) == HW_SYN || !is_server(row, row->sport))
			return 0;
		if (!is_server(row, row->dport))
			return 1;
		return !(row->tcp_flags & HW_SYN) && row->sport < row->dport;
	}
	if (row->proto == HW_PROTO_UDP)
		return is_server(row, row->sport) && !is_server(row, row->dport);
	return 0;
}

/* The tunnel between two addresses that is no flow of its own. */
static void carry_ip(struct hw_flows *flows, const struct hw_packet *row)
{
	struct hw_packet bare = *row;
	struct hw_flow_key key;
	struct tunnel *more;

	bare.proto = 4;
	hw_flow_key(&bare, &key);
	for (uint32_t i = 0; i < flows->tunnel_count; i++)
		if (!memcmp(&flows->tunnels[i].key, &key, sizeof(key))) {
			memcpy(flows->carrier, flows->tunnels[i].uid, 12);
			return;
		}
	if (flows->tunnel_count == flows->tunnel_room) {
		more = realloc(flows->tunnels, (flows->tunnel_room * 2 + 16) * sizeof(*more));
		if (!more)
			return;
		flows->tunnels = more;
		flows->tunnel_room = flows->tunnel_room * 2 + 16;
	}
	more = &flows->tunnels[flows->tunnel_count++];
	more->key = key;
	hw_uid_of(&key, row->ts, flows->secret, more->uid);
	memcpy(flows->carrier, more->uid, 12);
}

static void add(struct hw_flows *flows, const struct hw_packet *row)
{
	struct hw_flow_key key;
	struct entry *entry;
	int second = hw_flow_key(row, &key), flip;
	uint32_t slot = slot_of(flows, &key), flow = flows->slots[slot];
	uint64_t deadline;

	if (flow != NOBODY) {
		entry = entry_of(flows, flow);
		if (hw_flow_is_reused(&entry->flow, second ^ entry->orig, row)) {
			put(flows, entry);
			forget(flows, slot);
			slot = slot_of(flows, &key);
			flow = NOBODY;
		}
	}
	if (flow == NOBODY) {
		if ((flows->used + 1) * 2 > flows->mask && !grow(flows))
			slot = slot_of(flows, &key);
		flow = new_entry(flows);
		if (flow == NOBODY)
			return;
		flows->slots[slot] = flow;
		entry = entry_of(flows, flow);
		entry->key = key;
		flip = begins_with_answer(row);
		entry->orig = second ^ flip;
		entry->interface = row->interface;
		memcpy(entry->parent, flows->carrier, sizeof(entry->parent));
		hw_uid_of(&key, row->ts, flows->secret, entry->uid);
		hw_flow_begin(&entry->flow, row, flip);
	}
	entry = entry_of(flows, flow);
	{
		int before = !!(entry->flow.marks & HW_FLOW_flipped);

		hw_flow_add(&entry->flow, second ^ entry->orig, row);
		if (before != !!(entry->flow.marks & HW_FLOW_flipped))
			entry->orig ^= 1;
	}
	if (row->segments)
		memset(flows->carrier, 0, sizeof(flows->carrier));
	else
		memcpy(flows->carrier, entry->uid, sizeof(flows->carrier));
	deadline = hw_flow_deadline(&entry->flow, &flows->timeouts);
	if (!entry->looked_at || deadline < entry->looked_at)
		schedule(flows, flow, deadline);
}

size_t hw_flows_add(struct hw_flows *flows, const void *rows, size_t stride, size_t count, void *into, size_t *done)
{
	const char *at = rows;
	size_t i;

	flows->into = into;
	flows->made = 0;
	for (i = 0; i < count; i++, at += stride) {
		const struct hw_packet *row = (const struct hw_packet *)at;

		if (!expire(flows, row->ts, HW_CONNS_ROOM - 4) || flows->made >= HW_CONNS_ROOM - 4)
			break;
		if (!row->segments && !(row->has & HW_HAS_ports))
			carry_ip(flows, row);
		else if (hw_flow_is_of(row))
			add(flows, row);
		else
			memset(flows->carrier, 0, sizeof(flows->carrier));
	}
	*done = i;
	return flows->made;
}

size_t hw_flows_expire(struct hw_flows *flows, uint64_t now, void *into)
{
	flows->into = into;
	flows->made = 0;
	expire(flows, now, HW_CONNS_ROOM);
	return flows->made;
}

size_t hw_flows_end(struct hw_flows *flows, void *into)
{
	flows->into = into;
	flows->made = 0;
	for (; flows->ending < flows->chunk_count * CHUNK && flows->made < HW_CONNS_ROOM; flows->ending++) {
		struct entry *entry = entry_of(flows, flows->ending);

		if (entry->looked_at)
			put(flows, entry);
	}
	return flows->made;
}

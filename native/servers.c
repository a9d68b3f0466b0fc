/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot a server, and the first one for those that find no room. Who has established a connection never goes for one who has not, so that a
 * scan of many addresses pushes nobody out: it is counted in the first slot.
 *
 * A slot that is given to another server begins a new generation, and so does the first one each second. A flow that knows a slot of an
 * older generation is counted in the first one, if it is half open, until it looks for its server again.
 */
#include <stdlib.h>
#include <string.h>

#include "../bpf/flow_phase.h"
#include "fragments.h"
#include "servers.h"

#define LATE (10 * HW_SECOND) /* so much older than the packets before, one counts in their second; beyond that it is of another time */
#define OTHER 0		      /* the first slot */

struct key {
	hw_addr addr;
	hw_port port; /* 0 where there is none */
	uint8_t proto;
	uint8_t unused[5];
};

struct slot {
	struct hw_server now; /* the sums of this second, but for handshake_mean, which is a sum as well; half_open is a level */
	uint32_t generation;
	uint32_t next;	/* of the same bucket, or free; 0: none */
	uint32_t place; /* in the list of those that are taken */
	uint8_t active; /* it is in the list of those that this second counts */
	uint8_t proven; /* somebody has established a connection */
	struct key key;
};

/* What is known of a flow: where its server is counted, if `generation` is still that slot's, and how far it is. */
struct of_flow {
	uint32_t slot;
	uint32_t generation;
	uint32_t resent; /* packets sent again that are counted */
	uint8_t phase;	 /* enum hw_phase */
};

struct hw_servers {
	const struct hw_flow_table *table;
	struct of_flow *flows; /* by their number */
	uint64_t begin;	       /* of this second */
	uint64_t newest;       /* second of which rows were made */
	struct slot *slots;    /* `most` + 1, as of the lists */
	uint32_t *taken;       /* slots; the first one always is */
	uint32_t *active;
	uint32_t *buckets; /* slots by the hash of their key; 0: none */
	uint32_t mask;	   /* buckets - 1 */
	uint32_t most, taken_count, active_count;
	uint32_t free, unproven, hand;
};

struct hw_servers *hw_servers_new(uint32_t most, const struct hw_flow_table *table)
{
	struct hw_servers *servers = calloc(1, sizeof(*servers));

	if (!servers)
		return NULL;
	servers->table = table;
	servers->most = most;
	servers->mask = 15;
	while (servers->mask < most)
		servers->mask = servers->mask * 2 + 1;
	servers->flows = calloc(table->most, sizeof(*servers->flows)); /* what is not used takes no memory */
	servers->slots = calloc(most + 1ul, sizeof(*servers->slots));
	servers->taken = calloc(most + 1ul, sizeof(*servers->taken));
	servers->active = calloc(most + 1ul, sizeof(*servers->active));
	servers->buckets = calloc(servers->mask + 1ul, sizeof(*servers->buckets));
	if (!servers->flows || !servers->slots || !servers->taken || !servers->active || !servers->buckets) {
		hw_servers_free(servers);
		return NULL;
	}
	for (uint32_t at = most; at > OTHER; at--) {
		servers->slots[at].next = servers->free;
		servers->free = at;
	}
	servers->taken[servers->taken_count++] = OTHER;
	servers->slots[OTHER].generation = 1; /* a new flow knows of 0 */
	return servers;
}

void hw_servers_free(struct hw_servers *servers)
{
	if (!servers)
		return;
	free(servers->flows);
	free(servers->slots);
	free(servers->taken);
	free(servers->active);
	free(servers->buckets);
	free(servers);
}

/* -- slots ------------------------------------------------------------------------------------------------------------------------ */

static uint32_t *bucket_of(const struct hw_servers *servers, const struct key *key)
{
	uint64_t words[sizeof(*key) / 8], hash = servers->table->salt[0];

	memcpy(words, key, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		hash = hw_mix(hash, words[i] ^ servers->table->salt[1]);
	return &servers->buckets[(hash ^ hash >> 32) & servers->mask];
}

static struct of_flow *of_flow(struct hw_servers *servers, const struct hw_entry *entry)
{
	return &servers->flows[hw_flow_number(servers->table, entry)];
}

static void activate(struct hw_servers *servers, uint32_t at)
{
	if (servers->slots[at].active)
		return;
	servers->slots[at].active = 1;
	servers->active[servers->active_count++] = at;
}

static void release(struct hw_servers *servers, uint32_t at)
{
	struct slot *slot = &servers->slots[at];
	uint32_t *link = bucket_of(servers, &slot->key), last = servers->taken[--servers->taken_count];

	while (*link != at)
		link = &servers->slots[*link].next;
	*link = slot->next;
	servers->taken[slot->place] = last;
	servers->slots[last].place = slot->place;
	servers->unproven -= !slot->proven;
	memset(&slot->now, 0, sizeof(slot->now));
	slot->generation++;
	slot->next = servers->free;
	servers->free = at;
}

void hw_server_merge(struct hw_server *into, const struct hw_server *from)
{
	if (from->handshakes && (!into->handshakes || from->handshake_min < into->handshake_min))
		into->handshake_min = from->handshake_min;
	if (from->handshake_max > into->handshake_max)
		into->handshake_max = from->handshake_max;
	into->handshake_mean += from->handshake_mean;
	into->orig_pkts += from->orig_pkts;
	into->orig_ip_bytes += from->orig_ip_bytes;
	into->resp_pkts += from->resp_pkts;
	into->resp_ip_bytes += from->resp_ip_bytes;
	for (size_t at = offsetof(struct hw_server, begun); at < offsetof(struct hw_server, port); at += sizeof(uint32_t))
		*(uint32_t *)((char *)into + at) += *(const uint32_t *)((const char *)from + at);
}

void hw_server_finish(struct hw_server *row, int is_other)
{
	int has_ports = row->proto == HW_PROTO_TCP || row->proto == HW_PROTO_UDP;

	row->has = is_other ? 0 : HW_SERVER_HAS_server | (has_ports ? HW_SERVER_HAS_ports : 0);
	if (!row->handshakes)
		return;
	row->has |= HW_SERVER_HAS_handshakes;
	row->handshake_mean /= row->handshakes;
}

/* All are taken: the next one whose server has not established anything goes. There is one. */
static void evict(struct hw_servers *servers)
{
	struct slot *slot;

	do {
		servers->hand = servers->hand % servers->most + 1;
		slot = &servers->slots[servers->hand];
	} while (slot->proven);
	hw_server_merge(&servers->slots[OTHER].now, &slot->now);
	activate(servers, OTHER);
	release(servers, servers->hand);
}

/* A slot for a server that has none: the first one if there is no room. */
static uint32_t take(struct hw_servers *servers, const struct key *key, int proven)
{
	uint32_t at, *bucket;
	struct slot *slot;

	if (!servers->free) {
		if (!proven || !servers->unproven)
			return OTHER;
		evict(servers);
	}
	at = servers->free;
	slot = &servers->slots[at];
	servers->free = slot->next;
	bucket = bucket_of(servers, key);
	slot->next = *bucket;
	*bucket = at;
	slot->key = *key;
	slot->proven = 0;
	servers->unproven++;
	slot->place = servers->taken_count;
	servers->taken[servers->taken_count++] = at;
	return at;
}

static void prove(struct hw_servers *servers, uint32_t at)
{
	struct slot *slot = &servers->slots[at];

	if (at == OTHER || slot->proven)
		return;
	slot->proven = 1;
	servers->unproven--;
}

/* Look for the slot of a flow that knows none. */
static struct slot *find_slot(struct hw_servers *servers, struct hw_entry *entry, int proven)
{
	struct of_flow *mine = of_flow(servers, entry);
	struct key key = {.proto = entry->key.proto};
	uint32_t at;

	memcpy(key.addr, entry->key.addr[!entry->orig], sizeof(key.addr));
	if (key.proto == HW_PROTO_TCP || key.proto == HW_PROTO_UDP)
		key.port = entry->key.port[!entry->orig];
	at = *bucket_of(servers, &key);
	while (at && memcmp(&servers->slots[at].key, &key, sizeof(key)))
		at = servers->slots[at].next;
	if (!at)
		at = take(servers, &key, proven);
	if (proven)
		prove(servers, at);
	if (mine->phase == HW_PHASE_half_open) {
		servers->slots[OTHER].now.half_open--;
		servers->slots[at].now.half_open++;
	}
	mine->slot = at;
	mine->generation = servers->slots[at].generation;
	return &servers->slots[at];
}

/* Where a flow is counted. */
static struct slot *slot_of(struct hw_servers *servers, struct hw_entry *entry)
{
	struct of_flow *mine = of_flow(servers, entry);
	struct slot *slot = &servers->slots[mine->slot];

	if (slot->generation != mine->generation)
		slot = find_slot(servers, entry, hw_phase_is_proof(mine->phase, &entry->flow));
	if (!slot->active)
		activate(servers, mine->slot);
	return slot;
}

/* -- flows ------------------------------------------------------------------------------------------------------------------------ */

/* The news of a flow, and how many are half open. */
static void count(struct hw_servers *servers, struct hw_entry *entry, uint32_t news)
{
	struct of_flow *mine = of_flow(servers, entry);
	struct hw_server *half_open = &servers->slots[mine->slot].now; /* of those before, if it gets a slot */

	if (news & HW_NEWS_established) {
		if (mine->slot == OTHER)
			find_slot(servers, entry, 1); /* now it has a right to room */
		prove(servers, mine->slot);
		activate(servers, mine->slot);
	}
	half_open->half_open += !!(news & HW_NEWS_half_opened);
	half_open->half_open -= !!(news & HW_NEWS_half_closed);
	hw_count_news(&servers->slots[mine->slot].now, &entry->flow, news);
}

void hw_servers_add(struct hw_servers *servers, struct hw_entry *entry, int which, const struct hw_packet *row)
{
	const struct hw_flow *flow = &entry->flow;
	struct hw_server *now = &slot_of(servers, entry)->now;
	struct of_flow *mine = of_flow(servers, entry);
	uint32_t again = 0;

	if (flow->sides[which].marks & HW_SIDE_again) { /* else this packet was not sent again, and `more` need not be touched */
		again = hw_flow_resent(flow) - mine->resent;
		mine->resent += again;
	}
	hw_count_packet(now, which, row, again);
	if (mine->phase <= HW_PHASE_half_open)
		count(servers, entry, hw_phase_advance(flow, &mine->phase));
}

void hw_servers_turn(struct hw_servers *servers, struct hw_entry *entry, const struct hw_packet *row)
{
	const struct hw_side *orig = &entry->flow.sides[HW_ORIG], *resp = &entry->flow.sides[HW_RESP];
	uint64_t packets = orig->packets + resp->packets - 1, octets = orig->ip_bytes + resp->ip_bytes - row->ip_length;
	struct of_flow *mine = of_flow(servers, entry);
	struct slot *slot = &servers->slots[mine->slot];
	int moves = slot->generation == mine->generation && mine->phase == HW_PHASE_unknown && entry->flow.first >= servers->begin;
	struct hw_server *now = &slot->now;

	if (slot->generation == mine->generation && mine->phase == HW_PHASE_half_open) {
		now->half_open--;
		servers->slots[OTHER].now.half_open++;
	}
	if (moves) {
		now->begun--;
		now->orig_pkts -= packets;
		now->orig_ip_bytes -= octets;
		now->orig_retransmits -= mine->resent;
	}
	mine->slot = OTHER;
	mine->generation = 0;
	if (!moves)
		return;
	now = &slot_of(servers, entry)->now;
	now->begun++;
	now->resp_pkts += packets;
	now->resp_ip_bytes += octets;
	now->resp_retransmits += mine->resent;
}

void hw_servers_refuse(struct hw_servers *servers, struct hw_entry *entry, const struct hw_packet *error)
{
	slot_of(servers, entry); /* as long as it is what it was */
	count(servers, entry, hw_phase_refuse(&of_flow(servers, entry)->phase, error));
}

void hw_servers_finish(struct hw_servers *servers, struct hw_entry *entry, int stopped)
{
	struct of_flow *mine = of_flow(servers, entry);

	slot_of(servers, entry);
	count(servers, entry, hw_phase_finish(mine->phase, stopped));
	memset(mine, 0, sizeof(*mine)); /* another flow comes to its place */
}

/* -- seconds ---------------------------------------------------------------------------------------------------------------------- */

static void put_row(struct hw_servers *servers, uint32_t at, struct hw_server *row)
{
	struct slot *slot = &servers->slots[at];
	uint32_t half_open = slot->now.half_open;

	*row = slot->now;
	row->ts = servers->begin;
	if (at != OTHER) {
		memcpy(row->addr, slot->key.addr, sizeof(row->addr));
		row->proto = slot->key.proto;
		row->port = slot->key.port;
	}
	hw_server_finish(row, at == OTHER);
	memset(&slot->now, 0, sizeof(slot->now));
	slot->now.half_open = half_open;
}

/* Not where all that was counted went to another server. */
static int has_something(const struct slot *slot)
{
	const struct hw_server *now = &slot->now;

	return now->orig_pkts || now->resp_pkts || now->begun || now->ended || now->established || now->failed || now->half_open;
}

/* Rows of the servers that had something, and of those where flows are half open; but the latter once a second only, if time goes back. */
static uint32_t put_rows(struct hw_servers *servers, struct hw_server *rows)
{
	uint32_t count = 0, i;

	if (servers->begin > servers->newest) {
		servers->newest = servers->begin;
		for (i = 0; i < servers->taken_count;) {
			uint32_t at = servers->taken[i];
			struct slot *slot = &servers->slots[at];

			slot->active = 0;
			if (has_something(slot))
				put_row(servers, at, &rows[count++]);
			else if (at != OTHER) {
				release(servers, at); /* another one takes its place in the list */
				continue;
			}
			i++;
		}
	} else {
		for (i = 0; i < servers->active_count; i++) {
			uint32_t at = servers->active[i];

			servers->slots[at].active = 0;
			if (has_something(&servers->slots[at]))
				put_row(servers, at, &rows[count++]);
		}
	}
	servers->active_count = 0;
	servers->slots[OTHER].generation++;
	return count;
}

uint32_t hw_servers_pass(struct hw_servers *servers, uint64_t now, struct hw_server *rows)
{
	uint32_t count;

	if (now - servers->begin < HW_SECOND || (now < servers->begin && servers->begin - now <= LATE))
		return 0;
	count = put_rows(servers, rows);
	servers->begin = now - now % HW_SECOND;
	return count;
}

uint32_t hw_servers_end(struct hw_servers *servers, struct hw_server *rows)
{
	uint32_t count = put_rows(servers, rows);

	while (servers->taken_count > 1)
		release(servers, servers->taken[servers->taken_count - 1]);
	memset(&servers->slots[OTHER].now, 0, sizeof(servers->slots[OTHER].now));
	servers->begin = servers->newest = 0;
	return count;
}

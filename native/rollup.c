/* SPDX-License-Identifier: Apache-2.0 */
/* Two open-addressing tables that are emptied each second: the keys of a second are few, and a full table counts into one last row. */
#include <stdlib.h>
#include <string.h>

#include "headwater.h"

struct group {
	uint64_t key[2];
	uint64_t packets;
	uint64_t octets;
};

struct table {
	struct group *slots; /* free while packets is 0 */
	struct group other;
	uint32_t used;
};

struct hw_rollup {
	uint32_t groups; /* at most in each table */
	uint32_t mask;	 /* slots - 1; there are at least twice as many slots as groups */
	struct table rates;
	struct table talkers;
};

struct hw_rollup *hw_rollup_new(uint32_t groups)
{
	struct hw_rollup *rollup = calloc(1, sizeof(*rollup));
	uint32_t slots = 16;

	if (!rollup)
		return NULL;
	while (slots < groups * 2)
		slots *= 2;
	rollup->groups = groups;
	rollup->mask = slots - 1;
	rollup->rates.slots = calloc(slots, sizeof(struct group));
	rollup->talkers.slots = calloc(slots, sizeof(struct group));
	if (rollup->rates.slots && rollup->talkers.slots)
		return rollup;
	hw_rollup_free(rollup);
	return NULL;
}

void hw_rollup_free(struct hw_rollup *rollup)
{
	if (!rollup)
		return;
	free(rollup->rates.slots);
	free(rollup->talkers.slots);
	free(rollup);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t h = a * 0x9e3779b97f4a7c15ull ^ (b + 0x7f4a7c15ull) * 0xc2b2ae3d27d4eb4full;

	return (h ^ h >> 29) * 0xbf58476d1ce4e5b9ull >> 20;
}

static void count(const struct hw_rollup *rollup, struct table *table, uint64_t a, uint64_t b, uint64_t packets, uint64_t octets)
{
	uint32_t at = mix(a, b) & rollup->mask;
	struct group *group;

	for (;; at = (at + 1) & rollup->mask) {
		group = &table->slots[at];
		if (group->packets && group->key[0] == a && group->key[1] == b)
			break;
		if (group->packets)
			continue;
		if (table->used == rollup->groups) {
			group = &table->other;
			break;
		}
		group->key[0] = a;
		group->key[1] = b;
		table->used++;
		break;
	}
	group->packets += packets;
	group->octets += octets;
}

/* The port that names a service: the responder's of a TCP handshake, else the lower one, which is the well-known one. */
static uint16_t service_port(const struct hw_packet *row)
{
	if (row->has & HW_HAS_tcp && row->tcp_flags & 2)
		return row->tcp_flags & 16 ? row->sport : row->dport;
	return row->sport < row->dport ? row->sport : row->dport;
}

void hw_rollup_add(struct hw_rollup *rollup, const void *rows, size_t stride, size_t count_of_rows)
{
	const char *at = rows;

	for (size_t i = 0; i < count_of_rows; i++, at += stride) {
		const struct hw_packet *row = (const struct hw_packet *)at;
		uint64_t key[2];

		key[0] = (row->has & (HW_HAS_proto | HW_HAS_ports)) | HW_HAS_interface | (uint64_t)row->interface << 32;
		if (!(row->has & HW_HAS_proto))
			key[0] |= row->has & HW_HAS_ethertype;
		key[1] = row->direction;
		if (row->has & HW_HAS_proto)
			key[1] |= (uint64_t)row->proto << 8;
		else
			key[1] |= (uint64_t)row->ethertype << 32;
		if (row->has & HW_HAS_ports)
			key[1] |= (uint64_t)service_port(row) << 16;
		count(rollup, &rollup->rates, key[0], key[1], row->segments ? row->segments : 1, row->length);
		if (!(row->has & HW_HAS_addr))
			continue;
		memcpy(key, row->src, sizeof(key));
		count(rollup, &rollup->talkers, key[0], key[1], row->segments ? row->segments : 1, row->length);
	}
}

/* Calls put for each group and for the rest, if there is one, then empties the table. */
static uint32_t take(const struct hw_rollup *rollup, struct table *table, void *into, uint64_t ts,
		     void (*put)(void *into, uint32_t place, const struct group *group, int rest, uint64_t ts))
{
	uint32_t taken = 0;

	for (uint32_t at = 0; at <= rollup->mask; at++)
		if (table->slots[at].packets)
			put(into, taken++, &table->slots[at], 0, ts);
	if (taken)
		memset(table->slots, 0, (rollup->mask + 1ull) * sizeof(struct group));
	if (table->other.packets)
		put(into, taken++, &table->other, 1, ts);
	memset(&table->other, 0, sizeof(table->other));
	table->used = 0;
	return taken;
}

static void put_rate(void *into, uint32_t place, const struct group *group, int rest, uint64_t ts)
{
	struct hw_rate *rate = (struct hw_rate *)into + place;

	memset(rate, 0, sizeof(*rate));
	rate->ts = ts;
	rate->packets = group->packets;
	rate->bytes = group->octets;
	if (rest)
		return;
	rate->has = (uint32_t)group->key[0];
	rate->interface = group->key[0] >> 32;
	rate->direction = group->key[1] & 0xff;
	rate->proto = group->key[1] >> 8 & 0xff;
	rate->port = group->key[1] >> 16 & 0xffff;
	rate->ethertype = group->key[1] >> 32 & 0xffff;
}

static void put_talker(void *into, uint32_t place, const struct group *group, int rest, uint64_t ts)
{
	struct hw_talker *talker = (struct hw_talker *)into + place;

	memcpy(talker->addr, group->key, sizeof(talker->addr));
	if (rest)
		memset(talker->addr, 0, sizeof(talker->addr));
	talker->packets = group->packets;
	talker->octets = group->octets;
}

uint32_t hw_rollup_take_rates(struct hw_rollup *rollup, void *into, uint64_t ts)
{
	return take(rollup, &rollup->rates, into, ts, put_rate);
}

uint32_t hw_rollup_take_talkers(struct hw_rollup *rollup, struct hw_talker *into)
{
	return take(rollup, &rollup->talkers, into, 0, put_talker);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Two open-addressing tables that are emptied each second. A full one counts into one last row. */
#include <stdlib.h>
#include <string.h>

#include "../bpf/rate.h"
#include "headwater.h"

struct group {
	uint64_t key[2];
	uint64_t packets;
	uint64_t octets;
};

struct table {
	struct group *slots; /* free while packets is 0 */
	uint32_t *taken;     /* which of them are not */
	struct group other;
	uint32_t used;
};

struct hw_rollup {
	uint32_t groups; /* at most in each table */
	uint32_t mask;	 /* slots - 1; there are at least twice as many slots as groups */
	struct table rates;
	struct table talkers;
};

static int make(struct table *table, uint32_t slots, uint32_t groups)
{
	table->slots = calloc(slots, sizeof(*table->slots));
	table->taken = calloc(groups, sizeof(*table->taken));
	return table->slots && table->taken;
}

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
	if (make(&rollup->rates, slots, groups) && make(&rollup->talkers, slots, groups))
		return rollup;
	hw_rollup_free(rollup);
	return NULL;
}

void hw_rollup_free(struct hw_rollup *rollup)
{
	if (!rollup)
		return;
	free(rollup->rates.slots);
	free(rollup->rates.taken);
	free(rollup->talkers.slots);
	free(rollup->talkers.taken);
	free(rollup);
}

static void count(const struct hw_rollup *rollup, struct table *table, uint64_t a, uint64_t b, uint64_t packets, uint64_t octets)
{
	const __u64 key[2] = {a, b};
	uint32_t at = hw_rate_mix(key) & rollup->mask;
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
		table->taken[table->used++] = at;
		break;
	}
	group->packets += packets;
	group->octets += octets;
}

void hw_rollup_add(struct hw_rollup *rollup, const void *rows, size_t stride, size_t count_of_rows, int rates, int talkers)
{
	const char *at = rows;

	for (size_t i = 0; i < count_of_rows; i++, at += stride) {
		const struct hw_packet *row = (const struct hw_packet *)at;
		__u64 key[2];

		if (rates) {
			hw_rate_key(row, key);
			count(rollup, &rollup->rates, key[0], key[1], row->segments ? row->segments : 1, row->length);
		}
		if (!talkers || !(row->has & HW_HAS_addr))
			continue;
		memcpy(key, row->src, sizeof(key));
		count(rollup, &rollup->talkers, key[0], key[1], row->segments ? row->segments : 1, row->length);
	}
}

void hw_rollup_take_slots(struct hw_rollup *rollup, void *slots, size_t count_of_slots)
{
	struct hw_rate_slot *slot = slots;

	for (size_t i = 0; i < count_of_slots; i++, slot++) {
		if (!slot->packets)
			continue;
		count(rollup, &rollup->rates, slot->key[0], slot->key[1], slot->packets, slot->octets);
		memset(slot, 0, sizeof(*slot));
	}
}

/* Calls put for each group and for the rest, if there is one, then empties the table. */
static uint32_t take(struct table *table, void *into, uint64_t ts,
		     void (*put)(void *into, uint32_t place, const struct group *group, int rest, uint64_t ts))
{
	uint32_t taken = 0;

	for (uint32_t i = 0; i < table->used; i++) {
		struct group *group = &table->slots[table->taken[i]];

		put(into, taken++, group, 0, ts);
		memset(group, 0, sizeof(*group));
	}
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
	if (rest || !group->key[0])
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
	return take(&rollup->rates, into, ts, put_rate);
}

uint32_t hw_rollup_take_talkers(struct hw_rollup *rollup, struct hw_talker *into)
{
	return take(&rollup->talkers, into, 0, put_talker);
}

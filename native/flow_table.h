/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLOW_TABLE_H
#define FLOW_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../bpf/flow.h"
#include "fragments.h"

#define HW_NOBODY UINT32_MAX

/* A flow, where it is kept. What each packet looks at comes first; whole lines of the cache would take 32 MB more for a million of them. */
struct hw_entry {
	struct hw_flow_key key;
	uint8_t orig;	      /* which of the key's endpoints is the originator */
	uint8_t tunnel;	      /* enum hw_tunnel: it carries others, and that was told */
	uint8_t only_carries; /* addresses between which IP carries IP: no flow of its own */
	uint8_t waiting;      /* nobody has answered: it is in the list of those */
	uint64_t due;	      /* when the heap has it next; 0: free */
	struct hw_flow flow;
	uint32_t interface;
	uint32_t again;	       /* flows of this key that began at the same time before it */
	uint32_t older, newer; /* of those that nobody has answered; of free places, the next */
	uint8_t uid[12];
	uint32_t told;	      /* its packets when its progress was reported, the lower 32 bits */
	struct hw_rare *rare; /* or NULL */
} __attribute__((aligned(32)));

_Static_assert(offsetof(struct hw_entry, flow) == 64, "the key and what goes with it are no larger than a line");
_Static_assert(sizeof(struct hw_entry) <= 736, "a million of them, and what finds them, fit into 800 MB");

/*
 * Flows by their key. They lie in one piece of the address space and never move, and it gets memory as they become more; an open-addressing
 * table of hashes finds them. When each may end is in a heap: a packet makes that later without touching the heap, so what comes up there
 * too early is put back.
 */
struct hw_flow_table {
	uint64_t salt[8]; /* nobody outside can make keys that collide */
	struct hw_entry *entries;
	uint32_t most, places, used, free; /* flows; those that ever were at a time; that are; the first free place below `places` */
	struct hw_slot {
		uint32_t hash;
		uint32_t flow;
	} * slots;
	uint32_t mask;
	struct hw_due {
		uint64_t at;
		uint32_t flow;
	} * heap;
	size_t heap_count, heap_room;
	uint32_t oldest, newest; /* of those that nobody has answered */
	size_t reserved, usable; /* octets from `entries` */
};

static inline struct hw_entry *hw_flow_at(const struct hw_flow_table *table, uint32_t flow)
{
	return &table->entries[flow];
}

/* Its number: what hw_flow_at() takes. */
static inline uint32_t hw_flow_number(const struct hw_flow_table *table, const struct hw_entry *entry)
{
	return entry - table->entries;
}

_Static_assert(sizeof(struct hw_flow_key) <= 64, "the words below");

/* Each pair of words has salts of its own, so that they can be multiplied at a time. */
static inline uint32_t hw_flow_hash(const struct hw_flow_table *table, const struct hw_flow_key *key)
{
	uint64_t words[8] = {0}, hash = 0;

	memcpy(words, key, sizeof(*key));
	for (int i = 0; i < 8; i += 2)
		hash ^= hw_mix(words[i] ^ table->salt[i], words[i + 1] ^ table->salt[i + 1]);
	return hash * 0x9e3779b97f4a7c15ull >> 32;
}

/* With room for `most` flows. -1 without memory. */
int hw_flow_table_make(struct hw_flow_table *, uint64_t most);
void hw_flow_table_clear(struct hw_flow_table *);
/* Memory that it takes. */
size_t hw_flow_table_octets(const struct hw_flow_table *);
/* HW_NOBODY if there is none. `hash` is the key's. */
uint32_t hw_flow_find(const struct hw_flow_table *, const struct hw_flow_key *, uint32_t hash);
/* A new one of that key, which no other has. HW_NOBODY without memory. */
uint32_t hw_flow_make(struct hw_flow_table *, const struct hw_flow_key *, uint32_t hash);
/* Its `rare`. NULL without memory. */
struct hw_rare *hw_flow_rare(struct hw_entry *);
void hw_flow_forget(struct hw_flow_table *, uint32_t flow);
/* It may end then. Only a time before the one that is known is news. -1 without memory: it will not be looked at. */
int hw_flow_is_due(struct hw_flow_table *, uint32_t flow, uint64_t at);
/* The next one that may end by `now`, taken out of the heap; HW_NOBODY if there is none. */
uint32_t hw_flow_next_due(struct hw_flow_table *, uint64_t now);
void hw_flow_answered(struct hw_flow_table *, uint32_t flow);

/* In a large table a flow is in no cache. Who knows what will be looked for asks for its slot first, and a little later for the flow. */
static inline void hw_flow_expect_slot(const struct hw_flow_table *table, uint32_t hash)
{
	__builtin_prefetch(&table->slots[hash & table->mask]);
}

static inline void hw_flow_expect(const struct hw_flow_table *table, uint32_t hash, int is_tcp)
{
	uint32_t at = hash & table->mask;
	const char *entry;

	while (table->slots[at].flow != HW_NOBODY && table->slots[at].hash != hash)
		at = (at + 1) & table->mask;
	if (table->slots[at].flow == HW_NOBODY)
		return;
	entry = (const char *)hw_flow_at(table, table->slots[at].flow);
	for (size_t line = 0; line < offsetof(struct hw_entry, flow.more); line += 64)
		__builtin_prefetch(entry + line, 1);
	if (is_tcp)
		for (size_t line = (offsetof(struct hw_entry, flow.more) + 63) & ~63ul; line < offsetof(struct hw_entry, flow.history);
		     line += 64)
			__builtin_prefetch(entry + line, 1);
}

#endif

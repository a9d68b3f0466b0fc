/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "flow_table.h"

#define STEP (2ul << 20) /* octets by which memory grows: a large page, of which tables of many flows need fewer */

int hw_flow_table_make(struct hw_flow_table *table, uint64_t most)
{
	char *room;

	memset(table, 0, sizeof(*table));
	table->free = table->oldest = table->newest = HW_NOBODY;
	table->most = most < HW_NOBODY ? most : HW_NOBODY;
	table->reserved = (table->most * sizeof(*table->entries) + STEP - 1) & ~(STEP - 1);
	room = mmap(NULL, table->reserved + STEP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return -1;
	table->entries = (struct hw_entry *)(((uintptr_t)room + STEP - 1) & ~(STEP - 1));
	munmap(room, (char *)table->entries - room);
	munmap((char *)table->entries + table->reserved, room + STEP - (char *)table->entries);
	madvise(table->entries, table->reserved, MADV_HUGEPAGE);
	table->mask = 1023;
	table->slots = malloc((table->mask + 1ul) * sizeof(*table->slots));
	if (!table->slots || getrandom(table->salt, sizeof(table->salt), 0) < 0)
		return -1;
	memset(table->slots, 0xff, (table->mask + 1ul) * sizeof(*table->slots));
	return 0;
}

void hw_flow_table_clear(struct hw_flow_table *table)
{
	for (uint32_t i = 0; i < table->places; i++)
		free(table->entries[i].rare);
	if (table->entries)
		munmap(table->entries, table->reserved);
	free(table->slots);
	free(table->heap);
}

size_t hw_flow_table_octets(const struct hw_flow_table *table)
{
	return table->usable + (table->mask + 1ul) * sizeof(*table->slots) + table->heap_room * sizeof(*table->heap);
}

/* The slot of that key, or the free one where it belongs. */
static uint32_t slot_of(const struct hw_flow_table *table, const struct hw_flow_key *key, uint32_t hash)
{
	const struct hw_slot *slots = table->slots;
	uint32_t at = hash & table->mask;

	while (slots[at].flow != HW_NOBODY &&
	       (slots[at].hash != hash || memcmp(&hw_flow_at(table, slots[at].flow)->key, key, sizeof(*key))))
		at = (at + 1) & table->mask;
	return at;
}

uint32_t hw_flow_find(const struct hw_flow_table *table, const struct hw_flow_key *key, uint32_t hash)
{
	return table->slots[slot_of(table, key, hash)].flow;
}

static int grow(struct hw_flow_table *table)
{
	struct hw_slot *old = table->slots;
	uint32_t mask = table->mask, at;

	table->slots = malloc((mask + 1ul) * 2 * sizeof(*table->slots));
	if (!table->slots) {
		table->slots = old;
		return -1;
	}
	table->mask = mask * 2 + 1;
	memset(table->slots, 0xff, (table->mask + 1ul) * sizeof(*table->slots));
	for (uint32_t i = 0; i <= mask; i++) {
		if (old[i].flow == HW_NOBODY)
			continue;
		for (at = old[i].hash & table->mask; table->slots[at].flow != HW_NOBODY;)
			at = (at + 1) & table->mask;
		table->slots[at] = old[i];
	}
	free(old);
	return 0;
}

/* A place where no flow was before. */
static uint32_t new_place(struct hw_flow_table *table)
{
	if (table->places == table->most)
		return HW_NOBODY;
	if ((table->places + 1ul) * sizeof(*table->entries) > table->usable) {
		if (mprotect((char *)table->entries + table->usable, STEP, PROT_READ | PROT_WRITE))
			return HW_NOBODY;
		table->usable += STEP;
	}
	return table->places++;
}

uint32_t hw_flow_make(struct hw_flow_table *table, const struct hw_flow_key *key, uint32_t hash)
{
	uint32_t flow = table->free;
	struct hw_entry *entry;

	if ((table->used + 1ul) * 4 > (table->mask + 1ul) * 3 && grow(table) && table->used >= table->mask)
		return HW_NOBODY;
	if (flow == HW_NOBODY) {
		flow = new_place(table);
		if (flow == HW_NOBODY)
			return flow;
		entry = hw_flow_at(table, flow);
	} else {
		entry = hw_flow_at(table, flow);
		table->free = entry->newer;
	}
	table->used++;
	table->slots[slot_of(table, key, hash)] = (struct hw_slot){hash, flow};
	entry->key = *key;
	entry->tunnel = entry->only_carries = 0;
	entry->told = 0;
	entry->waiting = 1;
	entry->due = UINT64_MAX; /* taken, and not in the heap */
	entry->newer = HW_NOBODY;
	entry->older = table->newest;
	if (table->newest == HW_NOBODY)
		table->oldest = flow;
	else
		hw_flow_at(table, table->newest)->newer = flow;
	table->newest = flow;
	return flow;
}

struct hw_rare *hw_flow_rare(struct hw_entry *entry)
{
	if (!entry->rare)
		entry->rare = calloc(1, sizeof(*entry->rare));
	return entry->rare;
}

void hw_flow_answered(struct hw_flow_table *table, uint32_t flow)
{
	struct hw_entry *entry = hw_flow_at(table, flow);

	if (!entry->waiting)
		return;
	entry->waiting = 0;
	if (entry->older == HW_NOBODY)
		table->oldest = entry->newer;
	else
		hw_flow_at(table, entry->older)->newer = entry->newer;
	if (entry->newer == HW_NOBODY)
		table->newest = entry->older;
	else
		hw_flow_at(table, entry->newer)->older = entry->older;
}

/* Take it out, and close the hole that it leaves in its run of slots. */
void hw_flow_forget(struct hw_flow_table *table, uint32_t flow)
{
	struct hw_entry *entry = hw_flow_at(table, flow);
	uint32_t hole = slot_of(table, &entry->key, hw_flow_hash(table, &entry->key)), at = hole, home;

	hw_flow_answered(table, flow);
	free(entry->rare);
	entry->rare = NULL;
	entry->due = 0;
	entry->newer = table->free;
	table->free = flow;
	table->used--;
	for (;;) {
		at = (at + 1) & table->mask;
		if (table->slots[at].flow == HW_NOBODY)
			break;
		home = table->slots[at].hash & table->mask;
		if (((at - home) & table->mask) >= ((at - hole) & table->mask)) {
			table->slots[hole] = table->slots[at];
			hole = at;
		}
	}
	table->slots[hole].flow = HW_NOBODY;
}

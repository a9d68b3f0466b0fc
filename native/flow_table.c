/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "flow_table.h"

#define WAYS 4 /* of the heap: what lies below one place fills a line or two of the cache, and there are half as many levels as with 2 */
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

/* -- finding -------------------------------------------------------------------------------------------------------------------- */

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

/* -- when they end ---------------------------------------------------------------------------------------------------------------- */

/* Put `due` at `i`, or below it, where what comes sooner lies. */
static void sink(struct hw_flow_table *table, size_t i, struct hw_due due)
{
	struct hw_due *heap = table->heap;
	size_t child, least, end;

	while ((child = WAYS * i + 1) < table->heap_count) {
		least = child;
		end = child + WAYS < table->heap_count ? child + WAYS : table->heap_count;
		while (++child < end)
			if (heap[child].at < heap[least].at)
				least = child;
		if (heap[least].at >= due.at)
			break;
		heap[i] = heap[least];
		i = least;
	}
	heap[i] = due;
}

/* Forget what is no news any more: of flows that are gone, or whose time was made earlier. */
static void tidy(struct hw_flow_table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->heap_count; i++)
		if (hw_flow_at(table, table->heap[i].flow)->due == table->heap[i].at)
			table->heap[kept++] = table->heap[i];
	table->heap_count = kept;
	for (size_t i = (kept + WAYS - 2) / WAYS; i-- > 0;)
		sink(table, i, table->heap[i]);
}

static int more_room(struct hw_flow_table *table)
{
	struct hw_due *heap;

	if (table->used < table->heap_room / 2) /* a flood's flows go before their time, which would stay here till it comes */
		tidy(table);
	if (table->heap_count < table->heap_room)
		return 0;
	heap = realloc(table->heap, (table->heap_room * 2 + 1024) * sizeof(*heap));
	if (!heap)
		return -1;
	table->heap = heap;
	table->heap_room = table->heap_room * 2 + 1024;
	return 0;
}

int hw_flow_is_due(struct hw_flow_table *table, uint32_t flow, uint64_t time)
{
	struct hw_entry *entry = hw_flow_at(table, flow);
	struct hw_due *heap;
	size_t i, parent;
	uint64_t at = time ? time : 1;

	if (entry->due && entry->due <= at)
		return 0;
	if (table->heap_count == table->heap_room && more_room(table))
		return -1;
	heap = table->heap;
	for (i = table->heap_count++; i && heap[parent = (i - 1) / WAYS].at > at; i = parent)
		heap[i] = heap[parent];
	heap[i] = (struct hw_due){at, flow};
	entry->due = at;
	return 0;
}

static struct hw_due take_first(struct hw_flow_table *table)
{
	struct hw_due first = table->heap[0], last = table->heap[--table->heap_count];

	if (table->heap_count) {
		sink(table, 0, last);
		for (size_t line = 0; line < sizeof(struct hw_entry); line += 64) /* soon it will be looked at, and then all of it */
			__builtin_prefetch((const char *)hw_flow_at(table, table->heap[0].flow) + line, 1);
	}
	return first;
}

uint32_t hw_flow_next_due(struct hw_flow_table *table, uint64_t now)
{
	while (table->heap_count && table->heap[0].at <= now) {
		struct hw_due due = take_first(table);
		struct hw_entry *entry = hw_flow_at(table, due.flow);

		if (entry->due != due.at)
			continue; /* its time was made earlier, or it is gone */
		entry->due = UINT64_MAX;
		return due.flow;
	}
	return HW_NOBODY;
}

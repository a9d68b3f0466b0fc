/* SPDX-License-Identifier: Apache-2.0 */
/* When flows may end: a heap of the table in flow_table.c. */
#include <stdlib.h>

#include "flow_table.h"

#define WAYS 4 /* what lies below one place fills a line or two of the cache, and there are half as many levels as with 2 */

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

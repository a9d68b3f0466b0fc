/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLOW_TABLE_H
#define FLOW_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/flow.h"

#define HW_NOBODY UINT32_MAX
#define HW_PARENTS 4 /* carriers that a flow has one after another; the row names so many */

struct hw_parent {
	uint8_t uid[12];
	uint32_t packets;
};

/* What servers.c knows of a flow: where its server is counted, if `generation` is still that place's, and how far it is. */
struct hw_at_server {
	uint32_t slot;
	uint32_t generation;
	uint32_t resent; /* packets sent again that are counted */
	uint8_t phase;
};

/* A flow, where it is kept. */
struct hw_entry {
	struct hw_flow flow;
	struct hw_flow_key key;
	uint8_t orig;	      /* which of the key's endpoints is the originator */
	uint8_t tunnel;	      /* enum hw_tunnel: it carries others, and that was told */
	uint8_t only_carries; /* addresses between which IP carries IP: no flow of its own */
	uint8_t waiting;      /* nobody has answered: it is in the list of those */
	uint32_t interface;
	struct hw_at_server server;
	uint32_t older, newer; /* of those that nobody has answered; of free places, the next */
	uint64_t due;	       /* when the heap has it next; 0: free */
	uint8_t uid[12];
	uint8_t error_by[12];	   /* uid of the flow of the last ICMP error about it */
	uint64_t told;		   /* its packets when its progress was reported */
	uint32_t again;		   /* flows of this key that began at the same time before it */
	struct hw_parent *parents; /* HW_PARENTS of them; NULL if it was never carried */
};

/*
 * Flows by their key. They lie in chunks and never move; an open-addressing table finds them. When each may end is in a heap: a packet makes
 * that later without touching the heap, so what comes up there too early is put back.
 */
struct hw_flow_table {
	uint64_t salt[2]; /* nobody outside can make keys that collide */
	struct hw_entry **chunks;
	uint32_t chunk_count, used, free;
	uint32_t *slots;
	uint32_t mask;
	struct hw_due {
		uint64_t at;
		uint32_t flow;
	} * heap;
	size_t heap_count, heap_room;
	uint32_t oldest, newest; /* of those that nobody has answered */
};

int hw_flow_table_make(struct hw_flow_table *);
void hw_flow_table_clear(struct hw_flow_table *);
/* Places of flows, free ones included: each below this can be asked for. */
uint32_t hw_flow_table_places(const struct hw_flow_table *);
/* Memory that it takes. */
size_t hw_flow_table_octets(const struct hw_flow_table *);
struct hw_entry *hw_flow_at(const struct hw_flow_table *, uint32_t flow);
/* HW_NOBODY if there is none. */
uint32_t hw_flow_find(const struct hw_flow_table *, const struct hw_flow_key *);
/* A new one of that key, which no other has. HW_NOBODY without memory. */
uint32_t hw_flow_make(struct hw_flow_table *, const struct hw_flow_key *);
void hw_flow_forget(struct hw_flow_table *, uint32_t flow);
/* It may end then. Only a time before the one that is known is news. -1 without memory: it will not be looked at. */
int hw_flow_is_due(struct hw_flow_table *, uint32_t flow, uint64_t at);
/* The next one that may end by `now`, taken out of the heap; HW_NOBODY if there is none. */
uint32_t hw_flow_next_due(struct hw_flow_table *, uint64_t now);
void hw_flow_answered(struct hw_flow_table *, uint32_t flow);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEIRD_ROWS_H
#define WEIRD_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/records.h"

/* How many rows of a name there were in a second, and what found no room among them. */
struct hw_weird_budget {
	uint64_t second;
	uint64_t made;
	uint64_t rest;
	uint64_t rest_ts;
};

/* Rows of the record weird: so many of a name in a second, and one for the rest of it. */
struct hw_weird_rows {
	uint64_t ignored[2]; /* a bit for each name that is not told */
	uint64_t now;	     /* the latest second */
	uint32_t a_second;
	struct hw_weird_budget budgets[256]; /* by name */
	struct hw_weird_row *into;
	size_t made; /* of `into` */
};

/* `ignored` is what it is called in the struct, or NULL. */
void hw_weird_rows_make(struct hw_weird_rows *, uint32_t a_second, const void *ignored);
void hw_weird_rows_begin(struct hw_weird_rows *, void *into);
/* A packet of that time comes: the rest of each second before gets its row; at most HW_WEIRD_NAMES. */
void hw_weird_rows_at(struct hw_weird_rows *, uint64_t ts);
/* A row for what `packet` shows; NULL if that is not told, or its second has had enough of that name. It may need room for another one. */
struct hw_weird_row *hw_weird_rows_put(struct hw_weird_rows *, const struct hw_packet *packet, enum hw_weird name);
/* The rest of the last second gets its row. */
void hw_weird_rows_end(struct hw_weird_rows *);

#endif

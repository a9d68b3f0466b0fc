/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FRAGMENTS_H
#define FRAGMENTS_H

#include <stdint.h>

#include "../bpf/flow.h"
#include "headwater.h"

#define HW_WITHIN 2 /* datagrams in pieces, one within the other, that are put together */

/* Whether that row counts as it is: it is no fragment, or the first one of what was not captured whole, which stands for all of it. */
static inline int hw_fragment_is_alone(const struct hw_packet *row)
{
	return !hw_is_fragment(row) || (row->captured < row->length && !row->fragment_offset);
}

/* IP datagrams in pieces (RFC 791, 3.2; RFC 8200, 4.5), by their rows: which octets have come, and what they are where that is asked for. */
struct hw_fragments;
/* Remembers about so many datagrams. `salt` is a secret. NULL without memory. */
struct hw_fragments *hw_fragments_new(uint32_t most, uint64_t salt);
void hw_fragments_free(struct hw_fragments *);
/*
 * Takes the row of a fragment, or of a first one that carries packets all of its frame's from it on: `count`, no more than HW_MOST_ROWS.
 * Returns how many rows there would have been in one piece, and fills these in; 0 if its datagram is not whole with it. `odd` is what is so in
 * it, a bit for each of enum hw_weird from excessively_small_fragment on.
 */
uint32_t hw_fragments_add(struct hw_fragments *, const struct hw_packet *rows, uint32_t count, const uint32_t apart[3],
			  struct hw_packet *whole, struct hw_payload *payload, uint32_t *odd);
/*
 * From now on keep what they carry: hw_fragments_add() is given the payload of the last of the rows, and gives that of the last of the whole,
 * good until it is called again.
 */
void hw_fragments_keep(struct hw_fragments *);
/* From now on remember in which frames they came, as hw_fragments_add() is told with what they carry. */
void hw_fragments_number(struct hw_fragments *);
/* Those of the datagram that was whole last, good until a fragment is added. */
const uint32_t *hw_fragments_frames(const struct hw_fragments *, uint32_t *count);
/* Fragments that are of no whole datagram: `waiting` for the rest, or given up. */
void hw_fragments_counts(const struct hw_fragments *, uint64_t *waiting, uint64_t *given_up);

static inline uint64_t hw_mix(uint64_t hash, uint64_t word)
{
	unsigned __int128 product = (unsigned __int128)(hash ^ word) * 0x9e3779b97f4a7c15ull;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif

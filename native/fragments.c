/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams in pieces. Each has eight places where it may lie; where all are taken, the one that has waited longest is given up. */
#include <stdlib.h>
#include <string.h>

#include "fragments.h"

#define UNIT 8 /* octets: fragments begin at multiples of it */
#define UNITS (65536 / UNIT)
#define PLACES 8

struct datagram {
	hw_addr src, dst;
	uint32_t id;
	uint8_t proto;
	uint8_t begun;	  /* the first fragment has come */
	uint32_t pieces;  /* fragments that have come; 0: nothing is here */
	uint8_t ended;	  /* the last one has */
	uint32_t length;  /* octets behind the IP header, as far as they have come */
	uint32_t covered; /* units that have come */
	uint32_t header;  /* octets of the IP header of later fragments */
	uint64_t touched; /* when, in fragments */
	struct hw_packet first;
	uint64_t units[UNITS / 64];
};

struct hw_fragments {
	uint32_t groups; /* of places; a power of two */
	uint64_t salt;	 /* nobody outside can choose who shares places */
	uint64_t waiting, given_up, seen;
	struct datagram **datagrams; /* made when they are needed */
};

struct hw_fragments *hw_fragments_new(uint32_t most, uint64_t salt)
{
	struct hw_fragments *fragments = calloc(1, sizeof(*fragments));

	if (!fragments)
		return NULL;
	for (fragments->groups = 1; fragments->groups * PLACES < most;)
		fragments->groups *= 2;
	fragments->salt = salt;
	fragments->datagrams = calloc((size_t)fragments->groups * PLACES, sizeof(*fragments->datagrams));
	if (!fragments->datagrams) {
		free(fragments);
		return NULL;
	}
	return fragments;
}

void hw_fragments_free(struct hw_fragments *fragments)
{
	if (!fragments)
		return;
	for (uint32_t i = 0; i < fragments->groups * PLACES; i++)
		free(fragments->datagrams[i]);
	free(fragments->datagrams);
	free(fragments);
}

void hw_fragments_counts(const struct hw_fragments *fragments, uint64_t *waiting, uint64_t *given_up)
{
	*waiting = fragments->waiting;
	*given_up = fragments->given_up;
}

static int is_of(const struct datagram *datagram, const struct hw_packet *row)
{
	return datagram->pieces && datagram->id == row->ip_id && datagram->proto == row->proto &&
	       !memcmp(datagram->src, row->src, sizeof(row->src)) && !memcmp(datagram->dst, row->dst, sizeof(row->dst));
}

static uint32_t group_of(const struct hw_fragments *fragments, const struct hw_packet *row)
{
	uint64_t words[4], hash = fragments->salt ^ ((uint64_t)row->ip_id << 8 | row->proto);

	memcpy(words, row->src, 16);
	memcpy(words + 2, row->dst, 16);
	for (int i = 0; i < 4; i++)
		hash = hw_mix(hash, words[i]);
	return hash & (fragments->groups - 1);
}

/* The datagram of that fragment, empty if it is the first to come; NULL without memory. */
static struct datagram *find(struct hw_fragments *fragments, const struct hw_packet *row)
{
	struct datagram **places = fragments->datagrams + group_of(fragments, row) * (size_t)PLACES, **best = NULL;

	for (uint32_t i = 0; i < PLACES; i++) {
		if (!places[i] && !(best && !(*best)->pieces))
			places[i] = calloc(1, sizeof(struct datagram));
		if (!places[i])
			break;
		if (is_of(places[i], row))
			return places[i];
		if (!best || (*best)->touched > places[i]->touched) /* one that is done was touched at 0 */
			best = &places[i];
	}
	if (!best)
		return NULL;
	fragments->given_up += (*best)->pieces;
	fragments->waiting -= (*best)->pieces;
	memset(*best, 0, sizeof(**best));
	memcpy((*best)->src, row->src, sizeof(row->src));
	memcpy((*best)->dst, row->dst, sizeof(row->dst));
	(*best)->id = row->ip_id;
	(*best)->proto = row->proto;
	return *best;
}

/* Octets of a transport header, as far as a row tells: TCP's options, and IPv4's before them, it does not. */
static uint32_t before_payload(const struct hw_packet *row)
{
	uint32_t ip = row->ip_version == 4 ? 20 : 0;

	switch (row->proto) {
	case 1:
	case 17:
	case 58:
		return 8;
	case 132:
		return 12;
	case 6:
		return ip && row->ip_length - ip > row->payload_length ? row->ip_length - ip - row->payload_length : 20;
	}
	return 0;
}

/* Octets that a fragment has behind its IP header. */
static uint32_t length_of(const struct hw_packet *row)
{
	if (!(row->has & HW_HAS_payload))
		return row->ip_version == 4 && row->ip_length > 20 ? row->ip_length - 20 : 0;
	return row->payload_length + (row->fragment_offset ? 0 : before_payload(row));
}

static void cover(struct datagram *datagram, uint32_t begin, uint32_t end)
{
	for (uint32_t unit = begin / UNIT; unit < (end + UNIT - 1) / UNIT && unit < UNITS; unit++) {
		uint64_t bit = 1ull << unit % 64;

		datagram->covered += !(datagram->units[unit / 64] & bit);
		datagram->units[unit / 64] |= bit;
	}
}

int hw_fragments_add(struct hw_fragments *fragments, const struct hw_packet *row, struct hw_packet *whole)
{
	struct datagram *datagram = find(fragments, row);
	uint32_t length = length_of(row), header;

	if (!datagram) {
		fragments->given_up++;
		return 0;
	}
	datagram->touched = ++fragments->seen;
	datagram->pieces++;
	fragments->waiting++;
	cover(datagram, row->fragment_offset, row->fragment_offset + length);
	if (row->fragment_offset)
		datagram->header = row->ip_length - length;
	else if (!datagram->begun)
		datagram->first = *row;
	datagram->begun |= !row->fragment_offset;
	datagram->ended |= !row->mf;
	if (row->fragment_offset + length > datagram->length)
		datagram->length = row->fragment_offset + length;
	if (!datagram->begun || !datagram->ended || datagram->covered < (datagram->length + UNIT - 1) / UNIT)
		return 0;
	*whole = datagram->first;
	header = row->ip_version == 4 ? whole->ip_length - length_of(whole) : datagram->header - 8; /* the Fragment header goes */
	if (header > 65535)									    /* lengths that lie */
		header = 0;
	whole->payload_length = datagram->length - (whole->has & HW_HAS_payload ? before_payload(whole) : 0);
	whole->ip_length = header + datagram->length;
	whole->ts = row->ts;
	whole->captured = whole->length;
	whole->mf = 0;
	fragments->waiting -= datagram->pieces;
	datagram->pieces = 0;
	datagram->touched = 0;
	return 1;
}

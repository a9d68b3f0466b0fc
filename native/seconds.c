/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers do in a second, as the kernel counts it (bpf/flow_seconds.h): slots of all CPUs become rows, one a server. There, half_open
 * is what a second has added; here it is how many there are.
 *
 * A server is remembered while flows of it are half open, but not for ever: what is left of one whose slots were full goes.
 */
#include <stdlib.h>
#include <string.h>

#include "fragments.h"
#include "headwater.h"
#include "servers.h"

#define OTHER 0	      /* the first place: what found no room */
#define FORGOTTEN 900 /* seconds without news; a handshake takes no longer */

struct place {
	struct hw_server now;
	int64_t half_open;
	uint32_t next;	/* of the same bucket, or free; 0: none */
	uint32_t quiet; /* seconds without news */
};

struct hw_seconds {
	struct place *places; /* `most` + 1 */
	uint32_t *taken;      /* those that are */
	uint32_t *buckets;
	uint32_t mask, most, taken_count, free;
};

struct hw_seconds *hw_seconds_new(uint32_t most)
{
	struct hw_seconds *seconds = calloc(1, sizeof(*seconds));

	if (!seconds)
		return NULL;
	seconds->most = most;
	seconds->mask = 15;
	while (seconds->mask < most)
		seconds->mask = seconds->mask * 2 + 1;
	seconds->places = calloc(most + 1ul, sizeof(*seconds->places));
	seconds->taken = calloc(most + 1ul, sizeof(*seconds->taken));
	seconds->buckets = calloc(seconds->mask + 1ul, sizeof(*seconds->buckets));
	if (!seconds->places || !seconds->taken || !seconds->buckets) {
		hw_seconds_free(seconds);
		return NULL;
	}
	for (uint32_t at = most; at > OTHER; at--) {
		seconds->places[at].next = seconds->free;
		seconds->free = at;
	}
	seconds->taken[seconds->taken_count++] = OTHER;
	return seconds;
}

void hw_seconds_free(struct hw_seconds *seconds)
{
	if (!seconds)
		return;
	free(seconds->places);
	free(seconds->taken);
	free(seconds->buckets);
	free(seconds);
}

static uint32_t *bucket_of(const struct hw_seconds *seconds, const struct hw_server *server)
{
	uint64_t words[2], hash;

	memcpy(words, server->addr, sizeof(words));
	hash = hw_mix(hw_mix(words[0] ^ 0x9e3779b97f4a7c15ull, words[1] ^ 0xc2b2ae3d27d4eb4full),
		      server->port | (uint64_t)server->proto << 16 | 1ull << 32);
	return &seconds->buckets[(hash ^ hash >> 32) & seconds->mask];
}

static int is_same(const struct hw_server *one, const struct hw_server *other)
{
	return one->port == other->port && one->proto == other->proto && !memcmp(one->addr, other->addr, sizeof(one->addr));
}

static struct place *find(struct hw_seconds *seconds, const struct hw_server *server)
{
	uint32_t *bucket = bucket_of(seconds, server), at = *bucket;
	struct place *place;

	while (at && !is_same(&seconds->places[at].now, server))
		at = seconds->places[at].next;
	if (at)
		return &seconds->places[at];
	at = seconds->free;
	if (!at)
		return &seconds->places[OTHER];
	place = &seconds->places[at];
	seconds->free = place->next;
	memset(place, 0, sizeof(*place));
	memcpy(place->now.addr, server->addr, sizeof(place->now.addr));
	place->now.port = server->port;
	place->now.proto = server->proto;
	place->next = *bucket;
	*bucket = at;
	seconds->taken[seconds->taken_count++] = at;
	return place;
}

void hw_seconds_take(struct hw_seconds *seconds, void *slots, size_t count)
{
	struct hw_server *slot = slots;
	struct place *place;

	for (size_t i = 0; i < count; i++, slot++) {
		int is_other = i == count - 1;

		if (!slot->has && !is_other)
			continue;
		place = is_other ? &seconds->places[OTHER] : find(seconds, slot);
		place->half_open += (int32_t)slot->half_open;
		place->quiet = 0;
		slot->half_open = 0;
		hw_server_merge(&place->now, slot);
		memset(slot, 0, sizeof(*slot));
	}
}

/* The row of one that had something. Returns whether there is one. */
static int put_row(struct place *place, int is_other, uint64_t ts, struct hw_server *row)
{
	struct hw_server *now = &place->now;
	struct hw_server fresh = {.port = now->port, .proto = now->proto};

	if (!(now->orig_pkts || now->resp_pkts || now->begun || now->ended || now->established || now->failed || place->half_open > 0))
		return 0;
	*row = *now;
	row->ts = ts;
	row->half_open = place->half_open > 0 ? place->half_open : 0;
	hw_server_finish(row, is_other);
	memcpy(fresh.addr, now->addr, sizeof(fresh.addr));
	*now = fresh;
	return 1;
}

static void release(struct hw_seconds *seconds, uint32_t at)
{
	uint32_t *link = bucket_of(seconds, &seconds->places[at].now);

	while (*link != at)
		link = &seconds->places[*link].next;
	*link = seconds->places[at].next;
	seconds->places[at].next = seconds->free;
	seconds->free = at;
}

uint32_t hw_seconds_put(struct hw_seconds *seconds, uint64_t ts, void *rows)
{
	uint32_t count = 0, left = 0;

	for (uint32_t i = 0; i < seconds->taken_count; i++) {
		uint32_t at = seconds->taken[i];
		struct place *place = &seconds->places[at];

		count += put_row(place, at == OTHER, ts, (struct hw_server *)rows + count);
		if (at != OTHER && (place->half_open <= 0 || ++place->quiet > FORGOTTEN))
			release(seconds, at);
		else
			seconds->taken[left++] = at;
	}
	seconds->taken_count = left;
	return count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is odd, out of rows of packets: malformed ones, and what only several packets show. Memory does not grow: a packet or address that
 * finds its places taken takes that of the one that was seen longest ago. Where a key is put depends on a secret, so that no sender
 * chooses it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../bpf/records.h"
#include "headwater.h"
#include "weird_rows.h"

#define WAYS 4		/* places for a key: a cache line of passages */
#define AT_ONCE 4	/* rows that one packet can make */
#define TICK_BITS 20	/* passages keep their time in units of 2^20 ns, a millisecond */
#define LOOP_TICKS 2000 /* within which a packet comes round again */
#define LOOP_SIGHTS 3	/* of a packet that is surely the same */
#define LOOP_SIGHTS_UNSURE 5

enum { ARP_REQUEST = 1, ARP_REPLY = 2, ND_ADVERTISEMENT = 136, ND_HOPS = 255 };

/* A packet at a place; free while sights is 0. */
struct passage {
	uint64_t key;
	uint32_t tick;
	uint8_t first_ttl;
	uint8_t ttl;
	uint8_t step; /* by which the TTL fell last */
	uint8_t sights;
};

/* Who has an address; free while `used` is 0. */
struct neighbor {
	uint64_t key[4]; /* address, interface and tags, tunnel */
	uint8_t mac[6];
	uint8_t used;
	uint64_t ts;
};

struct hw_weirds {
	uint64_t secret;
	uint32_t neighbor_mask, passage_mask; /* buckets - 1 */
	struct neighbor *neighbors;
	struct passage *passages;
	struct hw_weird_rows rows;
};

static uint32_t buckets(uint32_t entries)
{
	uint32_t count = 1;

	while (count * WAYS < entries)
		count *= 2;
	return count;
}

struct hw_weirds *hw_weirds_new(uint32_t neighbors, uint32_t passages, uint32_t a_second, const uint64_t *ignored)
{
	struct hw_weirds *weirds = calloc(1, sizeof(*weirds));
	uint32_t some = buckets(neighbors), more = buckets(passages);

	if (!weirds)
		return NULL;
	hw_weird_rows_make(&weirds->rows, a_second, ignored);
	weirds->neighbor_mask = some - 1;
	weirds->passage_mask = more - 1;
	weirds->neighbors = calloc((size_t)some * WAYS, sizeof(*weirds->neighbors));
	weirds->passages = aligned_alloc(64, (size_t)more * WAYS * sizeof(*weirds->passages));
	if (!weirds->neighbors || !weirds->passages || getrandom(&weirds->secret, sizeof(weirds->secret), 0) < 0) {
		hw_weirds_free(weirds);
		return NULL;
	}
	hw_weirds_forget(weirds);
	return weirds;
}

void hw_weirds_free(struct hw_weirds *weirds)
{
	if (!weirds)
		return;
	free(weirds->neighbors);
	free(weirds->passages);
	free(weirds);
}

void hw_weirds_forget(struct hw_weirds *weirds)
{
	memset(weirds->neighbors, 0, (weirds->neighbor_mask + 1ul) * WAYS * sizeof(*weirds->neighbors));
	memset(weirds->passages, 0, (weirds->passage_mask + 1ul) * WAYS * sizeof(*weirds->passages));
}

/* One word more of a key. */
static inline uint64_t mix(uint64_t key, uint64_t word)
{
	unsigned __int128 product = (unsigned __int128)(key ^ word) * 0x9e3779b97f4a7c15ull;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t word(const void *octets)
{
	uint64_t value;

	memcpy(&value, octets, sizeof(value));
	return value;
}

/* -- who has an address ----------------------------------------------------------------------------------------------------- */

static void put_neighbor(struct hw_weirds *weirds, const struct hw_packet *packet, enum hw_weird name, const uint8_t *before)
{
	struct hw_weird_row *row = hw_weird_rows_put(&weirds->rows, packet, name);

	if (!row)
		return;
	row->has |= HW_HAS_neighbor;
	memcpy(row->neighbor, packet->neighbor, sizeof(row->neighbor));
	memcpy(row->mac, packet->neighbor_mac, sizeof(row->mac));
	if (!before)
		return;
	row->has |= HW_WEIRD_HAS_before;
	memcpy(row->mac_before, before, sizeof(row->mac_before));
}

static int is_nobody(const uint8_t *addr)
{
	static const uint8_t none[16], ipv4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return !memcmp(addr, none, 16) || !memcmp(addr, ipv4, 16);
}

/* The place of packet->neighbor, or the one that it takes, with `used` 0 then. */
static struct neighbor *place_of(struct hw_weirds *weirds, const struct hw_packet *packet)
{
	const uint64_t key[4] = {
		word(packet->neighbor),
		word(packet->neighbor + 8),
		(uint64_t)packet->interface << 32 | packet->vlan << 16 | packet->vlan_inner,
		(uint64_t)packet->tunnel << 32 | packet->tunnel_id,
	};
	uint64_t hash = mix(mix(mix(mix(weirds->secret, key[0]), key[1]), key[2]), key[3]);
	struct neighbor *bucket = &weirds->neighbors[(hash >> 20 & weirds->neighbor_mask) * WAYS], *oldest = bucket;

	for (int i = 0; i < WAYS; i++) {
		if (bucket[i].used && !memcmp(bucket[i].key, key, sizeof(key)))
			return &bucket[i];
		if (!bucket[i].used || (oldest->used && bucket[i].ts < oldest->ts))
			oldest = &bucket[i];
	}
	memcpy(oldest->key, key, sizeof(key));
	oldest->used = 0;
	return oldest;
}

static void see_neighbor(struct hw_weirds *weirds, const struct hw_packet *packet)
{
	int is_ip = !!(packet->has & HW_HAS_ip);
	enum hw_weird name = is_ip ? HW_WEIRD_ipv6_neighbor_changed : HW_WEIRD_duplicate_arp_answer;
	struct neighbor *place;

	if (is_nobody(packet->neighbor)) /* who looks whether an address is free has none */
		return;
	if (is_ip) {
		if (packet->ttl != ND_HOPS) /* from another link: nobody takes it (RFC 4861, 7.1) */
			return;
	} else if (packet->arp_operation == ARP_REQUEST || packet->arp_operation == ARP_REPLY) {
		if (!memcmp(packet->src, packet->dst, 16))
			put_neighbor(weirds, packet, HW_WEIRD_gratuitous_arp, NULL);
		else if (packet->arp_operation == ARP_REQUEST)
			return;
	} else {
		return;
	}
	place = place_of(weirds, packet);
	if (place->used && memcmp(place->mac, packet->neighbor_mac, 6))
		put_neighbor(weirds, packet, name, place->mac);
	memcpy(place->mac, packet->neighbor_mac, 6);
	place->ts = packet->ts;
	place->used = 1;
}

/* -- routing loops ---------------------------------------------------------------------------------------------------------- */

/* All that stays when a packet comes to the same place again, without its TTL. */
static uint64_t passage_key(const struct hw_weirds *weirds, const struct hw_packet *packet)
{
	uint64_t key = weirds->secret;

	key = mix(key, word(packet->src));
	key = mix(key, word(packet->src + 8));
	key = mix(key, word(packet->dst));
	key = mix(key, word(packet->dst + 8));
	key = mix(key, word(packet->l2_dst)); /* and the first octets of l2_src */
	key = mix(key, word(packet->l2_src)); /* and ethertype */
	key = mix(key, (uint64_t)packet->interface << 32 | packet->ip_id);
	key = mix(key, (uint64_t)packet->ip_length << 32 | packet->flow_label);
	key = mix(key, (uint64_t)packet->seq << 32 | packet->ack);
	key = mix(key, (uint64_t)packet->sport << 48 | (uint64_t)packet->dport << 32 | (uint64_t)packet->vlan << 16 | packet->vlan_inner);
	key = mix(key, (uint64_t)packet->tcp_flags << 48 | (uint64_t)packet->fragment_offset << 32 | packet->icmp_type << 24 |
			       packet->icmp_code << 16 | packet->proto << 8 | packet->direction);
	return mix(key, (uint64_t)packet->tunnel << 32 | packet->tunnel_id);
}

/* Whether two packets of one key are surely one: the sender numbers them, or it is a part of a stream that is at one place only. */
static int is_numbered(const struct hw_packet *packet)
{
	return packet->ip_id || (packet->has & HW_HAS_tcp && (packet->payload_length || packet->tcp_flags & 3));
}

/*
 * Whether a packet that comes again with a TTL lower by `step` may be in a loop. Routers that send to each other are two at least; who looks
 * for a way by pings with a TTL lower by one each sends packets that no column tells apart.
 */
static int may_loop(const struct hw_packet *packet, uint8_t step)
{
	return step > 1 || is_numbered(packet);
}

static void see_passage(struct hw_weirds *weirds, const struct hw_packet *packet)
{
	uint64_t key = passage_key(weirds, packet);
	uint32_t tick = packet->ts >> TICK_BITS;
	struct passage *bucket = &weirds->passages[(key & weirds->passage_mask) * WAYS], *place = NULL, *oldest = bucket;
	struct hw_weird_row *row;
	uint8_t step;

	for (int i = 0; i < WAYS && !place; i++) {
		if (bucket[i].sights && bucket[i].key == key)
			place = &bucket[i];
		if (!bucket[i].sights || (oldest->sights && tick - bucket[i].tick > tick - oldest->tick))
			oldest = &bucket[i];
	}
	if (!place || tick - place->tick > LOOP_TICKS || packet->ttl > place->ttl) {
		place = place ? place : oldest;
		*place = (struct passage){.key = key, .tick = tick, .first_ttl = packet->ttl, .ttl = packet->ttl, .sights = 1};
		return;
	}
	place->tick = tick;
	if (packet->ttl == place->ttl) /* sent again, or seen twice */
		return;
	step = place->ttl - packet->ttl;
	if (place->sights > 1 && step != place->step) { /* another way, or a sight is missing: the last two may begin a loop */
		place->first_ttl = place->ttl;
		place->sights = 1;
	}
	place->step = step;
	place->ttl = packet->ttl;
	if (place->sights < 255)
		place->sights++;
	if (place->sights != (is_numbered(packet) ? LOOP_SIGHTS : LOOP_SIGHTS_UNSURE) || !may_loop(packet, step))
		return;
	row = hw_weird_rows_put(&weirds->rows, packet, HW_WEIRD_routing_loop);
	if (row)
		row->ttl_before = place->first_ttl;
}

/* --------------------------------------------------------------------------------------------------------------------------- */

size_t hw_weirds_add(struct hw_weirds *weirds, const void *rows, size_t stride, size_t count, void *into, size_t *done)
{
	const char *at = rows;
	size_t i;

	hw_weird_rows_begin(&weirds->rows, into);
	for (i = 0; i < count && weirds->rows.made + HW_WEIRD_NAMES + AT_ONCE <= HW_WEIRDS_ROOM; i++, at += stride) {
		const struct hw_packet *packet = (const struct hw_packet *)at;

		hw_weird_rows_at(&weirds->rows, packet->ts);
		if (packet->weird)
			hw_weird_rows_put(&weirds->rows, packet, packet->weird);
		if (packet->has & HW_HAS_ip)
			see_passage(weirds, packet);
		if (packet->has & HW_HAS_neighbor)
			see_neighbor(weirds, packet);
	}
	*done = i;
	return weirds->rows.made;
}

size_t hw_weirds_end(struct hw_weirds *weirds, void *into)
{
	hw_weird_rows_begin(&weirds->rows, into);
	hw_weird_rows_end(&weirds->rows);
	return weirds->rows.made;
}

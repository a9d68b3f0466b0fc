/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams in pieces. Each has eight places where it may lie; where all are taken, the one that has waited longest is given up. */
#include <stdlib.h>
#include <string.h>

#include "fragments.h"

#define UNIT 8 /* octets: fragments begin at multiples of it */
#define UNITS (65536 / UNIT)
#define PLACES 8
#define COMPARED 16 /* fragments of a datagram whose octets are compared with those that come again */
#define SMALL 64    /* octets of a packet, and */
#define LARGE 64000 /* of a datagram: Zeek's Frag.cc */
#define NOWHERE UINT32_MAX
#define ODD(name) (1u << (HW_WEIRD_##name - HW_WEIRD_excessively_small_fragment)) /* as hw_fragments_add() tells it */

struct piece {
	uint32_t begin, end;
};

struct datagram {
	hw_addr src, dst;
	uint32_t apart[3]; /* as of a flow's key */
	uint32_t id;
	uint8_t proto;
	uint8_t begun;	    /* the first fragment has come */
	uint32_t pieces;    /* fragments that have come; 0: nothing is here */
	uint8_t ended;	    /* the last one has */
	uint8_t cut;	    /* what one of them carries has not come with it */
	uint32_t interface; /* where the first of them was seen; at another place they may be seen again */
	uint32_t length;    /* octets behind the IP header, as far as they have come */
	uint32_t covered;   /* units that have come */
	uint32_t header;    /* octets of the IP header of later fragments */
	uint64_t touched;   /* when, in fragments */
	uint32_t size;	    /* as the last fragment says, or more came; 0: it has not come */
	uint32_t kept_count;
	struct piece kept[COMPARED];
	uint32_t ack; /* the second eight octets of TCP's header, where they are the begin of a piece */
	uint16_t offset_flags, window;
	struct hw_packet first;
	struct hw_packet *within; /* what it carries, as its first fragment shows: so many rows, */
	uint32_t within_count;
	uint32_t within_at; /* and where the payload of the last one begins; NOWHERE: that is not known */
	uint32_t early;	    /* octets of the first fragment's payload that lie at the end of `octets` until their place is known */
	uint32_t *frames;   /* of its pieces, where they are asked for */
	uint64_t units[UNITS / 64];
	uint8_t octets[]; /* behind the IP header, where they are kept */
};

struct hw_fragments {
	uint32_t groups; /* of places; a power of two */
	uint64_t salt;	 /* nobody outside can choose who shares places */
	uint64_t waiting, given_up, seen;
	size_t room;		      /* octets that are kept of a datagram */
	int numbers;		      /* frames are */
	const struct datagram *whole; /* the last one that was, and its pieces */
	uint32_t whole_pieces;
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

static void forget(struct datagram *datagram)
{
	free(datagram->frames);
	free(datagram->within);
	memset(datagram, 0, sizeof(*datagram));
}

void hw_fragments_free(struct hw_fragments *fragments)
{
	if (!fragments)
		return;
	for (uint32_t i = 0; i < fragments->groups * PLACES; i++) {
		if (fragments->datagrams[i])
			forget(fragments->datagrams[i]);
		free(fragments->datagrams[i]);
	}
	free(fragments->datagrams);
	free(fragments);
}

void hw_fragments_keep(struct hw_fragments *fragments)
{
	fragments->room = 65536;
}

void hw_fragments_number(struct hw_fragments *fragments)
{
	fragments->numbers = 1;
}

const uint32_t *hw_fragments_frames(const struct hw_fragments *fragments, uint32_t *count)
{
	*count = fragments->whole && fragments->whole->frames ? fragments->whole_pieces : 0;
	return *count ? fragments->whole->frames : NULL;
}

void hw_fragments_counts(const struct hw_fragments *fragments, uint64_t *waiting, uint64_t *given_up)
{
	*waiting = fragments->waiting;
	*given_up = fragments->given_up;
}

static int is_of(const struct datagram *datagram, const struct hw_packet *row, const uint32_t apart[3])
{
	return datagram->pieces && datagram->id == row->ip_id && datagram->proto == row->proto &&
	       !memcmp(datagram->apart, apart, sizeof(datagram->apart)) && !memcmp(datagram->src, row->src, sizeof(row->src)) &&
	       !memcmp(datagram->dst, row->dst, sizeof(row->dst));
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
static struct datagram *find(struct hw_fragments *fragments, const struct hw_packet *row, const uint32_t apart[3])
{
	struct datagram **places = fragments->datagrams + group_of(fragments, row) * (size_t)PLACES, **best = NULL;

	for (uint32_t i = 0; i < PLACES; i++) {
		if (!places[i] && !(best && !(*best)->pieces))
			places[i] = calloc(1, sizeof(struct datagram) + fragments->room);
		if (!places[i])
			break;
		if (is_of(places[i], row, apart))
			return places[i];
		if (!best || (*best)->touched > places[i]->touched) /* one that is done was touched at 0 */
			best = &places[i];
	}
	if (!best)
		return NULL;
	fragments->given_up += (*best)->pieces;
	fragments->waiting -= (*best)->pieces;
	forget(*best);
	memcpy((*best)->src, row->src, sizeof(row->src));
	memcpy((*best)->dst, row->dst, sizeof(row->dst));
	memcpy((*best)->apart, apart, sizeof((*best)->apart));
	(*best)->id = row->ip_id;
	(*best)->proto = row->proto;
	(*best)->interface = row->interface;
	return *best;
}

/*
 * Octets of a first fragment's IP header; 0 if that is not known. How many options there are before TCP a row does not tell, but what follows
 * is a multiple of 8. IPv6's headers the later fragments have too.
 */
static uint32_t header_of(const struct datagram *datagram, const struct hw_packet *first)
{
	uint32_t rest = first->ip_length - first->payload_length;

	if (first->ip_version == 6)
		return datagram->header <= first->ip_length ? datagram->header : 0;
	if (!(first->has & HW_HAS_payload) || first->proto == 6) {
		rest = 20 + (first->mf ? (first->ip_length - 20) % UNIT : 0);
		return first->ip_options && rest == 20 ? 20 + UNIT : rest;
	}
	if (first->proto == 132)
		return rest - 12;
	return first->proto == 1 || first->proto == 17 ? rest - 8 : rest;
}

/* These octets have come. */
static void cover(struct datagram *datagram, uint32_t begin, uint32_t end)
{
	for (uint32_t unit = begin / UNIT; unit < (end + UNIT - 1) / UNIT && unit < UNITS; unit++) {
		uint64_t bit = 1ull << unit % 64;

		datagram->covered += !(datagram->units[unit / 64] & bit);
		datagram->units[unit / 64] |= bit;
	}
	if (end > datagram->length)
		datagram->length = end;
}

/* What a fragment carries goes to its place, and of what is there already the first one counts: Zeek's way, and most hosts'. */
static void keep(struct datagram *datagram, uint32_t at, const struct hw_payload *payload, size_t room)
{
	for (uint32_t i = 0; i < payload->length && at + i < room;) {
		uint32_t unit = (at + i) / UNIT, some = UNIT - (at + i) % UNIT;

		some = some < payload->length - i ? some : payload->length - i;
		if (!(datagram->units[unit / 64] >> unit % 64 & 1))
			memcpy(datagram->octets + at + i, payload->octets + i, some);
		i += some;
	}
}

/* What is odd in a fragment that ends there. */
static uint32_t judge_size(struct datagram *datagram, const struct hw_packet *row, uint32_t end)
{
	uint32_t odd = 0;

	if (row->mf && row->ip_length < SMALL)
		odd |= ODD(excessively_small_fragment);
	if (end > LARGE)
		odd |= ODD(excessively_large_fragment);
	if (datagram->size && (row->mf ? end > datagram->size : end != datagram->size))
		odd |= ODD(fragment_size_inconsistency);
	if ((!row->mf || datagram->size) && end > datagram->size)
		datagram->size = end;
	return odd;
}

/* Likewise, of octets that are about to be kept. */
static uint32_t judge_octets(struct datagram *datagram, uint32_t at, const struct hw_payload *payload, size_t room)
{
	uint32_t end = at + payload->length < room ? at + payload->length : room, overlaps = 0, differs = 0;

	for (uint32_t i = 0; i < datagram->kept_count; i++) {
		uint32_t first = at > datagram->kept[i].begin ? at : datagram->kept[i].begin;
		uint32_t behind = end < datagram->kept[i].end ? end : datagram->kept[i].end;

		if (first >= behind)
			continue;
		overlaps = 1;
		differs |= memcmp(datagram->octets + first, payload->octets + (first - at), behind - first) != 0;
	}
	if (at < end && datagram->kept_count < COMPARED)
		datagram->kept[datagram->kept_count++] = (struct piece){at, end};
	if (differs)
		return ODD(fragment_inconsistency);
	return overlaps ? ODD(fragment_overlap) : 0;
}

/*
 * A first fragment goes to its place, if its header is known by now. What its row tells of it, `payload`, is the end of it where it carries
 * packets, and else what is behind the transport's header. Returns what is odd in it.
 */
static uint32_t place_first(struct datagram *datagram, const struct hw_packet *first, const struct hw_payload *payload, int carries,
			    size_t room)
{
	uint32_t header = header_of(datagram, first), end, size, odd;

	if (!header || header >= first->ip_length)
		return 0;
	end = first->ip_length - header;
	odd = judge_size(datagram, first, end);
	if (room && first->has & HW_HAS_payload) {
		size = carries ? payload->length : first->payload_length;
		if (size && size <= end) {
			if (datagram->within_at == NOWHERE)
				datagram->within_at = end - size;
			odd |= judge_octets(datagram, end - size, payload, room);
			keep(datagram, end - size, payload, room);
		}
	}
	cover(datagram, 0, end);
	return odd;
}

/* What came in pieces of TCP's header, which is `size` octets of `length` then. */
static void join_tcp(const struct datagram *datagram, struct hw_packet *whole)
{
	uint32_t size = whole->payload_length; /* as hw_tcp_first_piece() has it */

	if (!(whole->has & HW_HAS_ports))
		return;
	if (!size) {
		size = (datagram->offset_flags >> 12) * 4;
		whole->ack = datagram->ack;
		whole->tcp_flags = datagram->offset_flags & 0x0fff;
		whole->window = datagram->window;
	}
	if (size < 20 || size > datagram->length)
		return;
	whole->payload_length = datagram->length - size;
	whole->has |= HW_HAS_tcp | HW_HAS_payload;
	if (whole->weird == HW_WEIRD_truncated_header)
		whole->weird = HW_WEIRD_none;
}

/* A piece came in that frame. Without memory, none is known of this datagram. */
static void number(struct datagram *datagram, uint32_t frame)
{
	uint32_t at = datagram->pieces - 1, *more;

	if (at && !datagram->frames)
		return;
	if (!(at & (at - 1)) || !at) {
		more = realloc(datagram->frames, (at ? 2 * (size_t)at : 1) * sizeof(*more));
		if (!more) {
			free(datagram->frames);
			datagram->frames = NULL;
			return;
		}
		datagram->frames = more;
	}
	datagram->frames[at] = frame;
}

/* The first fragment has come, and rows of what it carries; without memory for these, it has not. Its payload waits where that is far from others. */
static void begin(struct datagram *datagram, const struct hw_packet *rows, uint32_t count, const struct hw_payload *payload, size_t room)
{
	datagram->first = rows[0];
	datagram->within_at = NOWHERE;
	if (count > 1) {
		datagram->within = malloc((count - 1) * sizeof(*rows));
		if (!datagram->within)
			return;
		memcpy(datagram->within, rows + 1, (count - 1) * sizeof(*rows));
		datagram->within_count = count - 1;
	}
	datagram->begun = 1;
	if (room && datagram->length + (uint64_t)payload->length <= room) {
		datagram->early = payload->length;
		memcpy(datagram->octets + room - datagram->early, payload->octets, datagram->early);
	}
}

/* What a whole datagram carries: its rows, as of that time, and the payload of the last of them. */
static void unpack(const struct hw_fragments *fragments, const struct datagram *datagram, uint64_t ts, struct hw_packet *within,
		   struct hw_payload *payload)
{
	const struct hw_packet *last = &datagram->within[datagram->within_count - 1];
	uint32_t at = datagram->within_at;

	for (uint32_t i = 0; i < datagram->within_count; i++) {
		within[i] = datagram->within[i];
		within[i].ts = ts;
		within[i].captured = within[i].length;
	}
	if (!fragments->room)
		return;
	payload->length = 0;
	if (at > datagram->length || datagram->length >= fragments->room || !(last->has & HW_HAS_payload))
		return;
	payload->octets = datagram->octets + at;
	payload->length = last->payload_length < datagram->length - at ? last->payload_length : datagram->length - at;
}

uint32_t hw_fragments_add(struct hw_fragments *fragments, const struct hw_packet *rows, uint32_t count, const uint32_t apart[3],
			  struct hw_packet *whole, struct hw_payload *payload, uint32_t *odd)
{
	const struct hw_packet *row = rows;
	struct datagram *datagram = find(fragments, row, apart);
	uint32_t header, before;

	*odd = 0;

	if (!datagram) {
		fragments->given_up++;
		return 0;
	}
	datagram->touched = ++fragments->seen;
	datagram->pieces++;
	fragments->waiting++;
	fragments->whole = NULL;
	if (fragments->numbers)
		number(datagram, payload->frame);
	datagram->ended |= !row->mf;
	datagram->cut |= fragments->room && count == 1 && row->has & HW_HAS_payload && payload->length < row->payload_length;
	if (row->fragment_offset) {
		uint32_t length = row->has & HW_HAS_payload ? row->payload_length : 0;

		datagram->header = row->ip_length - length;
		if (row->proto == 6 && row->fragment_offset == UNIT && length >= UNIT) {
			datagram->ack = row->ack;
			datagram->offset_flags = row->seq;
			datagram->window = row->window;
		}
		*odd = judge_size(datagram, row, row->fragment_offset + length);
		if (fragments->room) {
			*odd |= judge_octets(datagram, row->fragment_offset, payload, fragments->room);
			keep(datagram, row->fragment_offset, payload, fragments->room);
			if (row->fragment_offset + payload->length > fragments->room - datagram->early)
				datagram->early = 0;
		}
		cover(datagram, row->fragment_offset, row->fragment_offset + length);
	} else {
		if (datagram->begun)
			*odd = place_first(datagram, row, payload, count > 1, fragments->room);
		else
			begin(datagram, rows, count, payload, fragments->room);
	}
	if (datagram->begun && !(datagram->units[0] & 1)) { /* its header was not known, or it has just come */
		struct hw_payload early = {.octets = datagram->octets + fragments->room - datagram->early, .length = datagram->early};

		*odd |= place_first(datagram, &datagram->first, &early, datagram->within_count > 0, fragments->room);
	}
	if (row->interface != datagram->interface)
		*odd = 0;
	if (!datagram->begun || !datagram->ended || datagram->covered < (datagram->length + UNIT - 1) / UNIT)
		return 0;
	*whole = datagram->first;
	header = header_of(datagram, whole);
	if (whole->proto == 6 && !(whole->has & HW_HAS_payload)) {
		join_tcp(datagram, whole);
	} else {
		before = whole->has & HW_HAS_payload ? whole->ip_length - header - whole->payload_length : 0;
		whole->payload_length = datagram->length - before;
	}
	if (datagram->within_count) {
		unpack(fragments, datagram, row->ts, whole + 1, payload);
	} else if (fragments->room) {
		before = datagram->length - whole->payload_length;
		payload->octets = datagram->octets + before;
		payload->length = datagram->length < fragments->room && !datagram->cut ? whole->payload_length : 0;
	}
	whole->ip_length = header - (whole->ip_version == 6 ? 8 : 0) + datagram->length; /* the Fragment header goes */
	whole->ts = row->ts;
	whole->captured = whole->length;
	whole->mf = 0;
	fragments->waiting -= datagram->pieces;
	fragments->whole = datagram;
	fragments->whole_pieces = datagram->pieces;
	datagram->pieces = 0;
	datagram->touched = 0;
	return 1 + datagram->within_count;
}

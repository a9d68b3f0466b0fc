/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: what is due of each is noted as an item while packets are added, without a copy where it can lie where it is. hw_streams_runs()
 * then puts the items of a stream together, so that whoever reads them is called once for many segments.
 */
#include <stdlib.h>
#include <string.h>

#include "streams.h"

#define NONE UINT32_MAX
#define MOST_PARTS 4096 /* that wait of one side */

struct part { /* of a side, before its turn */
	struct part *next;
	uint64_t ts;
	int64_t place;
	uint32_t length;
	uint8_t octets[];
};

struct half {
	struct part *parts; /* by their places, which do not overlap */
	int64_t done;	    /* up to this place all is handed out */
	uint32_t count;
	uint8_t wanted;
	uint8_t ended;
};

struct stream {
	struct half halves[2];
	uint32_t first, last; /* items of this turn, or NONE */
	uint32_t next;	      /* of those with items; of free ones */
	uint32_t flow;
	uint8_t over;
};

struct item {
	uint64_t ts;
	const uint8_t *octets;
	uint64_t length;
	uint32_t next;
	uint8_t kind;
	uint8_t side;
};

struct hw_streams {
	struct stream *streams;
	uint64_t now;	   /* of the packets */
	uint32_t *of_flow; /* one more than the number of a flow's stream; 0: none */
	uint32_t most, places, free;
	uint32_t first, last; /* those with items */
	struct item *items;
	size_t item_count, item_room;
	struct part *used; /* parts that items are of */
	size_t waiting_most;
	int lost; /* there was no memory for an item */
	struct hw_streams_counts counts;
	struct hw_runs out;
	size_t run_room, mark_room, begun_room, octet_room, octets_of_items;
};

struct hw_streams *hw_streams_new(uint32_t most, uint32_t flows, size_t waiting)
{
	struct hw_streams *streams = calloc(1, sizeof(*streams));

	if (!streams)
		return NULL;
	streams->most = most;
	streams->waiting_most = waiting;
	streams->free = streams->first = streams->last = NONE;
	streams->streams = calloc(most, sizeof(*streams->streams)); /* what is not used takes no memory */
	streams->of_flow = calloc(flows, sizeof(*streams->of_flow));
	if (!streams->streams || !streams->of_flow) {
		hw_streams_free(streams);
		return NULL;
	}
	return streams;
}

static void free_parts(struct part *part)
{
	struct part *next;

	for (; part; part = next) {
		next = part->next;
		free(part);
	}
}

void hw_streams_free(struct hw_streams *streams)
{
	if (!streams)
		return;
	for (uint32_t i = 0; i < streams->places; i++)
		for (int side = 0; side < 2; side++)
			free_parts(streams->streams[i].halves[side].parts);
	free_parts(streams->used);
	free(streams->streams);
	free(streams->of_flow);
	free(streams->items);
	free(streams->out.runs);
	free(streams->out.marks);
	free(streams->out.begun);
	free(streams->out.octets);
	free(streams);
}

/* -- items ------------------------------------------------------------------------------------------------------------------------ */

/* `*room` elements become more, if they are not `count`. -1 without memory. */
static int grow(void **elements, size_t *room, size_t count, size_t size)
{
	size_t wanted = *room ? *room : 1024;
	void *more;

	if (count <= *room)
		return 0;
	while (wanted < count)
		wanted *= 2;
	more = realloc(*elements, wanted * size);
	if (!more)
		return -1;
	*elements = more;
	*room = wanted;
	return 0;
}

static void put(struct hw_streams *streams, struct stream *stream, const struct item *item)
{
	uint32_t number = stream - streams->streams, at = streams->item_count;

	if (grow((void **)&streams->items, &streams->item_room, at + 1, sizeof(*streams->items))) {
		streams->lost = 1;
		return;
	}
	streams->items[at] = *item;
	streams->items[at].next = NONE;
	streams->item_count++;
	if (stream->first == NONE) {
		stream->first = at;
		stream->next = NONE;
		if (streams->last == NONE)
			streams->first = number;
		else
			streams->streams[streams->last].next = number;
		streams->last = number;
	} else {
		streams->items[stream->last].next = at;
	}
	stream->last = at;
	if (item->octets)
		streams->octets_of_items += item->length;
}

/* -- streams ---------------------------------------------------------------------------------------------------------------------- */

static struct stream *make(struct hw_streams *streams, uint32_t flow, const struct hw_entry *entry)
{
	size_t begun = streams->out.begun_count;
	struct hw_stream_begin *begin;
	struct stream *stream;
	uint32_t number;

	if (streams->free != NONE) {
		number = streams->free;
		streams->free = streams->streams[number].next;
	} else if (streams->places < streams->most) {
		number = streams->places++;
	} else {
		return NULL;
	}
	if (grow((void **)&streams->out.begun, &streams->begun_room, begun + 1, sizeof(*begin))) {
		streams->streams[number].next = streams->free;
		streams->free = number;
		return NULL;
	}
	stream = &streams->streams[number];
	memset(stream, 0, sizeof(*stream));
	stream->first = stream->last = NONE;
	stream->flow = flow;
	stream->halves[0].wanted = stream->halves[1].wanted = 1;
	stream->halves[0].done = stream->halves[1].done = 1; /* behind the SYN */
	streams->of_flow[flow] = number + 1;
	streams->counts.streams++;
	begin = &streams->out.begun[begun];
	memset(begin, 0, sizeof(*begin));
	begin->ts = entry->flow.first;
	memcpy(begin->uid, entry->uid, sizeof(begin->uid));
	memcpy(begin->orig, entry->key.addr[entry->orig], 16);
	memcpy(begin->resp, entry->key.addr[!entry->orig], 16);
	begin->orig_port = entry->key.port[entry->orig];
	begin->resp_port = entry->key.port[!entry->orig];
	begin->proto = entry->key.proto;
	begin->partial = hw_flow_is_partial(&entry->flow);
	begin->network = hw_flow_network(&entry->flow);
	put(streams, stream, &(struct item){.ts = entry->flow.first, .length = begun, .kind = HW_RUN_begin});
	streams->out.begun_count++;
	return stream;
}

static struct stream *stream_of(const struct hw_streams *streams, uint32_t flow)
{
	uint32_t number = streams->of_flow[flow];

	return number ? &streams->streams[number - 1] : NULL;
}

uint32_t hw_streams_of(const struct hw_streams *streams, uint32_t flow)
{
	return streams->of_flow[flow] ? streams->of_flow[flow] - 1 : HW_NO_STREAM;
}

uint32_t hw_streams_flow(const struct hw_streams *streams, uint32_t stream)
{
	return streams->streams[stream].flow;
}

int64_t hw_streams_done(const struct hw_streams *streams, uint32_t stream, int side)
{
	return streams->streams[stream].halves[side].done;
}

void hw_streams_clear(struct hw_streams *streams, uint32_t flow)
{
	streams->of_flow[flow] = 0;
}

static void drop_parts(struct hw_streams *streams, struct half *half)
{
	struct part *next;

	for (; half->parts; half->parts = next) {
		next = half->parts->next;
		streams->counts.waiting -= half->parts->length;
		streams->counts.unread += half->parts->length;
		free(half->parts);
	}
	half->count = 0;
}

void hw_streams_begin(struct hw_streams *streams)
{
	uint32_t number, next;

	for (number = streams->first; number != NONE; number = next) {
		struct stream *stream = &streams->streams[number];

		next = stream->next;
		stream->first = stream->last = NONE;
		if (stream->over) {
			stream->next = streams->free;
			streams->free = number;
			streams->counts.streams--;
		}
	}
	free_parts(streams->used);
	streams->used = NULL;
	streams->first = streams->last = NONE;
	streams->item_count = streams->octets_of_items = streams->out.begun_count = 0;
	streams->lost = 0;
}

void hw_streams_flip(struct hw_streams *streams, uint32_t flow, uint64_t ts)
{
	struct stream *stream = stream_of(streams, flow);
	struct half half;

	if (!stream)
		return;
	half = stream->halves[0];
	stream->halves[0] = stream->halves[1];
	stream->halves[1] = half;
	put(streams, stream, &(struct item){.ts = ts, .kind = HW_RUN_flip});
}

uint32_t hw_streams_finish(struct hw_streams *streams, uint32_t flow, uint64_t ts)
{
	struct stream *stream = stream_of(streams, flow);

	if (!stream)
		return HW_NO_STREAM;
	for (int side = 0; side < 2; side++)
		drop_parts(streams, &stream->halves[side]);
	put(streams, stream, &(struct item){.ts = ts, .kind = HW_RUN_over});
	stream->over = 1;
	streams->of_flow[flow] = 0;
	return stream - streams->streams;
}

/* -- octets ----------------------------------------------------------------------------------------------------------------------- */

/* Keep [place, place + length) until it is due, but for what is here already: of two, the first one counts. Whether they differ; of a single
 * octet that is a probe's. */
static int keep(struct hw_streams *streams, struct half *half, int64_t place, const struct hw_packet *row, const uint8_t *octets,
		uint32_t length)
{
	struct part **at = &half->parts, *part;
	uint32_t some;
	int differs = 0;

	while (length) {
		while (*at && (*at)->place + (*at)->length <= place)
			at = &(*at)->next;
		if (*at && (*at)->place <= place) { /* the begin is here */
			some = (*at)->place + (*at)->length - place;
			some = some < length ? some : length;
			differs |= some > 1 && memcmp((*at)->octets + (place - (*at)->place), octets, some);
			streams->counts.again += some;
			place += some;
			octets += some;
			length -= some;
			continue;
		}
		some = length;
		if (*at && (*at)->place - place < some)
			some = (*at)->place - place;
		part = half->count < MOST_PARTS && streams->counts.waiting + some <= streams->waiting_most ? malloc(sizeof(*part) + some)
													   : NULL;
		if (!part) {
			streams->counts.no_room += length;
			return differs;
		}
		part->ts = row->ts;
		part->place = place;
		part->length = some;
		memcpy(part->octets, octets, some);
		part->next = *at;
		*at = part;
		at = &part->next;
		half->count++;
		streams->counts.waiting += some;
		place += some;
		octets += some;
		length -= some;
	}
	return differs;
}

static void put_octets(struct hw_streams *streams, struct stream *stream, int side, uint64_t ts, const uint8_t *octets, uint64_t length)
{
	struct half *half = &stream->halves[side];

	half->done += length;
	if (octets)
		*(half->wanted ? &streams->counts.read : &streams->counts.unwanted) += length;
	if (!half->wanted)
		return;
	put(streams, stream,
	    &(struct item){.ts = ts, .octets = octets, .length = length, .kind = octets ? HW_RUN_data : HW_RUN_gap, .side = side});
}

/* All before `place` is due: what waits of it, and a gap where nothing does. */
static void hand_out(struct hw_streams *streams, struct stream *stream, int side, int64_t place, uint64_t ts)
{
	struct half *half = &stream->halves[side];
	struct part *part;
	uint32_t before;

	while (half->done < place) {
		part = half->parts;
		if (!part || part->place >= place) {
			put_octets(streams, stream, side, ts, NULL, place - half->done);
			return;
		}
		if (part->place > half->done)
			put_octets(streams, stream, side, ts, NULL, part->place - half->done);
		before = half->done - part->place;
		half->parts = part->next;
		half->count--;
		streams->counts.waiting -= part->length;
		part->next = streams->used;
		streams->used = part;
		if (before < part->length)
			put_octets(streams, stream, side, ts, part->octets + before, part->length - before);
	}
}

static void add_segment(struct hw_streams *streams, struct stream *stream, const struct hw_flow *flow, int which,
			const struct hw_packet *row, const struct hw_payload *payload, uint64_t ts)
{
	const struct hw_side *side = &flow->sides[which];
	struct half *half = &stream->halves[which];
	int64_t delivered = flow->more[which].delivered;
	int64_t place = hw_place(side, row->seq + !!(row->tcp_flags & HW_SYN), half->done), end = place + payload->length;
	const uint8_t *octets = payload->octets;
	uint32_t length = payload->length;

	if (length < row->payload_length) {
		streams->counts.cut += length;
		return;
	}
	if (row->tcp_flags & HW_RST || side->unfollowed) {
		streams->counts.unread += length;
		return;
	}
	if (end <= half->done) {
		streams->counts.again += length;
		return;
	}
	if (place < half->done) { /* it was here before */
		streams->counts.again += half->done - place;
		octets += half->done - place;
		length -= half->done - place;
		place = half->done;
	}
	if (place == half->done && delivered >= end && (!half->parts || half->parts->place >= end))
		put_octets(streams, stream, which, ts, octets, length);
	else if (half->wanted && keep(streams, half, place, row, octets, length))
		put(streams, stream, &(struct item){.ts = ts, .kind = HW_RUN_differs, .side = which});
	else if (!half->wanted)
		streams->counts.unwanted += length;
}

static void add_datagram(struct hw_streams *streams, struct stream *stream, int which, const struct hw_packet *row,
			 const struct hw_payload *payload, uint64_t ts)
{
	if (!stream->halves[which].wanted) {
		streams->counts.unwanted += payload->length;
		return;
	}
	streams->counts.read += payload->length;
	if (payload->length)
		put(streams, stream,
		    &(struct item){.ts = ts, .octets = payload->octets, .length = payload->length, .kind = HW_RUN_datagram, .side = which});
}

/* Time goes on: of packets that are a little out of order, none is told before another. A second and more is another capture. */
static uint64_t at_least(struct hw_streams *streams, uint64_t ts)
{
	if (ts > streams->now || streams->now - ts > HW_SECOND)
		streams->now = ts;
	return streams->now;
}

void hw_streams_add(struct hw_streams *streams, uint32_t number, const struct hw_entry *entry, int which, const struct hw_packet *row,
		    const struct hw_payload *payload)
{
	const struct hw_flow *flow = &entry->flow;
	struct stream *stream = stream_of(streams, number);
	uint64_t ts = at_least(streams, row->ts);

	if ((!stream && !payload->length) || (entry->key.proto != HW_PROTO_UDP && entry->key.proto != HW_PROTO_TCP))
		return;
	streams->counts.carried += payload->length;
	if (!stream && !(stream = make(streams, number, entry))) {
		streams->counts.no_stream += payload->length;
		return;
	}
	if (entry->key.proto == HW_PROTO_UDP) {
		add_datagram(streams, stream, which, row, payload, ts);
		return;
	}
	hand_out(streams, stream, !which, flow->more[!which].delivered, ts); /* what it acknowledges came before it */
	if (payload->length)
		add_segment(streams, stream, flow, which, row, payload, ts);
	hw_streams_come_to(streams, number, flow, ts);
}

void hw_streams_come_to(struct hw_streams *streams, uint32_t number, const struct hw_flow *flow, uint64_t ts)
{
	struct stream *stream = stream_of(streams, number);

	for (int side = 0; stream && side < 2; side++) {
		struct half *half = &stream->halves[side];

		hand_out(streams, stream, side, flow->more[side].delivered, ts);
		if (flow->sides[side].ended && !half->ended) {
			half->ended = 1;
			put(streams, stream, &(struct item){.ts = ts, .kind = HW_RUN_end, .side = side});
		}
	}
}

void hw_streams_hold(struct hw_streams *streams, struct hw_payload *payload)
{
	struct part *part = malloc(sizeof(*part) + payload->length);

	if (!part) {
		payload->length = 0;
		return;
	}
	memcpy(part->octets, payload->octets, payload->length);
	payload->octets = part->octets;
	part->next = streams->used;
	streams->used = part;
}

void hw_streams_refuse(struct hw_streams *streams, uint64_t octets)
{
	streams->counts.carried += octets;
	streams->counts.no_stream += octets;
}

void hw_streams_want(struct hw_streams *streams, uint32_t stream, uint32_t sides)
{
	for (int side = 0; side < 2; side++) {
		struct half *half = &streams->streams[stream].halves[side];

		half->wanted = sides >> side & 1;
		if (!half->wanted)
			drop_parts(streams, half);
	}
}

void hw_streams_counts_of(const struct hw_streams *streams, struct hw_streams_counts *into)
{
	*into = streams->counts;
}

/* -- runs ------------------------------------------------------------------------------------------------------------------------- */

static struct hw_run *add_run(struct hw_streams *streams, uint32_t stream, const struct item *item)
{
	struct hw_run *run = &streams->out.runs[streams->out.run_count++];

	*run = (struct hw_run){.ts = item->ts,
			       .octets = item->length,
			       .at = streams->out.octet_count,
			       .stream = stream,
			       .marks = streams->out.mark_count,
			       .kind = item->kind,
			       .side = item->side};
	return run;
}

static void put_runs(struct hw_streams *streams, uint32_t number)
{
	const struct stream *stream = &streams->streams[number];
	struct hw_run *run = NULL;

	for (uint32_t i = stream->first; i != NONE; i = streams->items[i].next) {
		const struct item *item = &streams->items[i];
		int further = run && item->kind == HW_RUN_data && run->kind == HW_RUN_data && run->side == item->side &&
			      run->mark_count < UINT16_MAX;

		if (!further) {
			run = add_run(streams, number, item);
			if (item->kind == HW_RUN_data)
				run->octets = 0;
		}
		if (item->kind == HW_RUN_data) {
			streams->out.marks[streams->out.mark_count++] = (struct hw_mark){.ts = item->ts, .at = run->octets};
			run->mark_count++;
			run->octets += item->length;
		}
		if (item->octets) {
			memcpy(streams->out.octets + streams->out.octet_count, item->octets, item->length);
			streams->out.octet_count += item->length;
		}
	}
}

int hw_streams_runs(struct hw_streams *streams, struct hw_runs *into)
{
	struct hw_runs *out = &streams->out;

	out->run_count = out->mark_count = out->octet_count = 0;
	if (streams->lost || grow((void **)&out->runs, &streams->run_room, streams->item_count, sizeof(*out->runs)) ||
	    grow((void **)&out->marks, &streams->mark_room, streams->item_count, sizeof(*out->marks)) ||
	    grow((void **)&out->octets, &streams->octet_room, streams->octets_of_items, 1))
		return -1;
	for (uint32_t number = streams->first; number != NONE; number = streams->streams[number].next)
		put_runs(streams, number);
	*into = *out;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capture decoder against hostile octets of one format (FUZZ_PCAPNG: 0 or 1): whatever they are, they are decoded without a fault, the
 * ledger adds up, and the rows do not depend on how the octets were cut into pieces. A filter and sampling leave some of those rows, and
 * what the writer makes of the packets is a capture of the same rows. An input is a capture.
 */
#include <sanitizer/asan_interface.h>

#include "headwater.h"

/* Coverage is the product's. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#include "rows.h"

#define NAMES 16

struct outcome {
	struct hw_packet *rows;
	size_t count;
	struct hw_capture_counts counts;
	int ended;
	char problem[256];
	char names[NAMES][64]; /* of the first interfaces */
	uint32_t interfaces;
};

/* How a capture is decoded. */
struct way {
	size_t piece, capacity;
	const struct hw_filter *filter;
	uint64_t sample_below;
	struct hw_pcapng_writer *writer;
	int loses; /* some of what is written finds no room */
};

/* Octets that were written away, and the packets that could not be. */
struct file {
	uint8_t *octets;
	size_t size;
	uint64_t dropped;
};

/* TCP alone; or packets of the first of each two interfaces. */
static const struct hw_filter FILTERS[2] = {
	{.count = 2,
	 .terms = {{.span = UINT64_MAX, .needs = HW_HAS_tcp, .leaves_if = 1, .to = HW_FILTER_KEEP},
		   {.span = UINT64_MAX, .leaves_if = 1, .to = HW_FILTER_REFUSE}}},
	{.count = 2,
	 .terms = {{.mask = {UINT32_MAX}, .value = {7}, .at = offsetof(struct hw_packet, interface), .leaves_if = 1, .to = HW_FILTER_KEEP},
		   {.span = UINT64_MAX, .leaves_if = 1, .to = HW_FILTER_REFUSE}}},
};

static int keeps(const struct hw_filter *filter, const struct hw_packet *row)
{
	return filter == &FILTERS[0] ? HAS(row, tcp) : row->interface % 2 == 0;
}

static void append(struct file *file, struct hw_pcapng_writer *writer, size_t most)
{
	size_t size;
	const void *octets = hw_pcapng_writer_octets(writer, &size);

	size = size < most ? size : most;
	if (!size)
		return;
	file->octets = realloc(file->octets, file->size + size + 1);
	REQUIRE(file->octets);
	memcpy(file->octets + file->size, octets, size);
	file->size += size;
	hw_pcapng_writer_wrote(writer, size);
}

/* Writes all away, as a pipe takes it; or, as a disk that is full, so many octets of whole blocks, and the rest is lost. */
static void take(struct file *file, struct hw_pcapng_writer *writer, int loses)
{
	size_t size, most;

	hw_pcapng_writer_octets(writer, &size);
	REQUIRE(hw_pcapng_writer_part(writer, size) == size);
	if (loses) {
		most = hw_pcapng_writer_part(writer, size / 2);
		REQUIRE(most <= size / 2);
		append(file, writer, most);
		file->dropped += hw_pcapng_writer_drop(writer);
	}
	append(file, writer, size / 3);
	append(file, writer, SIZE_MAX);
	hw_pcapng_writer_octets(writer, &size);
	REQUIRE(!size && !hw_pcapng_writer_full(writer));
}

static void keep_rows(struct outcome *outcome, const struct hw_packet *rows, size_t made)
{
	if (!made)
		return;
	outcome->rows = realloc(outcome->rows, (outcome->count + made) * sizeof(*rows));
	REQUIRE(outcome->rows);
	memcpy(outcome->rows + outcome->count, rows, made * sizeof(*rows));
	outcome->count += made;
}

static void finish(struct hw_capture *capture, const struct way *way, const uint8_t *data, size_t left, struct outcome *outcome)
{
	const struct hw_capture_counts *counts = &outcome->counts;

	outcome->ended = hw_capture_finish(capture, data, left);
	snprintf(outcome->problem, sizeof(outcome->problem), "%s", hw_capture_problem(capture));
	REQUIRE(!outcome->ended == !outcome->problem[0] && !strchr(outcome->problem, '\n'));
	hw_capture_counts_of(capture, &outcome->counts);
	REQUIRE(counts->as_row == outcome->count);
	REQUIRE(counts->seen + counts->further ==
		counts->as_row + counts->filtered + counts->sampled_out + counts->unknown_link_type + counts->no_interface);
	REQUIRE((way->filter || !counts->filtered) && (way->sample_below || !counts->sampled_out));
	outcome->interfaces = hw_capture_interfaces(capture);
	for (uint32_t i = 0; i < outcome->interfaces && i < NAMES; i++)
		snprintf(outcome->names[i], 64, "%s", hw_capture_interface_name(capture, i));
	for (size_t i = 0; i < outcome->count; i++) {
		const struct hw_packet *row = &outcome->rows[i];

		REQUIRE(row->interface < outcome->interfaces && row->ts <= INT64_MAX && row->hook == HW_HOOK_capture);
		check_row(row);
	}
	if (way->writer) /* a frame of several packets is written once */
		REQUIRE(hw_pcapng_writer_made(way->writer) <= counts->as_row &&
			hw_pcapng_writer_made(way->writer) + counts->further >= counts->as_row);
}

/* Of the octets only those can be read that were handed over and not consumed. */
static struct outcome decode(const uint8_t *data, size_t size, const struct way *way, struct file *file)
{
	struct hw_capture *capture = hw_capture_new();
	struct outcome outcome = {.rows = malloc(sizeof(struct hw_packet))};
	struct hw_packet *rows = malloc(way->capacity * sizeof(*rows));
	uint8_t *octets = malloc(size + 1);
	size_t at = 0, given = 0, made, consumed;
	enum hw_capture_status status = HW_CAPTURE_more;

	REQUIRE(capture && rows && octets && outcome.rows);
	memcpy(octets, data, size);
	ASAN_POISON_MEMORY_REGION(octets, size + 1);
	hw_capture_verify(capture);
	if (way->writer)
		hw_capture_write(capture, way->writer, "unnamed");
	if (way->filter)
		hw_capture_choose(capture, way->filter, way->sample_below, way->filter == &FILTERS[1]);
	while (status != HW_CAPTURE_bad && (status != HW_CAPTURE_more || given < size)) {
		if (status == HW_CAPTURE_more)
			given = size - given < way->piece ? size : given + way->piece;
		ASAN_UNPOISON_MEMORY_REGION(octets + at, given - at);
		status = hw_capture_decode(capture, octets + at, given - at, rows, sizeof(*rows), way->capacity, &made, &consumed);
		REQUIRE(consumed <= given - at && made <= way->capacity);
		REQUIRE(status != HW_CAPTURE_full || made == way->capacity || (way->writer && hw_pcapng_writer_full(way->writer)));
		if (status == HW_CAPTURE_described) {
			REQUIRE(way->filter == &FILTERS[1]);
			hw_capture_call(capture, hw_capture_interfaces(capture) - 1, 7 + (hw_capture_interfaces(capture) - 1) % 2);
		}
		keep_rows(&outcome, rows, made);
		if (way->writer)
			take(file, way->writer, way->loses && made % 2);
		ASAN_POISON_MEMORY_REGION(octets + at, consumed);
		at += consumed;
	}
	finish(capture, way, octets + at, given - at, &outcome);
	ASAN_UNPOISON_MEMORY_REGION(octets, size + 1);
	free(octets);
	free(rows);
	hw_capture_free(capture);
	return outcome;
}

/* Whether it is the row of that packet; `cut`: after the packet was cut behind its headers. */
static int is_of(const struct hw_packet *row, struct hw_packet packet, int cut)
{
	if (cut && row->captured < packet.captured) {
		packet.captured = row->captured;
		packet.weird = row->weird;
	}
	return !memcmp(row, &packet, sizeof(packet));
}

/* These are rows of packets of `whole`, in their order. */
static void check_among(const struct outcome *some, const struct outcome *whole, int cut)
{
	size_t at = 0;

	for (size_t i = 0; i < some->count; i++, at++) {
		while (at < whole->count && !is_of(&some->rows[i], whole->rows[at], cut))
			at++;
		REQUIRE(at < whole->count);
	}
}

/* The writer's file is a capture of those packets that it wrote. */
static void check_file(struct file *file, struct hw_pcapng_writer *writer, const struct outcome *whole, int cut)
{
	struct outcome written;

	hw_pcapng_writer_end(writer);
	take(file, writer, 0);
	written = decode(file->octets, file->size, &(struct way){.piece = file->size, .capacity = 64}, NULL);
	REQUIRE(!written.ended && written.interfaces == whole->interfaces);
	REQUIRE(written.counts.seen == hw_pcapng_writer_written(writer));
	REQUIRE(written.counts.seen + file->dropped == hw_pcapng_writer_made(writer));
	for (uint32_t i = 0; i < written.interfaces && i < NAMES; i++)
		REQUIRE(!strcmp(written.names[i], FUZZ_PCAPNG ? whole->names[i] : "unnamed"));
	REQUIRE(written.counts.lost_before == whole->counts.lost_before + file->dropped || whole->counts.lost_before > INT64_MAX);
	check_among(&written, whole, cut);
	free(file->octets);
	free(written.rows);
	hw_pcapng_writer_free(writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file file = {}, part = {};
	struct outcome whole, pieces, some;
	struct way at_once = {.piece = size, .capacity = 64}, by_piece, choosing;
	size_t kept = 0;

	if (size < 4 || (memcmp(data, "\x0a\x0d\x0d\x0a", 4) == 0) != FUZZ_PCAPNG)
		return 0;
	by_piece = (struct way){.piece = 1 + data[size / 2] % 97, .capacity = 1 + size % 3};
	at_once.writer = hw_pcapng_writer_new("fuzz", size & 1);
	whole = decode(data, size, &at_once, &file);
	pieces = decode(data, size, &by_piece, NULL);
	REQUIRE(whole.count == pieces.count && !memcmp(whole.rows, pieces.rows, whole.count * sizeof(*whole.rows)));
	REQUIRE(!memcmp(&whole.counts, &pieces.counts, sizeof(whole.counts)) && !strcmp(whole.problem, pieces.problem));
	check_file(&file, at_once.writer, &whole, size & 1);

	choosing = by_piece;
	choosing.filter = &FILTERS[size / 2 & 1];
	choosing.sample_below = data[size / 3] & 1 ? 1u << 31 : 0;
	choosing.loses = 1;
	choosing.writer = hw_pcapng_writer_new("fuzz", size & 1);
	some = decode(data, size, &choosing, &part);
	for (size_t i = 0; i < whole.count; i++)
		kept += keeps(choosing.filter, &whole.rows[i]);
	REQUIRE(some.counts.seen == whole.counts.seen && !strcmp(some.problem, whole.problem));
	REQUIRE(some.counts.filtered == whole.count - kept && some.count + some.counts.sampled_out == kept);
	check_among(&some, &whole, 0);
	check_file(&part, choosing.writer, some.counts.further ? &whole : &some, size & 1); /* a frame is written with all its packets */
	free(whole.rows);
	free(pieces.rows);
	free(some.rows);
	return 0;
}

#pragma clang attribute pop

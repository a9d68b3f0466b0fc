/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capture decoder against hostile octets: whatever they are, they are decoded without a fault, the counts add up, and the rows do
 * not depend on how the octets were cut into pieces. What the writer makes of the packets is a capture of as many.
 *
 * With libFuzzer (Debian: clang and libclang-rt-14-dev), from the repository's root:
 *   clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Inative tests/fuzz/fuzz_capture.c \
 *     native/capture.c native/link.c native/pcap.c native/pcapng.c native/pcapng_writer.c -o fuzz_capture
 *   ./fuzz_capture -max_total_time=120 -max_len=8192 -rss_limit_mb=1024 NEW_CORPUS SEEDS
 * Without it (-DHW_MAIN and any compiler's sanitizers): each file named is decoded as it is, and then `rounds` times with octets changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "headwater.h"

#define REQUIRE(condition)                                                                                                                 \
	do {                                                                                                                               \
		if (!(condition)) {                                                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                    \
			abort();                                                                                                           \
		}                                                                                                                          \
	} while (0)

#define MOST_ROWS 64

struct outcome {
	uint64_t rows;
	uint64_t digest;
	struct hw_capture_counts counts;
	int ended;
	char problem[256];
};

static uint64_t mix(uint64_t digest, const void *data, size_t size)
{
	const uint8_t *octets = data;

	for (size_t i = 0; i < size; i++)
		digest = (digest ^ octets[i]) * 0x100000001b3ull;
	return digest;
}

/* Octets that were written away. */
struct file {
	uint8_t *octets;
	size_t size;
};

static void take(struct file *file, struct hw_pcapng_writer *writer)
{
	const void *octets;
	size_t size;

	octets = hw_pcapng_writer_octets(writer, &size);
	REQUIRE(hw_pcapng_writer_part(writer, size) == size);
	file->octets = realloc(file->octets, file->size + size + 1);
	REQUIRE(file->octets);
	memcpy(file->octets + file->size, octets, size);
	file->size += size;
	hw_pcapng_writer_wrote(writer, size);
	REQUIRE(!hw_pcapng_writer_full(writer));
}

/* Decode `size` octets, handed over in pieces of `piece` octets and `capacity` rows at a time, each in memory of exactly its size. */
static struct outcome decode(const uint8_t *data, size_t size, size_t piece, size_t capacity, struct hw_pcapng_writer *writer,
			     struct file *file)
{
	struct hw_capture *capture = hw_capture_new();
	struct outcome outcome = {.digest = 0xcbf29ce484222325ull};
	struct hw_packet *rows = malloc(capacity * sizeof(*rows));
	size_t given = 0, left = 0, made, consumed;
	enum hw_capture_status status = HW_CAPTURE_more;
	uint8_t *buffer = NULL;

	REQUIRE(capture && rows);
	if (writer)
		hw_capture_write(capture, writer, "unnamed");
	while (status != HW_CAPTURE_bad && (status == HW_CAPTURE_full || given < size)) {
		size_t more = status == HW_CAPTURE_full ? 0 : size - given < piece ? size - given : piece;
		uint8_t *next = malloc(left + more ? left + more : 1);

		REQUIRE(next);
		if (left)
			memcpy(next, buffer, left);
		memcpy(next + left, data + given, more);
		free(buffer);
		buffer = next;
		given += more;
		left += more;
		status = hw_capture_decode(capture, buffer, left, rows, sizeof(*rows), capacity, &made, &consumed);
		REQUIRE(consumed <= left && made <= capacity);
		REQUIRE(status != HW_CAPTURE_full || made == capacity || (writer && hw_pcapng_writer_full(writer)));
		if (writer)
			take(file, writer);
		outcome.rows += made;
		outcome.digest = mix(outcome.digest, rows, made * sizeof(*rows));
		for (size_t i = 0; i < made; i++)
			REQUIRE(rows[i].interface < hw_capture_interfaces(capture) && rows[i].ts <= INT64_MAX);
		left -= consumed;
		memmove(buffer, buffer + consumed, left);
		REQUIRE(status == HW_CAPTURE_bad || left <= HW_CAPTURE_LARGEST + piece);
	}
	outcome.ended = hw_capture_finish(capture, buffer ? (const void *)buffer : "", left);
	snprintf(outcome.problem, sizeof(outcome.problem), "%s", hw_capture_problem(capture));
	REQUIRE(!outcome.ended == !outcome.problem[0] && !strchr(outcome.problem, '\n'));
	hw_capture_counts_of(capture, &outcome.counts);
	REQUIRE(outcome.counts.as_row == outcome.rows);
	REQUIRE(outcome.counts.seen == outcome.counts.as_row + outcome.counts.unknown_link_type + outcome.counts.no_interface);
	for (uint32_t i = 0; i < hw_capture_interfaces(capture); i++)
		REQUIRE(strlen(hw_capture_interface_name(capture, i)) < 64);
	free(buffer);
	free(rows);
	hw_capture_free(capture);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_pcapng_writer *writer = hw_pcapng_writer_new("fuzz", size & 1);
	struct file file = {};
	struct outcome whole = decode(data, size, size ? size : 1, MOST_ROWS, writer, &file);
	struct outcome pieces = decode(data, size, size ? 1 + data[size / 2] % 97 : 1, 1 + size % 3, NULL, NULL);
	struct outcome written;

	REQUIRE(hw_pcapng_writer_made(writer) == whole.rows && hw_pcapng_writer_written(writer) == whole.rows);
	hw_pcapng_writer_end(writer);
	take(&file, writer);
	written = decode(file.octets, file.size, file.size, MOST_ROWS, NULL, NULL);
	REQUIRE(!written.ended && written.rows == whole.rows);
	free(file.octets);
	hw_pcapng_writer_free(writer);
	REQUIRE(whole.rows == pieces.rows && whole.digest == pieces.digest && whole.ended == pieces.ended);
	REQUIRE(!memcmp(&whole.counts, &pieces.counts, sizeof(whole.counts)) && !strcmp(whole.problem, pieces.problem));
	return 0;
}

#ifdef HW_MAIN
static uint64_t state = 0x9e3779b97f4a7c15ull;

static uint32_t pick(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) % below);
}

static void change(uint8_t *data, size_t size)
{
	static const uint32_t TELLING[] = {0, 1, 3, 12, 20, 32, 255, 0x7fff, 0xffff, 262144, 262145, 0x7fffffff, 0x80000000, 0xffffffff};

	for (uint32_t i = 1 + pick(4); i; i--) {
		size_t at = pick(pick(2) ? (uint32_t)size : size < 128 ? (uint32_t)size : 128);

		if (pick(2) && at + 4 <= size)
			memcpy(data + at, &TELLING[pick(sizeof(TELLING) / sizeof(TELLING[0]))], 4);
		else
			data[at] = (uint8_t)pick(256);
	}
}

int main(int count, char **names)
{
	static uint8_t seed[1 << 20], data[1 << 20];
	int rounds = count > 1 ? atoi(names[1]) : 0;

	for (int i = 2; i < count; i++) {
		FILE *file = fopen(names[i], "rb");
		size_t size;

		REQUIRE(file);
		size = fread(seed, 1, sizeof(seed), file);
		fclose(file);
		LLVMFuzzerTestOneInput(seed, size);
		for (int round = 0; size && round < rounds; round++) {
			size_t cut = 1 + pick((uint32_t)size);

			memcpy(data, seed, size);
			change(data, size);
			LLVMFuzzerTestOneInput(data, pick(4) ? size : cut);
		}
	}
	return 0;
}
#endif

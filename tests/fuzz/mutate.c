/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of captures that leave them captures: octets of one block or packet are changed, added or taken away, and the lengths around it
 * say so. Each fourth change is of any octets, lengths too. Without this a change of size ends a capture where it is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LONGEST 65536
#define MOST_PARTS 1024

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

/* What can be changed, and how far its length, which is told `told` octets before it, goes beyond it. */
struct part {
	size_t begin, size, told, beyond;
	bool swapped, is_block;
};

static uint32_t get32(const uint8_t *at, bool swapped)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return swapped ? __builtin_bswap32(value) : value;
}

static void put32(uint8_t *at, bool swapped, uint32_t value)
{
	value = swapped ? __builtin_bswap32(value) : value;
	memcpy(at, &value, 4);
}

static size_t find_packets(const uint8_t *data, size_t size, struct part *parts)
{
	bool swapped = data[0] == 0xa1;
	size_t count = 0, header = get32(data, swapped) == 0xa1b2cd34 ? 24 : 16;

	for (size_t at = 24; at + header <= size && count < MOST_PARTS; at += header + parts[count++].size) {
		uint32_t captured = get32(data + at + 8, swapped);

		if (captured > size - at - header)
			break;
		parts[count] = (struct part){at + header, captured, header - 8, 0, swapped, false};
	}
	return count;
}

static size_t find_blocks(const uint8_t *data, size_t size, struct part *parts)
{
	bool swapped = false;
	size_t count = 0;

	for (size_t at = 0; at + 12 <= size && count < MOST_PARTS; at += 12 + parts[count++].size) {
		uint32_t total;

		if (get32(data + at, false) == 0x0a0d0d0a)
			swapped = get32(data + at + 8, false) == 0x4d3c2b1a;
		total = get32(data + at + 4, swapped);
		if (total < 12 || total % 4 || total > size - at)
			break;
		parts[count] = (struct part){at + 8, total - 12, 4, 12, swapped, true};
	}
	return count;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
	static struct part parts[MOST_PARTS];
	static uint8_t changed[LONGEST];
	size_t count = 0, rest, now;
	struct part part;

	if (size >= 24 && most <= LONGEST && seed % 4)
		count = get32(data, false) == 0x0a0d0d0a ? find_blocks(data, size, parts) : find_packets(data, size, parts);
	if (!count)
		return LLVMFuzzerMutate(data, size, most);
	part = parts[seed / 4 % count];
	if (!(part.size + most - size))
		return LLVMFuzzerMutate(data, size, most);
	rest = size - part.begin - part.size;
	memcpy(changed, data + part.begin, part.size);
	now = LLVMFuzzerMutate(changed, part.size, part.size + most - size);
	if (part.is_block)
		while (now % 4 && part.begin + now + rest < most)
			changed[now++] = 0;
	if (part.is_block)
		now &= ~(size_t)3;
	memmove(data + part.begin + now, data + part.begin + part.size, rest);
	memcpy(data + part.begin, changed, now);
	put32(data + part.begin - part.told, part.swapped, now + part.beyond);
	if (part.is_block)
		put32(data + part.begin + now, part.swapped, now + part.beyond);
	return part.begin + now + rest;
}

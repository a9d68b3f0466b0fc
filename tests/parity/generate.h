/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that no capture holds: long chains of tags, options and extension headers, mostly well formed, from a seeded generator. */
#ifndef GENERATE_H
#define GENERATE_H

#include <stdint.h>
#include <string.h>

#define GENERATE_ROOM 2048

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * bound >> 32);
}

static uint8_t *put(uint8_t *to, const void *octets, size_t size)
{
	memcpy(to, octets, size);
	return to + size;
}

static uint8_t *put_random(uint8_t *to, uint32_t size)
{
	while (size--)
		*to++ = (uint8_t)random_below(256);
	return to;
}

static uint8_t *put_u16(uint8_t *to, uint32_t value)
{
	*to++ = (uint8_t)(value >> 8);
	*to++ = (uint8_t)value;
	return to;
}

/* A list of options of `size` octets. One in sixteen has a length that is wrong. */
static uint8_t *put_options(uint8_t *to, uint32_t size, const uint8_t (*kinds)[2], uint32_t count)
{
	uint8_t *stop = to + size;

	while (to < stop) {
		uint32_t pick = random_below(count), length = kinds[pick][1];

		if (length < 2 || length > (uint32_t)(stop - to)) {
			*to++ = random_below(4) ? 1 : 0;
			continue;
		}
		*to = kinds[pick][0];
		to[1] = (uint8_t)(random_below(16) ? length : random_below(12));
		put_random(to + 2, length - 2);
		to += length;
	}
	return stop;
}

static uint8_t *put_transport(uint8_t *to, uint8_t proto, uint32_t payload)
{
	static const uint8_t kinds[][2] = {{1, 1},  {2, 4},   {3, 3},	{4, 2},	  {5, 10}, {5, 18},
					   {8, 10}, {19, 18}, {30, 12}, {34, 10}, {254, 6}};
	uint32_t words = random_below(11);

	if (proto == 6) {
		to = put_random(to, 12);
		*to++ = (uint8_t)((random_below(16) ? 5 + words : random_below(16)) << 4 | random_below(2));
		to = put_random(to, 7);
		to = put_options(to, words * 4, kinds, sizeof(kinds) / 2);
	} else if (proto == 17) {
		to = put_random(to, 4);
		to = put_u16(to, random_below(8) ? payload + 8 : random_below(65536));
		to = put_random(to, 2);
	} else if (proto == 1 || proto == 58) {
		to = put_random(to, 8);
	}
	return put_random(to, payload);
}

static uint8_t *put_ipv4(uint8_t *to)
{
	static const uint8_t kinds[][2] = {{1, 1}, {7, 11}, {68, 12}, {131, 7}, {137, 11}, {148, 4}, {130, 11}, {134, 6}, {25, 8}, {94, 2}};
	static const uint8_t protos[] = {1, 6, 17, 47, 58, 132, 253};
	uint32_t words = random_below(4) ? 0 : random_below(11), payload = random_below(2) * random_below(64);
	uint8_t *ip = to, proto = protos[random_below(sizeof(protos))];

	to = put_random(to, 20);
	ip[0] = (uint8_t)(0x45 + words);
	ip[9] = proto;
	if (random_below(4))
		put_u16(ip + 6, random_below(2) << 14);
	to = put_options(to, words * 4, kinds, sizeof(kinds) / 2);
	to = put_transport(to, proto, payload);
	put_u16(ip + 2, random_below(16) ? (uint32_t)(to - ip) : random_below(2) * random_below(65536));
	return to;
}

static uint8_t *put_ipv6(uint8_t *to)
{
	static const uint8_t extensions[] = {0, 43, 44, 51, 60, 60, 135, 139, 140};
	static const uint8_t protos[] = {6, 17, 58, 59, 132};
	uint32_t chain = random_below(3) ? random_below(4) : random_below(13), payload = random_below(2) * random_below(64);
	uint8_t *ip = to, *next = ip + 6, proto = protos[random_below(sizeof(protos))];

	to = put_random(to, 40);
	ip[0] = (uint8_t)(0x60 | random_below(16));
	while (chain--) {
		uint8_t kind = extensions[random_below(sizeof(extensions))];
		uint32_t units = random_below(4) ? 0 : random_below(12);
		uint8_t *header = to;

		*next = kind;
		next = header;
		to = put_random(to, kind == 51 ? 12 + units * 4 : kind == 44 ? 8 : 8 + units * 8);
		header[1] = (uint8_t)(kind == 51 ? 1 + units : units);
		if (kind == 44 && random_below(2))
			put_u16(header + 2, random_below(2));
		if (kind == 0 && !random_below(4))
			put(header + 2, random_below(4) ? "\xc2\x04\x00\x00\x00" : "\xc2\x04\xff\xff\xff", 3 + random_below(3));
	}
	*next = proto;
	to = put_transport(to, proto, payload);
	put_u16(ip + 4, random_below(16) ? (uint32_t)(to - ip - 40) : random_below(2) * random_below(65536));
	return to;
}

/* A frame in `to` (GENERATE_ROOM octets). Returns its size. */
static uint32_t generate(uint8_t *to)
{
	static const uint16_t tags[] = {0x8100, 0x88a8, 0x9100};
	uint8_t *at = put_random(to, 12);
	uint32_t count = random_below(2) ? 0 : random_below(6);

	while (count--)
		at = put_random(put_u16(at, tags[random_below(3)]), 2);
	switch (random_below(16)) {
	case 0:
		at = put(at, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10);
		at = put_random(at, 20);
		break;
	case 1:
		at = put_random(put_u16(at, random_below(1600)), 46);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		at = put_ipv4(put_u16(at, 0x0800));
		break;
	default:
		at = put_ipv6(put_u16(at, 0x86dd));
	}
	return (uint32_t)(put_random(at, random_below(4) ? 0 : random_below(20)) - to);
}

#endif

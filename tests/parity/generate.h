/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that no capture holds: long chains of tags, options, extension headers and tunnels, mostly well formed, from a seeded generator. */
#ifndef GENERATE_H
#define GENERATE_H

#include <stdint.h>
#include <string.h>

#define GENERATE_ROOM 16384 /* what six tunnels can take */
#define GENERATE_MOST 9000
#define GENERATE_DEPTH 6

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

static uint8_t *put_u32(uint8_t *to, uint32_t value)
{
	return put_u16(put_u16(to, value >> 16), value);
}

static uint8_t *put_frame(uint8_t *to, uint32_t depth);
static uint8_t *put_wlan(uint8_t *to, uint32_t depth);
static uint8_t *put_ipv4(uint8_t *to, uint32_t depth);
static uint8_t *put_ipv6(uint8_t *to, uint32_t depth);

static uint8_t *put_ip(uint8_t *to, uint32_t depth)
{
	return random_below(2) ? put_ipv4(to, depth) : put_ipv6(to, depth);
}

/* What the Ethernet type `type` announces. */
static uint8_t *put_typed(uint8_t *to, uint32_t type, uint32_t depth)
{
	uint8_t *header = to;
	uint32_t count;

	if (type >> 9 == 0x8200 >> 9)
		return put_wlan(to, depth);
	switch (type) {
	case 0x0800:
		return put_ipv4(to, depth);
	case 0x86dd:
		return put_ipv6(to, depth);
	case 0x0806:
	case 0x8035:
		return put_random(put(to, "\x00\x01\x08\x00\x06\x04\x00\x01", 8), 20);
	case 0x6558:
		return put_frame(to, depth);
	case 0x8847:
	case 0x8848:
		for (count = random_below(4); count--;)
			to = put_u32(to, random_below(0xffffff) << 8 & ~0x100u);
		to = put_u32(to, random_below(0xffffff) << 8 | 0x100);
		if (random_below(4))
			return put_ip(to, depth);
		if (random_below(2))
			return put_frame(put_u32(to, random_below(4) ? random_below(65536) : random_below(1 << 30)), depth);
		header = to;
		to = put_frame(to, depth);
		if (random_below(2))
			memset(header, 0, 2);
		return to;
	case 0x8864:
		to = put_u32(put(to, "\x11\x00", 2), random_below(65536) << 16);
		to = put_ip(random_below(2) ? put(to, "\x00\x21", 2) : put(to, random_below(2) ? "\x21" : "\x57", 1), depth);
		put_u16(header + 4, random_below(8) ? (uint32_t)(to - header - 6) : random_below(200));
		return to;
	case 0x880b:
		if (random_below(2))
			to = put(to, "\xff\x03", 2);
		switch (random_below(8)) {
		case 0:
			return put_random(to, 20);
		case 1:
			return put_typed(put_u16(to, random_below(2) ? 0x0281 : 0x0283), 0x8847, depth);
		default:
			return put_ip(put(to, random_below(2) ? "\x00\x21" : "\x00\x57", 2), depth);
		}
	case 0x88e7:
		return put_frame(put_random(to, 4), depth);
	case 0x894f:
		count = random_below(4);
		to = put_random(put_u16(put_u16(to, 2 + count), 0x0100 | (1 + random_below(5))), 4 + 4 * count);
		return header[3] == 3 ? put_frame(to, depth) : put_ip(to, depth);
	case 0x88be:
		if (!random_below(2))
			return put_frame(to, depth);
		return put_frame(put_random(put_u16(to, 0x1000 | random_below(4096)), 6), depth);
	case 0x22eb:
		to = put_random(put_u16(to, random_below(8) ? 0x2000 | random_below(4096) : random_below(65536)), 10);
		header[10] = (uint8_t)(random_below(3) << 3 | random_below(4));
		return (header[10] >> 3 & 1 ? put_ip : put_frame)(header[11] & 1 ? put_random(to, 8) : to, depth);
	case 0x883e:
		return put_ipv4(random_below(2) ? to : put_random(to, 4), depth);
	default:
		return put_random(to, random_below(60));
	}
}

static const uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x8035, 0x6558, 0x8847, 0x8848, 0x8864, 0x8863,
				 0x880b, 0x88e7, 0x894f, 0x88be, 0x22eb, 0x883e, 0x0800, 0x86dd, 0x9999};

static uint8_t *put_gre(uint8_t *to, uint32_t depth)
{
	uint32_t type = types[random_below(sizeof(types) / 2)], flags = random_below(8) << 12 | random_below(2) << 15;

	if (!random_below(4)) {
		flags = 0x2001 | random_below(2) << 12 | random_below(2) << 7;
		type = random_below(8) ? 0x880b : type;
	} else if (!random_below(16)) {
		flags |= random_below(8);
	} else if (!random_below(8)) {
		type = 0x8200 | random_below(32) << 4 | !random_below(8);
	}
	to = put_u16(put_u16(to, flags), type);
	if (flags & 0xc000)
		to = put_random(to, 4);
	if (flags & 0x2000)
		to = put_random(to, 4);
	if (flags & 0x1000)
		to = put_random(to, 4);
	if (flags & 0x81 && flags & 0x80)
		to = put_random(to, 4);
	if (flags & 0x4000) {
		uint32_t routes = random_below(10);

		while (routes--) {
			to = put_u32(to, 0x08000004);
			to = put_random(to, 4);
		}
		to = put_u32(to, 0);
	}
	return put_typed(to, type, depth);
}

/* A datagram's payload that `port` announces. */
static uint8_t *put_datagram(uint8_t *to, uint32_t port, uint32_t depth)
{
	uint8_t *header = to;
	uint32_t count, type;

	switch (port) {
	case 4789:
	case 8472:
	case 4790:
		to = put_random(to, 8);
		header[0] = (uint8_t)(random_below(8) ? 0x08 | random_below(2) << 2 : random_below(256));
		header[3] = (uint8_t)(1 + random_below(5));
		if (!random_below(8))
			return to;
		return port == 4790 && header[3] < 3 ? put_ip(to, depth) : put_frame(to, depth);
	case 6081:
		count = random_below(4) ? random_below(4) : random_below(64);
		type = types[random_below(sizeof(types) / 2)];
		to = put_random(put_u16(put_u16(to, count << 8), type), 4 + 4 * count);
		if (!random_below(8))
			header[0] |= (uint8_t)(random_below(4) << 6);
		return random_below(8) ? put_typed(to, type, depth) : to;
	case 2152:
		*to++ = (uint8_t)(0x30 | (random_below(2) ? random_below(8) : 0));
		to = put_random(put(to, "\xff", 1), 6);
		if (header[0] & 7) {
			to = put_random(to, 4);
			to[-1] = (uint8_t)random_below(3);
			for (count = 0; to[-1] && header[0] & 4 && count < 6; count++) {
				uint32_t words = 1 + random_below(2);

				*to = (uint8_t)words;
				to = put_random(to + 1, words * 4 - 1);
				to[-1] = (uint8_t)random_below(2);
			}
		}
		return put_ip(to, depth);
	case 1701:
		count = random_below(2) << 14 | random_below(2) << 11 | random_below(2) << 9;
		to = put_u16(to, count | (random_below(8) ? 2 : random_below(16)) | (random_below(8) ? 0 : 0x8000));
		to = put_random(to, (count & 0x4000 ? 6u : 4u) + (count & 0x0800 ? 4u : 0u));
		if (count & 0x0200) {
			uint32_t skip = random_below(20);

			to = put_random(put_u16(to, skip), skip);
		}
		return put_typed(to, 0x880b, depth);
	case 3544:
		if (random_below(2)) {
			uint32_t id = random_below(8), authentication = random_below(8);

			to = put_random(put_u16(put_u16(to, 1), id << 8 | authentication), 9 + id + authentication);
		}
		if (random_below(2))
			to = put_random(put_u16(to, 0), 6);
		return put_ipv6(to, depth);
	case 5072:
		to = put_random(put(to, random_below(8) ? "\x44\x52\x11" : "\x24\x32\x12", 3), 5);
		header[3] = random_below(8) ? 41 : 59;
		to = put_random(to, (1u << (header[0] >> 4)) + (header[1] >> 4) * 4u);
		return random_below(8) ? put_ipv6(to, depth) : to;
	case 4754:
		return put_gre(to, depth);
	case 6635:
		return put_typed(to, 0x8847, depth);
	case 4500:
		return put_random(random_below(4) ? to : put_u32(to, 0), random_below(30));
	default:
		if (random_below(4))
			return put_random(to, random_below(2) * random_below(64));
		to = put_ipv6(to, depth); /* Teredo by one of its addresses */
		put_u32(header + (random_below(2) ? 8 : 24), 0x20010000);
		return to;
	}
}

static const uint16_t ports[] = {4789, 4790, 8472, 6081, 2152, 1701, 3544, 5072, 4754, 6635, 4500, 53};

static uint8_t *put_transport(uint8_t *to, uint8_t proto, uint32_t depth)
{
	static const uint8_t kinds[][2] = {{1, 1},  {2, 4},   {3, 3},	{4, 2},	  {5, 10}, {5, 18},
					   {8, 10}, {19, 18}, {30, 12}, {34, 10}, {254, 6}};
	static const uint8_t errors[] = {0, 1, 2, 3, 4, 5, 8, 11, 12, 128, 133, 134, 135, 136};
	uint32_t words = random_below(11), port = ports[random_below(sizeof(ports) / 2)];
	uint8_t *header = to;

	switch (proto) {
	case 6:
		to = put_random(to, 12);
		*to++ = (uint8_t)((random_below(16) ? 5 + words : random_below(16)) << 4 | random_below(2));
		to = put_random(to, 7);
		to = put_options(to, words * 4, kinds, sizeof(kinds) / 2);
		break;
	case 17:
		to = put_random(to, 8);
		put_u16(header + (random_below(4) ? 2 : 0), port);
		to = put_datagram(to, port, depth);
		put_u16(header + 4, random_below(8) ? (uint32_t)(to - header) : random_below(65536));
		return to;
	case 1:
	case 58:
		to = put_random(to, 8);
		header[0] = errors[random_below(sizeof(errors))];
		header[1] = (uint8_t)random_below(6);
		if (proto == 58 && header[0] >= 133) {
			to = put_random(to, header[0] == 133 ? 0 : header[0] == 134 ? 8 : 16);
			for (words = random_below(12); words--;) {
				uint32_t units = random_below(8) ? 1 : random_below(4);
				uint8_t *option = to;

				to = put_random(to, units ? 8 * units : 2 + random_below(6));
				option[0] = (uint8_t)(random_below(4) ? 3 + random_below(4) : random_below(4));
				option[1] = (uint8_t)units;
			}
			return to;
		}
		if (random_below(2))
			put_u16(put_u16(header + 4, 0), random_below(2) * 1400);
		return random_below(4) ? put_ip(to, depth) : put_random(to, random_below(30));
	case 2:
		to = put_random(to, random_below(12));
		break;
	case 132:
		to = put_random(to, 12 + random_below(5));
		break;
	case 4:
		return put_ipv4(to, depth);
	case 41:
		return put_ipv6(to, depth);
	case 47:
		return put_gre(to, depth);
	case 51:
		*to++ = 6;
		*to++ = (uint8_t)(4 + random_below(2));
		to = put_random(to, 22 + 4 * (to[-1] - 4u));
		return put_transport(to, 6, depth);
	case 97:
		return put_frame(put_u16(to, random_below(8) ? 0x3000 : 0), depth);
	case 137:
		return put_typed(to, 0x8847, depth);
	case 143:
		return put_frame(to, depth);
	}
	return put_random(to, random_below(2) * random_below(64));
}

static const uint8_t protos[] = {1, 6, 17, 17, 17, 17, 47, 47, 58, 132, 2, 4, 41, 50, 51, 97, 137, 143, 253, 59};

/* Tunnels the more, the deeper: else few frames had more of them than a row takes. */
static uint8_t pick_proto(uint32_t depth)
{
	static const uint8_t plain[] = {1, 2, 6, 17, 50, 58, 132, 253};

	if (depth >= GENERATE_DEPTH)
		return 6;
	return random_below(4) > depth ? plain[random_below(sizeof(plain))] : protos[random_below(sizeof(protos))];
}

static uint8_t *put_ipv4(uint8_t *to, uint32_t depth)
{
	static const uint8_t kinds[][2] = {{1, 1}, {7, 11}, {68, 12}, {131, 7}, {137, 11}, {148, 4}, {130, 11}, {134, 6}, {25, 8}, {94, 2}};
	uint32_t words = random_below(4) ? 0 : random_below(11);
	uint8_t *ip = to, proto = pick_proto(depth);

	to = put_random(to, 20);
	ip[0] = (uint8_t)(0x45 + words);
	ip[9] = proto;
	if (random_below(4))
		put_u16(ip + 6, random_below(2) << 14);
	to = put_options(to, words * 4, kinds, sizeof(kinds) / 2);
	to = put_transport(to, proto, depth + 1);
	put_u16(ip + 2, random_below(16) ? (uint32_t)(to - ip) : random_below(2) * random_below(65536));
	return to;
}

/* Options of `size` octets for a destination, a home address among them. */
static void put_destination_options(uint8_t *to, uint32_t size)
{
	uint8_t *stop = to + size;

	while (to < stop) {
		uint32_t room = (uint32_t)(stop - to), length = random_below(2) ? 16 : random_below(5);

		to[0] = (uint8_t)(room >= 2 + length && random_below(4) ? length == 16 ? 0xc9 : 1 : 0);
		if (to[0])
			to[1] = (uint8_t)(random_below(16) ? length : random_below(20));
		to += to[0] ? 2 + length : 1;
	}
}

static uint8_t *put_ipv6(uint8_t *to, uint32_t depth)
{
	static const uint8_t extensions[] = {0, 43, 44, 51, 60, 60, 135, 139, 140};
	uint32_t chain = random_below(3) ? random_below(4) : random_below(13);
	uint8_t *ip = to, *next = ip + 6, proto = pick_proto(depth);

	to = put_random(to, 40);
	ip[0] = (uint8_t)(0x60 | random_below(16));
	while (chain--) {
		uint8_t kind = extensions[random_below(sizeof(extensions))];
		uint32_t units = random_below(4) ? kind == 43 || kind == 60 ? 2 * random_below(2) : 0 : random_below(12);
		uint8_t *header = to;

		*next = kind;
		next = header;
		to = put_random(to, kind == 51 ? 12 + units * 4 : kind == 44 ? 8 : 8 + units * 8);
		header[1] = (uint8_t)(kind == 51 ? 1 + units : units);
		if (kind == 43)
			put_u16(header + 2, random_below(4) << 8 | random_below(4));
		if (kind == 60 && random_below(2))
			put_destination_options(header + 2, 6 + units * 8);
		if (kind == 44 && random_below(2))
			put_u16(header + 2, random_below(2));
		if (kind == 0 && !random_below(32)) { /* a jumbogram that ends with the option that says so */
			put(put_u16(header, 59 << 8), "\xc2\x04\x00\x00\x00\x08", 6);
			put_u16(ip + 4, 0);
			return header + 8;
		}
		if (kind == 0 && !random_below(4))
			put(header + 2, random_below(4) ? "\xc2\x04\x00\x00\x00" : "\xc2\x04\xff\xff\xff", 3 + random_below(3));
	}
	*next = proto;
	to = put_transport(to, proto, depth + 1);
	put_u16(ip + 4, random_below(16) ? (uint32_t)(to - ip - 40) : random_below(2) * random_below(65536));
	return to;
}

/* LLC, and IP or what `type` announces. */
static uint8_t *put_llc(uint8_t *to, uint32_t type, uint32_t depth)
{
	switch (random_below(4)) {
	case 0:
		return put_random(to, 46);
	case 1:
		return put_ip(put(to, "\x06\x06\x03", 3), depth);
	default:
		to = put(to, random_below(8) ? "\xaa\xaa\x03\x00\x00\x00" : "\xaa\xaa\x03\x00\x00\xf8", 6);
		return put_typed(put_u16(to, type), type, depth);
	}
}

static uint8_t *put_frame(uint8_t *to, uint32_t depth)
{
	static const uint16_t tags[] = {0x8100, 0x88a8, 0x9100, 0x8926};
	uint32_t count = random_below(2) ? 0 : random_below(6), type;
	uint8_t *length;

	to = put_random(to, 12);
	if (!random_below(32))
		to = put_random(put_random(put_u16(to, 0x8903), 2), 12);
	while (count--) {
		type = tags[random_below(4)];
		to = put_random(put_u16(to, type), type == 0x8926 ? 4 : 2);
	}
	type = random_below(4) ? random_below(2) ? 0x0800 : 0x86dd : types[random_below(sizeof(types) / 2)];
	if (depth >= GENERATE_DEPTH)
		type = 0x0800;
	if (random_below(12))
		return put_typed(put_u16(to, type), type, depth + 1);
	length = to;
	to = put_llc(put_u16(to, random_below(1600)), type, depth + 1);
	if (random_below(4))
		put_u16(length, (uint32_t)(to - length - 2));
	return to;
}

/* IEEE 802.11, mostly data, of several frames in one if its quality of service says so. */
static uint8_t *put_wlan(uint8_t *to, uint32_t depth)
{
	uint8_t *header = to, *length;
	uint32_t type = random_below(2) ? 0x0800 : 0x86dd;

	to = put_random(to, 24);
	if (random_below(8))
		header[0] = (uint8_t)(0x08 | random_below(2) << 7);
	if (random_below(4))
		header[1] &= 0x83;
	if (random_below(8))
		header[22] &= 0xf0;
	if ((header[1] & 3) == 3)
		to = put_random(to, 6);
	if (header[0] & 0x80) {
		to = put_random(to, header[1] & 0x80 ? 6 : 2);
		length = to - (header[1] & 0x80 ? 6 : 2); /* where quality of service is */
		if (length[0] & 0x80) {
			to = put_random(to, 14);
			length = to - 2;
			to = put_llc(to, type, depth + 1);
			put_u16(length, random_below(8) ? (uint32_t)(to - length - 2) : random_below(200));
			return put_random(to, random_below(30));
		}
	}
	return put_llc(to, type, depth + 1);
}

/* A frame in `to` (GENERATE_ROOM octets). Returns its size. */
static uint32_t generate(uint8_t *to)
{
	uint8_t *at = put_frame(to, 0);
	uint32_t size = (uint32_t)(put_random(at, random_below(4) ? 0 : random_below(20)) - to);

	return size < GENERATE_MOST ? size : GENERATE_MOST;
}

/*
 * Frames that chance hardly makes: what lies in IPv4 with that protocol, to that port if it is UDP; or in IPv6, if it is ICMPv6 or an
 * extension header.
 */
static const struct {
	uint8_t proto;
	uint16_t port;
	uint32_t size;
	const char *octets;
} corners[] = {
	/* the last octet of the TCP header begins an option, whose length would be the payload's first */
	{6, 0, 26, "\0\0\0\0\0\0\0\0\0\0\0\0\x60\0\0\0\0\0\0\0\1\1\1\5\2\0"},
	/* a redirect, where a neighbour's option would be if it were an advertisement */
	{58, 0, 40, "\x89\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\2\0\0\0\0\1\0\0\0\0\0\0\0\0"},
	/* ERSPAN II, and III, and nothing behind it */
	{47, 0, 16, "\x10\0\x88\xbe\0\0\0\1\x10\0\0\7\0\0\0\0"},
	{47, 0, 20, "\x10\0\x22\xeb\0\0\0\1\x20\0\0\7\0\0\0\0\0\0\0\0"},
	/* ERSPAN III with something that is neither a frame nor IP */
	{47, 0, 34, "\x10\0\x22\xeb\0\0\0\1\x20\0\0\7\0\0\0\0\0\0\4\0TARGETSOURCE\x08\0"},
	/* VXLAN's extension that announces nothing, and VXLAN with a bit of no meaning */
	{17, 4790, 24, "\x0c\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\x45\0"},
	{17, 4790, 24, "\x09\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0\x45\0"},
	/* IPv4 in AYIYA */
	{17, 5072, 29, "\x04\x52\x11\4\0\0\0\0\0\x45\0\0\x14\0\0\0\0\x40\xfd\0\0\1\2\3\4\5\6\7\x08"},
	/* a home address that ends with all, behind a piece of padding; behind seven, the most; and one that its header has no room for */
	{60, 0, 24, "\x3b\2\1\2\0\0\xc9\x10HOME ADDRESS 16."},
	{60, 0, 32, "\x3b\3\0\0\0\0\0\0\0\xc9\x10HOME ADDRESS 16.\1\3\0\0\0"},
	{60, 0, 32, "\x3b\2\1\3\0\0\0\xc9\x10HOME ADDRESS 16.\0\0\0\0\0\0\0"},
	/* the last address of a Routing header, which ends with all */
	{43, 0, 24, "\x3b\2\2\1\0\0\0\0LAST ADDRESS 16."},
	/* Teredo at another port than its own, of an IPv6 header alone */
	{17, 53, 40, "\x60\0\0\0\0\0\x3b\x40\x20\1\0\0SOMEBODYS012\x20\2\0\0SOMEBODYS012"},
	/* L2TP and nothing behind it, without an offset, and with one */
	{17, 1701, 6, "\0\2\0\1\0\1"},
	{17, 1701, 8, "\2\2\0\1\0\1\0\0"},
	/* NSH, a tunnel in one that IP carries, with IPv4 */
	{17, 4790, 36, "\x0c\0\0\4\0\0\1\0\0\2\1\1\0\0\1\xff\x45\0\0\x14\0\0\0\0\x40\xfd\0\0\1\2\3\4\5\6\7\x08"},
	/* IEEE 802.11 in GRE: its header alone; with four addresses, IPv4 behind its length alone; with quality of service, and two frames in one */
	{47, 0, 28, "\0\0\x82\0\x48\1\0\0RECEIVSENDERTARGET\0\0"},
	{47, 0, 37, "\0\0\x82\0\x08\3\0\0RECEIVSENDERTARGET\0\0SOURCE\6\6\3"},
	{47, 0, 40, "\0\0\x83\xf0\x88\x83\0\0RECEIVSENDERTARGET\0\0SOURCE\0\0\0\0\0\0"},
	{47, 0, 47, "\0\0\x82\0\x88\1\0\0RECEIVSENDERTARGET\0\0\x80\0TARGETSOURCE\0\3\6\6\3"},
	/* IEEE 802.11 in GRE: of a control frame its first octets, all of them, and too few to tell */
	{47, 0, 6, "\0\0\x82\0\xd4\0"},
	{47, 0, 5, "\0\0\x82\0\xd4"},
	/* TCP's header in pieces, of which this has eight octets, or sixteen */
	{44, 0, 16, "\6\0\0\1\0\0\0\1\0\x50\1\2SEQ."},
	{44, 0, 24, "\6\0\0\1\0\0\0\1\0\x50\1\2SEQ.ACK.\x50\2WI"},
	/* as many AHs as are read */
	{51, 0, 120,
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x33\1\0\0\0\0\0\1\0\0\0\0"
	 "\x3b\1\0\0\0\0\0\1\0\0\0\0"},
};
#define CORNERS (sizeof(corners) / sizeof(*corners))

/* The `which`th of them. Returns its size. */
static uint32_t make_corner(uint8_t *to, uint32_t which)
{
	uint32_t size = corners[which].size + (corners[which].port ? 8 : 0);
	uint8_t *at = to + 14, proto = corners[which].proto;

	memset(to, 0, 14 + 40 + 8);
	if (proto == 58 || proto == 43 || proto == 44 || proto == 60) {
		put_u16(to + 12, 0x86dd);
		put_u16(put(at, "\x60\0\0\0", 4), size);
		at[6] = proto;
		at[7] = 0xff;
		at += 40;
	} else {
		put_u16(to + 12, 0x0800);
		put_u16(put(at, "\x45\0", 2), 20 + size);
		put(at + 8, "\x40", 1);
		at[9] = proto;
		at += 20;
	}
	if (corners[which].port)
		at = put(put_u16(put_u16(at + 2, corners[which].port), size), "\0\0", 2);
	return (uint32_t)(put(at, corners[which].octets, corners[which].size) - to);
}

/* Headers that end where the parser's window does, behind MAC in MAC, a tag, PPPoE, and IPv6 options of `units` times 8 octets. */
static const struct {
	uint8_t pbb, vlan, pppoe, units, proto;
	uint16_t port;
	uint32_t size;
	const char *octets;
} edges[] = {
	{1, 1, 0, 20, 17, 2152, 14, "\x32\xff\0\6\0\0\0\1\0\0\0\0\x45\0"},	       /* GTP-U with a sequence number, */
	{1, 0, 0, 20, 17, 2152, 18, "\x34\xff\0\x0a\0\0\0\1\0\0\0\x85\1\0\0\0\x45\0"}, /* and with an extension */
	{1, 0, 0, 21, 17, 2152, 14, "\x30\1\0\6\0\0\0\1\0\0\0\0\0\0"}, /* a message of GTP-U, and an extension of no length */
	{1, 0, 0, 20, 17, 2152, 18, "\x34\xff\0\x0a\0\0\0\1\0\0\0\x85\0\0\0\0\x45\0"},
	{1, 1, 0, 20, 17, 2152, 14, "\x34\xff\0\6\0\0\0\1\0\0\0\x85\1\0"}, /* an extension that is announced, and cut */
	{0, 1, 0, 23, 17, 1701, 10, "\0\2\0\1\0\1\0\x21\x45\0"},	   /* L2TP, */
	{1, 0, 0, 21, 17, 1701, 12, "\2\2\0\1\0\1\0\0\0\x21\x45\0"},	   /* and with an offset */
	{1, 0, 0, 21, 17, 5072, 9, "\4\2\x11\4\0\0\0\0\0"},		   /* AYIYA and nothing behind it */
	{1, 1, 1, 21, 47, 0, 6, "\0\0\x88\x3e\0\0"},			   /* WCCP in GRE */
	{0, 1, 0, 23, 17, 3544, 46, "\x45\0\0\0\0\0"},			   /* no Teredo: six octets tell it; */
	{1, 1, 0, 21, 17, 3544, 46, "\x45\0\0\0\0\0"},			   /* no Teredo, and what would be some elsewhere */
	{1, 1, 0, 21, 17, 53, 46, "\x60\0\0\0\0\6\x3b\x40\x20\1\0\0"},
};
#define EDGES (sizeof(edges) / sizeof(*edges))

/* The `which`th of them. Returns its size. */
static uint32_t make_edge(uint8_t *to, uint32_t which)
{
	uint32_t options = 8u * edges[which].units, size = edges[which].size + (edges[which].port ? 8 : 0);
	uint8_t *at = to + 12;

	memset(to, 0, 512);
	if (edges[which].pbb)
		at = put_u16(at, 0x88e7) + 4 + 12;
	if (edges[which].vlan)
		at = put_u16(put_u16(at, 0x8100), 5);
	at = put_u16(at, edges[which].pppoe ? 0x8864 : 0x86dd);
	if (edges[which].pppoe)
		at = put(put_u16(put(at, "\x11\0\0\1", 4), 1 + 40 + options + size), "\x57", 1);
	put(put_u16(put(at, "\x60\0\0\0", 4), options + size), "\x3c\x40", 2);
	at += 40;
	at[0] = edges[which].proto;
	at[1] = (uint8_t)(edges[which].units - 1);
	at += options;
	if (edges[which].port)
		at = put(put_u16(put_u16(at + 2, edges[which].port), size), "\0\0", 2);
	return (uint32_t)(put(at, edges[which].octets, edges[which].size) - to);
}

#endif

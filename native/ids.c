/* SPDX-License-Identifier: Apache-2.0 */
/* The community id of a flow, a name that others compute too. Our own is in bpf/flow_uid.h. */
#include <string.h>

#include "flow_ids.h"

/* -- SHA-1 of at most 55 octets: one block (FIPS 180-4) ------------------------------------------------------------------------ */

static uint32_t left(uint32_t word, int bits)
{
	return word << bits | word >> (32 - bits);
}

/* Unrolled, five words only change their names from one round to the next: a quarter of the time. */
#define ROUNDS(from, f, k)                                                                                                                 \
	_Pragma("GCC unroll 20") for (int i = from; i < from + 20; i++)                                                                    \
	{                                                                                                                                  \
		if (i >= 16)                                                                                                               \
			w[i & 15] = left(w[(i - 3) & 15] ^ w[(i - 8) & 15] ^ w[(i - 14) & 15] ^ w[i & 15], 1);                             \
		next = left(a, 5) + (f) + e + k + w[i & 15];                                                                               \
		e = d, d = c, c = left(b, 30), b = a, a = next;                                                                            \
	}

static void sha1(const uint8_t *octets, size_t size, uint8_t digest[20])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, w[16], a, b, c, d, e, next;
	uint8_t block[64] = {0};

	memcpy(block, octets, size);
	block[size] = 0x80;
	block[62] = size * 8 >> 8;
	block[63] = size * 8;
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
	a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	ROUNDS(0, (b & c) | (~b & d), 0x5a827999)
	ROUNDS(20, b ^ c ^ d, 0x6ed9eba1)
	ROUNDS(40, (b & c) | (b & d) | (c & d), 0x8f1bbcdc)
	ROUNDS(60, b ^ c ^ d, 0xca62c1d6)
	h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
	for (int i = 0; i < 20; i++)
		digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static int is_v4(const uint8_t *addr)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return !memcmp(addr, mapped, sizeof(mapped));
}

/* https://github.com/corelight/community-id-spec, version 1. The key has the lower endpoint first, but that of one way keeps its order. */
void hw_community_id_of(const struct hw_flow_key *key, uint16_t seed, uint8_t digest[20])
{
	int has_ports = key->proto == 1 || key->proto == 6 || key->proto == 17 || key->proto == 58 || key->proto == 132;
	size_t skip = is_v4(key->addr[0]) && is_v4(key->addr[1]) ? 12 : 0, size = 16 - skip;
	uint8_t octets[40], *to = octets;

	*to++ = seed >> 8;
	*to++ = seed;
	for (int i = 0; i < 2; i++, to += size)
		memcpy(to, key->addr[i] + skip, size);
	*to++ = key->proto;
	*to++ = 0;
	for (int i = 0; i < 2 && has_ports; i++) {
		*to++ = key->port[i] >> 8;
		*to++ = key->port[i];
	}
	sha1(octets, to - octets, digest);
}

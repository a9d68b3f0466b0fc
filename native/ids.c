/* SPDX-License-Identifier: Apache-2.0 */
/* Names of flows: our uid, a keyed hash of endpoints and begin, and the community id, which others compute too. */
#include <string.h>

#include "flow_ids.h"

/* -- SipHash-2-4 (Aumasson and Bernstein, 2012) ------------------------------------------------------------------------------- */

static inline uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

uint64_t hw_siphash(const uint64_t key[2], const void *octets, size_t size)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
			 key[1] ^ 0x7465646279746573};
	const uint8_t *at = octets;
	uint64_t word;

	for (size_t left = size;; at += 8, left -= 8) {
		word = 0;
		memcpy(&word, at, left < 8 ? left : 8); /* little-endian, as all of this is */
		if (left < 8)
			word |= (uint64_t)size << 56;
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
		if (left < 8)
			break;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void hw_uid_of(const struct hw_flow_key *key, uint64_t begin, uint32_t again, const uint64_t secret[2], uint8_t uid[12])
{
	const uint64_t other[2] = {secret[1], ~secret[0]};
	uint8_t octets[sizeof(*key) + sizeof(begin) + sizeof(again)];
	uint64_t first, second;

	memcpy(octets, key, sizeof(*key));
	memcpy(octets + sizeof(*key), &begin, sizeof(begin));
	memcpy(octets + sizeof(*key) + sizeof(begin), &again, sizeof(again));
	first = hw_siphash(secret, octets, sizeof(octets));
	second = hw_siphash(other, octets, sizeof(octets));
	memcpy(uid, &first, 8);
	memcpy(uid + 8, &second, 4);
}

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

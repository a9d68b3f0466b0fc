/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-128 (FIPS 197) and its Galois counter mode (SP 800-38D), to open what anybody can: the first packets of QUIC, whose keys follow from
 * what is sent beside them (RFC 9001, 5.2). Nothing here is secret, and how long it takes tells nothing; it is not to be used for what is.
 */
#include <string.h>

#include "headwater.h"

static const uint8_t substitutes[256] = {
	0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76, 0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59,
	0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4, 0x72, 0xc0, 0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1,
	0x71, 0xd8, 0x31, 0x15, 0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2, 0xeb, 0x27, 0xb2, 0x75, 0x09, 0x83,
	0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0, 0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84, 0x53, 0xd1, 0x00, 0xed, 0x20, 0xfc, 0xb1, 0x5b,
	0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf, 0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f, 0x50, 0x3c,
	0x9f, 0xa8, 0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5, 0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2, 0xcd, 0x0c, 0x13, 0xec,
	0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73, 0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee,
	0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb, 0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c, 0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79,
	0xe7, 0xc8, 0x37, 0x6d, 0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08, 0xba, 0x78, 0x25, 0x2e, 0x1c, 0xa6,
	0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a, 0x70, 0x3e, 0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9,
	0x86, 0xc1, 0x1d, 0x9e, 0xe1, 0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf, 0x8c, 0xa1,
	0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f, 0xb0, 0x54, 0xbb, 0x16,
};

struct schedule {
	uint8_t rounds[11][16];
};

static uint8_t twice(uint8_t octet)
{
	return octet << 1 ^ (octet & 0x80 ? 0x1b : 0);
}

static void expand(struct schedule *schedule, const uint8_t *key)
{
	uint8_t *word = schedule->rounds[0], constant = 1;

	memcpy(word, key, 16);
	for (int at = 16; at < 176; at += 4) {
		uint8_t last[4];

		memcpy(last, word + at - 4, 4);
		if (at % 16 == 0) {
			uint8_t first = last[0];

			for (int i = 0; i < 3; i++)
				last[i] = substitutes[last[i + 1]];
			last[3] = substitutes[first];
			last[0] ^= constant;
			constant = twice(constant);
		}
		for (int i = 0; i < 4; i++)
			word[at + i] = word[at - 16 + i] ^ last[i];
	}
}

static void mix(uint8_t *column)
{
	uint8_t first = column[0], all = column[0] ^ column[1] ^ column[2] ^ column[3];

	for (int i = 0; i < 3; i++)
		column[i] ^= all ^ twice(column[i] ^ column[i + 1]);
	column[3] ^= all ^ twice(column[3] ^ first);
}

static void encrypt(const struct schedule *schedule, const uint8_t *in, uint8_t *out)
{
	uint8_t state[16], before[16];

	for (int i = 0; i < 16; i++)
		state[i] = in[i] ^ schedule->rounds[0][i];
	for (int round = 1; round <= 10; round++) {
		memcpy(before, state, 16);
		for (int i = 0; i < 16; i++) /* row i % 4 moves by as many columns */
			state[i] = substitutes[before[(i + 4 * (i % 4)) % 16]];
		for (int i = 0; round < 10 && i < 16; i += 4)
			mix(state + i);
		for (int i = 0; i < 16; i++)
			state[i] ^= schedule->rounds[round][i];
	}
	memcpy(out, state, 16);
}

void hw_aes128(const uint8_t *key, const uint8_t *in, uint8_t *out)
{
	struct schedule schedule;

	expand(&schedule, key);
	encrypt(&schedule, in, out);
}

/* -- the tag ---------------------------------------------------------------------------------------------------------------------- */

struct element { /* of GF(2^128); the first bit is the highest of `high` */
	uint64_t high, low;
};

static uint64_t be64(const uint8_t *octets)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | octets[i];
	return value;
}

static struct element times(struct element one, struct element other)
{
	struct element product = {0, 0};

	for (int i = 0; i < 128; i++) {
		uint64_t bit = (i < 64 ? one.high >> (63 - i) : one.low >> (127 - i)) & 1, last = other.low & 1;

		product.high ^= other.high & -bit;
		product.low ^= other.low & -bit;
		other.low = other.low >> 1 | other.high << 63;
		other.high = other.high >> 1 ^ (0xe1ULL << 56 & -last);
	}
	return product;
}

static struct element hash(struct element sum, struct element key, const uint8_t *octets, size_t length)
{
	for (size_t at = 0; at < length; at += 16) {
		uint8_t block[16] = {0};

		memcpy(block, octets + at, length - at < 16 ? length - at : 16);
		sum.high ^= be64(block);
		sum.low ^= be64(block + 8);
		sum = times(sum, key);
	}
	return sum;
}

int hw_aes128_gcm_open(const uint8_t *key, const uint8_t *nonce, const uint8_t *beside, size_t beside_length, const uint8_t *octets,
		       size_t length, uint8_t *out)
{
	uint8_t counter[16] = {0}, block[16];
	struct element of_key, sum = {0, 0};
	struct schedule schedule;

	if (length < 16)
		return -1;
	length -= 16;
	expand(&schedule, key);
	encrypt(&schedule, counter, block);
	of_key = (struct element){be64(block), be64(block + 8)};
	sum = hash(hash(sum, of_key, beside, beside_length), of_key, octets, length);
	sum.high ^= (uint64_t)beside_length * 8;
	sum.low ^= (uint64_t)length * 8;
	sum = times(sum, of_key);

	memcpy(counter, nonce, 12);
	counter[15] = 1;
	encrypt(&schedule, counter, block);
	if ((sum.high ^ be64(block)) != be64(octets + length) || (sum.low ^ be64(block + 8)) != be64(octets + length + 8))
		return -1;
	for (size_t at = 0; at < length; at++) {
		if (at % 16 == 0) {
			for (int i = 15; i >= 12 && !++counter[i]; i--)
				;
			encrypt(&schedule, counter, block);
		}
		out[at] = octets[at] ^ block[at % 16];
	}
	return 0;
}

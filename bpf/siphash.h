/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* SipHash-2-4 (Aumasson and Bernstein, 2012): who has not the key cannot choose what collides. */
#ifndef HW_SIPHASH_H
#define HW_SIPHASH_H

#include "parser.h"

HW_INLINE __u64 hw_rotate(__u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

HW_INLINE void hw_sip_round(__u64 v[4])
{
	v[0] += v[1];
	v[1] = hw_rotate(v[1], 13) ^ v[0];
	v[0] = hw_rotate(v[0], 32);
	v[2] += v[3];
	v[3] = hw_rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = hw_rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = hw_rotate(v[1], 17) ^ v[2];
	v[2] = hw_rotate(v[2], 32);
}

HW_INLINE void hw_sip_word(__u64 v[4], __u64 word)
{
	v[3] ^= word;
	hw_sip_round(v);
	hw_sip_round(v);
	v[0] ^= word;
}

/* `size` is a constant, and a multiple of 4. */
HW_INLINE __u64 hw_siphash(const __u64 key[2], const void *octets, __u32 size)
{
	__u64 v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
	const __u8 *at = octets;
	__u64 last = (__u64)size << 56;
	__u32 i;

	HW_UNROLL
	for (i = 0; i < size / 8; i++, at += 8)
		hw_sip_word(v, HW_LOAD(__u64, at)); /* little-endian, as all of this is */
	if (size % 8)
		last |= HW_LOAD(__u32, at);
	hw_sip_word(v, last);
	v[2] ^= 0xff;
	for (i = 0; i < 4; i++)
		hw_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif

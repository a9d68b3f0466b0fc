/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef HW_FLOW_HASH_H
#define HW_FLOW_HASH_H

#include "flow.h"

/* Where the kernel's table has a key (flow_map.h): by a hash that nobody can choose who has not its salt. */
HW_INLINE __u64 hw_flow_map_mix(__u64 a, __u64 b)
{
	a *= 0x9e3779b97f4a7c15ull;
	b *= 0xc2b2ae3d27d4eb4full;
	return (a ^ a >> 32) * 0xff51afd7ed558ccdull + (b ^ b >> 29);
}

HW_INLINE __u64 hw_flow_map_hash(const __u64 salt[8], const struct hw_flow_key *key)
{
	const __u8 *words = (const __u8 *)key;
	__u64 hash = 0;
	int i;

	HW_UNROLL
	for (i = 0; i < 6; i += 2) {
		hash ^= hw_flow_map_mix(HW_LOAD(__u64, words + 8 * i) ^ salt[i], HW_LOAD(__u64, words + 8 * i + 8) ^ salt[i + 1]);
		hash *= 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 31;
	}
	hash ^= key->apart[2] * 0xc2b2ae3d27d4eb4full ^ salt[7];
	hash *= 0xff51afd7ed558ccdull;
	return hash ^ hash >> 32;
}

/* Likewise, of its endpoints alone. */
HW_INLINE __u64 hw_flow_known_hash(const __u64 salt[8], const struct hw_flow_key *key)
{
	struct hw_flow_key bare = *key;

	__builtin_memset(bare.apart, 0, sizeof(bare.apart));
	return hw_flow_map_hash(salt, &bare);
}

_Static_assert(sizeof(struct hw_flow_key) == 52, "six words and a half");

#endif

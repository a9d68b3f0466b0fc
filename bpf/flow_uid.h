/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef HW_FLOW_UID_H
#define HW_FLOW_UID_H

#include "flow.h"
#include "siphash.h"

/*
 * 96 bits that tell this flow from all others, the same for whoever has the secret and the same times. `again` flows of that key and begin
 * were before it.
 */
HW_INLINE void hw_uid_of(const struct hw_flow_key *key, hw_ktime begin, __u32 again, const __u64 secret[2], __u8 uid[12])
{
	const __u64 other[2] = {secret[1], ~secret[0]};
	struct {
		__u32 key[sizeof(*key) / 4];
		__u32 begin[2];
		__u32 again;
	} __attribute__((aligned(8))) name;
	__u64 first, second;
	__u32 i;

	HW_UNROLL
	for (i = 0; i < sizeof(*key) / 4; i++)
		name.key[i] = HW_LOAD(__u32, (const __u8 *)key + 4 * i);
	name.begin[0] = begin;
	name.begin[1] = begin >> 32;
	name.again = again;
	first = hw_siphash(secret, &name, sizeof(name));
	second = hw_siphash(other, &name, sizeof(name));
	HW_STORE(__u32, uid, first);
	HW_STORE(__u32, uid + 4, first >> 32);
	HW_STORE(__u32, uid + 8, second);
}

#endif

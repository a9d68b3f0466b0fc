/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLOW_IDS_H
#define FLOW_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/flow.h"

uint64_t hw_siphash(const uint64_t key[2], const void *octets, size_t size);

/*
 * 96 bits that tell this flow from all others, the same for whoever has the secret and the same times. `again` flows of that key and begin
 * were before it.
 */
void hw_uid_of(const struct hw_flow_key *key, uint64_t begin, uint32_t again, const uint64_t secret[2], uint8_t uid[12]);

void hw_community_id_of(const struct hw_flow_key *key, uint16_t seed, uint8_t digest[20]);

#endif

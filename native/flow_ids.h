/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLOW_IDS_H
#define FLOW_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/flow.h"

void hw_community_id_of(const struct hw_flow_key *key, uint16_t seed, uint8_t digest[20]);

#endif

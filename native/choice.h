/* SPDX-License-Identifier: Apache-2.0 */
/* Which packets become rows: the kernel's filter and its sampling, for the readers in user space. */
#ifndef HW_CHOICE_H
#define HW_CHOICE_H

#include <stdint.h>
#include <string.h>

#include "../bpf/filter.h"

struct hw_choice {
	struct hw_filter filter;
	uint64_t sample_below; /* as in struct hw_control */
	int rates_only;
	uint64_t random;
};

static inline void hw_choose(struct hw_choice *choice, const void *filter, uint64_t sample_below, int rates_only)
{
	choice->rates_only = rates_only;
	memcpy(&choice->filter, filter, sizeof(choice->filter));
	choice->sample_below = sample_below;
	if (!choice->random)
		choice->random = 0x9e3779b97f4a7c15;
}

/* 32 bits of xorshift64*: which packets it takes is nobody's secret. */
static inline uint32_t hw_random(struct hw_choice *choice)
{
	choice->random ^= choice->random >> 12;
	choice->random ^= choice->random << 25;
	choice->random ^= choice->random >> 27;
	return (uint32_t)(choice->random * 0x2545f4914f6cdd1d >> 32);
}

/* Whether the packet is to be a row; counts what is not. */
static inline int hw_wanted(struct hw_choice *choice, const struct hw_parser *parser, uint64_t *filtered, uint64_t *sampled_out,
			    uint64_t *counted_only)
{
	if (choice->filter.count && !hw_filter_keeps(parser, &choice->filter)) {
		++*filtered;
		return 0;
	}
	if (choice->rates_only) {
		++*counted_only;
		return 0;
	}
	if (choice->sample_below && hw_random(choice) >= choice->sample_below) {
		++*sampled_out;
		return 0;
	}
	return 1;
}

#endif

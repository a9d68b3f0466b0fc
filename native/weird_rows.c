/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "headwater.h"
#include "weird_rows.h"

#define SECOND 1000000000ull
#define BACKWARDS 5 /* seconds: a time that lies further back is of another capture, not of another CPU */

_Static_assert((int)HW_WEIRD_fragment_inconsistency < (int)HW_WEIRD_NAMES, "a budget, a bit and room for each");
_Static_assert((int)HW_WEIRD_NAMES <= 128, "bits of `ignored`");

void hw_weird_rows_make(struct hw_weird_rows *rows, uint32_t a_second, const void *ignored)
{
	memset(rows, 0, sizeof(*rows));
	rows->a_second = a_second;
	if (ignored)
		memcpy(rows->ignored, ignored, sizeof(rows->ignored));
}

void hw_weird_rows_begin(struct hw_weird_rows *rows, void *into)
{
	rows->into = into;
	rows->made = 0;
}

static void put_rest(struct hw_weird_rows *rows, enum hw_weird name)
{
	struct hw_weird_budget *budget = &rows->budgets[name];
	struct hw_weird_row *row;

	if (!budget->rest)
		return;
	row = &rows->into[rows->made++];
	memset(row, 0, sizeof(*row));
	row->ts = budget->rest_ts;
	row->count = budget->rest;
	row->name = name;
	budget->rest = 0;
}

void hw_weird_rows_at(struct hw_weird_rows *rows, uint64_t ts)
{
	if (ts / SECOND == rows->now)
		return;
	rows->now = ts / SECOND;
	for (int name = 0; name < HW_WEIRD_NAMES; name++)
		if (rows->budgets[name].second < rows->now)
			put_rest(rows, name);
}

void hw_weird_rows_end(struct hw_weird_rows *rows)
{
	for (int name = 0; name < HW_WEIRD_NAMES; name++)
		put_rest(rows, name);
}

struct hw_weird_row *hw_weird_rows_put(struct hw_weird_rows *rows, const struct hw_packet *packet, enum hw_weird name)
{
	struct hw_weird_budget *budget = &rows->budgets[name];
	uint64_t second = packet->ts / SECOND;
	struct hw_weird_row *row;

	if ((int)name >= HW_WEIRD_NAMES || rows->ignored[name / 64] >> name % 64 & 1)
		return NULL;
	if (second > budget->second || second + BACKWARDS < budget->second) {
		put_rest(rows, name);
		budget->second = second;
		budget->made = 0;
	}
	if (budget->made >= rows->a_second) {
		budget->rest++;
		budget->rest_ts = packet->ts;
		return NULL;
	}
	budget->made++;
	row = &rows->into[rows->made++];
	memset(row, 0, sizeof(*row));
	row->ts = packet->ts;
	row->count = 1;
	row->has = (packet->has & (HW_HAS_l2 | HW_HAS_addr | HW_HAS_ip | HW_HAS_ports)) | HW_HAS_interface;
	row->interface = packet->interface;
	row->direction = packet->direction;
	row->name = name;
	memcpy(row->l2_src, packet->l2_src, sizeof(row->l2_src));
	memcpy(row->l2_dst, packet->l2_dst, sizeof(row->l2_dst));
	memcpy(row->src, packet->src, sizeof(row->src));
	memcpy(row->dst, packet->dst, sizeof(row->dst));
	row->sport = packet->sport;
	row->dport = packet->dport;
	row->proto = packet->proto;
	row->ttl = packet->ttl;
	return row;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLOWS_H
#define FLOWS_H

#include "flow_table.h"
#include "headwater.h"

/* The row of a flow that ends for this reason, or that goes on (HW_CONN_END_none). */
void hw_conn_of(const struct hw_entry *, uint16_t community_id_seed, enum hw_conn_end, struct hw_conn *row);

/* It was seen there, too; that is told as far as there is room. */
static inline void hw_conn_seen_on(struct hw_conn *row, uint32_t interface)
{
	if (interface == row->interface)
		return;
	if (!(row->has & HW_CONN_HAS_interface_2)) {
		row->has |= HW_CONN_HAS_interface_2;
		row->interface_2 = interface;
	} else if (interface != row->interface_2 && !(row->has & HW_CONN_HAS_interface_3)) {
		row->has |= HW_CONN_HAS_interface_3;
		row->interface_3 = interface;
	}
}

#endif

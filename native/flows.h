/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FLOWS_H
#define FLOWS_H

#include "flow_table.h"
#include "headwater.h"

/* The row of a flow that ends for this reason, or that goes on (HW_CONN_END_none). */
void hw_conn_of(const struct hw_entry *, uint16_t community_id_seed, enum hw_conn_end, struct hw_conn *row);

#endif

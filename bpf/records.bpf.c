// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Carries the BTF of records.h to Python; never loaded into a kernel. */
#include "records.h"

struct hw_schema {
	struct hw_packet packet;
	struct hw_deferred deferred;
	struct hw_rate rate;
	struct hw_weird_row weird;
	struct hw_conn conn;
	struct hw_tunnel_row tunnel;
	struct hw_server server;
	struct hw_flow_settings flow_settings;
	struct hw_flow_asked flow_asked;
	struct hw_counters counters;
	struct hw_control control;
	struct hw_rate_slot rate_slot;
	enum hw_has has;
	enum hw_packet_has packet_has;
	enum hw_weird_has weird_has;
	enum hw_conn_has conn_has;
	enum hw_flow_apart apart;
	enum hw_server_has server_has;
	enum hw_tunnel_action tunnel_action;
	enum hw_transport transport;
	enum hw_conn_state conn_state;
	enum hw_ip_option ip_option;
	enum hw_deferred_why deferred_why;
	enum hw_filter_of filter_of;
	enum hw_drop drop;
} hw_schema;

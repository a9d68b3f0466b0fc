/* SPDX-License-Identifier: Apache-2.0 */
#include "headwater.h"
struct hw_af_packet *hw_af_packet_open(uint32_t ifindex, int ip, size_t ring_octets, int inbound_only)
{
	return 0;
}
void hw_af_packet_close(struct hw_af_packet *a)
{
}
int hw_af_packet_fd(const struct hw_af_packet *a)
{
	return -1;
}
size_t hw_af_packet_read(struct hw_af_packet *a, void *rows, size_t stride, size_t capacity)
{
	return 0;
}
void hw_af_packet_counts_of(struct hw_af_packet *a, struct hw_af_packet_counts *into)
{
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "headwater.h"
struct hw_capture *hw_capture_new(void)
{
	return 0;
}
void hw_capture_free(struct hw_capture *c)
{
}
enum hw_capture_status hw_capture_decode(struct hw_capture *c, const void *data, size_t size, void *rows, size_t stride, size_t capacity,
					 size_t *made, size_t *consumed)
{
	return HW_CAPTURE_bad;
}
int hw_capture_finish(struct hw_capture *c, size_t left)
{
	return -1;
}
const char *hw_capture_problem(const struct hw_capture *c)
{
	return "";
}
uint32_t hw_capture_interfaces(const struct hw_capture *c)
{
	return 0;
}
const char *hw_capture_interface_name(const struct hw_capture *c, uint32_t index)
{
	return "";
}
uint32_t hw_capture_link_type(const struct hw_capture *c, uint32_t index)
{
	return 0;
}
void hw_capture_counts_of(const struct hw_capture *c, uint32_t index, struct hw_capture_counts *into)
{
}

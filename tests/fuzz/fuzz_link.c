/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link layers of captures against hostile frames. An input is the number of a link type in two octets, the prefix of frame.h, and the
 * frame. A number that is no link type's stands for one that is read, so that each change of it changes something.
 */
#include "frame.h"

#include "capture.h"

static const struct hw_link_type *choose(__u32 number)
{
	static const struct hw_link_type *read[0x10000];
	static __u32 count;
	const struct hw_link_type *type;

	for (__u32 i = 0; !count && i < 0x10000; i++) {
		type = hw_link_type_find(i);
		if (type && type->read)
			read[count++] = type;
	}
	type = hw_link_type_find(number);
	return type && type->read ? type : read[number % count];
}

int LLVMFuzzerTestOneInput(const __u8 *data, size_t size)
{
	if (size >= 2 + PREFIX)
		try_frame(data + 2, size - 2, choose((__u32)data[0] << 8 | data[1])->read);
	return 0;
}

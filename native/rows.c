/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "headwater.h"

static const char digits[] = "0123456789abcdef";

static int is_mapped(const uint8_t *addr)
{
	static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return !memcmp(addr, prefix, sizeof(prefix));
}

static char *put_decimal(char *to, uint8_t number)
{
	if (number >= 100)
		*to++ = '0' + number / 100;
	if (number >= 10)
		*to++ = '0' + number / 10 % 10;
	*to++ = '0' + number % 10;
	return to;
}

static char *put_address(char *to, const uint8_t *addr)
{
	if (!is_mapped(addr)) {
		inet_ntop(AF_INET6, addr, to, INET6_ADDRSTRLEN);
		return to + strlen(to);
	}
	for (int i = 12; i < 16; i++) {
		to = put_decimal(to, addr[i]);
		if (i < 15)
			*to++ = '.';
	}
	return to;
}

static char *put_mac(char *to, const uint8_t *mac)
{
	for (int i = 0; i < 6; i++) {
		*to++ = digits[mac[i] >> 4];
		*to++ = digits[mac[i] & 15];
		if (i < 5)
			*to++ = ':';
	}
	return to;
}

static void put_all(char *(*put)(char *, const uint8_t *), const void *first, const void *has, size_t stride, size_t count, uint32_t wanted,
		    char *text, int32_t *offsets)
{
	const uint8_t *value = first, *bits = has;
	char *to = text;

	for (size_t i = 0; i < count; i++, value += stride, bits += stride) {
		uint32_t there;

		offsets[i] = to - text;
		memcpy(&there, bits, sizeof(there));
		if (there & wanted)
			to = put(to, value);
	}
	offsets[count] = to - text;
}

void hw_format_addresses(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets)
{
	put_all(put_address, first, has, stride, count, wanted, text, offsets);
}

void hw_format_macs(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets)
{
	put_all(put_mac, first, has, stride, count, wanted, text, offsets);
}

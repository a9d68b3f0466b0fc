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
		if (!wanted || there & wanted)
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

/* "C" and the number in base 62, the lowest digit last; nothing for 0. */
static char *put_uid(char *to, const uint8_t *uid)
{
	static const char BASE62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	uint32_t words[3];
	char text[17];
	int at = sizeof(text);

	memcpy(words, uid, sizeof(words));
	if (!(words[0] | words[1] | words[2]))
		return to;
	while (at && (words[0] | words[1] | words[2])) {
		uint64_t rest = 0;

		for (int i = 2; i >= 0; i--) {
			rest = rest << 32 | words[i];
			words[i] = rest / 62;
			rest %= 62;
		}
		text[--at] = BASE62[rest];
	}
	*to++ = 'C';
	memcpy(to, text + at, sizeof(text) - at);
	return to + sizeof(text) - at;
}

static char *put_uid_list(char *to, const uint8_t *uids)
{
	char *begin = to, *end;

	for (size_t at = 0; at < sizeof(hw_uids); at += sizeof(hw_uid)) {
		end = put_uid(to + (to != begin), uids + at);
		if (end == to + (to != begin))
			break;
		if (to != begin)
			*to = ',';
		to = end;
	}
	return to;
}

static char *put_community_id(char *to, const uint8_t *digest)
{
	static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	*to++ = '1';
	*to++ = ':';
	for (int i = 0; i < 21; i += 3) { /* the last group has two octets */
		uint32_t word = digest[i] << 16 | digest[i + 1] << 8 | (i < 18 ? digest[i + 2] : 0);

		*to++ = BASE64[word >> 18];
		*to++ = BASE64[word >> 12 & 63];
		*to++ = BASE64[word >> 6 & 63];
		*to++ = i < 18 ? BASE64[word & 63] : '=';
	}
	return to;
}

static char *put_letters(char *to, const uint8_t *letters)
{
	size_t length = strnlen((const char *)letters, sizeof(hw_letters));

	memcpy(to, letters, length);
	return to + length;
}

void hw_format_uids(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets)
{
	put_all(put_uid, first, has, stride, count, wanted, text, offsets);
}

void hw_format_uid_lists(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets)
{
	put_all(put_uid_list, first, has, stride, count, wanted, text, offsets);
}

void hw_format_community_ids(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets)
{
	put_all(put_community_id, first, has, stride, count, wanted, text, offsets);
}

void hw_format_letters(const void *first, const void *has, size_t stride, size_t count, uint32_t wanted, char *text, int32_t *offsets)
{
	put_all(put_letters, first, has, stride, count, wanted, text, offsets);
}

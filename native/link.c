/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link layers that only captures have, and what the others begin with: https://www.tcpdump.org/linktypes.html.
 *
 * A new one is a line in LINK_TYPES and a function that reads its header: it fills what the header tells, moves p->at behind it, and
 * returns what follows.
 */
#include "../bpf/link.h"
#include "capture.h"

#define MOST_ATTRIBUTES 32    /* of NFLOG, before the packet */
#define ATTRIBUTE_TYPE 0x3fff /* without netlink's two flags */

static int read_ethernet(struct hw_parser *p)
{
	return HW_NEXT_frame;
}

static int read_ip(struct hw_parser *p)
{
	return HW_NEXT_ip;
}

static int read_llc(struct hw_parser *p)
{
	return HW_NEXT_llc;
}

static int read_mpls(struct hw_parser *p)
{
	return HW_NEXT_mpls;
}

static int read_pppoe(struct hw_parser *p)
{
	return HW_NEXT_pppoe;
}

static uint16_t le16(const __u8 *b)
{
	return (uint16_t)(b[1] << 8 | b[0]);
}

static uint32_t le32(const __u8 *b)
{
	return __builtin_bswap32(hw_be32(b));
}

/* The one of both byte orders that makes a small number: the writer's is not told. */
static uint32_t small32(const __u8 *b)
{
	return hw_be32(b) < le32(b) ? hw_be32(b) : le32(b);
}

/* What the type `type`, behind which p->at is, says that follows. */
static int typed(struct hw_parser *p, uint16_t type)
{
	if (type < 1536)
		return HW_NEXT_nothing;
	p->row.ethertype = type;
	return hw_parse_type(p);
}

/* NULL and LOOP: an address family, of which there are as many for IPv6 as there are BSD systems. */
static int read_loopback(struct hw_parser *p)
{
	const __u8 *family = hw_look(p, 0, 4);

	if (!family)
		return hw_short(p, 0, 4, HW_WEIRD_truncated_link_header);
	p->at = 4;
	switch (small32(family)) {
	case 2:
	case 10:
	case 23:
	case 24:
	case 28:
	case 30:
		return HW_NEXT_ip;
	default:
		return HW_NEXT_nothing;
	}
}

static void set_direction(struct hw_parser *p, int out)
{
	if (p->row.direction == HW_DIRECTION_unknown)
		p->row.direction = out ? HW_DIRECTION_out : HW_DIRECTION_in;
}

/* Linux cooked: 4 is a packet that was sent. The protocol is an Ethernet type, or below 1536 one of Linux's own (4 is LLC). */
static int cooked(struct hw_parser *p, const __u8 *header, uint32_t size, int kind, uint16_t type)
{
	if (!header)
		return hw_short(p, 0, size, HW_WEIRD_truncated_Linux_SLL_header);
	set_direction(p, kind == 4);
	p->at = size;
	return type == 4 ? HW_NEXT_llc : typed(p, type);
}

static int read_cooked(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 16);

	return cooked(p, header, 16, header ? hw_be16(header) : 0, header ? hw_be16(header + 14) : 0);
}

static int read_cooked_2(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 20);

	return cooked(p, header, 20, header ? header[10] : 0, header ? hw_be16(header) : 0);
}

static int read_fddi(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 13);

	if (!header)
		return hw_short(p, 0, 13, HW_WEIRD_truncated_link_header);
	hw_set_l2(p, header + 1, header + 7);
	p->row.has |= HW_PACKET_HAS_l2_apart; /* some interfaces give these addresses with the bits of each octet turned around */
	p->at = 13;
	return (header[0] & 0xf0) == 0x50 ? HW_NEXT_llc : HW_NEXT_nothing; /* LLC frames */
}

/* Cisco's HDLC (RFC 1547, 4.3.1): address, control, an Ethernet type. */
static int read_cisco_hdlc(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 4);

	if (!header)
		return hw_short(p, 0, 4, HW_WEIRD_truncated_link_header);
	p->at = 4;
	return typed(p, hw_be16(header + 2));
}

/* PPP in HDLC-like framing, or Cisco's: the address tells them apart. */
static int read_hdlc(struct hw_parser *p)
{
	const __u8 *address = hw_look(p, 0, 1);

	return address && (address[0] == 0x0f || address[0] == 0x8f) ? read_cisco_hdlc(p) : hw_parse_ppp(p);
}

/* An octet that says whether the packet was received (0), before PPP without its address. */
static int read_directed_ppp(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 2);

	if (!header)
		return hw_short(p, 0, 2, HW_WEIRD_truncated_link_header);
	set_direction(p, header[0]);
	p->at = header[1] == 3 ? 2 : 1; /* pppd keeps the control octet */
	return hw_parse_ppp(p);
}

/* An address, whose last octet is odd, then Cisco's Ethernet type, or the number of the network layer's protocol (RFC 2427). */
static int read_frame_relay(struct hw_parser *p)
{
	const __u8 *header;
	uint32_t size = 2;

	while (size < 4 && (header = hw_look(p, size - 1, 1)) && !(header[0] & 1))
		size++;
	header = hw_look(p, size, 2);
	if (!header)
		return hw_short(p, size, 2, HW_WEIRD_truncated_link_header);
	p->at = size + 2;
	if (header[0] != 3)
		return typed(p, hw_be16(header));
	if (header[1] == 0xcc || header[1] == 0x8e)
		return HW_NEXT_ip;
	header = hw_look(p, size, 8); /* 0, 0x80, an organisation and its type */
	if (!header || header[1] || header[2] != 0x80 || header[3])
		return HW_NEXT_nothing;
	p->at = size + 8;
	if (header[4] == 0x80 && header[5] == 0xc2) /* a bridge's: Ethernet with its checksum or without */
		return hw_be16(header + 6) == 1 || hw_be16(header + 6) == 7 ? HW_NEXT_frame : HW_NEXT_nothing;
	return header[4] || header[5] ? HW_NEXT_nothing : typed(p, hw_be16(header + 6));
}

static int read_pflog(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 4);

	if (!header)
		return hw_short(p, 0, 4, HW_WEIRD_truncated_link_header);
	p->at = (header[0] + 3u) & ~3u;
	return HW_NEXT_ip;
}

/* The packet is the last attribute; lengths and types are in the byte order of who wrote the file. */
static int read_nflog(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 4), *attribute;
	uint32_t size;
	int swapped;

	if (!header)
		return hw_short(p, 0, 4, HW_WEIRD_truncated_nflog_header);
	p->at = 4;
	if (header[1]) {
		hw_weird(p, HW_WEIRD_unknown_nflog_version);
		return HW_NEXT_nothing;
	}
	attribute = hw_look(p, p->at, 4);
	swapped = attribute && (le16(attribute + 2) & ATTRIBUTE_TYPE) > 255;
	for (int i = 0; i < MOST_ATTRIBUTES && attribute; i++) {
		size = swapped ? hw_be16(attribute) : le16(attribute);
		if (((swapped ? hw_be16(attribute + 2) : le16(attribute + 2)) & ATTRIBUTE_TYPE) == 9) {
			p->at += 4;
			return header[0] == 2 || header[0] == 10 ? HW_NEXT_ip : HW_NEXT_nothing;
		}
		if (size < 4 || p->at + size > p->limit) {
			hw_weird(p, HW_WEIRD_nflog_bad_tlv_len);
			return HW_NEXT_nothing;
		}
		p->at += (size + 3) & ~3u;
		attribute = hw_look(p, p->at, 4);
	}
	return hw_short(p, p->at, 4, HW_WEIRD_nflog_no_pcap_payload);
}

static int read_80211(struct hw_parser *p)
{
	return hw_wlan(p, 0);
}

/* The flags, second of the fields, say whether a header is padded to 32 bits. Fields have their natural alignment. */
static int read_radiotap(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 8), *word = header, *flags = 0;
	uint32_t at = 8;

	if (!header)
		return hw_short(p, 0, 8, HW_WEIRD_truncated_802_11_header);
	for (uint32_t next = 4; word && (word = hw_look(p, next, 4)) && word[3] & 0x80; next += 4)
		at = next + 8; /* further words of what is present */
	if (header[4] & 1)     /* a time */
		at = ((at + 7) & ~7u) + 8;
	p->at = le16(header + 2);
	if (header[4] & 2 && at < p->at)
		flags = hw_look(p, at, 1);
	return hw_wlan(p, flags && flags[0] & 0x20);
}

/* Prism, and AVS, which took its place and its link type: a code, and how long the header is. */
static int read_prism(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 8);

	if (!header)
		return hw_short(p, 0, 8, HW_WEIRD_truncated_802_11_header);
	p->at = hw_be32(header) == 0x80211001 ? hw_be32(header + 4) : small32(header + 4);
	return p->at < HW_WINDOW ? hw_wlan(p, 0) : hw_short(p, HW_WINDOW, 24, HW_WEIRD_truncated_802_11_header);
}

/* Per-packet information: a header with the link type of what follows. */
static int read_ppi(struct hw_parser *p)
{
	const __u8 *header = hw_look(p, 0, 8);
	const struct hw_link_type *type;

	if (!header)
		return hw_short(p, 0, 8, HW_WEIRD_truncated_link_header);
	p->at = le16(header + 2);
	type = hw_link_type_find(le32(header + 4));
	if (type && type->read == read_80211)
		return hw_wlan(p, 0);
	return type && type->read == read_ethernet ? HW_NEXT_frame : HW_NEXT_nothing;
}

static const struct hw_link_type LINK_TYPES[] = {
	{0, "NULL", read_loopback},
	{1, "ETHERNET", read_ethernet},
	{3, "AX25"},
	{6, "IEEE802_5"},
	{7, "ARCNET_BSD"},
	{8, "SLIP"},
	{9, "PPP", hw_parse_ppp},
	{10, "FDDI", read_fddi},
	{12, "RAW", read_ip}, /* LINKTYPE_RAW is 101; BSD systems wrote their own numbers into files */
	{14, "RAW", read_ip},
	{50, "PPP_HDLC", read_hdlc},
	{51, "PPP_ETHER", read_pppoe},
	{99, "SYMANTEC_FIREWALL"},
	{100, "ATM_RFC1483", read_llc},
	{101, "RAW", read_ip},
	{104, "C_HDLC", read_cisco_hdlc},
	{105, "IEEE802_11", read_80211},
	{106, "ATM_CLIP"},
	{107, "FRELAY", read_frame_relay},
	{108, "LOOP", read_loopback},
	{113, "LINUX_SLL", read_cooked},
	{114, "LTALK"},
	{117, "PFLOG", read_pflog},
	{119, "IEEE802_11_PRISM", read_prism},
	{122, "IP_OVER_FC"},
	{123, "SUNATM"},
	{127, "IEEE802_11_RADIOTAP", read_radiotap},
	{129, "ARCNET_LINUX"},
	{132, "JUNIPER_ES"},
	{137, "JUNIPER_ATM1"},
	{138, "APPLE_IP_OVER_IEEE1394"},
	{139, "MTP2_WITH_PHDR"},
	{140, "MTP2"},
	{141, "MTP3"},
	{142, "SCCP"},
	{143, "DOCSIS"},
	{144, "LINUX_IRDA"},
	{147, "USER0"},
	{163, "IEEE802_11_AVS", read_prism},
	{164, "JUNIPER_MONITOR"},
	{166, "PPP_PPPD", read_directed_ppp},
	{169, "GPRS_LLC"},
	{177, "LINUX_LAPD"},
	{178, "JUNIPER_ETHER"},
	{182, "MFR"},
	{187, "BLUETOOTH_HCI_H4"},
	{189, "USB_LINUX"},
	{192, "PPI", read_ppi},
	{195, "IEEE802_15_4_WITHFCS"},
	{197, "ERF"},
	{201, "BLUETOOTH_HCI_H4_WITH_PHDR"},
	{203, "LAPD"},
	{204, "PPP_WITH_DIR", read_directed_ppp},
	{209, "IPMB_LINUX"},
	{219, "MPLS", read_mpls},
	{220, "USB_LINUX_MMAPPED"},
	{226, "IPNET"},
	{227, "CAN_SOCKETCAN"},
	{228, "IPV4", read_ip},
	{229, "IPV6", read_ip},
	{230, "IEEE802_15_4_NOFCS"},
	{231, "DBUS"},
	{239, "NFLOG", read_nflog},
	{240, "NETANALYZER"},
	{242, "IPOIB"},
	{243, "MPEG_2_TS"},
	{247, "INFINIBAND"},
	{248, "SCTP"},
	{249, "USBPCAP"},
	{251, "BLUETOOTH_LE_LL"},
	{252, "WIRESHARK_UPPER_PDU"},
	{253, "NETLINK"},
	{254, "BLUETOOTH_LINUX_MONITOR"},
	{256, "BLUETOOTH_LE_LL_WITH_PHDR"},
	{258, "PKTAP"},
	{264, "ISO_14443"},
	{271, "VSOCK"},
	{272, "NORDIC_BLE"},
	{276, "LINUX_SLL2", read_cooked_2},
	{281, "DSA_TAG_BRCM"},
	{282, "DSA_TAG_BRCM_PREPEND"},
	{283, "IEEE802_15_4_TAP"},
	{284, "DSA_TAG_DSA"},
	{285, "DSA_TAG_EDSA"},
	{288, "USB_2_0"},
};

const struct hw_link_type *hw_link_type_find(uint32_t number)
{
	for (size_t i = 0; i < sizeof(LINK_TYPES) / sizeof(LINK_TYPES[0]); i++)
		if (LINK_TYPES[i].number == number)
			return &LINK_TYPES[i];
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TPACKET_V3 ring (Documentation/networking/packet_mmap.rst) read into rows: the rung of kernels without tcx, and of processes that
 * have CAP_NET_RAW alone.
 *
 * The kernel fills blocks and hands each over when it is full, or RETIRE_MS after it was begun, so that a quiet line is seen soon and a
 * busy one wakes nobody per packet. A classic filter cuts what is copied to the octets that the parser looks at.
 *
 * PACKET_VNET_HDR would tell the size of GSO segments, but with it the kernel drops what that header cannot describe: SCTP, and on older
 * kernels all UDP GSO, which is most of QUIC. So segments are counted by the MTU: exact where senders fill their packets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../bpf/packet.h"
#include "choice.h"
#include "headwater.h"
#include "pcapng_writer.h"

#define RETIRE_MS 20
#define MOST_AT_ONCE 65536 /* packets of one call, also where a filter keeps none */
#define MAX_BLOCK (256 << 10)
#define MIN_BLOCKS 8
#define LINK_HEADER 64	   /* octets that a device may have before the IP header where rows begin with IP */
#define STEP 1000000000ull /* nanoseconds: a packet that much later than it can be was seen before the clock was set back */

struct hw_af_packet {
	int fd;
	int ip;
	int joined;
	uint32_t ifindex;
	uint32_t mtu;
	uint8_t *ring;
	size_t block_octets;
	uint32_t blocks;
	uint32_t block;	     /* the one to read next, or being read */
	uint32_t left;	     /* packets of it that are not read yet */
	const uint8_t *next; /* the first of them */
	struct hw_af_packet_counts counts;
	struct hw_choice choice;
	struct hw_pcapng_writer *writer;
	uint32_t number; /* there */
	struct hw_parser parser;
};

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value));
}

/* Offer so many octets of each packet; 0 refuses them all, before they are counted. */
static int offer(int fd, uint32_t octets)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, octets)};
	struct sock_fprog program = {.len = 1, .filter = all};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int map_ring(struct hw_af_packet *a, size_t octets)
{
	size_t block = sysconf(_SC_PAGESIZE);
	struct tpacket_req3 request = {.tp_frame_size = TPACKET_ALIGNMENT << 7, .tp_retire_blk_tov = RETIRE_MS};
	void *ring;

	while (block < MAX_BLOCK && block * 2 * MIN_BLOCKS <= octets)
		block *= 2;
	a->block_octets = block;
	a->blocks = octets / block > 2 ? octets / block : 2;
	request.tp_block_size = block;
	request.tp_block_nr = a->blocks;
	request.tp_frame_nr = block / request.tp_frame_size * a->blocks;
	if (setsockopt(a->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)))
		return -1;
	ring = mmap(0, block * a->blocks, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	if (ring == MAP_FAILED)
		return -1;
	a->ring = ring;
	return 0;
}

static int join_promiscuous(const struct hw_af_packet *a)
{
	struct packet_mreq request = {.mr_ifindex = (int)a->ifindex, .mr_type = PACKET_MR_PROMISC};

	return setsockopt(a->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request));
}

/* The socket was made for no protocol at all, so that nothing of other interfaces slips in before this. */
static int bind_to(const struct hw_af_packet *a)
{
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)a->ifindex};

	return bind(a->fd, (struct sockaddr *)&where, sizeof(where));
}

/* The first takes a number that nobody has, and the others join it. Packets of a CPU go to one of them, which takes no lock from another. */
int hw_af_packet_join(struct hw_af_packet *a, const struct hw_af_packet *first)
{
	uint32_t number = 0;
	socklen_t size = sizeof(number);

	a->joined = 1;
	if (!first)
		return set(a->fd, PACKET_FANOUT, (PACKET_FANOUT_CPU | PACKET_FANOUT_FLAG_UNIQUEID) << 16);
	if (getsockopt(first->fd, SOL_PACKET, PACKET_FANOUT, &number, &size))
		return -1;
	return set(a->fd, PACKET_FANOUT, (number & 0xffff) | PACKET_FANOUT_CPU << 16);
}

int hw_af_packet_start(struct hw_af_packet *a, int whole)
{
	return offer(a->fd, whole ? UINT32_MAX : HW_WINDOW + (a->ip ? LINK_HEADER : 0));
}

struct hw_af_packet *hw_af_packet_open(int fd, uint32_t ifindex, int ip, size_t ring_octets, int inbound_only, int promiscuous)
{
	struct hw_af_packet *a = calloc(1, sizeof(*a));
	int failed;

	if (!a) {
		close(fd);
		return 0;
	}
	a->ip = ip;
	a->ifindex = ifindex;
	a->fd = fd;
	if (set(a->fd, PACKET_VERSION, TPACKET_V3) || set(a->fd, PACKET_IGNORE_OUTGOING, inbound_only) || offer(a->fd, 0) ||
	    map_ring(a, ring_octets) || (promiscuous && join_promiscuous(a)) || bind_to(a)) {
		failed = errno;
		hw_af_packet_close(a);
		errno = failed;
		return 0;
	}
	return a;
}

int hw_af_packet_give_back(struct hw_af_packet *a)
{
	struct tpacket_req3 none = {0};
	int fd = a->fd;

	if (a->ring)
		munmap(a->ring, a->block_octets * a->blocks);
	/* one that is bound still takes packets, and one of a fanout group never leaves it */
	if (hw_af_packet_bound(a) || a->joined || setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none))) {
		close(fd);
		fd = -1;
	}
	free(a);
	return fd;
}

void hw_af_packet_close(struct hw_af_packet *a)
{
	if (a->ring)
		munmap(a->ring, a->block_octets * a->blocks);
	close(a->fd);
	free(a);
}

int hw_af_packet_fd(const struct hw_af_packet *a)
{
	return a->fd;
}

int hw_af_packet_bound(const struct hw_af_packet *a)
{
	struct sockaddr_ll where = {0};
	socklen_t size = sizeof(where);

	return !getsockname(a->fd, (struct sockaddr *)&where, &size) && where.sll_ifindex == (int)a->ifindex;
}

void hw_af_packet_stop(struct hw_af_packet *a)
{
	offer(a->fd, 0);
}

static struct tpacket_block_desc *block_of(const struct hw_af_packet *a)
{
	return (struct tpacket_block_desc *)(a->ring + (size_t)a->block * a->block_octets);
}

static void release_block(struct hw_af_packet *a)
{
	__atomic_store_n(&block_of(a)->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	a->block = (a->block + 1) % a->blocks;
}

/* What the kernel has counted since it was asked the last time. */
static void ask_kernel(struct hw_af_packet *a)
{
	struct tpacket_stats_v3 stats;
	socklen_t size = sizeof(stats);

	if (getsockopt(a->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size))
		return;
	a->counts.seen += stats.tp_packets;
	a->counts.ring_full += stats.tp_drops;
	if (a->writer && stats.tp_drops)
		hw_pcapng_writer_lost(a->writer, a->number, stats.tp_drops, stats.tp_drops);
}

/* Begin the next block that holds packets. Returns 0 if the kernel has handed over none. */
static int begin_block(struct hw_af_packet *a)
{
	const struct tpacket_block_desc *block;

	for (;;) {
		block = block_of(a);
		if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return 0;
		a->left = block->hdr.bh1.num_pkts;
		a->next = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
		if (a->writer && block->hdr.bh1.block_status & TP_STATUS_LOSING) /* what was lost is told with this block's first packet */
			ask_kernel(a);
		if (a->left)
			return 1;
		release_block(a);
	}
}

/* How many packets on the wire an IP packet stands for that is longer than the MTU: each has the headers and a part of the payload. */
static uint16_t segments_of(const struct hw_packet *row, uint32_t link_header, uint32_t mtu)
{
	uint32_t headers, each, count;

	if (!(row->has & HW_HAS_payload) || row->ip_length <= mtu ||
	    row->length <= link_header + mtu) /* a header may say more than is there */
		return 1;
	headers = row->ip_length - row->payload_length;
	if (headers >= mtu)
		return 1;
	each = mtu - headers;
	count = (row->payload_length + each - 1) / each;
	return count < UINT16_MAX ? count : UINT16_MAX;
}

static const struct sockaddr_ll *from_of(const struct tpacket3_hdr *packet)
{
	return (const void *)((const uint8_t *)packet + TPACKET_ALIGN(sizeof(*packet)));
}

/* Octets before the IP header, where rows begin with it. */
static uint32_t skip_of(const struct hw_af_packet *a, const struct tpacket3_hdr *packet)
{
	uint32_t skip = a->ip && packet->tp_net > packet->tp_mac ? packet->tp_net - packet->tp_mac : 0;

	return skip < packet->tp_snaplen ? skip : packet->tp_snaplen;
}

static uint64_t time_of(const struct tpacket3_hdr *packet)
{
	return packet->tp_sec * 1000000000ull + packet->tp_nsec;
}

static void parse(struct hw_af_packet *a, const struct tpacket3_hdr *packet)
{
	uint32_t skip = skip_of(a, packet);
	struct hw_parser *p = &a->parser;

	hw_begin(p);
	p->have = packet->tp_snaplen - skip < HW_WINDOW ? packet->tp_snaplen - skip : HW_WINDOW;
	memcpy(p->window, (const uint8_t *)packet + packet->tp_mac + skip, p->have);
	p->row.ts = time_of(packet);
	p->row.interface = a->ifindex;
	p->row.length = packet->tp_len - skip;
	p->row.captured = p->row.length;
	p->row.hook = HW_HOOK_af_packet;
	p->row.direction = from_of(packet)->sll_pkttype == PACKET_OUTGOING ? HW_DIRECTION_out : HW_DIRECTION_in;
	if (p->row.length > 0xffff)
		p->row.segments = 2; /* BIG TCP states no length; no malformation */
	if (packet->tp_status & TP_STATUS_VLAN_VALID) {
		hw_vlan(&p->row, packet->hv1.tp_vlan_tci);
		hw_apart(p, 4);
	}
	hw_parse(p, a->ip ? HW_START_ip : HW_START_ethernet);
	p->row.segments = segments_of(&p->row, a->ip ? 0 : packet->tp_net - packet->tp_mac, a->mtu);
	if (packet->tp_status & TP_STATUS_VLAN_VALID) {
		p->row.length += 4; /* after the parser, whose offsets are those of the frame without the tag */
		p->row.captured += 4;
	}
}

/* The frame as it was on the wire: with its tag, and with what the kernel knows of its way (epb_flags: direction, reception type). */
static void put_whole(struct hw_af_packet *a, const struct tpacket3_hdr *packet)
{
	static const uint32_t RECEPTION[] = {[PACKET_HOST] = 1, [PACKET_MULTICAST] = 2, [PACKET_BROADCAST] = 3, [PACKET_OTHERHOST] = 4};
	uint32_t skip = skip_of(a, packet), kind = from_of(packet)->sll_pkttype;
	struct hw_pcapng_packet whole = {
		.frame = (const uint8_t *)packet + packet->tp_mac + skip,
		.captured = packet->tp_snaplen - skip,
		.length = packet->tp_len - skip,
		.ts = a->parser.row.ts,
		.headers = a->parser.headers,
		.flags = kind == PACKET_OUTGOING ? 2 : 1 | (kind < PACKET_OUTGOING ? RECEPTION[kind] << 2 : 0),
	};

	if (packet->tp_status & TP_STATUS_VLAN_VALID) {
		whole.tpid = packet->tp_status & TP_STATUS_VLAN_TPID_VALID ? packet->hv1.tp_vlan_tpid : ETH_P_8021Q;
		whole.tci = packet->hv1.tp_vlan_tci;
	}
	hw_pcapng_writer_put(a->writer, a->number, &whole);
}

/* What the packet of the row carries, as far as it was captured. */
static void put_payload(const struct hw_af_packet *a, const struct tpacket3_hdr *packet, struct hw_af_packet_room *room)
{
	uint32_t skip = skip_of(a, packet), end = packet->tp_snaplen - skip, length = a->parser.row.payload_length;

	if (end > a->parser.limit)
		end = a->parser.limit;
	if (!a->parser.headers || !(a->parser.row.has & HW_HAS_payload) || a->parser.headers >= end)
		length = 0;
	else if (length > end - a->parser.headers)
		length = end - a->parser.headers;
	*room->payloads++ = (struct hw_payload){.octets = room->octets, .length = length};
	memcpy(room->octets, (const uint8_t *)packet + packet->tp_mac + skip + a->parser.headers, length);
	room->octets += length;
	room->octet_room -= length;
}

static void put_row(const struct hw_packet *row, struct hw_af_packet_room *room)
{
	memcpy(room->rows, row, sizeof(*row));
	room->rows = (uint8_t *)room->rows + room->stride;
	room->capacity--;
}

/* The packet that was parsed, behind what carries it. */
static void put(struct hw_af_packet *a, const struct tpacket3_hdr *packet, struct hw_af_packet_room *room)
{
	for (uint32_t i = 0; i < a->parser.carrier_count; i++) {
		put_row(&a->parser.carriers[i], room);
		if (room->payloads)
			*room->payloads++ = (struct hw_payload){.octets = room->octets};
	}
	if (room->payloads)
		put_payload(a, packet, room);
	put_row(&a->parser.row, room);
	a->counts.as_row++;
	a->counts.carriers += a->parser.carrier_count;
	if (a->writer)
		put_whole(a, packet);
}

/* Whether there may be no room for the next packet of that ring. */
static int full(const struct hw_af_packet *a, const struct hw_af_packet_room *room)
{
	return room->capacity < (a->parser.carries ? HW_MOST_ROWS : 1) || (a->writer && hw_pcapng_writer_full(a->writer)) ||
	       (room->payloads && room->octet_room < a->block_octets);
}

/* Whether more than half of its blocks wait to be read: then there is no waiting for packets of other rings. */
static int is_half_full(const struct hw_af_packet *a)
{
	const struct tpacket_block_desc *block = (const void *)(a->ring + (a->block + a->blocks / 2) % a->blocks * a->block_octets);

	return __atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_RELAXED) & TP_STATUS_USER;
}

/* The ring with the packet that was seen first, of those that were handed over and are due; NULL if there is none. */
static struct hw_af_packet *earliest(struct hw_af_packet *const *rings, size_t count, uint64_t until)
{
	struct hw_af_packet *found = NULL;
	uint64_t first = UINT64_MAX, ts;

	for (size_t i = 0; i < count; i++) {
		if (!rings[i]->left && !begin_block(rings[i]))
			continue;
		ts = time_of((const struct tpacket3_hdr *)rings[i]->next);
		if (ts < first && (ts <= until || ts - until > STEP || is_half_full(rings[i]))) {
			found = rings[i];
			first = ts;
		}
	}
	return found;
}

static void take(struct hw_af_packet *a, struct hw_af_packet_room *room, struct hw_rollup *rates)
{
	const struct tpacket3_hdr *packet = (const struct tpacket3_hdr *)a->next;

	parse(a, packet);
	hw_rollup_add(rates, &a->parser.row, 0, 1, 1, 0);
	if (a->writer)
		hw_pcapng_writer_received(a->writer, a->number);
	if (hw_wanted(&a->choice, &a->parser, &a->counts.filtered, &a->counts.sampled_out, &a->counts.counted_only))
		put(a, packet, room);
	a->counts.octets += a->parser.row.length;
	a->counts.segments += a->parser.row.segments;
	a->next += packet->tp_next_offset;
	if (!--a->left)
		release_block(a);
}

size_t hw_af_packet_read(struct hw_af_packet *const *rings, size_t count, uint64_t until, const struct hw_af_packet_room *into,
			 struct hw_rollup *rates)
{
	struct hw_af_packet_room room = *into;
	struct hw_af_packet *a;
	socklen_t size = sizeof(int);
	size_t seen;
	int ignored;

	for (seen = 0; seen < MOST_AT_ONCE && (a = earliest(rings, count, until)) && !full(a, &room); seen++)
		take(a, &room, rates);
	for (size_t i = 0; i < count && !seen;
	     i++) /* an interface that went down is an error of the socket, which poll() tells until asked */
		getsockopt(rings[i]->fd, SOL_SOCKET, SO_ERROR, &ignored, &size);
	return into->capacity - room.capacity;
}

void hw_af_packet_carry(struct hw_af_packet *a)
{
	a->parser.carries = 1;
}

void hw_af_packet_mtu(struct hw_af_packet *a, uint32_t mtu)
{
	a->mtu = mtu;
}

void hw_af_packet_choose(struct hw_af_packet *a, const void *filter, uint64_t sample_below, int rates_only)
{
	hw_choose(&a->choice, filter, sample_below, rates_only);
}

void hw_af_packet_write(struct hw_af_packet *a, struct hw_pcapng_writer *writer, uint32_t number)
{
	a->writer = writer;
	a->number = number;
}

void hw_af_packet_counts_of(struct hw_af_packet *a, struct hw_af_packet_counts *into)
{
	ask_kernel(a);
	*into = a->counts;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What generator.c and generator.bpf.c say to each other: all of the program's .bss. */
#ifndef GENERATOR_H
#define GENERATOR_H

struct generator_state {
	unsigned long long sent;     /* packets sent so far */
	unsigned long long left;     /* how many are still to be sent */
	unsigned long long interval; /* nanoseconds from one to the next; 0: as fast as it goes */
	unsigned long long next_at;
	unsigned int tuples;	 /* how many distinct (address, port) pairs there are */
	unsigned int next_tuple; /* that of the next packet */
};

#endif

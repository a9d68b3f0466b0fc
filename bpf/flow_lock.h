/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A lock of one word, taken by compare-and-swap (atomic instructions of BPF, Linux 5.12). In place of bpf_spin_lock, which is a call that
 * turns interrupts off and on again, and takes a third of the time of a packet whose flow is there (docs/adr/0013).
 *
 * It is held for some 100 ns, but whoever holds it may be interrupted (by a packet on its own CPU, while user space runs a job on a kernel
 * before 6.11; by a hypervisor). So nobody waits for ever: who does not get it in HW_SPINS looks, some 10 us, tries again a few times,
 * and then the packet goes to user space, which hands it back.
 */
#ifndef HW_FLOW_LOCK_H
#define HW_FLOW_LOCK_H

#include "parser.h"

#define HW_SPINS 2048

HW_INLINE int hw_lock_try(__u32 *lock)
{
	return !__sync_val_compare_and_swap(lock, 0, 1);
}

/* A step, so that the verifier walks it once. */
HW_STEP int hw_lock_wait(__u32 *lock)
{
	int i;

	if (!lock)
		return 0;
	for (i = 0; i < HW_SPINS; i++)
		if (!*(volatile __u32 *)lock && hw_lock_try(lock))
			return 1;
	return 0;
}

/* 1 if it is taken. */
HW_INLINE int hw_lock(__u32 *lock)
{
	return hw_lock_try(lock) || hw_lock_wait(lock);
}

/* An exchange, because there is no plain store that other CPUs see only after those before it. */
HW_INLINE void hw_unlock(__u32 *lock)
{
	(void)__sync_lock_test_and_set(lock, 0);
}

#endif

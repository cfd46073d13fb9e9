/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Selection among the backends of a service: the arithmetic only. The programs look up what it names; user space uses
 * the same functions for `weft explain connect` and in the tests.
 */
#ifndef WEFT_LIB_BALANCE_H
#define WEFT_LIB_BALANCE_H

#include "../abi.h"
#include "address.h"

/* A uniform index below `count` from 32 random bits, without division (Lemire). `count` is not 0. */
static inline __u32 weft_scale(__u32 random, __u32 count)
{
	return (__u64)random * count >> 32;
}

/*
 * The two parts of one 64-bit random number: the high half selects the slot, the low half decides between the slot's
 * backend and its alias. Weights are exact to 2^-32.
 */
static inline __u32 weft_slot_index(__u64 random, __u32 count)
{
	return weft_scale(random >> 32, count);
}

static inline __u64 weft_slot_choose(const struct weft_slot *slot, __u64 random)
{
	return (__u32)random < slot->threshold ? slot->backend : slot->alias;
}

/*
 * Round robin over equal weights is turn % count. With unequal weights the turn walks the additive golden-ratio
 * sequence, whose points are spread evenly at every length: each backend's share is right after few turns, and no
 * schedule has to be kept. The sequence is even in one dimension only, so the decision between a slot's backend and its
 * alias is the point's place within the slot, not a second number. The result is for weft_slot_index and
 * weft_slot_choose.
 */
static inline __u64 weft_round_robin_point(__u64 turn, __u32 count)
{
	__u64 point = turn * 0x9e3779b97f4a7c15ull >> 32;

	return point << 32 | (__u32)(point * count);
}

/* The second of two distinct choices: an index other than `first`. `count` is at least 2. */
static inline __u32 weft_second_choice(__u32 random, __u32 first, __u32 count)
{
	__u32 second = weft_scale(random, count - 1);

	return second >= first ? second + 1 : second;
}

/* Whether `a` is the less loaded of two: open connections per weight, ties to `a`. */
static inline int weft_less_loaded(__s64 active_a, __u32 weight_a, __s64 active_b, __u32 weight_b)
{
	if (active_a < 0)
		active_a = 0;
	if (active_b < 0)
		active_b = 0;
	return (__u64)(active_a + 1) * weight_b <= (__u64)(active_b + 1) * weight_a;
}

/* The client's hash for consistent selection: the same client finds the same place in every table. */
static inline __u64 weft_client_hash(const struct weft_affinity_key *client)
{
	__u64 hash = weft_mix(client->netns_cookie + 0x9e3779b97f4a7c15ull);

	hash = weft_mix(hash ^ client->workload);
	hash = weft_mix(hash ^ client->source.high);
	return weft_mix(hash ^ client->source.low);
}

/* Whether an affinity entry may still be used at `now` (timeouts count from the last use). */
static inline int weft_affinity_alive(const struct weft_affinity *entry, __u32 timeout_seconds, __u64 now_ns)
{
	return now_ns - entry->last_used_ns < (__u64)timeout_seconds * 1000000000ull;
}

#endif

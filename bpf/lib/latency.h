/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The buckets of requests' times and of bodies' sizes. Pure: compiles for the host too.
 *
 * Times: every bound of Istio's and of Linkerd's histograms is one of these, so both are sums of whole buckets; between
 * them and below one millisecond there are more, at most a factor of 1.5 apart from 20 µs to 10 ms, so that a
 * percentile says something about requests that never left the node.
 */
#ifndef WEFT_LIB_LATENCY_H
#define WEFT_LIB_LATENCY_H

#include "../abi.h"

/* Inclusive upper bounds in microseconds; the last bucket has none. */
static const __u32 weft_latency_bounds[WEFT_LATENCY_BUCKETS] = {
	10,        20,         30,          40,          50,       65,       80,       100,      125,      150,
	200,       250,        300,         400,         500,      600,      700,      800,      1000,     1250,
	1500,      2000,       2500,        3000,        4000,     5000,     6000,     8000,     10000,    12500,
	15000,     20000,      25000,       30000,       40000,    50000,    60000,    80000,    100000,   150000,
	200000,    250000,     300000,      400000,      500000,   700000,   1000000,  1500000,  2000000,  2500000,
	3000000,   4000000,    5000000,     10000000,    20000000, 30000000, 40000000, 50000000, 60000000, 300000000,
	600000000, 1800000000, 3600000000u, 0xffffffffu,
};

/* The inclusive upper bound of a bucket in microseconds; 0 for the last one, which has none. */
static inline __u32 weft_latency_bound(__u32 bucket)
{
	return bucket < WEFT_LATENCY_BUCKETS - 1 ? weft_latency_bounds[bucket] : 0;
}

/* The first bucket whose bound is not below the value. Without a branch that nobody could predict. */
static inline __u32 weft_latency_bucket(__u64 microseconds)
{
	__s64 value = microseconds < 0xffffffffu ? (__s64)microseconds : 0xffffffff;
	__u32 bucket = 0;

	for (__u32 step = WEFT_LATENCY_BUCKETS / 2; step; step /= 2) {
		/* The mask changes nothing; the verifier wants to see it. */
		__s64 bound = weft_latency_bounds[(bucket + step - 1) & (WEFT_LATENCY_BUCKETS - 1)];

		bucket += step & (__u32)((bound - value) >> 63);
	}
	return bucket & (WEFT_LATENCY_BUCKETS - 1);
}

/* Whole microseconds; exact, and without a division for what takes less than four seconds. */
static inline __u64 weft_microseconds(__u64 nanoseconds)
{
	return nanoseconds >> 32 ? nanoseconds / 1000 : nanoseconds * 274877907 >> 38;
}

/* Istio's buckets for bytes: 0 is below every bound, whose first one is half a byte. */
static inline __u32 weft_size_bucket(__u64 bytes)
{
	static const __u32 bounds[WEFT_SIZE_BUCKETS - 1] = {
		0,    1,    5,     10,    25,    50,     100,    250,     500,     1000,
		2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
	};
	__u32 bucket = 0;

	while (bucket < WEFT_SIZE_BUCKETS - 1 && bytes > bounds[bucket])
		bucket++;
	return bucket;
}

#endif

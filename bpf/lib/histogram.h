/* SPDX-License-Identifier: GPL-2.0 */
/* Log2 histograms. Pure: compiles for the host too. */
#ifndef WEFT_LIB_HISTOGRAM_H
#define WEFT_LIB_HISTOGRAM_H

#include "../abi.h"

/* The bucket of a value: the number of bits it needs, so bucket i holds values in [2^(i-1), 2^i). */
static inline __u32 weft_histogram_bucket(__u64 value)
{
	__u32 bits = 0;

	if (value >> 32)
		return WEFT_HISTOGRAM_BUCKETS - 1;
	if (value >> 16) {
		bits += 16;
		value >>= 16;
	}
	if (value >> 8) {
		bits += 8;
		value >>= 8;
	}
	if (value >> 4) {
		bits += 4;
		value >>= 4;
	}
	if (value >> 2) {
		bits += 2;
		value >>= 2;
	}
	if (value >> 1) {
		bits += 1;
		value >>= 1;
	}
	bits += (__u32)value;
	return bits < WEFT_HISTOGRAM_BUCKETS ? bits : WEFT_HISTOGRAM_BUCKETS - 1;
}

static inline void weft_histogram_add(struct weft_histogram *histogram, __u64 value)
{
	__u32 bucket = weft_histogram_bucket(value);

	if (bucket < WEFT_HISTOGRAM_BUCKETS) /* always; the verifier wants to see it */
		histogram->buckets[bucket] += 1;
	histogram->sum += value;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* What the behaviour probes tell their unguarded program. */
#ifndef WEFT_ABI_TRIAL_H
#define WEFT_ABI_TRIAL_H

#include <linux/types.h>

enum weft_trial_path {
	WEFT_TRIAL_REDIRECT = 0,
	WEFT_TRIAL_TCP = 1,
	WEFT_TRIAL_ALTERNATE = 2, /* one send so, the next one otherwise */
};

struct weft_trial {
	__u32 path;  /* enum weft_trial_path */
	__u32 sends; /* so far */
};

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Policy for connections that the agent carries: their destination is not known when they are decided. */
#ifndef WEFT_GUARD_H
#define WEFT_GUARD_H

#include "verdict.h"

/*
 * Whether a source may not connect to some destination that its requests to a captured service may be sent to.
 * `request` has the source, and gets the destination that decided; one rule is counted, that of this destination. A
 * service without an entry guards nothing.
 */
static __always_inline int capture_denied(__u64 service, struct verdict_request *request, struct verdict *verdict)
{
	struct weft_capture *capture = bpf_map_lookup_elem(&captures, &service);
	__u8 quiet = request->quiet;

	if (!capture || !capture->guard_count)
		return 0;
	/* Found without counting, then decided once more. */
	request->quiet = 1;
	for (__u32 i = 0; i < WEFT_CAPTURE_GUARDS; i++) {
		if (i >= capture->guard_count)
			break;
		request->destination = capture->guards[i].workload;
		request->port = capture->guards[i].port;
		policy_verdict(request, verdict);
		if (verdict->denied)
			break;
	}
	request->quiet = quiet;
	if (!quiet)
		policy_verdict(request, verdict);
	return verdict->denied;
}

#endif

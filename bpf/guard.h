/* SPDX-License-Identifier: GPL-2.0 */
/* Policy for connections that the agent carries: their destination is not known when they are decided. */
#ifndef WEFT_GUARD_H
#define WEFT_GUARD_H

#include "verdict.h"

/*
 * Whether a source's own NetworkPolicies forbid some destination of a captured service. `request` has the source as its
 * workload, and gets the destination that decided as its peer; one rule is counted, that of this destination.
 */
static __always_inline int capture_egress_denied(const struct weft_capture *capture, struct verdict_request *request,
                                                 struct verdict *verdict)
{
	__u8 quiet = request->quiet;

	if (!request->workload || !capture->guard_count)
		return 0;
	/* Found without counting, then decided once more. */
	request->quiet = 1;
	request->address_known = 1;
	for (__u32 i = 0; i < WEFT_CAPTURE_GUARDS; i++) {
		if (i >= capture->guard_count)
			break;
		request->peer = capture->guards[i].workload;
		request->address = capture->guards[i].address;
		request->port = capture->guards[i].port;
		egress_verdict(request, verdict);
		if (verdict->denied)
			break;
	}
	request->quiet = quiet;
	if (!quiet)
		egress_verdict(request, verdict);
	request->address_known = 0;
	return verdict->denied;
}

/*
 * Whether a source may not connect to some destination that its requests to a captured service may be sent to.
 * `request` has the source as its peer, and gets the destination that decided as its workload.
 */
static __always_inline int capture_denied(const struct weft_capture *capture, struct verdict_request *request,
                                          struct verdict *verdict)
{
	__u8 quiet = request->quiet;

	request->workload = 0;
	request->quiet = 1;
	for (__u32 i = 0; i < WEFT_CAPTURE_GUARDS; i++) {
		if (i >= capture->guard_count)
			break;
		if (!capture->guards[i].workload)
			continue;
		request->workload = capture->guards[i].workload;
		request->port = capture->guards[i].port;
		policy_verdict(request, verdict);
		if (verdict->denied)
			break;
	}
	if (!quiet && request->workload)
		count_carried(request, verdict);
	request->quiet = quiet;
	return verdict->denied;
}

#endif

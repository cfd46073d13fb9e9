/* SPDX-License-Identifier: GPL-2.0 */
/* Policy for connections that the agent carries: their destination is not known when they are decided. */
#ifndef WEFT_GUARD_H
#define WEFT_GUARD_H

#include "verdict.h"

/*
 * Whether a source may not connect to some destination that its requests may be sent to. `request` has the source, and
 * gets the destination that decided; one rule is counted, that of this destination.
 */
static __noinline int capture_denied(const struct weft_capture *capture, struct verdict_request *request,
                                     struct verdict *verdict)
{
	__u8 quiet = request->quiet;
	__u32 decisive = 0;

	verdict->denied = 0;
	request->quiet = 1;
	for (__u32 i = 0; i < WEFT_CAPTURE_GUARDS; i++) {
		if (i >= capture->guard_count)
			break;
		request->destination = capture->guards[i].workload;
		request->port = capture->guards[i].port;
		policy_verdict(request, verdict);
		if (verdict->denied) {
			decisive = i;
			break;
		}
	}
	request->quiet = quiet;
	if (quiet || !capture->guard_count || decisive >= WEFT_CAPTURE_GUARDS)
		return verdict->denied;
	request->destination = capture->guards[decisive].workload;
	request->port = capture->guards[decisive].port;
	policy_verdict(request, verdict);
	return verdict->denied;
}

#endif

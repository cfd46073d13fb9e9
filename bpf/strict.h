/* SPDX-License-Identifier: GPL-2.0 */
/* Whether plaintext may come to a port of a local workload from outside of its node. */
#ifndef WEFT_STRICT_H
#define WEFT_STRICT_H

#include "identity.h"

/* The rule that refusals are counted for; set before loading. */
const volatile __u64 strict_rule;

/* Whether a port takes nothing from outside of the node but tunnels. */
static __always_inline int is_strict(const struct weft_inbound_port *port, __u32 flags)
{
	if (port && port->tls != WEFT_PORT_TLS_INHERITED)
		return port->tls == WEFT_PORT_TLS_STRICT;
	return flags & WEFT_WORKLOAD_STRICT;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Policy decisions: lib/policy.h with its bitmaps from the maps, and the counting of rules. */
#ifndef WEFT_VERDICT_H
#define WEFT_VERDICT_H

#include "account.h"
#include "lib/policy.h"

struct verdict_request {
	__u64 source;      /* workload id; 0: unknown */
	__u64 destination; /* workload id */
	struct weft_address source_address;
	__be16 port; /* of the destination workload, not of the service */
	__u8 address_known;
	__u8 quiet; /* decide only: count nothing */
};

struct verdict {
	__u64 rule; /* that decided; 0: the default */
	__u32 denied;
	__u32 destination_flags; /* enum weft_workload_flags */
};

static __noinline void count_rule(__u64 rule, __u8 verdict, __u8 mode)
{
	struct weft_rule_key key = { .rule = rule, .verdict = verdict, .mode = mode };
	__u64 *count = bpf_map_lookup_elem(&rule_counters, &key);
	__u64 zero = 0;

	if (!count) {
		bpf_map_update_elem(&rule_counters, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&rule_counters, &key);
	}
	if (count)
		ADD(*count, 1);
}

static __noinline __u64 rule_of_clause(__u64 policy, __u32 clause)
{
	struct weft_policy_rule_key key = { .policy = policy, .clause = clause };
	__u64 *rule = bpf_map_lookup_elem(&policy_rules, &key);

	return rule ? *rule : 0;
}

/* Where the request stands in each dimension. Dimensions that no clause asks for cost no lookup. */
static __noinline void policy_facts(const struct weft_policy *policy, __u64 group,
                                    const struct verdict_request *request, struct weft_policy_facts *facts)
{
	const struct weft_clauses *found;

	facts->identity = policy->identity_unknown;
	if ((policy->flags & WEFT_POLICY_BY_IDENTITY) && request->source) {
		__u64 id = request->source;
		struct weft_workload *source = bpf_map_lookup_elem(&workloads, &id);

		if (source && source->identity) {
			struct weft_policy_identity_key key = { .policy = group, .identity = source->identity };

			found = bpf_map_lookup_elem(&policy_ids, &key);
			facts->identity = found ? *found : policy->identity_default;
		}
	}

	facts->port = policy->port_default;
	if (policy->flags & WEFT_POLICY_BY_PORT) {
		struct weft_policy_port_key key = { .policy = group, .port = request->port };

		found = bpf_map_lookup_elem(&policy_ports, &key);
		if (found)
			facts->port = *found;
	}

	facts->address = policy->address_default;
	if (policy->flags & WEFT_POLICY_BY_ADDRESS) {
		if (request->address_known) {
			struct weft_policy_address_key key = {
				.prefix_length = WEFT_POLICY_PREFIX_BASE + 128,
				.policy_words = { (__u32)group, group >> 32 },
				.address = {
					weft_address_word(&request->source_address, 0),
					weft_address_word(&request->source_address, 1),
					weft_address_word(&request->source_address, 2),
					weft_address_word(&request->source_address, 3),
				},
			};

			found = bpf_map_lookup_elem(&policy_prefixes, &key);
			if (found)
				facts->address = *found;
		} else {
			facts->address = policy->address_unknown;
		}
	}
}

/*
 * Decides a connection to a workload. A workload or group that is named but missing denies: what is not loaded yet
 * never means open.
 */
VERIFIED_ALONE int policy_verdict(const struct verdict_request *request, struct verdict *verdict)
{
	struct weft_workload *destination;
	struct weft_policy_facts facts;
	struct weft_decision decision;
	struct weft_policy *policy;
	__u64 group, id;

	if (!request || !verdict)
		return 0;
	verdict->rule = 0;
	verdict->denied = 0;
	verdict->destination_flags = 0;
	id = request->destination;
	destination = bpf_map_lookup_elem(&workloads, &id);
	if (!destination) {
		count_node(WEFT_COUNT_FAIL_CLOSED);
		verdict->denied = 1;
		return 0;
	}
	verdict->destination_flags = destination->flags;
	group = destination->policy;
	if (!group)
		return 0;
	policy = bpf_map_lookup_elem(&policies, &group);
	if (!policy) {
		count_node(WEFT_COUNT_FAIL_CLOSED);
		verdict->denied = 1;
		return 0;
	}

	policy_facts(policy, group, request, &facts);
	weft_policy_decide(policy, &facts, &decision);

	verdict->denied = decision.verdict == WEFT_VERDICT_DENY;
	if (decision.clause != WEFT_NO_CLAUSE)
		verdict->rule = rule_of_clause(group, decision.clause);
	else if (verdict->denied)
		verdict->rule = policy->implicit_rule;
	if (request->quiet)
		return 0;

	if (verdict->rule)
		count_rule(verdict->rule, decision.verdict, WEFT_MODE_ENFORCE);
	if (policy->flags & WEFT_POLICY_HAS_SHADOW) {
		if (decision.audit_clause != WEFT_NO_CLAUSE)
			count_rule(rule_of_clause(group, decision.audit_clause), WEFT_VERDICT_AUDIT, WEFT_MODE_ENFORCE);
		if (decision.shadow_clause != WEFT_NO_CLAUSE)
			count_rule(rule_of_clause(group, decision.shadow_clause), decision.shadow_verdict,
			           WEFT_MODE_SHADOW);
		else if (decision.shadow_verdict != decision.verdict)
			count_rule(policy->shadow_implicit_rule, decision.shadow_verdict, WEFT_MODE_SHADOW);
	}
	return 0;
}

#endif

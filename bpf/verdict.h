/* SPDX-License-Identifier: GPL-2.0 */
/* Policy decisions: lib/policy.h with its bitmaps from the maps, and the counting of rules. */
#ifndef WEFT_VERDICT_H
#define WEFT_VERDICT_H

#include "account.h"
#include "lib/policy.h"

struct verdict_request {
	__u64 workload;              /* whose policies are asked: the destination, or the source for its egress */
	__u64 peer;                  /* workload id of the other end; 0: unknown */
	struct weft_address address; /* of the other end */
	__be16 port;                 /* of the destination workload, not of the service */
	__u8 protocol;
	__u8 address_known;
	__u8 network_only; /* NetworkPolicies only */
	__u8 quiet;        /* decide only: count nothing */
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

/* The clauses that the other end's identity satisfies. */
static __always_inline void match_identity(const struct weft_policy *policy, __u64 group,
                                           const struct verdict_request *request, struct weft_clauses *matched)
{
	const struct weft_clauses *found;
	struct weft_workload *peer;
	__u64 id = request->peer;

	*matched = policy->identity_unknown;
	if (!(policy->flags & WEFT_POLICY_BY_IDENTITY) || !id)
		return;
	peer = bpf_map_lookup_elem(&workloads, &id);
	if (peer && peer->identity) {
		struct weft_policy_identity_key key = {
			.policy = group,
			.identity = policy->flags & WEFT_POLICY_OF_NETWORK ? peer->peer : peer->identity,
		};

		found = bpf_map_lookup_elem(&policy_ids, &key);
		*matched = found ? *found : policy->identity_default;
	}
}

static __always_inline const struct weft_clauses *match_port(const struct weft_policy *policy, __u64 group,
                                                             const struct verdict_request *request)
{
	const struct weft_clauses *found;

	if (!(policy->flags & WEFT_POLICY_BY_PORT))
		return &policy->port_default;
	if (policy->flags & WEFT_POLICY_OF_NETWORK) {
		struct weft_policy_range_key key = {
			.prefix_length = WEFT_POLICY_RANGE_BASE + 16,
			.policy_words = { (__u32)group, group >> 32 },
			.protocol = request->protocol,
			.port = request->port,
		};

		found = bpf_map_lookup_elem(&policy_ranges, &key);
	} else {
		struct weft_policy_port_key key = { .policy = group, .port = request->port };

		found = bpf_map_lookup_elem(&policy_ports, &key);
	}
	return found ? found : &policy->port_default;
}

static __always_inline const struct weft_clauses *match_address(const struct weft_policy *policy, __u64 group,
                                                                const struct verdict_request *request)
{
	const struct weft_clauses *found;
	struct weft_policy_address_key key = {
		.prefix_length = WEFT_POLICY_PREFIX_BASE + 128,
		.policy_words = { (__u32)group, group >> 32 },
	};

	if (!(policy->flags & WEFT_POLICY_BY_ADDRESS))
		return &policy->address_default;
	if (!request->address_known)
		return &policy->address_unknown;
	key.address[0] = weft_address_word(&request->address, 0);
	key.address[1] = weft_address_word(&request->address, 1);
	key.address[2] = weft_address_word(&request->address, 2);
	key.address[3] = weft_address_word(&request->address, 3);
	found = bpf_map_lookup_elem(&policy_prefixes, &key);
	return found ? found : &policy->address_default;
}

/* The clauses that a connection satisfies. Dimensions that no clause asks for cost no lookup. */
static __noinline void match_clauses(const struct weft_policy *policy, __u64 group,
                                     const struct verdict_request *request, struct weft_clauses *matched)
{
	match_identity(policy, group, request, matched);
	weft_clauses_narrow(matched, match_port(policy, group, request));
	weft_clauses_narrow(matched, match_address(policy, group, request));
}

/* Adds what one group decides to a verdict that has not denied yet. */
static __noinline int decide_group(__u64 group, const struct verdict_request *request, struct verdict *verdict)
{
	struct weft_policy *policy = bpf_map_lookup_elem(&policies, &group);
	struct weft_decision decision;
	struct weft_clauses matched;
	__u64 rule = 0;

	if (!policy) {
		count_node(WEFT_COUNT_FAIL_CLOSED);
		verdict->denied = 1;
		return 0;
	}
	match_clauses(policy, group, request, &matched);
	weft_policy_decide_matched(policy, &matched, &decision);

	verdict->denied = decision.verdict == WEFT_VERDICT_DENY;
	if (decision.clause != WEFT_NO_CLAUSE)
		rule = rule_of_clause(group, decision.clause);
	else if (verdict->denied)
		rule = policy->implicit_rule;
	if (rule)
		verdict->rule = rule;
	if (request->quiet)
		return 0;

	if (rule)
		count_rule(rule, decision.verdict, WEFT_MODE_ENFORCE);
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

/*
 * Decides a connection to a workload, whose NetworkPolicies and AuthorizationPolicies have to agree. A workload or
 * group that is named but missing denies: what is not loaded yet never means open.
 */
VERIFIED_ALONE int policy_verdict(const struct verdict_request *request, struct verdict *verdict)
{
	struct weft_workload *destination;
	__u64 id;

	if (!request || !verdict)
		return 0;
	verdict->rule = 0;
	verdict->denied = 0;
	verdict->destination_flags = 0;
	id = request->workload;
	destination = bpf_map_lookup_elem(&workloads, &id);
	if (!destination) {
		count_node(WEFT_COUNT_FAIL_CLOSED);
		verdict->denied = 1;
		return 0;
	}
	verdict->destination_flags = destination->flags;
	/* What a workload says to itself is no network's business. */
	if (destination->ingress && request->peer != id)
		decide_group(destination->ingress, request, verdict);
	if (destination->policy && !verdict->denied && !request->network_only)
		decide_group(destination->policy, request, verdict);
	return 0;
}

/*
 * Counts a decision about a connection whose requests the agent decides about. What AuthorizationPolicies allow is
 * counted there, request by request; NetworkPolicies, and who is denied, are counted here. `verdict` has been decided
 * with `quiet`.
 */
static __noinline int count_carried(struct verdict_request *request, struct verdict *verdict)
{
	__u64 rule = verdict->rule;

	request->quiet = 0;
	request->network_only = !verdict->denied;
	policy_verdict(request, verdict);
	request->network_only = 0;
	if (!verdict->denied)
		verdict->rule = rule;
	return 0;
}

/* Decides whether a workload may open a connection: to another one, or to an address of none. */
VERIFIED_ALONE int egress_verdict(const struct verdict_request *request, struct verdict *verdict)
{
	struct weft_workload *source;
	__u64 id;

	if (!request || !verdict)
		return 0;
	verdict->rule = 0;
	verdict->denied = 0;
	verdict->destination_flags = 0;
	id = request->workload;
	if (!id || request->peer == id)
		return 0;
	source = bpf_map_lookup_elem(&workloads, &id);
	if (!source) {
		count_node(WEFT_COUNT_FAIL_CLOSED);
		verdict->denied = 1;
		return 0;
	}
	/* The loopback address of nobody else is its own. */
	if (source->egress && (request->peer || !weft_address_is_loopback(&request->address)))
		decide_group(source->egress, request, verdict);
	return 0;
}

#endif

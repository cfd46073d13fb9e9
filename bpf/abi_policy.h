/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The layouts of policies and of their decisions. A part of abi.h, which includes it: nobody else does.
 */
#ifndef WEFT_ABI_POLICY_H
#define WEFT_ABI_POLICY_H

/* The length of one policy bitmap: a policy group holds at most WEFT_POLICY_CLAUSES clauses. */
#define WEFT_POLICY_WORDS 4
#define WEFT_POLICY_CLAUSES (WEFT_POLICY_WORDS * 64)

/* Outcome of one policy decision. */
enum weft_verdict {
	WEFT_VERDICT_ALLOW = 0,
	WEFT_VERDICT_DENY = 1,
	WEFT_VERDICT_AUDIT = 2, /* an AUDIT rule matched; it decides nothing */
};

enum weft_policy_mode {
	WEFT_MODE_ENFORCE = 0,
	WEFT_MODE_SHADOW = 1,
};

/* One bit for each clause of a policy group. */
struct weft_clauses {
	__u64 words[WEFT_POLICY_WORDS];
};

enum weft_policy_flags {
	WEFT_POLICY_HAS_ALLOW = 1, /* an enforced ALLOW policy applies: no match is a denial */
	WEFT_POLICY_HAS_SHADOW_ALLOW = 2,
	WEFT_POLICY_BY_IDENTITY = 4, /* some clause asks for the source's identity */
	WEFT_POLICY_BY_ADDRESS = 8,  /* some clause asks for the source's address */
	WEFT_POLICY_BY_PORT = 16,    /* some clause asks for the destination port */
	WEFT_POLICY_HAS_SHADOW = 32, /* some clause is of a dry-run or AUDIT policy */
	WEFT_POLICY_OF_NETWORK =
	    64, /* NetworkPolicies: the identity is weft_workload.peer, ports are in policy_ranges */
};

/*
 * `policies`, by group id: all AuthorizationPolicies, or all NetworkPolicies for one direction, that apply to a set of
 * workloads, as clauses (conjunctions over identity, address and port). Identity and address are those of the other
 * end: the source, or the destination in a group for egress. A clause matches when its bit is set in the bitmap of each
 * dimension; lib/policy.h holds the decision.
 */
struct weft_policy {
	struct weft_clauses deny;
	struct weft_clauses allow;
	struct weft_clauses shadow_deny;
	struct weft_clauses shadow_allow;
	struct weft_clauses audit;
	struct weft_clauses identity_unknown; /* clauses that a source without identity satisfies */
	struct weft_clauses identity_default; /* ... a source whose identity is not in policy_identities */
	struct weft_clauses port_default;     /* ... a port that is not in policy_ports */
	struct weft_clauses address_default;  /* ... an address that no entry of policy_addresses covers */
	struct weft_clauses address_unknown; /* ... a source whose address is not known yet (DENY matches, ALLOW not) */
	__u64 implicit_rule;                 /* rule that is counted when an ALLOW policy exists and none matched */
	__u64 shadow_implicit_rule;
	__u32 flags; /* enum weft_policy_flags */
	__u32 clause_count;
};

struct weft_policy_identity_key {
	__u64 policy;
	__u64 identity;
};

struct weft_policy_port_key {
	__u64 policy;
	__be16 port;
	__u8 reserved[6];
};

/* Longest-prefix key: WEFT_POLICY_PREFIX_BASE bits of group id, then the prefix of the address. */
#define WEFT_POLICY_PREFIX_BASE 64
struct weft_policy_address_key {
	__u32 prefix_length;
	__u32 policy_words[2]; /* the group id as it lies in memory; two words keep the key free of padding */
	__u32 address[4];
};

/* Longest-prefix key: WEFT_POLICY_RANGE_BASE bits of group id and protocol, then the prefix of the port. */
#define WEFT_POLICY_RANGE_BASE 80
struct weft_policy_range_key {
	__u32 prefix_length;
	__u32 policy_words[2]; /* as above */
	__u8 protocol;
	__u8 reserved;
	__be16 port;
};

/* `policy_rules`: which rule a clause came from. */
struct weft_policy_rule_key {
	__u64 policy;
	__u32 clause;
	__u32 reserved;
};

/* `rule_counters` (per CPU): decisions by rule. */
struct weft_rule_key {
	__u64 rule;
	__u8 verdict; /* enum weft_verdict */
	__u8 mode;    /* enum weft_policy_mode */
	__u8 reserved[6];
};

WEFT_ASSERT(sizeof(struct weft_clauses) == 32, "weft_clauses");
WEFT_ASSERT(sizeof(struct weft_policy) == 344, "weft_policy");
WEFT_ASSERT(sizeof(struct weft_policy_address_key) == 28, "weft_policy_address_key");
WEFT_ASSERT(sizeof(struct weft_policy_range_key) == 16, "weft_policy_range_key");

#endif

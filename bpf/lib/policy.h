/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The decision of a policy group. Pure: the programs bring the bitmaps from the maps, user space from its own tables.
 *
 * Precedence (Istio's AuthorizationPolicy):
 *   1. a DENY clause matches            -> denied by that clause
 *   2. no ALLOW policy applies          -> allowed
 *   3. an ALLOW clause matches          -> allowed by that clause
 *   4. otherwise                        -> denied by the group's implicit rule
 * Shadow (dry-run) clauses are decided in the same order over enforced and shadow clauses together, and AUDIT clauses
 * are only reported; neither changes the verdict.
 */
#ifndef WEFT_LIB_POLICY_H
#define WEFT_LIB_POLICY_H

#include "../abi.h"

#define WEFT_NO_CLAUSE 0xffffffffu

/* Where a connection stands in each dimension: bitmaps of the clauses that it satisfies there. */
struct weft_policy_facts {
	struct weft_clauses identity;
	struct weft_clauses address;
	struct weft_clauses port;
};

struct weft_decision {
	__u32 verdict; /* enum weft_verdict: ALLOW or DENY */
	__u32 clause;  /* that decided, or WEFT_NO_CLAUSE: the default, or the implicit rule if denied */
	__u32 shadow_verdict; /* what it would be with the shadow policies enforced */
	__u32 shadow_clause;
	__u32 audit_clause;   /* the first AUDIT clause that matched, or WEFT_NO_CLAUSE */
};

/* Index of the lowest set bit of `bits & mask` over all words; WEFT_NO_CLAUSE if there is none. */
static inline __u32 weft_first_clause(const struct weft_clauses *bits, const struct weft_clauses *mask)
{
	for (__u32 word = 0; word < WEFT_POLICY_WORDS; word++) {
		__u64 both = bits->words[word] & mask->words[word];
		__u32 index = 0;

		if (!both)
			continue;
		both &= -both;
		/* Binary search for the one bit: __builtin_ctzll has no BPF instruction. */
		index += (both & 0xffffffff00000000ull) ? 32 : 0;
		index += (both & 0xffff0000ffff0000ull) ? 16 : 0;
		index += (both & 0xff00ff00ff00ff00ull) ? 8 : 0;
		index += (both & 0xf0f0f0f0f0f0f0f0ull) ? 4 : 0;
		index += (both & 0xccccccccccccccccull) ? 2 : 0;
		index += (both & 0xaaaaaaaaaaaaaaaaull) ? 1 : 0;
		return word * 64 + index;
	}
	return WEFT_NO_CLAUSE;
}

static inline void weft_policy_decide(const struct weft_policy *policy, const struct weft_policy_facts *facts,
				      struct weft_decision *decision)
{
	struct weft_clauses matched;
	__u32 clause;

	for (__u32 word = 0; word < WEFT_POLICY_WORDS; word++)
		matched.words[word] = facts->identity.words[word] & facts->address.words[word] & facts->port.words[word];

	decision->verdict = WEFT_VERDICT_ALLOW;
	decision->clause = weft_first_clause(&matched, &policy->deny);
	if (decision->clause != WEFT_NO_CLAUSE) {
		decision->verdict = WEFT_VERDICT_DENY;
	} else if (policy->flags & WEFT_POLICY_HAS_ALLOW) {
		decision->clause = weft_first_clause(&matched, &policy->allow);
		if (decision->clause == WEFT_NO_CLAUSE)
			decision->verdict = WEFT_VERDICT_DENY;
	}

	decision->shadow_verdict = decision->verdict;
	decision->shadow_clause = WEFT_NO_CLAUSE;
	decision->audit_clause = WEFT_NO_CLAUSE;
	if (!(policy->flags & WEFT_POLICY_HAS_SHADOW))
		return;

	decision->audit_clause = weft_first_clause(&matched, &policy->audit);
	/* A denial that is enforced already needs no shadow verdict. */
	if (decision->clause != WEFT_NO_CLAUSE && decision->verdict == WEFT_VERDICT_DENY)
		return;
	clause = weft_first_clause(&matched, &policy->shadow_deny);
	if (clause != WEFT_NO_CLAUSE) {
		decision->shadow_verdict = WEFT_VERDICT_DENY;
		decision->shadow_clause = clause;
	} else if (policy->flags & WEFT_POLICY_HAS_SHADOW_ALLOW) {
		clause = weft_first_clause(&matched, &policy->shadow_allow);
		decision->shadow_clause = clause;
		if (clause != WEFT_NO_CLAUSE) {
			decision->shadow_verdict = WEFT_VERDICT_ALLOW;
		} else if (decision->clause == WEFT_NO_CLAUSE) {
			/* Neither an enforced nor a shadow ALLOW matched. */
			decision->shadow_verdict = WEFT_VERDICT_DENY;
		}
	}
}

#endif

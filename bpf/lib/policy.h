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
	__u32 verdict;        /* enum weft_verdict: ALLOW or DENY */
	__u32 clause;         /* that decided, or WEFT_NO_CLAUSE: the default, or the implicit rule if denied */
	__u32 shadow_verdict; /* what it would be with the shadow policies enforced */
	__u32 shadow_clause;
	__u32 audit_clause; /* the first AUDIT clause that matched, or WEFT_NO_CLAUSE */
};

/*
 * Position of the lowest set bit (`bits` is not 0). BPF has no instruction for it, and a search by comparisons costs
 * the verifier a state for each outcome: a De Bruijn sequence has no branch.
 */
static inline __u32 weft_lowest_bit(__u64 bits)
{
	static const __u8 position[64] = {
		0,  1,  48, 2,  57, 49, 28, 3,  61, 58, 50, 42, 38, 29, 17, 4,  62, 55, 59, 36, 53, 51,
		43, 22, 45, 39, 33, 30, 24, 18, 12, 5,  63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21,
		44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9,  13, 8,  7,  6,
	};

	return position[((bits & -bits) * 0x03f79d71b4cb0a89ull) >> 58 & 63];
}

/* Index of the first clause of `mask` that is set in `bits`; WEFT_NO_CLAUSE if there is none. */
static inline __u32 weft_first_clause(const struct weft_clauses *bits, const struct weft_clauses *mask)
{
	for (__u32 word = 0; word < WEFT_POLICY_WORDS; word++) {
		__u64 both = bits->words[word] & mask->words[word];

		if (both)
			return word * 64 + weft_lowest_bit(both);
	}
	return WEFT_NO_CLAUSE;
}

/* Leaves in `matched` what one more dimension satisfies as well. */
static inline void weft_clauses_narrow(struct weft_clauses *matched, const struct weft_clauses *dimension)
{
	for (__u32 word = 0; word < WEFT_POLICY_WORDS; word++)
		matched->words[word] &= dimension->words[word];
}

/* `matched`: the clauses that the connection satisfies in every dimension. */
static inline void weft_policy_decide_matched(const struct weft_policy *policy, const struct weft_clauses *matched,
                                              struct weft_decision *decision)
{
	__u32 clause;

	decision->verdict = WEFT_VERDICT_ALLOW;
	decision->clause = weft_first_clause(matched, &policy->deny);
	if (decision->clause != WEFT_NO_CLAUSE) {
		decision->verdict = WEFT_VERDICT_DENY;
	} else if (policy->flags & WEFT_POLICY_HAS_ALLOW) {
		decision->clause = weft_first_clause(matched, &policy->allow);
		if (decision->clause == WEFT_NO_CLAUSE)
			decision->verdict = WEFT_VERDICT_DENY;
	}

	decision->shadow_verdict = decision->verdict;
	decision->shadow_clause = WEFT_NO_CLAUSE;
	decision->audit_clause = WEFT_NO_CLAUSE;
	if (!(policy->flags & WEFT_POLICY_HAS_SHADOW))
		return;

	decision->audit_clause = weft_first_clause(matched, &policy->audit);
	/* A denial that is enforced already needs no shadow verdict. */
	if (decision->clause != WEFT_NO_CLAUSE && decision->verdict == WEFT_VERDICT_DENY)
		return;
	clause = weft_first_clause(matched, &policy->shadow_deny);
	if (clause != WEFT_NO_CLAUSE) {
		decision->shadow_verdict = WEFT_VERDICT_DENY;
		decision->shadow_clause = clause;
	} else if (policy->flags & WEFT_POLICY_HAS_SHADOW_ALLOW) {
		clause = weft_first_clause(matched, &policy->shadow_allow);
		decision->shadow_clause = clause;
		if (clause != WEFT_NO_CLAUSE) {
			decision->shadow_verdict = WEFT_VERDICT_ALLOW;
		} else if (decision->clause == WEFT_NO_CLAUSE) {
			/* Neither an enforced nor a shadow ALLOW matched. */
			decision->shadow_verdict = WEFT_VERDICT_DENY;
		}
	}
}

static inline void weft_policy_decide(const struct weft_policy *policy, const struct weft_policy_facts *facts,
                                      struct weft_decision *decision)
{
	struct weft_clauses matched = facts->identity;

	weft_clauses_narrow(&matched, &facts->address);
	weft_clauses_narrow(&matched, &facts->port);
	weft_policy_decide_matched(policy, &matched, decision);
}

#endif

import Testing
import WeftABI

/// bpf/lib/policy.h, as it is compiled into the programs.
@Suite("The decision of a policy group")
struct PolicyTests {
    private let none = UInt32.max

    /// A bitmap with these clauses set.
    private func clauses(_ indices: [Int]) -> weft_clauses {
        var words: [UInt64] = [0, 0, 0, 0]
        for index in indices { words[index / 64] |= 1 << UInt64(index % 64) }
        return weft_clauses(words: (words[0], words[1], words[2], words[3]))
    }

    private func first(_ bits: weft_clauses, _ mask: weft_clauses) -> UInt32 {
        var bits = bits
        var mask = mask
        return unsafe weft_first_clause(&bits, &mask)
    }

    /// The decision for a connection that satisfies the clauses of `matched` in every dimension.
    private func decide(
        _ matched: [Int], deny: [Int] = [], allow: [Int]? = nil, shadowDeny: [Int] = [], shadowAllow: [Int]? = nil,
        audit: [Int] = []
    ) -> weft_decision {
        var policy = weft_policy()
        policy.deny = clauses(deny)
        policy.allow = clauses(allow ?? [])
        policy.shadow_deny = clauses(shadowDeny)
        policy.shadow_allow = clauses(shadowAllow ?? [])
        policy.audit = clauses(audit)
        if allow != nil { policy.flags |= WEFT_POLICY_HAS_ALLOW.rawValue }
        if shadowAllow != nil { policy.flags |= WEFT_POLICY_HAS_SHADOW_ALLOW.rawValue }
        if !shadowDeny.isEmpty || shadowAllow != nil || !audit.isEmpty {
            policy.flags |= WEFT_POLICY_HAS_SHADOW.rawValue
        }
        var facts = weft_policy_facts(identity: clauses(matched), address: clauses(matched), port: clauses(matched))
        var decision = weft_decision()
        unsafe weft_policy_decide(&policy, &facts, &decision)
        return decision
    }

    private let allowed = UInt32(WEFT_VERDICT_ALLOW.rawValue)
    private let denied = UInt32(WEFT_VERDICT_DENY.rawValue)

    @Test("The first clause is found at each of the 256 positions, alone and before others")
    func firstClause() {
        let everything = clauses(Array(0..<256))
        for index in 0..<256 {
            #expect(first(clauses([index]), everything) == UInt32(index))
            #expect(first(everything, clauses([index])) == UInt32(index))
            #expect(first(clauses(Array(index..<256)), everything) == UInt32(index))
            #expect(first(clauses([index]), clauses(Array(0..<256).filter { $0 != index })) == none)
        }
        #expect(first(clauses([]), everything) == none)
    }

    @Test("Without any policy a connection is allowed by default")
    func noPolicy() {
        let decision = decide([])
        #expect(decision.verdict == allowed)
        #expect(decision.clause == none)
    }

    @Test("Only DENY policies: what none of them matches is allowed")
    func onlyDeny() {
        #expect(decide([1], deny: [0]).verdict == allowed)
        let decision = decide([0], deny: [0])
        #expect(decision.verdict == denied)
        #expect(decision.clause == 0)
    }

    @Test("An ALLOW policy that matches allows, and names its clause")
    func allowMatches() {
        let decision = decide([200], allow: [100, 200])
        #expect(decision.verdict == allowed)
        #expect(decision.clause == 200)
    }

    @Test("An ALLOW policy that does not match denies implicitly: no clause is named")
    func allowDoesNotMatch() {
        let decision = decide([5], allow: [6])
        #expect(decision.verdict == denied)
        #expect(decision.clause == none)
    }

    @Test("An ALLOW policy without rules denies everything")
    func allowNothing() {
        #expect(decide(Array(0..<256), allow: []).verdict == denied)
    }

    @Test("DENY goes before ALLOW, whatever their order")
    func denyBeforeAllow() {
        for (deny, allow) in [(0, 1), (1, 0), (255, 3)] {
            let decision = decide([deny, allow], deny: [deny], allow: [allow])
            #expect(decision.verdict == denied)
            #expect(decision.clause == UInt32(deny))
        }
    }

    @Test("A clause matches only when identity, address and port all do")
    func everyDimension() {
        for missing in 0..<3 {
            var policy = weft_policy()
            policy.deny = clauses([70])
            let facts = (0..<3).map { $0 == missing ? clauses([71]) : clauses([70]) }
            var dimensions = weft_policy_facts(identity: facts[0], address: facts[1], port: facts[2])
            var decision = weft_decision()
            unsafe weft_policy_decide(&policy, &dimensions, &decision)
            #expect(decision.verdict == allowed)
        }
    }

    @Test("A shadow DENY allows, and reports what it would have done")
    func shadowDeny() {
        let decision = decide([3], shadowDeny: [3])
        #expect(decision.verdict == allowed)
        #expect(decision.shadow_verdict == denied)
        #expect(decision.shadow_clause == 3)
        // One that does not match reports nothing.
        let other = decide([4], shadowDeny: [3])
        #expect(other.shadow_verdict == allowed)
        #expect(other.shadow_clause == none)
    }

    @Test("A shadow ALLOW that does not match allows, and reports the implicit denial")
    func shadowAllow() {
        let missed = decide([4], shadowAllow: [3])
        #expect(missed.verdict == allowed)
        #expect(missed.shadow_verdict == denied)
        #expect(missed.shadow_clause == none)
        let matched = decide([3], shadowAllow: [3])
        #expect(matched.verdict == allowed)
        #expect(matched.shadow_verdict == allowed)
        #expect(matched.shadow_clause == 3)
    }

    @Test("A shadow ALLOW widens what an enforced one refuses: the shadow verdict is ALLOW, the verdict stays")
    func shadowAllowBesideAllow() {
        let widened = decide([3], allow: [2], shadowAllow: [3])
        #expect(widened.verdict == denied)
        #expect(widened.clause == none)
        #expect(widened.shadow_verdict == allowed)
        #expect(widened.shadow_clause == 3)
        // What the enforced policy allows, no shadow ALLOW takes away.
        let kept = decide([2], allow: [2], shadowAllow: [3])
        #expect(kept.verdict == allowed)
        #expect(kept.shadow_verdict == allowed)
    }

    @Test("An enforced denial needs no shadow verdict")
    func enforcedDenialDecides() {
        let decision = decide([0, 3], deny: [0], shadowAllow: [3])
        #expect(decision.verdict == denied)
        #expect(decision.shadow_verdict == denied)
        #expect(decision.shadow_clause == none)
    }

    @Test("A shadow DENY goes before a shadow ALLOW and before an enforced ALLOW")
    func shadowPrecedence() {
        let decision = decide([1, 2, 3], allow: [1], shadowDeny: [2], shadowAllow: [3])
        #expect(decision.verdict == allowed)
        #expect(decision.clause == 1)
        #expect(decision.shadow_verdict == denied)
        #expect(decision.shadow_clause == 2)
    }

    @Test("AUDIT reports its first clause and decides nothing", arguments: [true, false])
    func audit(isDenied: Bool) {
        let decision = decide([9, 130], deny: isDenied ? [9] : [], audit: [130])
        #expect(decision.verdict == (isDenied ? denied : allowed))
        #expect(decision.audit_clause == 130)
        #expect(decide([9], audit: [130]).audit_clause == none)
    }

    /// Every combination of what matches and what exists, against Istio's order written out once more.
    @Test("Precedence holds in every combination")
    func exhaustive() {
        for matched in 0..<16 {
            for present in 0..<16 {
                let matches = (0..<4).filter { matched & 1 << $0 != 0 }
                func has(_ clause: Int) -> Bool { present & 1 << clause != 0 }
                func hit(_ clause: Int) -> Bool { has(clause) && matches.contains(clause) }
                let decision = decide(
                    matches, deny: has(0) ? [0] : [], allow: has(1) ? [1] : nil,
                    shadowDeny: has(2) ? [2] : [], shadowAllow: has(3) ? [3] : nil)
                let isAllowed = !hit(0) && (!has(1) || hit(1))
                #expect(decision.verdict == (isAllowed ? allowed : denied), "matched \(matched), present \(present)")
                let isAllowedInShadow = !hit(0) && !hit(2) && (!has(1) && !has(3) || hit(1) || hit(3))
                #expect(
                    decision.shadow_verdict == (isAllowedInShadow ? allowed : denied),
                    "matched \(matched), present \(present)")
            }
        }
    }
}

public import Mesh

/// Keeps a certificate for each identity that is wanted, as a function of time: it has no clock, no threads and no files.
/// Its owner says what is wanted and what time it is, and asks again at `nextDeadline`.
///
/// Certificates and their keys are in memory alone: a restart issues new ones, and no disk ever has them.
///
/// A certificate is renewed in the middle of its life (Istio's ratio of 0.5 with a jitter of 0.01). While that fails it
/// stays in use, and the attempts come after 1 s, 2 s, 4 s … 150 s. One that has expired is taken out.
public struct IdentityManager {
    /// Of the time between issue and expiry.
    public static let renewalRatio = 0.5
    public static let renewalJitter = 0.01
    /// Milliseconds.
    public static let firstRetry: Int64 = 1000
    public static let lastRetry: Int64 = 150_000

    /// What is known of one identity.
    public struct Entry: Sendable {
        public let id: SPIFFEID
        /// nil before the first, and after its expiry.
        public internal(set) var certificate: WorkloadCertificate?
        /// Milliseconds since 1970.
        public internal(set) var renewAt: Int64
        /// Attempts since the last success.
        public internal(set) var failures = 0
        /// Of the last attempt; nil if that succeeded.
        public internal(set) var problem: IdentityError?
    }

    /// In force. It grows by one generation with each call that changed something.
    public private(set) var trust: TrustSnapshot
    public private(set) var entries: [String: Entry] = [:]
    /// Certificates that were issued since the start.
    public private(set) var renewals: UInt64 = 0
    public private(set) var failures: [IdentityError.Cause: UInt64] = [:]
    private var random: any RandomNumberGenerator

    public init(trustDomain: String, random: any RandomNumberGenerator = SystemRandomNumberGenerator()) {
        trust = TrustSnapshot(trustDomain: trustDomain)
        self.random = random
    }

    // MARK: What is wanted

    /// Wants exactly these identities from now on: new ones are due at once, others are dropped with their keys.
    /// True if `trust` changed.
    public mutating func setWanted(_ ids: Set<SPIFFEID>, now: Int64) -> Bool {
        var changed = false
        let texts = Dictionary(ids.map { ($0.description, $0) }) { first, _ in first }
        for text in Array(entries.keys) where texts[text] == nil {
            entries[text] = nil
            if trust.identities.removeValue(forKey: text) != nil { changed = true }
        }
        for (text, id) in texts where entries[text] == nil { entries[text] = Entry(id: id, renewAt: now) }
        if changed { trust.generation += 1 }
        return changed
    }

    /// Takes over what peers are checked against. True if `trust` changed.
    public mutating func setBundles(_ bundles: [String: TrustBundle]) -> Bool {
        guard bundles != trust.bundles else { return false }
        trust.bundles = bundles
        trust.generation += 1
        return true
    }

    /// Renews one identity now, or all of them: the authority changed, or somebody asked for it. The number of them.
    @discardableResult
    public mutating func renew(_ id: String? = nil, now: Int64) -> Int {
        let names = id.map { entries[$0] == nil ? [] : [$0] } ?? Array(entries.keys)
        for name in names {
            entries[name]?.renewAt = now
            entries[name]?.failures = 0
        }
        return names.count
    }

    // MARK: What is due

    /// When `renewDue` has something to do: milliseconds since 1970; nil: never.
    public var nextDeadline: Int64? {
        var next: Int64?
        for entry in entries.values {
            var deadline = entry.renewAt
            if let certificate = entry.certificate { deadline = min(deadline, certificate.notAfter * 1000) }
            next = min(next ?? deadline, deadline)
        }
        return next
    }

    /// Issues what is due, at most `limit` certificates, those first that have none; takes out what has expired. True if
    /// `trust` changed.
    public mutating func renewDue(
        now: Int64, limit: Int = .max, issue: (SPIFFEID) throws(IdentityError) -> WorkloadCertificate
    ) -> Bool {
        var changed = expire(now: now)
        var due: [(name: String, isWaiting: Bool)] = []
        for (name, entry) in entries where entry.renewAt <= now { due.append((name, entry.certificate == nil)) }
        if due.count > limit { due = due.filter(\.isWaiting) + due.filter { !$0.isWaiting } }
        for (name, _) in due.prefix(limit) {
            guard let entry = entries[name] else { continue }
            do throws(IdentityError) {
                let certificate = try issue(entry.id)
                guard certificate.notAfter * 1000 > now else {
                    throw IdentityError(.expired, "the certificate for \(name) has expired")
                }
                if take(certificate, for: name, now: now) { changed = true }
            } catch {
                fail(error, for: name, now: now)
            }
        }
        if changed { trust.generation += 1 }
        return changed
    }

    /// True if it is another certificate than before.
    private mutating func take(_ certificate: WorkloadCertificate, for name: String, now: Int64) -> Bool {
        let isNew = entries[name]?.certificate != certificate
        let left = Double(certificate.notAfter * 1000 - now)
        let ratio = Self.renewalRatio + Double.random(in: -Self.renewalJitter...Self.renewalJitter, using: &random)
        // A file that has not changed is looked at again, but not all the time as its end comes near.
        entries[name]?.renewAt = now + max(Self.firstRetry, Int64(left * ratio))
        entries[name]?.failures = 0
        entries[name]?.problem = nil
        guard isNew else { return false }
        entries[name]?.certificate = certificate
        trust.identities[name] = certificate
        renewals += 1
        return true
    }

    private mutating func fail(_ error: IdentityError, for name: String, now: Int64) {
        let attempts = entries[name]?.failures ?? 0
        let delay = min(Self.lastRetry, Self.firstRetry << Int64(min(attempts, 20)))
        entries[name]?.failures = attempts + 1
        entries[name]?.problem = error
        // Many identities that fail together do not all come again in the same instant.
        let spread = Double.random(in: 0.9...1.1, using: &random)
        entries[name]?.renewAt = now + min(Self.lastRetry, Int64(Double(delay) * spread))
        failures[error.cause, default: 0] += 1
    }

    private mutating func expire(now: Int64) -> Bool {
        var changed = false
        for (name, entry) in entries {
            guard let certificate = entry.certificate, certificate.notAfter * 1000 <= now else { continue }
            entries[name]?.certificate = nil
            trust.identities[name] = nil
            changed = true
        }
        return changed
    }
}

import Mesh

/// A question to the CA on another node; `run` blocks until its answer is there or its time is over.
public struct JoinRequest: Sendable {
    enum Operation: Sendable {
        case join(JoinToken)
        case renew(SigningAuthority, TrustBundle)
        case bundle(SigningAuthority, TrustBundle)
    }

    let client: JoinClient
    let operation: Operation

    /// - Parameter now: seconds since 1970.
    public func run(now: Int64) -> Result<JoinClient.Answer, IdentityError> {
        Result { () throws(IdentityError) in
            switch operation {
            case .join(let token): try client.join(token, now: now)
            case .renew(let authority, let bundle): try client.renew(authority, bundle: bundle, now: now)
            case .bundle(let authority, let bundle): try client.bundle(authority, bundle: bundle, now: now)
            }
        }
    }

    /// Runs on a thread of its own and hands over the result there.
    public func start(
        now: @escaping @Sendable () -> Int64,
        _ finished: @escaping @Sendable (Result<JoinClient.Answer, IdentityError>) -> Void
    ) {
        do throws(IdentityError) {
            try JoinThread(name: "weft-join") { finished(run(now: now())) }.detached()
        } catch {
            finished(.failure(error))
        }
    }
}

/// When the CA on another node is asked.
struct RequestSchedule {
    var isRunning = false
    private(set) var nextAt: Int64 = 0
    /// In a row.
    private(set) var failures = 0

    func isDue(now: Int64) -> Bool { !isRunning && now >= nextAt }

    mutating func succeed(now: Int64, interval: Int64) {
        isRunning = false
        failures = 0
        nextAt = now + interval
    }

    mutating func fail(now: Int64) {
        isRunning = false
        nextAt = now + min(IdentityManager.lastRetry, IdentityManager.firstRetry << Int64(min(failures, 20)))
        failures += 1
    }
}

/// Why something about certificates could not be done: one sentence for people that names the file or the peer, and
/// what to do about it.
public struct IdentityError: Error, Equatable, CustomStringConvertible {
    /// What kind of failure it is; the `cause` label of metrics, so the set is closed.
    public enum Cause: String, Sendable, CaseIterable {
        /// A file is missing, unreadable or cannot be written.
        case file
        /// Bytes are not what they should be: PEM, DER, a message.
        case malformed
        /// A certificate, key or chain is not the right one.
        case invalid
        /// A certificate has expired.
        case expired
        /// The CA cannot be reached.
        case unreachable
        /// The CA said no.
        case refused
        /// OpenSSL failed.
        case crypto
    }

    public let cause: Cause
    public let description: String

    public init(_ cause: Cause, _ description: String) {
        self.cause = cause
        self.description = description
    }

    /// The same failure, told with its place: `place: description`.
    func at(_ place: String) -> IdentityError { IdentityError(cause, "\(place): \(description)") }
}

/// What the policies say of a connection or a request. Rules are places in the table's `ruleTitles`.
public struct AuthorizationDecision: BitwiseCopyable, Sendable, Equatable {
    public enum Verdict: UInt8, BitwiseCopyable, Sendable {
        case allowed, denied
        /// `provider` decides; if it allows, what comes after it is to be evaluated.
        case external
    }

    public var verdict = Verdict.allowed
    /// That decided; -1: none applies, so it is allowed.
    public var rule: Int32 = -1
    /// With `external`: a place in the table's `providers`.
    public var provider: Int32 = -1
    /// What it would be with the shadow policies (dry run) in force, and the shadow rule that makes the difference or -1.
    public var shadowVerdict = Verdict.allowed
    public var shadowRule: Int32 = -1
    /// The first rule of an AUDIT policy that matched; -1: none.
    public var auditRule: Int32 = -1

    init() {}

    init(denied rule: Int32) {
        verdict = .denied
        shadowVerdict = .denied
        self.rule = rule
    }
}

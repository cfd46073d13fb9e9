import Mesh

/// Where this node's certificates come from.
public struct NodeIdentityOptions: Sendable {
    public var trustDomain: String
    /// This node's name.
    public var node: String
    /// The CA is in `ca/` below it, trust bundles of other domains in `bundles/`.
    public var stateDirectory: String
    /// PEM of an authority that was given (`--ca-cert`, `--ca-key`), and of its roots (`--ca-bundle`); nil: the built-in
    /// CA, or that of another node.
    public var certificateFile: String?
    public var keyFile: String?
    public var bundleFile: String?
    /// `HOST:PORT` of the CA that this node has joined or joins; nil: it has a root of its own.
    public var joinAddress: String?
    /// What it joins with, if it has not yet.
    public var joinToken: String?
    /// Where another program keeps workloads' certificates; nil: nowhere.
    public var identityDirectory: String?
    /// Of workloads' certificates: seconds.
    public var lifetime: Int64 = 86400
    /// A node that has joined asks for the roots and revocations in force this often: milliseconds.
    public var refreshInterval: Int64 = 60_000

    public init(trustDomain: String, node: String, stateDirectory: String) {
        self.trustDomain = trustDomain
        self.node = node
        self.stateDirectory = stateDirectory
    }

    /// Throws unless they fit together; the message names the flags.
    public func check() throws(IdentityError) {
        guard SPIFFEID("spiffe://\(trustDomain)") != nil else {
            throw IdentityError(
                .invalid,
                "--trust-domain: '\(trustDomain)' cannot be one: use letters in lower case, digits, '.', '-', '_'")
        }
        guard NodeName.isValid(node) else {
            throw IdentityError(.invalid, "--node: '\(node)' cannot be in a certificate: \(NodeName.rule)")
        }
        guard (certificateFile == nil) == (keyFile == nil) else {
            throw IdentityError(.invalid, "--ca-cert and --ca-key have to be given together")
        }
        guard bundleFile == nil || certificateFile != nil else {
            throw IdentityError(
                .invalid, "--ca-bundle needs --ca-cert; bundles of other domains go to \(stateDirectory)/bundles")
        }
        guard certificateFile == nil || joinAddress == nil else {
            throw IdentityError(.invalid, "--ca-cert and --join-address exclude each other")
        }
        guard joinToken == nil || joinAddress != nil else {
            throw IdentityError(.invalid, "--join-token needs --join-address, the HOST:PORT of the CA")
        }
        if let joinToken {
            guard let token = JoinToken(joinToken) else {
                throw IdentityError(.malformed, "--join-token: it is not a token of `weft ca token create`")
            }
            guard token.node == node else {
                throw IdentityError(
                    .invalid, "--join-token: it is for the node \(token.node), and this one is \(node) (--node)")
            }
        }
        guard (2...86400 * 365).contains(lifetime) else {
            throw IdentityError(.invalid, "--svid-ttl: it has to be between 2 seconds and a year")
        }
    }
}

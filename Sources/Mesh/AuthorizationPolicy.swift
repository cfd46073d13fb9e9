/// Istio's AuthorizationPolicy. Which part of it is decided where is the business of whoever compiles it: attributes of a
/// connection in the kernel, attributes of a request in the proxy.
/// Source: https://istio.io/latest/docs/reference/config/security/authorization-policy/
public struct AuthorizationPolicy: Sendable, Equatable {
    public enum Action: String, Sendable {
        case allow = "ALLOW"
        case deny = "DENY"
        case audit = "AUDIT"
        /// Somebody else decides: see `provider`.
        case custom = "CUSTOM"
    }

    public var name: ObjectName
    public var action: Action
    /// Dry run (`istio.io/dry-run: "true"`): decided and counted, never enforced.
    public var isShadow: Bool
    /// Whether it applies to the whole mesh (it is in the root namespace) or to its own namespace.
    public var isMeshWide: Bool
    /// Labels that a workload must have; empty selects every workload in scope.
    public var selector: [String: String]
    /// No rule matches nothing: an ALLOW policy without rules denies everything.
    public var rules: [Rule]
    /// Services of its namespace whose requests it applies to (`targetRefs`); empty: `selector` decides.
    public var targetServices: [String] = []
    /// Of CUSTOM: the name of an `ExternalAuthorizer`.
    public var provider: String?

    public init(
        name: ObjectName, action: Action = .allow, isShadow: Bool = false, isMeshWide: Bool = false,
        selector: [String: String] = [:], rules: [Rule] = []
    ) {
        self.name = name
        self.action = action
        self.isShadow = isShadow
        self.isMeshWide = isMeshWide
        self.selector = selector
        self.rules = rules
    }

    /// Whether it applies to `workload`.
    public func selects(_ workload: MeshWorkload) -> Bool {
        targetServices.isEmpty && (isMeshWide || workload.name.namespace == name.namespace)
            && selector.allSatisfy { workload.labels[$0.key] == $0.value }
    }

    /// Whether any of its rules speaks of attributes that only a request has, or somebody else decides.
    public var concernsRequests: Bool {
        action == .custom || !targetServices.isEmpty || rules.contains(where: \.concernsRequests)
    }

    /// Matches when any source, any operation and every condition match; an empty list matches everything.
    public struct Rule: Sendable, Equatable {
        public var sources: [Source]
        public var operations: [Operation]
        public var conditions: [Condition]

        public init(sources: [Source] = [], operations: [Operation] = [], conditions: [Condition] = []) {
            self.sources = sources
            self.operations = operations
            self.conditions = conditions
        }

        /// Whether it speaks of attributes that only a request has.
        public var concernsRequests: Bool {
            sources.contains(where: \.concernsRequests) || operations.contains(where: \.concernsRequests)
                || conditions.contains(where: \.concernsRequests)
        }
    }

    /// Matches when every list that is not empty matches; a `not` list matches when none of its values does.
    public struct Source: Sendable, Equatable {
        public var principals: [StringMatch] = []
        public var notPrincipals: [StringMatch] = []
        public var namespaces: [StringMatch] = []
        public var notNamespaces: [StringMatch] = []
        public var ipBlocks: [IPBlock] = []
        public var notIPBlocks: [IPBlock] = []
        /// `<issuer>/<subject>` of a valid token (RequestAuthentication).
        public var requestPrincipals: [StringMatch] = []
        public var notRequestPrincipals: [StringMatch] = []
        /// Of the client that X-Forwarded-For names; without one, of the connection.
        public var remoteIPBlocks: [IPBlock] = []
        public var notRemoteIPBlocks: [IPBlock] = []

        public init() {}

        public var concernsRequests: Bool {
            !(requestPrincipals.isEmpty && notRequestPrincipals.isEmpty && remoteIPBlocks.isEmpty
                && notRemoteIPBlocks.isEmpty)
        }
    }

    public struct Operation: Sendable, Equatable {
        public var ports: [UInt16] = []
        public var notPorts: [UInt16] = []
        /// In lower case: compared without regard to case, and without the port if the pattern has none.
        public var hosts: [StringMatch] = []
        public var notHosts: [StringMatch] = []
        public var methods: [StringMatch] = []
        public var notMethods: [StringMatch] = []
        public var paths: [PathMatch] = []
        public var notPaths: [PathMatch] = []

        public init() {}

        public var concernsRequests: Bool {
            !(hosts.isEmpty && notHosts.isEmpty && methods.isEmpty && notMethods.isEmpty && paths.isEmpty
                && notPaths.isEmpty)
        }
    }

    /// One entry of `when`, by the attribute that it speaks of.
    public enum Condition: Sendable, Equatable {
        case sourcePrincipal(values: [StringMatch], notValues: [StringMatch])
        case sourceNamespace(values: [StringMatch], notValues: [StringMatch])
        case sourceIP(values: [IPBlock], notValues: [IPBlock])
        case destinationIP(values: [IPBlock], notValues: [IPBlock])
        case destinationPort(values: [UInt16], notValues: [UInt16])
        case remoteIP(values: [IPBlock], notValues: [IPBlock])
        /// Server name of a TLS connection that is passed through.
        case connectionSNI(values: [StringMatch], notValues: [StringMatch])
        /// `name` in lower case.
        case requestHeader(name: String, values: [StringMatch], notValues: [StringMatch])
        case requestPrincipal(values: [StringMatch], notValues: [StringMatch])
        case requestAudiences(values: [StringMatch], notValues: [StringMatch])
        case requestPresenter(values: [StringMatch], notValues: [StringMatch])
        /// The path of a claim by its elements; a claim that is a list matches by any element.
        case requestClaim(path: [String], values: [StringMatch], notValues: [StringMatch])

        public var concernsRequests: Bool {
            switch self {
            case .sourcePrincipal, .sourceNamespace, .sourceIP, .destinationIP, .destinationPort: false
            default: true
            }
        }
    }

    /// A path as policies write it, compared with the normalised path without its query.
    public enum PathMatch: Sendable, Equatable, Hashable {
        case text(StringMatch)
        /// `/a/{*}/b` or `/a/{**}`: one element, or any number of them. Of a template that ends with a slash the last
        /// element is an empty literal.
        case template([TemplateElement])
    }

    public enum TemplateElement: Sendable, Equatable, Hashable {
        case literal(String)
        /// `{*}`: exactly one element, not empty.
        case one
        /// `{**}`: any number of elements; the last operator of a template, though literals can follow it.
        case any
    }
}

/// Istio's four string forms.
public enum StringMatch: Sendable, Equatable, Hashable {
    case exact(String)
    case prefix(String)
    case suffix(String)
    /// `*`: any value, but there has to be one.
    case present

    public func matches(_ value: String) -> Bool {
        switch self {
        case .exact(let text): value == text
        case .prefix(let text): value.hasPrefix(text)
        case .suffix(let text): value.hasSuffix(text)
        case .present: !value.isEmpty
        }
    }
}

/// An address block (CIDR). IPv4 blocks are in mapped form: their length is 96 more than it was written.
public struct IPBlock: Sendable, Equatable, Hashable {
    public var address: IPAddress
    /// 0...128, of the 128-bit form.
    public var prefixLength: UInt8

    public init(address: IPAddress, prefixLength: UInt8) {
        self.address = address
        self.prefixLength = prefixLength
    }

    /// A block of IPv6 addresses holds no IPv4 address, even if the mapped form of one would lie in it.
    public func contains(_ other: IPAddress) -> Bool {
        (prefixLength >= 96 || !other.isIPv4) && other.masked(to: prefixLength) == address.masked(to: prefixLength)
    }
}

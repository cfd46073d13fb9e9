/// Istio's `RequestAuthentication`: which JSON Web Tokens requests may carry. A request with a token that is not valid is
/// answered with 401; one without a token has no request principal, and passes as far as this is concerned.
///
/// ```yaml
/// apiVersion: security.istio.io/v1
/// kind: RequestAuthentication
/// metadata: { name: web, namespace: shop }           # in the root namespace: for the mesh
/// spec:
///   selector: { matchLabels: { app: web } }          # or targetRefs: [{ group: "", kind: Service, name: web }]
///   jwtRules:
///   - issuer: https://idp.example.com
///     audiences: [shop]                              # any when omitted
///     jwksUri: https://idp.example.com/keys          # or http://…, file:///PATH; or jwks: '{"keys": […]}'
///     fromHeaders: [{ name: x-token, prefix: "Bearer " }]
///     fromParams: [token]
///     fromCookies: [session]
///     forwardOriginalToken: false
///     outputPayloadToHeader: x-payload
///     outputClaimToHeaders: [{ header: x-role, claim: realm.role }]
///     timeout: 5s                                    # of fetching the keys
/// ```
/// Source: https://istio.io/latest/docs/reference/config/security/request_authentication/
public struct RequestAuthentication: Sendable, Equatable {
    public var name: ObjectName
    /// Whether it applies to the whole mesh (it is in the root namespace) or to its own namespace.
    public var isMeshWide: Bool
    /// Labels that a workload must have; empty selects every workload in scope.
    public var selector: [String: String]
    /// Services of its namespace whose requests it applies to (`targetRefs`); empty: `selector` decides.
    public var targetServices: [String]
    public var rules: [JWTRule]

    public init(
        name: ObjectName, isMeshWide: Bool = false, selector: [String: String] = [:], targetServices: [String] = [],
        rules: [JWTRule] = []
    ) {
        self.name = name
        self.isMeshWide = isMeshWide
        self.selector = selector
        self.targetServices = targetServices
        self.rules = rules
    }

    /// Whether it applies to what `workload` receives.
    public func selects(_ workload: MeshWorkload) -> Bool {
        targetServices.isEmpty && (isMeshWide || workload.name.namespace == name.namespace)
            && selector.allSatisfy { workload.labels[$0.key] == $0.value }
    }
}

/// One issuer's tokens (RFC 7519, RFC 8725).
public struct JWTRule: Sendable, Equatable {
    /// Compared with the claim `iss` as it is.
    public var issuer: String
    /// One of them has to be in `aud`; empty: any audience.
    public var audiences: [String] = []
    public var keys: Keys
    /// Where the token is looked for; with neither list: `Authorization: Bearer`, then the parameter `access_token`.
    public var fromHeaders: [TokenHeader] = []
    /// Query parameters.
    public var fromParameters: [String] = []
    public var fromCookies: [String] = []
    /// Whether the token stays in the request that the workload gets.
    public var forwardsToken = false
    /// A header that gets the payload, base64url.
    public var outputPayloadHeader: String?
    /// Headers that get a claim each; the claim's path by its elements.
    public var outputClaims: [OutputClaim] = []
    /// Milliseconds that fetching the keys may take.
    public var timeout: UInt32 = 5000

    public init(issuer: String, keys: Keys) {
        self.issuer = issuer
        self.keys = keys
    }

    /// A JSON Web Key Set (RFC 7517).
    public enum Keys: Sendable, Equatable {
        /// The set itself, as JSON.
        case inline(String)
        /// `http:` or `https:`; `file:` for a file of this node that is read again when it changes.
        case url(String)
    }

    public struct OutputClaim: Sendable, Equatable {
        public var header: String
        public var claim: [String]

        public init(header: String, claim: [String]) {
            self.header = header
            self.claim = claim
        }
    }

    /// A header that has the token behind a prefix, such as `Bearer `.
    public struct TokenHeader: Sendable, Equatable {
        /// In lower case.
        public var name: String
        public var prefix: String

        public init(name: String, prefix: String = "") {
            self.name = name
            self.prefix = prefix
        }
    }
}

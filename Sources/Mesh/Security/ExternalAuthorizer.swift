/// Who decides for policies with the action CUSTOM: an entry of Istio's `extensionProviders`, as an object of its own
/// (`weft.dev/v1alpha1`, kind `ExtensionProvider`, cluster-scoped: policies name it).
///
/// ```yaml
/// apiVersion: weft.dev/v1alpha1
/// kind: ExtensionProvider
/// metadata: { name: opa }
/// spec:                                  # exactly one of:
///   envoyExtAuthzHttp:  { service: ext.auth.svc.cluster.local, port: 8000, timeout: 600ms, pathPrefix: /check, failOpen: false,
///                         statusOnError: "403", includeRequestHeadersInCheck: [x-user], includeAdditionalHeadersInCheck: { a: b },
///                         headersToUpstreamOnAllow: [x-user], headersToDownstreamOnAllow: [], headersToDownstreamOnDeny: [] }
///   envoyExtAuthzGrpc:  { service: ext.auth.svc.cluster.local, port: 9000, timeout: 600ms, failOpen: false, statusOnError: "403" }
///   opa:                { service: opa.auth.svc.cluster.local, port: 8181, path: /v1/data/httpapi/authz/allow, timeout: 600ms,
///                         failOpen: false, statusOnError: "403" }   # Weft's own: OPA's REST API
/// ```
/// Source: https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig-ExtensionProvider
public struct ExternalAuthorizer: Sendable, Equatable {
    public enum API: Sendable, Equatable {
        /// Envoy's ext_authz as HTTP: the request's head goes to `pathPrefix` + path; 200 allows.
        case http(HTTPCheck)
        /// `envoy.service.auth.v3.Authorization/Check`.
        case grpc
        /// OPA's Data API: POST of `{"input": …}` to the path; `{"result": true}` or `{"result": {"allow": true}}` allows.
        case opa(path: String)
    }

    public struct HTTPCheck: Sendable, Equatable {
        public var pathPrefix = ""
        /// Of the request's headers, beside Authorization, Host, Method, Path and Content-Length; Istio's string forms.
        public var requestHeaders: [StringMatch] = []
        public var additionalHeaders: [String: String] = [:]
        public var upstreamOnAllow: [StringMatch] = []
        public var downstreamOnAllow: [StringMatch] = []
        /// Empty: all headers of the answer.
        public var downstreamOnDeny: [StringMatch] = []

        public init() {}
    }

    public var name: String
    public var api: API
    public var service: ObjectName
    public var port: UInt16
    /// Milliseconds.
    public var timeout: UInt32 = 600
    /// What happens to requests while the authorizer cannot be asked.
    public var failsOpen = false
    /// The status of requests refused because it could not be asked.
    public var statusOnError: UInt16 = 403

    public init(name: String, api: API, service: ObjectName, port: UInt16) {
        self.name = name
        self.api = api
        self.service = service
        self.port = port
    }
}

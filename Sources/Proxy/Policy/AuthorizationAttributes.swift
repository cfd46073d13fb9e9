/// What policies see of a connection, or of a request on it. It is valid as long as the memory it looks at.
struct AuthorizationAttributes: ~Escapable {
    /// The authenticated peer's SPIFFE id without its scheme, and its namespace; empty: there is none.
    let principal: RawSpan
    let namespace: RawSpan
    /// The peer of the connection.
    let source: ClientAddress
    /// Of the workload, or what the client connected to where policies of services are decided.
    let destination: ClientAddress
    let request: RequestView?
    /// A connection whose requests are decided about later: what rules say of them does not hinder it.
    let awaitsRequests: Bool
    /// nil: no valid token.
    let claims: RequestClaims?

    /// A connection about whose requests nothing is known, or nothing yet.
    @_lifetime(copy principal, copy namespace)
    init(
        principal: RawSpan, namespace: RawSpan, source: ClientAddress, destination: ClientAddress,
        awaitsRequests: Bool = false
    ) {
        self.awaitsRequests = awaitsRequests
        self.principal = principal
        self.namespace = namespace
        self.source = source
        self.destination = destination
        request = nil
        claims = nil
    }

    @_lifetime(copy principal, copy namespace, copy request, copy claims)
    init(
        principal: RawSpan, namespace: RawSpan, source: ClientAddress, destination: ClientAddress,
        request: RequestView, claims: RequestClaims?
    ) {
        self.principal = principal
        self.namespace = namespace
        self.source = source
        self.destination = destination
        self.request = request
        self.claims = claims
        awaitsRequests = false
    }
}

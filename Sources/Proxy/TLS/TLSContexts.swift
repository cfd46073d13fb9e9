import Mesh

/// One worker's TLS: the certificates that this node shows, and what peers' are verified by. Of one thread.
///
/// Contexts are made when their identity's first connection is, and the one that was used least lately goes when there
/// are too many, so that a node with very many identities holds few.
struct TLSContexts: ~Copyable {
    private let verifier: PeerVerifier
    private let kernel: KernelTLS
    private var material = TrustMaterial(TrustSnapshot())
    private var places: [String: Int] = [:]
    private var contexts: FixedArray<IdentityContext?>
    private var uses: UInt64 = 0

    /// - Parameters:
    ///   - capacity: identities whose certificates are kept ready.
    ///   - kernel: what it does of connections' records.
    init(capacity: Int = 256, kernel: KernelTLS = .none) {
        verifier = PeerVerifier(library: TLSLibrary())
        self.kernel = kernel
        contexts = FixedArray(count: capacity) { _ in nil }
    }

    /// Identities whose contexts are held.
    var count: Int { places.count }

    /// Connections that are open go on as they are; contexts of unchanged certificates stay ready.
    mutating func adopt(_ material: TrustMaterial) {
        self.material = material
        verifier.adopt(material.snapshot.bundles)
        for (id, place) in places where contexts[place]?.certificate != material.snapshot.identities[id] {
            contexts[place] = nil
            places[id] = nil
        }
    }

    /// A connection over a non-blocking socket, its handshake not begun.
    /// - Parameter identity: the SPIFFE id whose certificate is shown.
    /// - Throws: `noOwnCertificate` or `badOwnCertificate`.
    mutating func connection(
        identity: String, role: TLSRole, descriptor: CInt
    ) throws(TLSFailure) -> TLSConnection {
        let place = try place(identity)
        uses += 1
        contexts[place]?.lastUse = uses
        guard let connection = unsafe contexts[place]?.connection(role: role, descriptor: descriptor) else { throw .io }
        return unsafe TLSConnection(connection, verifier: verifier, descriptor: descriptor, kernel: kernel)
    }

    /// Whether a peer that was accepted before still would be: nil, or what speaks against it (its bundle is gone, it
    /// has been revoked or has expired).
    ///
    /// Cheap as long as the bundle of the peer's trust domain is the same: it is verified anew only when that changed.
    /// - Parameter now: seconds since 1970.
    func stillAccepts(_ connection: borrowing TLSConnection, now: Int64) -> TLSFailure? {
        connection.stillAccepted(by: verifier, now: now)
    }

    private mutating func place(_ identity: String) throws(TLSFailure) -> Int {
        if let place = places[identity] { return place }
        guard let certificate = material.snapshot.identities[identity] else { throw .noOwnCertificate }
        let context = try IdentityContext(certificate, verifier: verifier)
        let place = freePlace()
        contexts[place] = consume context
        places[identity] = place
        return place
    }

    private mutating func freePlace() -> Int {
        var oldest = 0
        var lastUse = UInt64.max
        for place in contexts.indices {
            guard let use = contexts[place]?.lastUse else { return place }
            if use < lastUse { (oldest, lastUse) = (place, use) }
        }
        if let id = contexts[oldest]?.certificate.spiffeID { places[id] = nil }
        return oldest
    }
}

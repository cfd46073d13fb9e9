import COpenSSL
import Mesh

/// What a connection's handshake has found out; libssl's callbacks write it.
final class HandshakeOutcome {
    var peer: PeerIdentity?
    var failure: TLSFailure?
    /// What the peer was accepted by, and until when, seconds since 1970.
    var store: BundleStore?
    var expiry: Int64 = 0
    /// What each side protects its records with; gone as soon as the keys are made.
    var clientSecret = TrafficSecret()
    var serverSecret = TrafficSecret()

    func clearSecrets() {
        clientSecret = TrafficSecret()
        serverSecret = TrafficSecret()
    }

    deinit { clearSecrets() }
}

/// Verifies the peers of one worker by the bundles in force. One of the few files with unsafe code.
@safe final class PeerVerifier {
    let library: TLSLibrary
    private var bundles: [String: TrustBundle] = [:]
    /// Made when the first peer of a trust domain comes.
    private var stores: [String: BundleStore] = [:]

    init(library: TLSLibrary) { self.library = library }

    /// Stores of unchanged bundles stay, and with them what they have accepted.
    func adopt(_ bundles: [String: TrustBundle]) {
        self.bundles = bundles
        stores = stores.filter { domain, store in bundles[domain] == store.bundle }
    }

    private func store(_ trustDomain: String) -> BundleStore? {
        if let store = stores[trustDomain] { return store }
        guard let bundle = bundles[trustDomain], let store = BundleStore(bundle, library: library) else { return nil }
        stores[trustDomain] = store
        return store
    }

    /// libssl's question whether the peer's certificate will do.
    static func answer(_ verification: OpaquePointer, verifier: UnsafeMutableRawPointer) -> CInt {
        let index = SSL_get_ex_data_X509_STORE_CTX_idx()
        guard let connection = unsafe OpaquePointer(X509_STORE_CTX_get_ex_data(verification, index)),
            let leaf = unsafe X509_STORE_CTX_get0_cert(verification),
            let outcome = unsafe TLSConnection.outcome(connection)
        else { return 0 }
        let verifier = unsafe Unmanaged<PeerVerifier>.fromOpaque(verifier).takeUnretainedValue()
        let peer: TLSRole = unsafe SSL_is_server(connection) == 1 ? .client : .server
        do throws(TLSFailure) {
            let identity = try unsafe PeerCertificate.claimedIdentity(leaf)
            try unsafe PeerCertificate.checkProfile(leaf, peer: peer)
            guard let store = verifier.store(identity.trustDomain) else { throw .unknownTrustDomain }
            let untrusted = unsafe X509_STORE_CTX_get0_untrusted(verification)
            outcome.expiry = try unsafe store.verify(
                leaf, untrusted: untrusted, peer: peer, time: nil, library: verifier.library)
            outcome.store = store
            outcome.peer = identity
            unsafe X509_STORE_CTX_set_error(verification, X509_V_OK)
            return 1
        } catch {
            outcome.failure = error
            unsafe X509_STORE_CTX_set_error(verification, error.verificationError)
            return 0
        }
    }

    /// Whether a peer that was accepted before still would be.
    /// - Parameter now: seconds since 1970.
    func stillAccepts(_ outcome: HandshakeOutcome, connection: OpaquePointer, now: Int64) -> TLSFailure? {
        guard let identity = outcome.peer, let leaf = unsafe SSL_get0_peer_certificate(connection) else {
            return .noCertificate
        }
        guard now <= outcome.expiry else { return .expired }
        guard let store = store(identity.trustDomain) else { return .unknownTrustDomain }
        // The same roots and lists give the same answer until the certificate ends.
        guard outcome.store !== store else { return nil }
        do throws(TLSFailure) {
            outcome.expiry = try unsafe store.verify(
                leaf, untrusted: SSL_get_peer_cert_chain(connection),
                peer: SSL_is_server(connection) == 1 ? .client : .server, time: now, library: library)
            outcome.store = store
            return nil
        } catch {
            return error
        }
    }
}

import Mesh

/// Certificates and bundles in the form that workers share: DER only. What OpenSSL makes of them is each worker's own.
final class TrustMaterial: Sendable {
    let snapshot: TrustSnapshot

    init(_ snapshot: TrustSnapshot) { self.snapshot = snapshot }

    var generation: UInt64 { snapshot.generation }
}

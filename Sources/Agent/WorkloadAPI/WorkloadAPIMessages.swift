import Mesh
import Protobuf

/// The messages of the Workload API.
/// Source: https://github.com/spiffe/spiffe/blob/main/standards/workloadapi.proto
enum WorkloadAPIMessages {
    /// X509SVIDResponse for one identity.
    static func svids(_ certificate: WorkloadCertificate, _ trust: TrustSnapshot) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.message(1) {
            $0.string(1, certificate.spiffeID)
            $0.bytes(2, Array(certificate.chain.joined()))
            $0.bytes(3, certificate.privateKey)
            $0.bytes(4, roots(trust.bundles[trust.trustDomain]))
        }
        for revocations in revocations(trust) { writer.bytes(2, revocations) }
        for (domain, bundle) in sorted(trust) where domain != trust.trustDomain {
            writer.entry(3, key: "spiffe://\(domain)", value: roots(bundle))
        }
        return writer.bytes
    }

    /// X509BundlesResponse.
    static func bundles(_ trust: TrustSnapshot) -> [UInt8] {
        var writer = ProtobufWriter()
        for revocations in revocations(trust) { writer.bytes(1, revocations) }
        for (domain, bundle) in sorted(trust) { writer.entry(2, key: "spiffe://\(domain)", value: roots(bundle)) }
        return writer.bytes
    }

    /// Whether bytes are a message of protobuf: requests have no fields that mean anything, and may have unknown ones.
    static func checkRequest(_ bytes: ArraySlice<UInt8>) throws(GRPCStatus) {
        var reader = ProtobufReader(bytes.span)
        do throws(ProtobufError) {
            while try reader.next() != nil {}
        } catch {
            throw GRPCStatus(.invalidArgument, "the request cannot be read: \(error)")
        }
    }

    private static func roots(_ bundle: TrustBundle?) -> [UInt8] { Array((bundle?.roots ?? []).joined()) }

    private static func revocations(_ trust: TrustSnapshot) -> [[UInt8]] {
        sorted(trust).flatMap { $0.bundle.revocations }
    }

    /// The same state has to be the same bytes.
    private static func sorted(_ trust: TrustSnapshot) -> [(domain: String, bundle: TrustBundle)] {
        trust.bundles.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

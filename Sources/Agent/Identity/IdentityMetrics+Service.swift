import Identity
import Mesh
import Telemetry

extension IdentityMetrics {
    /// Of a service, now.
    init(_ service: IdentityService, limit: Int) {
        self.init(limit: limit)
        let identity = service.identity
        let now = Double(IdentityService.now()) / 1000
        for (name, entry) in identity.manager.entries {
            guard let certificate = entry.certificate else {
                missing += 1
                continue
            }
            expiries.append((name, Double(certificate.notAfter) - now))
        }
        renewals = identity.manager.renewals
        failures = IdentityError.Cause.allCases.map { ($0.rawValue, identity.manager.failures[$0] ?? 0) }
        if let issuer = identity.authority {
            authorityExpiries.append(("issuer", Double(issuer.certificate.notAfter) - now))
        }
        unansweredRequests = identity.unansweredRequests
        if let expiry = identity.rootExpiry { authorityExpiries.append(("root", Double(expiry) - now)) }
    }
}

import Mesh

extension ObjectDecoder {
    /// A kind of the Gateway API that has no effect yet. That is said of the object, and the others work.
    static func decodeUnserved(_ root: YAMLValue, _ kind: ResourceKind, _ issues: inout [ConditionIssue]) -> Resource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        switch kind {
        case .gatewayClass where spec.field("controllerName")?.string() != ParentStatus.controller:
            // Another controller's to say something about.
            break
        case .referenceGrant:
            // The specification gives it no conditions; without gateways nothing asks for one.
            break
        default:
            issues.append(
                .unsupported(.accepted, "\(kind.rawValue) is not supported in this version: it has no effect"))
        }
        return .unserved
    }
}

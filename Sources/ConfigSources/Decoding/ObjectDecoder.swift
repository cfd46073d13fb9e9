import Mesh

/// Turns a value into an object of its kind. Every field is known or an error.
enum ObjectDecoder {
    /// nil after an error, which the tree has then.
    static func decode(_ root: YAMLValue) -> MeshObject? {
        if root.isNull { return nil }
        guard root.isMapping else {
            root.report("expected an object with apiVersion and kind")
            return nil
        }
        guard let header = Header(root) else { return nil }
        let metadata = Metadata(root, kind: header.kind)
        var issues: [ConditionIssue] = []
        let resource: Resource? =
            switch header.kind {
            case .service: decodeService(root, metadata, &issues).map(Resource.service)
            case .endpointSlice: decodeEndpointSlice(root, metadata, &issues).map(Resource.endpointSlice)
            case .pod: decodePod(root, metadata).map(Resource.pod)
            case .namespace: decodeNamespace(root, metadata)
            case .workload: decodeWorkload(root, metadata).map(Resource.workload)
            case .trafficPolicy: decodeTrafficPolicy(root, metadata, &issues).map(Resource.trafficPolicy)
            case .authorizationPolicy:
                decodeAuthorizationPolicy(root, metadata, &issues).map(Resource.authorizationPolicy)
            case .destinationRule: decodeDestinationRule(root, &issues).map(Resource.destinationRule)
            case .httpRoute: decodeHTTPRoute(root, metadata, &issues).map(Resource.httpRoute)
            case .serviceEntry: decodeServiceEntry(root, &issues).map(Resource.serviceEntry)
            case .virtualService: decodeVirtualService(root, metadata, &issues).map(Resource.virtualService)
            case .peerAuthentication: decodePeerAuthentication(root).map(Resource.peerAuthentication)
            case .requestAuthentication:
                decodeRequestAuthentication(root, metadata, &issues).map(Resource.requestAuthentication)
            case .extensionProvider: decodeExtensionProvider(root, metadata, &issues).map(Resource.extensionProvider)
            case .networkPolicy: decodeNetworkPolicy(root, metadata, &issues).map(Resource.networkPolicy)
            case .gatewayClass, .gateway, .grpcRoute, .tcpRoute, .tlsRoute, .referenceGrant, .backendTLSPolicy:
                decodeUnserved(root, header.kind, &issues)
            }
        guard let resource, !metadata.name.name.isEmpty else { return nil }
        return MeshObject(
            key: ObjectKey(header.kind, metadata.name), apiVersion: header.apiVersion, generation: metadata.generation,
            created: metadata.created, resource: resource, issues: issues)
    }

    /// Checks the root of a `kind: List`, whose items have been decoded already.
    static func checkList(_ root: YAMLValue) {
        if let kind = root.field("kind") {
            if let text = kind.string(), text != "List" {
                kind.report("\"\(text)\" with items is not supported: only List has items")
            }
        } else {
            root.reportMissing("kind")
        }
        root.forEachField { name, value in
            switch name {
            case "kind": break
            case "apiVersion": _ = value.choice(["v1": ()])
            case "metadata":
                value.forEachField { name, value in
                    switch name {
                    case "resourceVersion", "selfLink", "continue", "remainingItemCount": break
                    default: value.reportUnknownField()
                    }
                }
            default: value.reportUnknownField()
            }
        }
    }

    private struct Header {
        var kind: ResourceKind
        var apiVersion: String

        init?(_ root: YAMLValue) {
            let kindValue = root.field("kind")
            let versionValue = root.field("apiVersion")
            if kindValue == nil { root.reportMissing("kind") }
            if versionValue == nil { root.reportMissing("apiVersion") }
            guard let kindValue, let versionValue, let kindText = kindValue.string(),
                let versionText = versionValue.string()
            else { return nil }
            guard let kind = ResourceKind(rawValue: kindText) else {
                let known = ResourceKind.allCases.map(\.rawValue).sorted().joined(separator: ", ")
                kindValue.report("unknown kind \"\(kindText)\" (known: \(known), List)")
                return nil
            }
            // The table's own string, so that objects share it.
            guard let version = kind.apiVersions.first(where: { $0 == versionText }) else {
                versionValue.report(
                    "unknown apiVersion \"\(versionText)\" of \(kindText) "
                        + "(known: \(kind.apiVersions.joined(separator: ", ")))")
                return nil
            }
            self.kind = kind
            apiVersion = version
        }
    }
}

extension YAMLValue {
    /// Calls `body` for each field of the root that is not common to all kinds.
    func forEachOwnField(_ body: (_ name: String, _ value: YAMLValue) -> Void) {
        forEachField { name, value in
            switch name {
            case "apiVersion", "kind", "metadata", "status": break
            default: body(name, value)
            }
        }
    }
}

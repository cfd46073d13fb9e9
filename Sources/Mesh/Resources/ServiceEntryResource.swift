/// Istio's `ServiceEntry`: a service that Kubernetes does not know, under names of its own.
/// Source: https://istio.io/latest/docs/reference/config/networking/service-entry/
///
/// With `resolution: STATIC` it is a service like others. With `NONE` connections to its addresses are left alone, and
/// only its names are known.
public struct ServiceEntryResource: Sendable, Equatable {
    /// In lower case; `*.` for a wildcard's first label.
    public var hosts: [String] = []
    /// Without addresses for clients where `resolution` is NONE.
    public var service = ServiceResource()
    /// One for each endpoint.
    public var slices: [EndpointSliceResource] = []

    public init() {}
}

extension ObjectName {
    private static let entryPrefix = "ServiceEntry/"

    /// The name in the snapshot of the service that a ServiceEntry of this name declares: no Service can have it.
    var ofServiceEntry: ObjectName { ObjectName(namespace: namespace, name: Self.entryPrefix + name) }

    /// The object that declares the service of this name.
    var serviceKey: ObjectKey {
        guard name.hasPrefix(Self.entryPrefix) else { return ObjectKey(.service, self) }
        let name = String(name.dropFirst(Self.entryPrefix.count))
        return ObjectKey(.serviceEntry, ObjectName(namespace: namespace, name: name))
    }
}

extension MeshObject {
    /// The service that it declares, with the service's name in the snapshot.
    var declaredService: (name: ObjectName, service: ServiceResource)? {
        switch resource {
        case .service(let service): (key.name, service)
        case .serviceEntry(let entry): (key.name.ofServiceEntry, entry.service)
        default: nil
        }
    }
}

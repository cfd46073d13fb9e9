/// Finds the workloads that a service selects, and the services that select a workload, without looking at the others.
///
/// Each service is filed under one term of its selector; workloads are filed under the terms that some service uses.
struct MemberIndex: Sendable {
    private struct Term: Hashable, Sendable {
        var namespace: String
        var key: String
        var value: String
    }

    private struct Entry: Sendable {
        var services: Set<ObjectName> = []
        var members: Set<ObjectKey> = []
    }

    private var entries: [Term: Entry] = [:]
    private var byNamespace: [String: Set<ObjectKey>] = [:]

    private func term(_ service: ObjectName, _ selector: [String: String]) -> Term? {
        selector.min { $0.key < $1.key }.map { Term(namespace: service.namespace, key: $0.key, value: $0.value) }
    }

    mutating func add(service: ObjectName, selector: [String: String], labels: (ObjectKey) -> [String: String]) {
        guard let term = term(service, selector) else { return }
        if entries[term] == nil {
            let members = byNamespace[service.namespace, default: []].filter { labels($0)[term.key] == term.value }
            entries[term] = Entry(members: members)
        }
        entries[term]?.services.insert(service)
    }

    mutating func remove(service: ObjectName, selector: [String: String]) {
        guard let term = term(service, selector) else { return }
        entries[term]?.services.remove(service)
        if entries[term]?.services.isEmpty == true { entries[term] = nil }
    }

    mutating func add(member: ObjectKey, labels: [String: String]) {
        byNamespace[member.name.namespace, default: []].insert(member)
        for (key, value) in labels {
            entries[Term(namespace: member.name.namespace, key: key, value: value)]?.members.insert(member)
        }
    }

    mutating func remove(member: ObjectKey, labels: [String: String]) {
        byNamespace[member.name.namespace]?.remove(member)
        if byNamespace[member.name.namespace]?.isEmpty == true { byNamespace[member.name.namespace] = nil }
        for (key, value) in labels {
            entries[Term(namespace: member.name.namespace, key: key, value: value)]?.members.remove(member)
        }
    }

    func members(namespace: String) -> Set<ObjectKey> { byNamespace[namespace] ?? [] }

    /// A superset of the workloads that `selector` selects.
    func members(service: ObjectName, selector: [String: String]) -> Set<ObjectKey> {
        term(service, selector).flatMap { entries[$0]?.members } ?? []
    }

    /// A superset of the services that select a workload with these labels.
    func services(namespace: String, labels: [String: String]) -> Set<ObjectName> {
        var services: Set<ObjectName> = []
        for (key, value) in labels {
            if let entry = entries[Term(namespace: namespace, key: key, value: value)] {
                services.formUnion(entry.services)
            }
        }
        return services
    }
}

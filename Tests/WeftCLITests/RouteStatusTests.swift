import FoundationEssentials
import Mesh
import Testing

@testable import weft

@Suite("Status of routes")
struct RouteStatusTests {
    private static let time = "2025-01-01T00:00:00Z"

    private func condition(_ type: Condition.Kind, _ status: Condition.Status, _ reason: String) -> Condition {
        Condition(type: type, status: status, reason: reason, message: "why", lastTransitionTime: Self.time)
    }

    private var route: ObjectStatus {
        let good = [condition(.accepted, .yes, "Accepted"), condition(.resolvedRefs, .yes, "ResolvedRefs")]
        let bad = [condition(.accepted, .no, "NoMatchingParent"), condition(.resolvedRefs, .yes, "ResolvedRefs")]
        return ObjectStatus(
            apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute",
            name: ObjectName(namespace: "shop", name: "web"), source: SourceLocation(file: "a.yaml", line: 1),
            conditions: [],
            parents: [
                ParentStatus(
                    parent: ParentReference(group: "", kind: "Service", name: "web", port: 80), conditions: good),
                ParentStatus(
                    parent: ParentReference(group: "", kind: "Service", namespace: "other", name: "api"),
                    conditions: bad),
            ])
    }

    @Test("has the specification's shape, the same from the agent and from the command")
    func json() throws {
        let text = route.value.json(indented: false)
        #expect(try JSONDecoder().decode(ObjectStatus.self, from: Data(text.utf8)) == route)
        #expect(
            text.contains(
                #""status":{"parents":[{"parentRef":{"group":"","kind":"Service","name":"web","port":80},"#
                    + #""controllerName":"weft.dev/gateway-controller","conditions":[{"type":"Accepted""#))
    }

    @Test("is troubled when one parent is, and says of which")
    func troubled() {
        let list = ObjectList([route])
        #expect(list.isTroubled)
        let table = Table(list.records).text(width: nil, colours: false)
        #expect(table.contains("Accepted=False(NoMatchingParent)"))
        let detail = Table(route.conditionRecords).text(width: nil, colours: false)
        #expect(detail.contains("Service web:80"))
        #expect(detail.contains("Service other/api"))
    }
}

import Mesh

/// `metadata`, as far as it means something to Weft.
struct Metadata {
    var name = ObjectName(namespace: "", name: "")
    var labels: [String: String] = [:]
    var generation: Int64 = 0
    var created: String?
    var isDeleted = false
    /// The annotation `weft.dev/weight`.
    var weight: UInt16?
    /// The annotation `weft.dev/cgroup`.
    var cgroup: String?
    /// The annotation `weft.dev/acceleration`.
    var acceleration: Bool?
    /// The annotation `weft.dev/routes`.
    var templates: [RouteTemplate] = []
    /// The annotation `istio.io/dry-run`.
    var isDryRun = false
    /// The annotation `ambient.istio.io/redirection`.
    var isRedirected = false

    init(_ root: YAMLValue, kind: ResourceKind) {
        guard let metadata = root.field("metadata") else {
            root.reportMissing("metadata")
            return
        }
        var name: String?
        var namespace: String?
        metadata.forEachField { field, value in
            switch field {
            case "name": name = value.name(.subdomain)
            case "namespace":
                if kind.isNamespaced {
                    namespace = value.name(.label)
                } else {
                    value.report("a \(kind.rawValue) is in no namespace")
                }
            case "labels": labels = value.labels()
            case "annotations": value.forEachField { readAnnotation($0, $1, kind) }
            case "generation": generation = value.integer(0...Int64.max) ?? 0
            case "creationTimestamp": created = value.string()
            case "deletionTimestamp": isDeleted = value.string() != nil
            case "uid", "resourceVersion", "selfLink", "generateName", "deletionGracePeriodSeconds",
                "ownerReferences", "finalizers", "managedFields":
                break
            default: value.reportUnknownField()
            }
        }
        if metadata.isMapping, metadata.field("name") == nil { metadata.reportMissing("name") }
        self.name = ObjectName(namespace: kind.isNamespaced ? namespace ?? "default" : "", name: name ?? "")
    }

    private mutating func readAnnotation(_ name: String, _ value: YAMLValue, _ kind: ResourceKind) {
        switch name {
        case "istio.io/dry-run": isDryRun = value.textChoice(["true": true, "false": false]) ?? false
        case "ambient.istio.io/redirection" where kind == .pod: isRedirected = value.string() == "enabled"
        case "weft.dev/weight" where kind == .pod || kind == .endpointSlice: weight = value.weightText()
        case "weft.dev/cgroup" where kind == .pod: cgroup = value.cgroupPath()
        case "weft.dev/acceleration" where kind == .pod:
            acceleration = value.textChoice(["On": true, "Off": false])
        case "weft.dev/routes" where kind == .service: templates = value.routeTemplates()
        case _ where name.hasPrefix("weft.dev/"):
            value.report("unknown annotation of a \(kind.rawValue)")
        default: _ = value.string()
        }
    }
}

/// The forms of Kubernetes names (RFC 1123).
enum NameForm {
    case label
    case subdomain
}

extension YAMLValue {
    /// A name of an object.
    func name(_ form: NameForm) -> String? {
        guard let text = string() else { return nil }
        let limit = form == .label ? 63 : 253
        func isWordByte(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        let isValid =
            (1...limit).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                isWordByte($0) || $0 == UInt8(ascii: "-") || (form == .subdomain && $0 == UInt8(ascii: "."))
            }
            && text.utf8.first.map(isWordByte) == true && text.utf8.last.map(isWordByte) == true
        guard isValid else {
            report(
                "\"\(text.prefix(64))\" is not a name: at most \(limit) of a-z, 0-9, \"-\""
                    + (form == .subdomain ? " and \".\"" : "") + ", beginning and ending with a letter or digit")
            return nil
        }
        return text
    }

    /// A mapping of strings.
    func strings() -> [String: String] {
        var strings: [String: String] = [:]
        forEachField { name, value in
            if let text = value.string() { strings[name] = text }
        }
        return strings
    }

    /// Labels: values have at most 63 of a-z, A-Z, 0-9, "-", "_" and ".".
    func labels() -> [String: String] {
        var labels: [String: String] = [:]
        forEachField { name, value in
            if name.isEmpty { value.report("a label needs a name") }
            guard let text = value.string() else { return }
            let isValid =
                text.utf8.count <= 63
                && text.utf8.allSatisfy {
                    switch $0 {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                        true
                    default: false
                    }
                }
            if isValid {
                labels[name] = text
            } else {
                value.report("\"\(text.prefix(64))\" is not a label's value: at most 63 of a-z, A-Z, 0-9, -, _ and .")
            }
        }
        return labels
    }

    /// A choice written in an annotation, where every value is a string.
    func textChoice<Value>(_ choices: KeyValuePairs<String, Value>) -> Value? { choice(choices) }

    func weightText() -> UInt16? {
        guard let text = string() else { return nil }
        guard let weight = UInt16(text) else {
            report("\"\(text.prefix(64))\" is not a weight (0...65535)")
            return nil
        }
        return weight
    }

    func routeTemplates() -> [RouteTemplate] {
        guard let text = string() else { return [] }
        do throws(RouteTemplateError) {
            return try RouteTemplate.list(text)
        } catch {
            report(error.description)
            return []
        }
    }

    /// A path below the cgroup root.
    func cgroupPath() -> String? {
        guard var text = string() else { return nil }
        while text.count > 1, text.hasSuffix("/") { text.removeLast() }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        guard text.hasPrefix("/"), parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }) else {
            report(
                text == "/"
                    ? "the root cgroup holds every process of the machine: name one below it"
                    : "\"\(text.prefix(256))\" is not a path below the cgroup root, such as /system.slice/web.service")
            return nil
        }
        return text
    }
}

import Mesh
import Synchronization

/// How often an authorizer was asked, and what came of it.
public struct AuthorizerReading: Sendable, Equatable {
    public var provider: String
    public var allowed: UInt64
    public var denied: UInt64
    /// It could not be reached, or its answer was none.
    public var errors: UInt64
    public var timeouts: UInt64
}

/// The counters of an authorizer; they go on from one configuration to the next.
struct AuthorizerCounters: ~Copyable, Sendable {
    let allowed = Atomic<UInt64>(0)
    let denied = Atomic<UInt64>(0)
    let errors = Atomic<UInt64>(0)
    let timeouts = Atomic<UInt64>(0)
}

/// An authorizer as workers ask it.
final class ExternalProvider: Sendable {
    let name: String
    /// nil: there is none of this name.
    let authorizer: ExternalAuthorizer?
    /// Of its service; -1: there is none.
    let cluster: Int32
    let requestHeaders: HeaderPatterns
    let upstreamOnAllow: HeaderPatterns
    let downstreamOnAllow: HeaderPatterns
    let downstreamOnDeny: HeaderPatterns
    /// The beginning of the request's path, or all of it.
    let path: [UInt8]
    /// Whole lines of the fields that every check has, and their names.
    let additionalLines: [UInt8]
    let additionalNames: HeaderPatterns
    /// The value of Host where it is not the request's.
    let host: [UInt8]
    let counters: SharedCell<AuthorizerCounters>

    init(_ name: String, _ authorizer: ExternalAuthorizer?, cluster: Int32, previous: ExternalProvider?) {
        self.name = name
        self.authorizer = authorizer
        self.cluster = cluster
        counters = previous?.counters ?? SharedCell(AuthorizerCounters())
        var check = ExternalAuthorizer.HTTPCheck()
        var path = ""
        switch authorizer?.api {
        case .http(let given):
            check = given
            path = given.pathPrefix
        case .opa(let given): path = given
        case .grpc, nil: break
        }
        requestHeaders = HeaderPatterns(check.requestHeaders)
        upstreamOnAllow = HeaderPatterns(check.upstreamOnAllow)
        downstreamOnAllow = HeaderPatterns(check.downstreamOnAllow)
        downstreamOnDeny = HeaderPatterns(check.downstreamOnDeny)
        // What would end the line or the word has no place in it.
        self.path = path.utf8.filter { $0 > 0x20 && $0 != 0x7f }
        let fields = check.additionalHeaders.sorted { $0.key < $1.key }.filter {
            HeaderEditBuilder.isToken($0.key) && HeaderEditBuilder.isValue($0.value)
                && !HeaderEditBuilder.reserved.contains($0.key.lowercased()) && $0.key.lowercased() != "host"
        }
        additionalLines = Array(fields.map { "\($0.key): \($0.value)\r\n" }.joined().utf8)
        additionalNames = HeaderPatterns(fields.map { .exact($0.key) })
        let service = authorizer?.service ?? ObjectName(namespace: "", name: "")
        host = Array("\(service.name).\(service.namespace)".utf8)
    }

    var reading: AuthorizerReading {
        let counters = counters.reference
        return AuthorizerReading(
            provider: name, allowed: counters.value.allowed.load(ordering: .relaxed),
            denied: counters.value.denied.load(ordering: .relaxed),
            errors: counters.value.errors.load(ordering: .relaxed),
            timeouts: counters.value.timeouts.load(ordering: .relaxed))
    }
}

/// The authorizers that a configuration's policies name, in the order of their table.
final class ExternalProviders: Sendable {
    let providers: [ExternalProvider]

    init(_ names: [String], _ table: RouteTable, previous: ExternalProviders?) {
        providers = names.map { name in
            ExternalProvider(
                name, table.authorizers[name]?.authorizer, cluster: table.authorizers[name]?.cluster ?? -1,
                previous: previous?.providers.first { $0.name == name })
        }
    }
}

/// Names of fields in Istio's string forms, without regard to case.
struct HeaderPatterns: Sendable {
    private enum Pattern: Sendable {
        case exact([UInt8])
        case prefix([UInt8])
        case suffix([UInt8])
        case any
    }

    private let patterns: [Pattern]
    var isEmpty: Bool { patterns.isEmpty }

    init(_ matches: [StringMatch]) {
        patterns = matches.map { match in
            switch match {
            case .exact(let text): .exact(Array(text.lowercased().utf8))
            case .prefix(let text): .prefix(Array(text.lowercased().utf8))
            case .suffix(let text): .suffix(Array(text.lowercased().utf8))
            case .present: .any
            }
        }
    }

    func matches(_ name: RawSpan) -> Bool {
        for pattern in patterns {
            switch pattern {
            case .exact(let text): if unsafe ByteText.equalIgnoringCase(name, text.span.bytes) { return true }
            case .prefix(let text): if unsafe ByteText.hasPrefixIgnoringCase(name, text.span.bytes) { return true }
            case .suffix(let text):
                guard name.byteCount >= text.count else { continue }
                let end = name.extracting(name.byteCount - text.count..<name.byteCount)
                if unsafe ByteText.equalIgnoringCase(end, text.span.bytes) { return true }
            case .any: return true
            }
        }
        return false
    }
}

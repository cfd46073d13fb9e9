public import WeftABI

/// What the requests of one workload to one service, with one Host, are subject to, as the kernel's programs decide it: a
/// pure function of the tables that the workers decide by (see `init`).
///
/// A request that the programs take is one that the workers would have sent to the same cluster, unchanged. What they
/// cannot decide is left to the workers, rule by rule: so are all requests that such a rule may be about.
public struct CompiledShortcuts: Sendable {
    /// Why no request of a service can be decided by the programs.
    public enum Refusal: String, Error, Sendable, CaseIterable {
        case unknownService = "the service is not known"
        case hostRules = "rules depend on the host"
        case authentication = "requests are authenticated by tokens"
        case rateLimits = "requests are limited"
        case customPolicy = "somebody else decides about requests (CUSTOM)"
        case shadowPolicy = "policies are tried out (dry run or AUDIT)"
        case twoPolicies = "policies of the service and of its workloads both allow"
        case differentPolicies = "workloads of the service have different policies"
        case tooManyRules = "there are too many rules"
        case longHost = "the host's name is too long"
        case nothing = "no rule can be decided in the kernel"
    }

    /// As the programs read it; without its generation.
    public internal(set) var table: weft_shortcut_table
    /// The clusters that requests may go to, by their places in the table.
    public internal(set) var clusters: [Int] = []
    /// The rules of policies that allow, by their places in the table.
    public internal(set) var allowing: [(place: Int, rule: Int32)] = []

    /// One rule of the table.
    struct Rule {
        var kind: weft_shortcut_kind
        var methods: UInt16 = Rule.anyMethod
        var path = PathTest.any
        var route = UInt8(WEFT_SHORTCUT_AGENT)

        static let anyMethod: UInt16 = 0x7f

        /// Asks for a path. False: only its beginning can be compared, with what follows an element besides.
        mutating func take(_ test: weft_shortcut_test, _ path: [UInt8]) -> Bool {
            let isWhole = path.count < Int(WEFT_SHORTCUT_TEXT)
            self.path = PathTest(
                test: isWhole ? test : WEFT_SHORTCUT_PREFIX, text: Array(path.prefix(Int(WEFT_SHORTCUT_TEXT))))
            return isWhole
        }
    }

    struct PathTest: Equatable {
        var test: weft_shortcut_test
        var text: [UInt8] = []

        static let any = PathTest(test: WEFT_SHORTCUT_ANY_PATH)
    }

    struct Target {
        var threshold: UInt64
        var cluster: UInt8
    }

    init(
        _ rules: [Rule], routes: [[Target]], clusters: [(cluster: Int, endpoints: Int)], needsAllow: Bool,
        hasTemplates: Bool, host: [UInt8], source: UInt64, service: UInt64
    ) throws(Refusal) {
        guard rules.count <= Int(WEFT_SHORTCUT_RULES), routes.count <= Int(WEFT_SHORTCUT_ROUTES),
            clusters.count <= Int(WEFT_SHORTCUT_CLUSTERS)
        else { throw .tooManyRules }
        guard host.count <= Int(WEFT_SHORTCUT_TEXT), !host.isEmpty else { throw .longHost }
        table = weft_shortcut_table()
        table.rule_count = UInt8(rules.count)
        table.needs_allow = needsAllow ? 1 : 0
        table.has_templates = hasTemplates ? 1 : 0
        table.host_length = UInt8(host.count)
        table.source = source
        table.service = service
        self.clusters = clusters.map(\.cluster)
        unsafe withUnsafeMutableBytes(of: &table.host) { bytes in
            for (index, byte) in host.enumerated() { unsafe bytes[index] = byte }
        }
        unsafe withUnsafeMutableBytes(of: &table.endpoints) { bytes in
            for (index, cluster) in clusters.enumerated() { unsafe bytes[index] = UInt8(min(cluster.endpoints, 255)) }
        }
        unsafe withUnsafeMutableBytes(of: &table.rules) { bytes in
            let places = unsafe bytes.bindMemory(to: weft_shortcut_rule.self)
            for (index, rule) in rules.enumerated() { unsafe places[index] = rule.abi }
        }
        unsafe withUnsafeMutableBytes(of: &table.routes) { bytes in
            let places = unsafe bytes.bindMemory(to: weft_shortcut_target.self)
            for (route, targets) in routes.enumerated() {
                for (index, target) in targets.prefix(Int(WEFT_SHORTCUT_TARGETS)).enumerated() {
                    let place = route * Int(WEFT_SHORTCUT_TARGETS) + index
                    unsafe places[place].threshold = target.threshold
                    unsafe places[place].cluster = target.cluster
                }
            }
        }
    }
}

extension CompiledShortcuts.Rule {
    fileprivate var abi: weft_shortcut_rule {
        var rule = weft_shortcut_rule()
        rule.methods = methods
        rule.kind = UInt8(kind.rawValue)
        rule.test = UInt8(path.test.rawValue)
        rule.length = UInt8(path.text.count)
        rule.route = route
        unsafe withUnsafeMutableBytes(of: &rule.path) { bytes in
            for (index, byte) in path.text.enumerated() { unsafe bytes[index] = byte }
        }
        return rule
    }
}

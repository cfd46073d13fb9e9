import Mesh

/// What rules compare attributes with, as it is put together.
struct AuthorizationValues {
    var tests: [AttributeTest] = []
    var patterns: [TextPattern] = []
    var hosts: [HostPattern] = []
    var paths: [PolicyPath] = []
    var elements: [TemplatePart] = []
    var blocks: [BlockPattern] = []
    var ports: [UInt16] = []
    var names: [RouteText] = []
    var arena: [UInt8] = []
    private var texts: [String: RouteText] = [:]

    mutating func text(_ string: String) -> RouteText {
        if let known = texts[string] { return known }
        let text = RouteText(start: UInt32(arena.count), count: UInt32(string.utf8.count))
        arena.append(contentsOf: string.utf8)
        texts[string] = text
        return text
    }

    mutating func addTests(of source: AuthorizationPolicy.Source) -> RouteRun {
        let start = tests.count
        add(.principal, source.principals, not: source.notPrincipals)
        add(.namespace, source.namespaces, not: source.notNamespaces)
        add(.sourceAddress, source.ipBlocks, not: source.notIPBlocks)
        add(.requestPrincipal, source.requestPrincipals, not: source.notRequestPrincipals)
        add(.remoteAddress, source.remoteIPBlocks, not: source.notRemoteIPBlocks)
        return AuthorizationTableBuilder.run(start, tests.count)
    }

    mutating func addTests(of operation: AuthorizationPolicy.Operation) -> RouteRun {
        let start = tests.count
        addPorts(operation.ports, not: operation.notPorts)
        for (values, isNegated) in [(operation.hosts, false), (operation.notHosts, true)] where !values.isEmpty {
            let run = AuthorizationTableBuilder.run(hosts.count, hosts.count + values.count)
            for value in values { addHost(value) }
            tests.append(AttributeTest(attribute: .host, isNegated: isNegated, values: run))
        }
        add(.method, operation.methods, not: operation.notMethods)
        for (values, isNegated) in [(operation.paths, false), (operation.notPaths, true)] where !values.isEmpty {
            let run = AuthorizationTableBuilder.run(paths.count, paths.count + values.count)
            for value in values { addPath(value) }
            tests.append(AttributeTest(attribute: .path, isNegated: isNegated, values: run))
        }
        return AuthorizationTableBuilder.run(start, tests.count)
    }

    mutating func addTests(of condition: AuthorizationPolicy.Condition) {
        switch condition {
        case .sourcePrincipal(let values, let notValues): add(.principal, values, not: notValues)
        case .sourceNamespace(let values, let notValues): add(.namespace, values, not: notValues)
        case .sourceIP(let values, let notValues): add(.sourceAddress, values, not: notValues)
        case .destinationIP(let values, let notValues): add(.destinationAddress, values, not: notValues)
        case .destinationPort(let values, let notValues): addPorts(values, not: notValues)
        case .remoteIP(let values, let notValues): add(.remoteAddress, values, not: notValues)
        case .connectionSNI(let values, let notValues): add(.serverName, values, not: notValues)
        case .requestHeader(let name, let values, let notValues):
            switch name.lowercased() {
            case ":authority", "host": add(.authority, values, not: notValues)
            case ":path": add(.target, values, not: notValues)
            case ":method": add(.method, values, not: notValues)
            case let name:
                add(.header, values, not: notValues) { test, values in test.name = values.text(name) }
            }
        case .requestPrincipal(let values, let notValues): add(.requestPrincipal, values, not: notValues)
        case .requestAudiences(let values, let notValues): add(.audiences, values, not: notValues)
        case .requestPresenter(let values, let notValues): add(.presenter, values, not: notValues)
        case .requestClaim(let path, let values, let notValues):
            let start = names.count
            for element in path { names.append(text(element)) }
            let run = AuthorizationTableBuilder.run(start, names.count)
            add(.claim, values, not: notValues) { test, _ in test.claim = run }
        }
    }

    // MARK: Lists

    private mutating func add(
        _ attribute: AttributeTest.Attribute, _ values: [StringMatch], not notValues: [StringMatch],
        _ complete: (inout AttributeTest, inout Self) -> Void = { _, _ in }
    ) {
        for (values, isNegated) in [(values, false), (notValues, true)] where !values.isEmpty {
            let start = patterns.count
            for value in values { patterns.append(pattern(value)) }
            var test = AttributeTest(attribute: attribute, isNegated: isNegated)
            test.values = AuthorizationTableBuilder.run(start, patterns.count)
            complete(&test, &self)
            tests.append(test)
        }
    }

    private mutating func add(_ attribute: AttributeTest.Attribute, _ values: [IPBlock], not notValues: [IPBlock]) {
        for (values, isNegated) in [(values, false), (notValues, true)] where !values.isEmpty {
            let start = blocks.count
            let all = IPAddress(high: .max, low: .max)
            for block in values {
                let mask = all.masked(to: block.prefixLength)
                let address = block.address.masked(to: block.prefixLength)
                blocks.append(
                    BlockPattern(
                        high: UInt64(bigEndian: address.high), low: UInt64(bigEndian: address.low),
                        highMask: UInt64(bigEndian: mask.high), lowMask: UInt64(bigEndian: mask.low),
                        takesIPv4: block.prefixLength >= 96))
            }
            let run = AuthorizationTableBuilder.run(start, blocks.count)
            tests.append(AttributeTest(attribute: attribute, isNegated: isNegated, values: run))
        }
    }

    private mutating func addPorts(_ values: [UInt16], not notValues: [UInt16]) {
        for (values, isNegated) in [(values, false), (notValues, true)] where !values.isEmpty {
            let run = AuthorizationTableBuilder.run(ports.count, ports.count + values.count)
            ports.append(contentsOf: values)
            tests.append(AttributeTest(attribute: .destinationPort, isNegated: isNegated, values: run))
        }
    }

    // MARK: Values

    private mutating func pattern(_ match: StringMatch) -> TextPattern {
        switch match {
        case .exact(let value): TextPattern(kind: .exact, text: text(value))
        case .prefix(let value): TextPattern(kind: .prefix, text: text(value))
        case .suffix(let value): TextPattern(kind: .suffix, text: text(value))
        case .present: TextPattern(kind: .present)
        }
    }

    private mutating func addPath(_ match: AuthorizationPolicy.PathMatch) {
        switch match {
        case .text(let match): paths.append(PolicyPath(text: pattern(match)))
        case .template(let template):
            var path = PolicyPath()
            var start = elements.count
            for element in template {
                switch element {
                case .literal(let value): elements.append(TemplatePart(literal: text(value)))
                case .one: elements.append(TemplatePart())
                case .any:
                    path.leading = AuthorizationTableBuilder.run(start, elements.count)
                    path.hasAny = true
                    start = elements.count
                }
            }
            let rest = AuthorizationTableBuilder.run(start, elements.count)
            if path.hasAny { path.trailing = rest } else { path.leading = rest }
            paths.append(path)
        }
    }

    /// A pattern with a port is one of host and port, as the request has it; a pattern without one says nothing of it.
    private mutating func addHost(_ match: StringMatch) {
        func split(_ text: String) -> (host: Substring, port: Substring?) {
            let text = text.lowercased()[...]
            let afterBrackets = text.lastIndex(of: "]") ?? (text.first == "[" ? text.endIndex : text.startIndex)
            guard let colon = text[afterBrackets...].firstIndex(of: ":") else { return (text, nil) }
            return (text[..<colon], text[text.index(after: colon)...])
        }
        func withoutDot(_ host: Substring) -> String { String(host.last == "." ? host.dropLast() : host) }
        switch match {
        case .present: hosts.append(HostPattern(host: TextPattern(kind: .present)))
        case .exact(let value):
            let (host, port) = split(value)
            let hostPattern = TextPattern(kind: .exact, text: text(withoutDot(host)))
            let portPattern = port.map { TextPattern(kind: .exact, text: text(String($0))) }
            hosts.append(HostPattern(host: hostPattern, port: portPattern))
        case .prefix(let value):
            let (host, port) = split(value)
            guard let port else {
                hosts.append(HostPattern(host: TextPattern(kind: .prefix, text: text(String(host)))))
                return
            }
            hosts.append(
                HostPattern(
                    host: TextPattern(kind: .exact, text: text(withoutDot(host))),
                    port: TextPattern(kind: port.isEmpty ? .present : .prefix, text: text(String(port)))))
        case .suffix(let value):
            let (host, port) = split(value)
            let hostPattern = TextPattern(kind: .suffix, text: text(withoutDot(host)))
            let portPattern = port.map { TextPattern(kind: .exact, text: text(String($0))) }
            hosts.append(HostPattern(host: hostPattern, port: portPattern))
        }
    }
}

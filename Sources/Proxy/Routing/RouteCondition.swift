/// One thing that a match asks of a request.
struct RouteCondition: BitwiseCopyable {
    enum Subject: UInt8, BitwiseCopyable {
        case path, method, header, query, authority, scheme, source
    }

    enum Test: UInt8, BitwiseCopyable {
        /// By bytes.
        case exact, prefix, regex
        case present
        /// By path elements.
        case element
        /// Values are lower-case.
        case exactAnyCase, prefixAnyCase, elementAnyCase
        /// `*` in an origin: `value` before it and `suffix` after it.
        case wildcardOrigin
    }

    var subject: Subject
    var test: Test
    /// It must not hold.
    var isNegated = false
    /// With subject `method` and test `exact`; `other` if it is none of the known ones.
    var method = HTTPMethod.other
    /// Of the header (lower-case) or the query parameter.
    var name = RouteText.empty
    var value = RouteText.empty
    var suffix = RouteText.empty
    /// Of the expression, or of the set of sources.
    var index: UInt32 = 0
}

extension RouteTable {
    /// Whether a fault's or a rate limit's conditions let it act on this request.
    public func applies(_ fault: RouteFault, to view: borrowing RequestView) -> Bool {
        holds(all: fault.conditions, of: view)
    }

    public func applies(_ limit: RouteRateLimit, to view: borrowing RequestView) -> Bool {
        if limit.matches.isEmpty { return true }
        for index in limit.matches.indices where holds(all: conditionRuns[index], of: view) {
            return true
        }
        return false
    }

    @inline(__always)
    func holds(all conditions: RouteRun, of view: borrowing RequestView) -> Bool {
        for index in conditions.indices where !holds(self.conditions[index], of: view) { return false }
        return true
    }

    func holds(_ condition: RouteCondition, of view: borrowing RequestView) -> Bool {
        let isTrue: Bool
        switch condition.subject {
        case .method:
            if condition.test == .exact, condition.method != .other {
                isTrue = view.head.method == condition.method
            } else {
                isTrue = passes(view.bytes[view.head.methodText], condition)
            }
        case .path:
            isTrue = passes(view.path, condition)
        case .header:
            isTrue = headerPasses(condition, of: view)
        case .query:
            isTrue = queryPasses(condition, of: view)
        case .authority:
            // With the port as the client wrote it, or without.
            isTrue = passes(view.bytes[view.head.authority], condition) || passes(view.host, condition)
        case .scheme:
            isTrue = passes(text(view.isSecure ? schemes.secure : schemes.plain), condition)
        case .source:
            isTrue = sources.contains(view.source, in: condition.index)
        }
        return isTrue != condition.isNegated
    }

    /// Whether a value passes a condition's test.
    func passes(_ value: RawSpan, _ condition: RouteCondition) -> Bool {
        switch condition.test {
        case .exact:
            return ByteText.equal(value, text(condition.value))
        case .prefix:
            return ByteText.hasPrefix(value, text(condition.value))
        case .regex:
            return expressions.matches(condition.index, value)
        case .present:
            return true
        case .element:
            return ByteText.hasPrefix(value, text(condition.value)) && endsElement(value, condition.value)
        case .exactAnyCase:
            return ByteText.equalIgnoringCase(value, text(condition.value))
        case .prefixAnyCase:
            return ByteText.hasPrefixIgnoringCase(value, text(condition.value))
        case .elementAnyCase:
            return ByteText.hasPrefixIgnoringCase(value, text(condition.value))
                && endsElement(value, condition.value)
        case .wildcardOrigin:
            return isWildcardOrigin(value, condition)
        }
    }

    /// Whether an element of the path ends where the prefix ends. The empty prefix, `/`, is that of every path.
    private func endsElement(_ path: RawSpan, _ prefix: RouteText) -> Bool {
        let count = Int(prefix.count)
        return count == 0 || path.byteCount == count || path[count] == UInt8(ascii: "/")
    }

    private func isWildcardOrigin(_ origin: RawSpan, _ condition: RouteCondition) -> Bool {
        let before = Int(condition.value.count)
        let after = Int(condition.suffix.count)
        guard origin.byteCount > before + after,
            ByteText.hasPrefixIgnoringCase(origin, text(condition.value)),
            ByteText.equalIgnoringCase(
                origin.extracting(origin.byteCount - after..<origin.byteCount), text(condition.suffix))
        else { return false }
        // The wildcard stands for labels of a host, nothing else.
        for index in before..<origin.byteCount - after {
            switch origin[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"):
                continue
            default: return false
            }
        }
        return true
    }

    // MARK: - Headers

    /// A field that is there several times has the value of all of them, joined by commas (RFC 9110 section 5.3).
    private func headerPasses(_ condition: RouteCondition, of view: borrowing RequestView) -> Bool {
        let name = text(condition.name)
        var first = -1
        var count = 0
        var joined = -1
        for index in view.fields.indices {
            let field = view.fields[index]
            guard Int(field.name.count) == name.byteCount,
                ByteText.equalIgnoringCase(view.bytes[field.name], name)
            else { continue }
            if count == 0 { first = index }
            count += 1
            joined += Int(field.value.count) + 1
        }
        if count == 0 { return false }
        if condition.test == .present { return true }
        if count == 1 { return passes(view.bytes[view.fields[first].value], condition) }
        return joinedPasses(condition, name: name, from: first, byteCount: joined, of: view)
    }

    private func joinedPasses(
        _ condition: RouteCondition, name: RawSpan, from first: Int, byteCount: Int,
        of view: borrowing RequestView
    ) -> Bool {
        unsafe withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 1) { buffer in
            var count = 0
            for index in first..<view.fields.count {
                let field = view.fields[index]
                guard ByteText.equalIgnoringCase(view.bytes[field.name], name) else { continue }
                if index > first {
                    unsafe buffer[count] = UInt8(ascii: ",")
                    count += 1
                }
                let value = view.bytes[field.value]
                for index in 0..<value.byteCount { unsafe buffer[count + index] = value[index] }
                count += value.byteCount
            }
            return passes(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(buffer)), condition)
        }
    }

    // MARK: - Query

    /// The first parameter of the name decides, as in Envoy; names and values are compared as they are written in the URL.
    private func queryPasses(_ condition: RouteCondition, of view: borrowing RequestView) -> Bool {
        guard let value = view.parameter(text(condition.name)) else { return false }
        return passes(view.bytes[value], condition)
    }
}

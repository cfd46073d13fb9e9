/// The faults that a caller asks for, where the rule lets it: `x-envoy-fault-*`.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/fault_filter
struct RequestedFault: BitwiseCopyable {
    /// Milliseconds; nil: none.
    private var delay: UInt32?
    private var delayPercent: UInt32?
    /// 200 to 599.
    private var abortStatus: UInt16?
    /// 0 to 16.
    private var abortGRPCStatus: UInt16?
    private var abortPercent: UInt32?
    /// KiB in a second, above 0.
    private var responseRate: UInt32?
    private var ratePercent: UInt32?

    /// None.
    init() {}

    init(_ view: borrowing RequestView) {
        for index in view.fields.indices where view.fields[index].known == .envoy {
            let name = view.fields[index].name
            guard let value = RequestOverrides.number(view.bytes[view.fields[index].value]) else { continue }
            switch name.count {
            case 27 where view.bytes.equals(name, ignoringCase: "x-envoy-fault-delay-request"): delay = value
            case 27 where view.bytes.equals(name, ignoringCase: "x-envoy-fault-abort-request"):
                if (200...599).contains(value) { abortStatus = UInt16(value) }
            case 32 where view.bytes.equals(name, ignoringCase: "x-envoy-fault-abort-grpc-request"):
                if value <= 16 { abortGRPCStatus = UInt16(value) }
            case 38 where view.bytes.equals(name, ignoringCase: "x-envoy-fault-delay-request-percentage"):
                delayPercent = value
            case 38 where view.bytes.equals(name, ignoringCase: "x-envoy-fault-abort-request-percentage"):
                abortPercent = value
            case 33 where view.bytes.equals(name, ignoringCase: "x-envoy-fault-throughput-response"):
                if value > 0 { responseRate = value }
            case 44 where view.bytes.equals(name, ignoringCase: "x-envoy-fault-throughput-response-percentage"):
                ratePercent = value
            default: break
            }
        }
    }

    /// What a rule's fault is for this request.
    func applied(to fault: RouteFault) -> RouteFault {
        var fault = fault
        if fault.delaysByRequest {
            fault.delay = delay ?? 0
            fault.delayPartsPerMillion = Self.share(delayPercent, atMost: fault.delayPartsPerMillion)
        }
        if fault.abortsByRequest {
            // The HTTP status goes before gRPC's.
            if let abortStatus {
                fault.abortStatus = abortStatus
            } else if let abortGRPCStatus {
                fault.abortStatus = 200
                fault.abortGRPCStatus = Int16(abortGRPCStatus)
            } else {
                fault.abortPartsPerMillion = 0
            }
            fault.abortPartsPerMillion = Self.share(abortPercent, atMost: fault.abortPartsPerMillion)
        }
        if fault.limitsRateByRequest {
            fault.responseRate = responseRate ?? 0
            fault.ratePartsPerMillion = Self.share(ratePercent, atMost: fault.ratePartsPerMillion)
        }
        return fault
    }

    private static func share(_ percent: UInt32?, atMost limit: UInt32) -> UInt32 {
        guard let percent else { return limit }
        return min(min(percent, 100) * 10_000, limit)
    }
}

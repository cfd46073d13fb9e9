/// One thing that `weft check` looked at.
struct CheckItem: Equatable {
    enum State: String {
        case ok
        /// Works, but not as well as it could; or something that only some commands need.
        case warn
        /// The data plane does not work without it.
        case fail

        var style: Style {
            switch self {
            case .ok: .good
            case .warn: .caution
            case .fail: .bad
            }
        }
    }

    var name: String
    var state: State
    /// What was found.
    var finding: String
    /// What to do about it; empty if nothing.
    var advice: String
    /// Of a behaviour probe: `pass`, `works-with-guard` or `fail`.
    var verdict: String?

    init(_ name: String, _ state: State, _ finding: String, advice: String = "") {
        self.name = name
        self.state = state
        self.finding = finding
        self.advice = state == .ok ? "" : advice
    }

    var value: Value {
        var value: Value.Object = [
            "check": .string(name), "state": .string(state.rawValue), "finding": .string(finding),
            "advice": advice.isEmpty ? .null : .string(advice),
        ]
        if let verdict { value["verdict"] = .string(verdict) }
        return .object(value)
    }
}

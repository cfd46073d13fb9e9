/// Fetches a key set with one GET.
enum KeyFetch {
    struct Answer {
        var body: [UInt8]
        /// `max-age` of Cache-Control, seconds; nil: not said.
        var maximumAge: UInt64?
    }

    /// - Parameters:
    ///   - deadline: CLOCK_MONOTONIC, nanoseconds.
    ///   - wake: when it can be read the fetch is given up.
    static func get(_ url: HTTPURL, deadline: UInt64, wake: CInt) throws(HTTPClientError) -> Answer {
        var request = HTTPClient.Request(url)
        request.fields = [("Accept", "application/json"), ("User-Agent", "weft")]
        let answer = try HTTPClient.send(request, limit: KeySet.maximumSize, deadline: deadline, wake: wake)
        guard answer.status == 200 else { throw HTTPClientError("the server answers with \(answer.status)") }
        return Answer(body: answer.body, maximumAge: maximumAge(answer.fields))
    }

    private static func maximumAge(_ fields: [(name: String, value: String)]) -> UInt64? {
        for field in fields where field.name == "cache-control" {
            for directive in field.value.split(separator: ",") {
                let directive = directive.drop { $0 == " " || $0 == "\t" }.lowercased()
                guard directive.hasPrefix("max-age=") else { continue }
                let digits = directive.dropFirst(8).prefix { $0.isASCII && $0.isNumber }
                guard !digits.isEmpty else { continue }
                return UInt64(digits.prefix(10))
            }
        }
        return nil
    }
}

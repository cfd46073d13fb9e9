import Dashboard

/// The dashboard's files over HTTP: the page at `/`, what it is made of below `/dashboard/`.
enum DashboardPages {
    /// The page runs its own scripts and asks its own origin, and nothing that somebody manages to write into it is ever
    /// executed or sent elsewhere (Content Security Policy Level 3).
    static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")

    /// The answer to a request for a path of the dashboard; nil if it is none of its paths.
    static func answer(_ request: HTTPRequest) -> HTTPResponse? {
        let prefix = "/dashboard/"
        let name: String
        if request.path == "/" {
            name = DashboardFile.start
        } else if request.path.hasPrefix(prefix) {
            name = String(request.path.dropFirst(prefix.count))
        } else {
            return nil
        }
        guard let file = DashboardFile.named(name) else { return nil }
        guard request.method == .get else { return .methodNotAllowed([.get]) }
        let tag = "\"\(file.tag)\""
        let headers = [
            ("etag", tag),
            // Asked for again each time, and answered with 304: a new agent's page is seen at once.
            ("cache-control", "no-cache"),
            ("content-security-policy", policy), ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"), ("cross-origin-resource-policy", "same-origin"),
        ]
        if let known = request.header("if-none-match"), matches(known, tag) {
            return .full(304, contentType: file.contentType, body: [], headers: headers)
        }
        return .full(200, contentType: file.contentType, body: file.bytes, headers: headers)
    }

    /// Whether If-None-Match names the tag (RFC 9110 §13.1.2, compared weakly).
    static func matches(_ header: String, _ tag: String) -> Bool {
        header.split(separator: ",").contains { part in
            let known = HTTPText.trimmed(part)
            return known == "*" || known == tag || known == "W/" + tag
        }
    }
}

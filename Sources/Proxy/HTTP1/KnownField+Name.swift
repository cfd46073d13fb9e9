extension KnownField {
    /// What the proxy knows a field's name as. The length chooses among few candidates, which are then compared.
    @inline(__always)
    init(_ name: HeadSlice, in bytes: RawSpan) {
        self = .other
        switch name.count {
        case 2:
            if bytes.equals(name, ignoringCase: "te") {
                self = .te
            } else if bytes.equals(name, ignoringCase: "b3") {
                self = .b3
            }
        case 3: if bytes.equals(name, ignoringCase: "age") { self = .age }
        case 4:
            if bytes.equals(name, ignoringCase: "host") {
                self = .host
            } else if bytes.equals(name, ignoringCase: "date") {
                self = .date
            } else if bytes.equals(name, ignoringCase: "vary") {
                self = .vary
            }
        case 6:
            if bytes.equals(name, ignoringCase: "cookie") {
                self = .cookie
            } else if bytes.equals(name, ignoringCase: "server") {
                self = .server
            } else if bytes.equals(name, ignoringCase: "origin") {
                self = .origin
            } else if bytes.equals(name, ignoringCase: "expect") {
                self = .expect
            }
        case 7:
            if bytes.equals(name, ignoringCase: "upgrade") {
                self = .upgrade
            } else if bytes.equals(name, ignoringCase: "referer") {
                self = .referer
            } else if bytes.equals(name, ignoringCase: "trailer") {
                self = .trailer
            }
        case 8: if bytes.equals(name, ignoringCase: "location") { self = .location }
        case 9: if bytes.equals(name, ignoringCase: "forwarded") { self = .forwarded }
        case 10:
            if bytes.equals(name, ignoringCase: "user-agent") {
                self = .userAgent
            } else if bytes.equals(name, ignoringCase: "connection") {
                self = .connection
            } else if bytes.equals(name, ignoringCase: "keep-alive") {
                self = .keepAlive
            } else if bytes.equals(name, ignoringCase: "set-cookie") {
                self = .setCookie
            } else if bytes.equals(name, ignoringCase: "tracestate") {
                self = .tracestate
            } else if bytes.equals(name, ignoringCase: "x-b3-flags") {
                self = .xB3Flags
            }
        case 11:
            if bytes.equals(name, ignoringCase: "traceparent") {
                self = .traceparent
            } else if bytes.equals(name, ignoringCase: "retry-after") {
                self = .retryAfter
            } else if bytes.equals(name, ignoringCase: "grpc-status") {
                self = .grpcStatus
            } else if bytes.equals(name, ignoringCase: "x-b3-spanid") {
                self = .xB3Spanid
            }
        case 12:
            if bytes.equals(name, ignoringCase: "content-type") {
                self = .contentType
            } else if bytes.equals(name, ignoringCase: "x-request-id") {
                self = .xRequestID
            } else if bytes.equals(name, ignoringCase: "grpc-timeout") {
                self = .grpcTimeout
            } else if bytes.equals(name, ignoringCase: "x-b3-traceid") {
                self = .xB3Traceid
            } else if bytes.equals(name, ignoringCase: "x-b3-sampled") {
                self = .xB3Sampled
            }
        case 13: if bytes.equals(name, ignoringCase: "authorization") { self = .authorization }
        case 14:
            if bytes.equals(name, ignoringCase: "content-length") {
                self = .contentLength
            } else if bytes.equals(name, ignoringCase: "grpc-trace-bin") {
                self = .grpcTraceBin
            }
        case 15: if bytes.equals(name, ignoringCase: "x-forwarded-for") { self = .xForwardedFor }
        case 16:
            if bytes.equals(name, ignoringCase: "x-forwarded-host") {
                self = .xForwardedHost
            } else if bytes.equals(name, ignoringCase: "proxy-connection") {
                self = .proxyConnection
            } else if Self.isEnvoy(name, in: bytes) {
                self = .envoy
            }
        case 17:
            if bytes.equals(name, ignoringCase: "transfer-encoding") {
                self = .transferEncoding
            } else if bytes.equals(name, ignoringCase: "x-forwarded-proto") {
                self = .xForwardedProto
            } else if bytes.equals(name, ignoringCase: "x-b3-parentspanid") {
                self = .xB3Parentspanid
            }
        case 29:
            if bytes.equals(name, ignoringCase: "access-control-request-method") {
                self = .accessControlRequestMethod
            }
        case 30:
            if bytes.equals(name, ignoringCase: "access-control-request-headers") {
                self = .accessControlRequestHeaders
            } else if Self.isEnvoy(name, in: bytes) {
                self = .envoy
            }
        default: if name.count > 16, Self.isEnvoy(name, in: bytes) { self = .envoy }
        }
    }

    @inline(__always)
    private static func isEnvoy(_ name: HeadSlice, in bytes: RawSpan) -> Bool {
        bytes.equals(HeadSlice(start: name.start, count: 8), ignoringCase: "x-envoy-")
    }

    /// Whether `Connection` may name the field: it is one between two neighbours, or one that nobody relies on.
    var mayBeConnectionOption: Bool {
        switch self {
        case .other, .connection, .keepAlive, .proxyConnection, .te, .upgrade, .trailer, .envoy: true
        default: false
        }
    }
}

extension HTTPMethod {
    init(_ text: HeadSlice, in bytes: RawSpan) {
        self = .other
        // The bytes are known to have no lower-case letter.
        switch text.count {
        case 3:
            if bytes.equals(text, ignoringCase: "get") {
                self = .get
            } else if bytes.equals(text, ignoringCase: "put") {
                self = .put
            }
        case 4:
            if bytes.equals(text, ignoringCase: "post") {
                self = .post
            } else if bytes.equals(text, ignoringCase: "head") {
                self = .head
            }
        case 5:
            if bytes.equals(text, ignoringCase: "patch") {
                self = .patch
            } else if bytes.equals(text, ignoringCase: "trace") {
                self = .trace
            }
        case 6: if bytes.equals(text, ignoringCase: "delete") { self = .delete }
        case 7:
            if bytes.equals(text, ignoringCase: "options") {
                self = .options
            } else if bytes.equals(text, ignoringCase: "connect") {
                self = .connect
            }
        default: break
        }
    }
}

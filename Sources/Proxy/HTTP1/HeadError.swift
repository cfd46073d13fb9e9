/// Why a head is refused. For a request, `status` is the answer to give; a response that has one of these is answered
/// with 502. In both cases the connection that it came from carries no further message.
public enum HeadError: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    // The start line.
    case malformedStartLine, invalidMethod, invalidTarget, fragmentInTarget, targetTooLong
    case malformedVersion, unsupportedVersion, invalidStatus
    // What the request is for.
    case unsupportedScheme, userInfoInAuthority, invalidAuthority, asteriskNotOptions, originFormExpected
    case missingHost, duplicateHost, invalidHost
    // Fields.
    case missingColon, emptyFieldName, invalidFieldName, misleadingFieldName, invalidFieldValue, foldedField
    case bareCarriageReturn, bareLineFeed, headTooLarge, tooManyFields
    // Framing.
    case invalidContentLength, duplicateContentLength, contentLengthWithTransferEncoding
    case invalidTransferEncoding, duplicateTransferEncoding, unsupportedTransferEncoding
    case transferEncodingInHTTP10, contentInConnect, transferEncodingNotAllowed
    // Others.
    case invalidConnectionOption, unknownExpectation

    /// The status to answer a request with.
    public var status: UInt16 {
        switch self {
        case .targetTooLong: 414
        case .unknownExpectation: 417
        case .headTooLarge, .tooManyFields: 431
        case .unsupportedTransferEncoding: 501
        case .unsupportedVersion: 505
        default: 400
        }
    }

    /// How the log calls it.
    public var detail: ResponseDetail {
        switch self {
        case .targetTooLong: .uriTooLong
        case .unknownExpectation: .expectationFailed
        case .headTooLarge: .headTooLarge
        case .tooManyFields: .tooManyFields
        case .unsupportedVersion: .versionUnsupported
        default: .malformedRequest
        }
    }

    /// The precise reason, for people.
    public var text: StaticString {
        switch self {
        case .malformedStartLine: "the start line is malformed"
        case .invalidMethod: "the method is not a token of at most 32 characters without lower-case letters"
        case .invalidTarget: "the request target has a character that is not allowed"
        case .fragmentInTarget: "the request target has a fragment"
        case .targetTooLong: "the request target is too long"
        case .malformedVersion: "the HTTP version is malformed"
        case .unsupportedVersion: "the HTTP version is neither 1.0 nor 1.1"
        case .invalidStatus: "the status is not a number from 100 to 999"
        case .unsupportedScheme: "the scheme of the request target is neither http nor https"
        case .userInfoInAuthority: "the authority has user information"
        case .invalidAuthority: "the authority of the request target is malformed"
        case .asteriskNotOptions: "the request target * needs the method OPTIONS"
        case .originFormExpected: "the request target is neither a path nor an absolute URI"
        case .missingHost: "Host is missing"
        case .duplicateHost: "Host is there more than once"
        case .invalidHost: "Host is malformed"
        case .missingColon: "a field line has no colon"
        case .emptyFieldName: "a field has no name"
        case .invalidFieldName: "a field's name has a character that is not allowed"
        case .misleadingFieldName: "a field's name is one that matters but for its underscores"
        case .invalidFieldValue: "a field's value has a control character"
        case .foldedField: "a line starts with white space"
        case .bareCarriageReturn: "a carriage return is not followed by a line feed"
        case .bareLineFeed: "a line feed is not preceded by a carriage return"
        case .headTooLarge: "the head is too large"
        case .tooManyFields: "the head has too many fields"
        case .invalidContentLength: "Content-Length is not a number"
        case .duplicateContentLength: "Content-Length is there more than once"
        case .contentLengthWithTransferEncoding: "Content-Length and Transfer-Encoding are both there"
        case .invalidTransferEncoding: "Transfer-Encoding is malformed"
        case .duplicateTransferEncoding: "Transfer-Encoding is there more than once"
        case .unsupportedTransferEncoding: "a transfer coding other than chunked is not supported"
        case .transferEncodingInHTTP10: "Transfer-Encoding is not allowed in HTTP/1.0"
        case .contentInConnect: "CONNECT has no content"
        case .transferEncodingNotAllowed: "Transfer-Encoding is not allowed with this status"
        case .invalidConnectionOption: "Connection names a field that is not between two neighbours only"
        case .unknownExpectation: "Expect asks for something other than 100-continue"
        }
    }
}

/// What a parser made of the bytes that there are.
public enum HeadResult: BitwiseCopyable, Sendable, Equatable {
    /// The head is not complete: call again with more bytes.
    case needMore
    case complete
    case failed(HeadError)
}

/// The bounds of a head. Slices are 16 bits wide, so none can be above 64 KiB.
public enum HeadLimits {
    /// Of the whole head, in bytes.
    public static let head = 60 * 1024
    /// Of the request target, in bytes.
    public static let target = 16 * 1024
    /// Of the method, in bytes.
    static let method = 32
}

/// How far a head that arrives in pieces was looked at, so that it is not parsed from its start for every piece.
/// One for each connection; reset it (`HeadProgress()`) after each head.
public struct HeadProgress: BitwiseCopyable, Sendable {
    /// Bytes that are known to hold no end of a head.
    private var scanned: UInt16 = 0
    /// Bytes that there were at the last attempt to parse.
    private var attempted: UInt16 = 0

    public init() {}

    /// Whether an attempt is due: at the first bytes, once the head seems complete (by the most generous reader's
    /// measure: two line feeds with at most a CR between them), when the bytes have doubled (so that an error is found
    /// early, at no more than three times the cost of parsing once), and at the limit.
    @inline(__always)
    mutating func isDue(_ bytes: RawSpan, end: Int) -> Bool {
        if attempted == 0 || end >= 2 * Int(attempted) || end >= HeadLimits.head || hasEnd(bytes, end: end) {
            attempted = UInt16(truncatingIfNeeded: end)
            scanned = attempted
            return true
        }
        scanned = UInt16(truncatingIfNeeded: end)
        return false
    }

    private func hasEnd(_ bytes: RawSpan, end: Int) -> Bool {
        var position = max(0, Int(scanned) - 2)
        while true {
            position = bytes.lineFeed(from: position, end: end)
            guard position + 1 < end else { return false }
            if bytes[position + 1] == .lineFeed { return true }
            if bytes[position + 1] == .carriageReturn, position + 2 < end, bytes[position + 2] == .lineFeed {
                return true
            }
            position += 1
        }
    }
}

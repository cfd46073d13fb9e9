/// One request and its response, between a client's connection and one to a backend.
struct Exchange: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable {
        /// Something has to pass first: see `pause`.
        case waiting
        /// Sent or being sent; the response's head has not come.
        case awaitingHead
        case relaying
        /// After 101: bytes in both directions, each until its end.
        case tunnelling
        /// A reply of our own is in the client's output.
        case replying
    }

    /// What a waiting request waits for, and goes on with afterwards.
    enum Pause: UInt8, BitwiseCopyable {
        case none
        /// An injected delay.
        case fault
        /// A retry's back-off.
        case retry
        /// An endpoint that can be used.
        case endpoint
        /// Its turn, a copy for a mirror.
        case mirror
        /// The word of somebody else who decides about it (CUSTOM).
        case authorization
    }

    /// Whose policies are decided.
    enum AuthorizationStage: UInt8, BitwiseCopyable {
        /// The service's, before it is known where the request goes.
        case service
        /// Those of the workload that it is about to be sent to.
        case endpoint
    }

    var phase = Phase.awaitingHead
    var pause = Pause.none
    var downstream: UInt32
    var upstream = UInt32.max
    var request: RequestHead
    /// The value of `Origin`.
    var origin = HeadSlice.empty
    var requestBody: MessageBody
    var responseBody = MessageBody(.none)
    /// The request's body is in the buffer from its first byte on: it can be sent again.
    var keepsBody = true
    /// The client's connection ends after this exchange.
    var closesDownstream: Bool
    /// The backend's connection may carry another request.
    var keepsUpstream = false
    /// The connection to the backend had carried other requests.
    var isReusedUpstream = false
    /// Bytes of the present attempt's request have been written.
    var hasSent = false
    /// A chunked response goes to a client that knows no chunks.
    var unchunks = false

    /// The generation of the configuration that decides about it, and what it decided.
    var generation: Int
    var service: Int = -1
    var decision = RouteDecision.notFound
    /// Where the present attempt goes; the fallback's, once the first cluster had no endpoint.
    var cluster: Int = -1
    /// The request counts in the circuit breaker of this cluster; -1: in none.
    var admission: Int = -1
    /// The present attempt counts at this endpoint.
    var endpoint: EndpointIndex?
    var attemptStarted: UInt64 = 0
    /// Nanoseconds from the attempt's start to the first byte of the response's body.
    var latency: UInt64 = 0
    var retryAfter: UInt32 = 0
    /// 1xx responses that have come.
    var interimResponses: UInt8 = 0
    /// The endpoint that was picked while its workload's policies are decided.
    var chosenEndpoint: EndpointIndex?
    var authorizationStage = AuthorizationStage.service
    /// No limit and no fault is to be looked at any more.
    var isAdmitted = false
    /// Its mirrors have had their copies, or there are none.
    var hasMirrored = false
    /// The policies whose decision has been counted; -1: none.
    var countedGroup: Int32 = -1
    /// Who is asked, by which policies and which rule; -1: nobody.
    var askedProvider: Int32 = -1
    var askedGroup: Int32 = -1
    var askingRule: Int32 = -1
    /// The last of those asked that have allowed it; -1: none.
    var allowingProvider: Int32 = -1
    var retry = RetryState()
    /// What its caller asks for, if it is one who may.
    var overrides = RequestOverrides()
    var tried = TriedEndpoints()
    /// Of the key that the cluster's balancer hashes.
    var hash: UInt64?
    /// The random number of the cookie that the client is to get for it.
    var hashCookie: UInt64?
    var session: SessionToken?
    /// What authorizers have changed of the request and of its response: see `HeaderChanges`.
    var changes = Buffer()
    /// The request is one of gRPC; known once an authorizer is asked.
    var isGRPC = false
    /// In the cache of tokens, where it is retained; `.max`: the request has no valid token.
    var token = UInt32.max
    /// The rule that accepted it, in the route table's authentication.
    var tokenRule: Int32 = -1
    /// What the response says about the client's rate limits.
    var rateLimit: RateLimitVerdict?

    /// The backend's mirrors have not had their copies.
    var awaitsMirrors = false

    /// Waits in the queue of its cluster, and in the worker's list of those that do.
    var isQueued = false
    var awaitsConnection = false
    var nextWaiting = UInt32.max
    var previousWaiting = UInt32.max
    var usesFallback = false
    /// Of a fault that is injected once its delay has passed; 0: none.
    var faultStatus: UInt16 = 0
    var faultGRPCStatus: Int16 = -1
    /// Of a fault that slows the response.
    var throttle = ResponseThrottle()
    /// Of the response; 255: none.
    var grpcStatus: UInt8 = 255

    var record = RequestRecord()
    var trace = TraceContext()
    /// What it is sent on with, as it has none of its own.
    var requestID: RequestID?
    var ticket = RequestLogQueue.Ticket.none
    /// Ticks; 0: none.
    var wakeup: UInt64 = 0
    var requestDeadline: UInt64 = 0
    /// The request has a `grpc-timeout`.
    var hasGRPCTimeout = false
    var tryDeadline: UInt64 = 0
    /// When the client, which has ended its side, is asked whether it still is there; 0: it has not; `.max`: it was asked.
    var departure: UInt64 = 0
    /// When bytes moved last.
    var lastProgress: UInt64

    init(downstream: UInt32, request: RequestHead, generation: Int, tick: UInt64) {
        self.downstream = downstream
        self.request = request
        self.generation = generation
        requestBody = MessageBody(request.framing)
        closesDownstream = !request.isPersistent
        lastProgress = tick
    }
}

/// How much of a message's body has been received.
struct MessageBody: BitwiseCopyable {
    var framing: BodyFraming
    /// Of `length`.
    private var remaining: UInt64 = 0
    private var decoder = ChunkedDecoder()
    private(set) var isComplete: Bool
    /// Payload without chunk framing.
    private(set) var byteCount: UInt64 = 0

    init(_ framing: BodyFraming) {
        self.framing = framing
        switch framing {
        case .none: isComplete = true
        case .length(let count):
            remaining = count
            isComplete = count == 0
        case .chunked, .untilClose: isComplete = false
        }
    }

    /// One that somebody else has passed on, to its end.
    init(received count: UInt64) {
        framing = .length(count)
        isComplete = true
        byteCount = count
    }

    /// More than `count` bytes are still to come, as far as is known.
    func exceeds(_ count: Int) -> Bool {
        switch framing {
        case .none: false
        case .length: remaining > UInt64(count)
        case .chunked, .untilClose: !isComplete && byteCount > UInt64(count)
        }
    }

    /// What is wrong with a body when `take` says so, for people.
    static let malformedText: StaticString = "the chunked body is malformed"

    /// How many of the bytes that follow those taken before belong to the body; nil if it is malformed.
    mutating func take(_ bytes: RawSpan) -> Int? {
        guard !isComplete else { return 0 }
        switch framing {
        case .none: return 0
        case .length:
            let count = min(UInt64(bytes.byteCount), remaining)
            remaining -= count
            byteCount &+= count
            isComplete = remaining == 0
            return Int(count)
        case .untilClose:
            byteCount &+= UInt64(bytes.byteCount)
            return bytes.byteCount
        case .chunked:
            var position = 0
            while true {
                switch decoder.next(in: bytes, at: &position) {
                case .data(let range): byteCount &+= UInt64(range.count)
                case .needMore: return position
                case .end:
                    isComplete = true
                    return position
                case .failed: return nil
                }
            }
        }
    }

    /// Of a chunked body: the next part of its content.
    mutating func nextChunk(in bytes: RawSpan, at position: inout Int) -> ChunkedDecoder.Event {
        let event = decoder.next(in: bytes, at: &position)
        if case .data(let range) = event { byteCount &+= UInt64(range.count) }
        isComplete = decoder.isComplete
        return event
    }

    /// The connection has ended: whether that completes the body.
    mutating func end() -> Bool {
        if framing == .untilClose { isComplete = true }
        return isComplete
    }
}

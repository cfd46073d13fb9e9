import Agent
import ArgumentParser

/// Flags of the accelerated lane.
struct AccelerationFlags: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Workloads with `acceleration: On` whose connections within the node go from socket to socket: certified (those"
                + " seen to be fit for it), opted-in (all of them) or off.", valueName: "mode"))
    var acceleration = Environment.value("ACCELERATION") ?? "certified"

    @Option(
        help: ArgumentHelp(
            "Bytes of one direction of an accelerated connection that may wait for their reader outside of TCP.",
            valueName: "bytes"))
    var redirectCap = Environment.value("REDIRECT_CAP") ?? "524288"

    @Option(
        help: ArgumentHelp(
            "Of 10,000 connections that could be accelerated, how many stay with TCP for comparison.",
            valueName: "connections"))
    var accelerationControl = Environment.value("ACCELERATION_CONTROL") ?? "100"

    @Option(
        help: ArgumentHelp(
            "How long the programs of a workload with `acceleration: On` are watched before they are certified.",
            valueName: "seconds"))
    var certificationTime = Environment.value("CERTIFICATION_TIME") ?? "5"

    @Option(
        help: ArgumentHelp(
            "Whether the kernel decides about requests between accelerated workloads, where it can decide their rules:"
                + " on or off.", valueName: "switch"))
    var shortcut = Environment.value("SHORTCUT") ?? "on"

    func check() throws {
        guard AccelerationOptions.Mode(rawValue: acceleration) != nil else {
            throw ValidationError("--acceleration: \(acceleration) is not certified, opted-in or off")
        }
        guard ["on", "off"].contains(shortcut) else {
            throw ValidationError("--shortcut: \(shortcut) is not on or off")
        }
        guard let cap = UInt32(redirectCap), (4096...16_777_216).contains(cap) else {
            throw ValidationError("--redirect-cap: \(redirectCap) is not a number from 4096 to 16777216")
        }
        guard let share = UInt32(accelerationControl), share <= 10000 else {
            throw ValidationError("--acceleration-control: \(accelerationControl) is not a number from 0 to 10000")
        }
        guard let time = UInt32(certificationTime), (1...3600).contains(time) else {
            throw ValidationError(
                "--certification-time: \(certificationTime) is not a number of seconds from 1 to 3600")
        }
    }

    /// To be called after `check`.
    func fill(_ options: inout AgentOptions) {
        options.acceleration.mode = AccelerationOptions.Mode(rawValue: acceleration) ?? .certified
        options.acceleration.capBytes = UInt32(redirectCap) ?? options.acceleration.capBytes
        options.acceleration.watchTime = .seconds(Int64(certificationTime) ?? 5)
        options.takesShortcuts = shortcut == "on"
        options.acceleration.controlShare = UInt32(accelerationControl) ?? options.acceleration.controlShare
    }
}

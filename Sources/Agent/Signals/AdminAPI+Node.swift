import BPF
import FoundationEssentials
import Glibc
import KernelPlane
import Logging
import Mesh
import Telemetry

/// The node and what the mesh costs it, in the admin API.
extension AdminAPI {
    func node(_ request: HTTPRequest) -> HTTPResponse {
        guard request.method == .get else { return .methodNotAllowed([.get]) }
        let maps: [AgentMetrics.MapUsage]
        let programs: [ProgramStatistics]
        let signals: GoldenSignals
        do throws(BPFError) {
            maps = try agent.metrics.mapUsage(agent)
            programs = try agent.plane.pins.programs()
            signals = try agent.signals.current(agent)
        } catch {
            return Self.error(500, "\(error)")
        }
        let times = ThreadTimes.of() ?? ThreadTimes()
        let process = ProcessStatistics.current()
        let age = Double(Reactor.now() - agent.startedAt) / 1e9
        let memory = signals.memory
        var writer = JSONWriter()
        writer.object { writer in
            writer.add("node", agent.options.node)
            writer.add("version", AgentVersion.current)
            writer.add("kernel", Self.kernelRelease)
            writer.add("startedAt", Date(timeIntervalSinceNow: -age).formatted(.iso8601))
            writer.add("generation", integer: agent.config.snapshot.generation)
            writer.array("features") { writer in
                for feature in agent.features.all {
                    writer.object { writer in
                        writer.add("name", feature.name)
                        writer.add("present", flag: feature.isPresent)
                    }
                }
            }
            writer.array("maps") { writer in
                for map in maps {
                    writer.object { writer in
                        writer.add("name", map.name)
                        writer.add("entries", integer: map.entries)
                        writer.add("capacity", integer: map.capacity)
                    }
                }
            }
            writer.object("lanes") { writer in
                for (lane, open) in signals.openConnections { writer.add(lane, integer: open) }
            }
            writer.object("counted") { writer in
                writer.add("connections", integer: signals.counted.connections)
                writer.add("kernelRequests", integer: signals.counted.kernelRequests)
                writer.add("proxyRequests", integer: signals.counted.proxyRequests)
            }
            writer.object("cost") { writer in
                writer.add("cpuSeconds", number: times.total)
                writer.add("cpuShare", number: agent.signals.cpuShare, decimals: 6)
                writer.add("residentBytes", integer: process?.residentBytes)
                writer.add("reactor", number: times.reactor)
                writer.array("workers") { writer in for seconds in times.workers { writer.value(number: seconds) } }
                writer.add("others", number: times.others)
                writer.add("series", integer: memory.series)
                writer.add("changes", integer: memory.changes)
                writer.array("programs") { writer in
                    for program in programs {
                        writer.object { writer in
                            writer.add("name", program.name)
                            writer.add("runs", integer: program.runCount)
                            writer.add("nanoseconds", integer: program.runTimeNanoseconds)
                        }
                    }
                }
            }
        }
        return .full(200, contentType: "application/json", body: writer.bytes)
    }

    private static let kernelRelease: String? = {
        var name = utsname()
        guard unsafe uname(&name) == 0 else { return nil }
        return unsafe withUnsafeBytes(of: name.release) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }()
}

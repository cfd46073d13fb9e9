import Testing

/// Whole nodes on the real kernel: the agent and the command line as processes, servers and clients that nobody here
/// wrote. One suite, one test at a time; every test has cgroups, pins, ports and directories of its own.
@Suite("A node", .serialized)
struct NodeTests {}

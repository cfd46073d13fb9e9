import CLibbpf
import CLinux

/// One thing that Weft can use of the kernel.
public struct KernelFeature: Sendable, Hashable {
    /// The `feature` label of the metric `weft_kernel_feature`.
    public let name: String
    /// What Weft does with it, for a person who reads that it is missing.
    public let purpose: String
    /// Whether Weft refuses to start without it.
    public let isRequired: Bool
    /// Whether this kernel has it.
    public let isPresent: Bool
}

/// What this kernel can do, found by trying it: distributions add features to old version numbers.
public struct KernelFeatures: Sendable {
    /// All that Weft asks for, in a fixed order.
    public let all: [KernelFeature]

    /// The required features that are missing.
    public var missing: [KernelFeature] { all.filter { $0.isRequired && !$0.isPresent } }

    /// Whether the kernel has the feature `name`; false for names that are not probed.
    public func has(_ name: String) -> Bool {
        all.contains { $0.name == name && $0.isPresent }
    }

    /// Loads small programs and makes small maps, which are gone when this returns. Takes some tens of milliseconds.
    /// Without privileges everything appears missing: check those first.
    public static func probe() -> KernelFeatures {
        var features: [KernelFeature] = []
        func add(_ name: String, _ purpose: String, required: Bool = true, _ isPresent: Bool) {
            features.append(KernelFeature(name: name, purpose: purpose, isRequired: required, isPresent: isPresent))
        }
        addHooks(add)
        addMaps(add)
        addHelpers(add)
        add("kernel_btf", "relocation of programs and iterators", KernelProbe.hasKernelBTF)
        add("cgroup_link", "attachments that outlive the agent and are replaced in place", KernelProbe.hasCgroupLinks)
        add("map_batch", "fast programming of many services", required: false, KernelProbe.hasMapBatches)
        add(
            "socket_destroy", "ending connections that a policy or a drain forbids", required: false,
            KernelProbe.canDestroySockets)
        let tls = weft_probe_kernel_tls()
        add(
            "kernel_tls", "records of tunnels that the kernel encrypts (the module tls)", required: false,
            tls != WEFT_KERNEL_TLS_NONE)
        add(
            "kernel_tls_key_update", "changing the keys of such tunnels, which are replaced by new ones without it",
            required: false, tls == WEFT_KERNEL_TLS_UPDATES)
        return KernelFeatures(all: features)
    }

    /// Whether the kernel has the iterator `name` (the `iter/` section's name).
    public static func hasIterator(_ name: String) -> Bool {
        KernelProbe.loadsIterator(name)
    }

    private typealias Add = (_ name: String, _ purpose: String, _ required: Bool, _ isPresent: Bool) -> Void

    private static func addHooks(_ add: Add) {
        typealias Probe = KernelProbe
        let address = BPF_PROG_TYPE_CGROUP_SOCK_ADDR
        add(
            "cgroup_connect", "service addresses and policy at connect()", true,
            Probe.loads(address, BPF_CGROUP_INET4_CONNECT) && Probe.loads(address, BPF_CGROUP_INET6_CONNECT))
        add(
            "cgroup_sendmsg", "service addresses of unconnected UDP sockets", true,
            Probe.loads(address, BPF_CGROUP_UDP4_SENDMSG) && Probe.loads(address, BPF_CGROUP_UDP6_SENDMSG))
        add(
            "cgroup_recvmsg", "UDP replies that come from the service address", true,
            Probe.loads(address, BPF_CGROUP_UDP4_RECVMSG) && Probe.loads(address, BPF_CGROUP_UDP6_RECVMSG))
        add(
            "cgroup_getpeername", "getpeername() that shows the service address", true,
            Probe.loads(address, BPF_CGROUP_INET4_GETPEERNAME) && Probe.loads(address, BPF_CGROUP_INET6_GETPEERNAME))
        add(
            "cgroup_sock_release", "the end of UDP conversations", true,
            Probe.loads(BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_RELEASE))
        add(
            "sock_ops", "births, deaths and round-trip times of TCP connections", true,
            Probe.loads(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS))
        add(
            "socket_storage_iterator", "counters of connections that stay open, re-checks of live connections", true,
            Probe.loadsIterator("bpf_sk_storage_map"))
        add(
            "cgroup_getsockopt", "original destinations for the proxy", false,
            Probe.loads(BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT))
        add(
            "cgroup_skb", "byte counts of UDP services", false,
            Probe.loads(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS))
        add(
            "sk_lookup", "steering of inbound connections", false, Probe.loads(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP))
        add(
            "sk_msg", "the accelerated lane", false, Probe.loads(BPF_PROG_TYPE_SK_MSG, BPF_SK_MSG_VERDICT))
    }

    private static func addMaps(_ add: Add) {
        typealias Probe = KernelProbe
        add("map_hash", "services, backends, workloads", true, Probe.hasMap(BPF_MAP_TYPE_HASH))
        add("map_percpu_hash", "traffic and policy counters", true, Probe.hasMap(BPF_MAP_TYPE_PERCPU_HASH))
        add("map_lru_hash", "session affinity", true, Probe.hasMap(BPF_MAP_TYPE_LRU_HASH))
        add("map_lpm_trie", "address ranges in policies", true, Probe.hasMap(BPF_MAP_TYPE_LPM_TRIE))
        add("map_hash_of_maps", "Maglev tables", true, Probe.hasMap(BPF_MAP_TYPE_HASH_OF_MAPS))
        add("map_inner_sizes", "Maglev tables of different lengths", true, Probe.hasInnerMapsOfAnySize)
        add("map_ring_buffer", "flow records", true, Probe.hasMap(BPF_MAP_TYPE_RINGBUF))
        add("map_socket_storage", "the state of each connection", true, Probe.hasMap(BPF_MAP_TYPE_SK_STORAGE))
        // Every kernel that has what else is required has them.
        add("map_sockmap", "the places of accelerated sockets", true, Probe.hasMap(BPF_MAP_TYPE_SOCKMAP))
        add("map_sockhash", "steering of inbound connections", true, Probe.hasMap(BPF_MAP_TYPE_SOCKHASH))
    }

    private static func addHelpers(_ add: Add) {
        typealias Probe = KernelProbe
        let address = BPF_PROG_TYPE_CGROUP_SOCK_ADDR
        add(
            "connect_sk_storage", "the state of each connection at connect()", true,
            Probe.hasHelper(BPF_FUNC_sk_storage_get, in: address))
        add(
            "connect_netns_cookie", "equal addresses in different network namespaces", true,
            Probe.hasHelper(BPF_FUNC_get_netns_cookie, in: address))
        add(
            "connect_ancestor_cgroup", "a client's workload by its cgroup", true,
            Probe.hasHelper(BPF_FUNC_get_current_ancestor_cgroup_id, in: address))
        add(
            "connect_set_retval", "ECONNREFUSED when a service has no backend (EPERM without it)", false,
            Probe.hasHelper(BPF_FUNC_set_retval, in: address))
        add(
            "sock_ops_sk_storage", "accounting of TCP connections", true,
            Probe.hasHelper(BPF_FUNC_sk_storage_get, in: BPF_PROG_TYPE_SOCK_OPS))
        add(
            "sock_ops_netns_cookie", "both ends of a local connection know each other", true,
            Probe.hasHelper(BPF_FUNC_get_netns_cookie, in: BPF_PROG_TYPE_SOCK_OPS))
        add(
            "cgroup_skb_loop", "HTTP read in the kernel", false,
            Probe.hasHelper(BPF_FUNC_loop, in: BPF_PROG_TYPE_CGROUP_SKB))
        add(
            "sock_release_sk_storage", "accounting of UDP sockets", true,
            Probe.hasHelper(BPF_FUNC_sk_storage_get, in: BPF_PROG_TYPE_CGROUP_SOCK))
    }
}

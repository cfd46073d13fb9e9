/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every structure, constant and enumeration that the kernel programs and user space share.
 *
 * The programs of bpf/ include this file, and Swift imports it as the module WeftABI: nothing here is written a second
 * time. Layouts are fixed by the assertions at the end; a change of any layout is a new WEFT_LAYOUT, because pinned
 * maps outlive the agent that made them.
 *
 * Identifiers (`id`, u64) are hashes of names (see weft_id in lib/address.h): the same name has the same identifier on
 * every node and in every run. 0 means none or unknown.
 */
#ifndef WEFT_ABI_H
#define WEFT_ABI_H

#include <linux/bpf.h>
#include <linux/types.h>

#ifdef __cplusplus
#define WEFT_ASSERT static_assert
#else
#define WEFT_ASSERT _Static_assert
#endif

/* Version of the pinned layout: the pin directory is <bpffs>/weft/v<WEFT_LAYOUT>. */
#define WEFT_LAYOUT 7

/* Buckets of a log2 histogram; bucket i counts values below 2^i, the last one everything else. */
#define WEFT_HISTOGRAM_BUCKETS 24

/* Young connections that have a place in `connections`; a power of two. */
#define WEFT_YOUNG_CONNECTIONS 16384

/* Connections speaking HTTP/1 that have a place in `exchanges`; a power of two. */
#define WEFT_EXCHANGES 8192

/* Places in `tuple_places`; a power of two of at most 65536. */
#define WEFT_TUPLE_PLACES 65536

/* Services that one unconnected UDP socket can talk to at the same time with their replies translated back. */
#define WEFT_UDP_PEERS 8

/* Length of a name in the `names` map, with its terminating NUL. */
#define WEFT_NAME_SIZE 256

/* cgroup nesting that identity looks through (the kernel's own limit of useful depth is far below). */
#define WEFT_CGROUP_DEPTH 16

/*
 * Stands for the agent where a workload's identifier is expected: for its cgroup in `cgroups` and for its own listeners
 * in `addresses`. (All ones is the overflow series.)
 */
#define WEFT_WORKLOAD_AGENT 0xfffffffffffffffeull

/* Destinations that the connections of one captured service are checked for at connect(). */
#define WEFT_CAPTURE_GUARDS 16

/*
 * An IPv6 address, or an IPv4 one as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2): 16 bytes in network order.
 * This is the one normal form at the border of every hook.
 */
struct weft_address {
	__u64 high;
	__u64 low;
};

/* The path that a connection takes; the names are those of `weft explain connect` and of the weft_lane label. */
enum weft_lane {
	WEFT_LANE_PASSTHROUGH = 0,
	WEFT_LANE_KERNEL = 1,
	WEFT_LANE_ACCELERATED = 2,
	WEFT_LANE_SHORTCUT = 3,
	WEFT_LANE_TUNNEL = 4,
	WEFT_LANE_PROXY = 5,
};

/* How a service selects among its backends. */
enum weft_algorithm {
	WEFT_ALGORITHM_RANDOM = 0, /* weighted random, exact in proportion */
	WEFT_ALGORITHM_ROUND_ROBIN = 1,
	WEFT_ALGORITHM_LEAST_CONNECTIONS = 2, /* power of two choices over open connections per weight */
	WEFT_ALGORITHM_MAGLEV = 3,            /* consistent by client */
};

/* Which end of a connection counted it; the `reporter` label of Istio's metrics. */
enum weft_reporter {
	WEFT_REPORTER_SOURCE = 0,
	WEFT_REPORTER_DESTINATION = 1,
	/* Counted at the client's end for both: the server is a local workload, and its series is the mirror of this.
	 */
	WEFT_REPORTER_BOTH = 2,
};

enum weft_backend_state {
	WEFT_BACKEND_ACTIVE = 0,
	WEFT_BACKEND_DRAINING = 1,    /* no new connection; open ones until the deadline */
	WEFT_BACKEND_QUARANTINED = 2, /* no new connection; open ones stay */
};

/* Classes of addresses outside the mesh: the only thing that is counted of a passthrough destination. */
enum weft_address_class {
	WEFT_CLASS_NONE = 0, /* a mesh destination */
	WEFT_CLASS_LOOPBACK = 1,
	WEFT_CLASS_PRIVATE = 2,
	WEFT_CLASS_LINK_LOCAL = 3,
	WEFT_CLASS_MULTICAST = 4,
	WEFT_CLASS_PUBLIC = 5,
};

/* Why a flow record was written. */
enum weft_flow_event {
	WEFT_FLOW_CLOSED = 0,          /* the connection was established and ended */
	WEFT_FLOW_FAILED = 1,          /* it was never established */
	WEFT_FLOW_DENIED = 2,          /* a policy refused it */
	WEFT_FLOW_NO_BACKEND = 3,      /* its service has no usable backend */
	WEFT_FLOW_ENDED_BY_POLICY = 4, /* it was established; a policy does not allow it any more */
	WEFT_FLOW_ENDED_BY_DRAIN = 5,  /* it was established; its backend's drain deadline has passed */
};

/* ------------------------------------------------------------------------------------------------ services */

/* `services`: the addresses that connect() and sendmsg() translate. */
struct weft_service_key {
	struct weft_address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 reserved[5];
};

enum weft_service_flags {
	WEFT_SERVICE_EQUAL_WEIGHTS = 1, /* every slot stands for itself: no alias is consulted */
};

struct weft_service {
	__u64 id;
	__u32 backend_count;    /* slots 0..<backend_count are filled */
	__u32 affinity_seconds; /* 0: no session affinity */
	__u32 generation;
	__u8 lane;      /* enum weft_lane */
	__u8 algorithm; /* enum weft_algorithm */
	__u8 flags;     /* enum weft_service_flags */
	__u8 reserved;
};

/* `slots`: the selection table of a service (Walker's alias method: one slot, one comparison, exact weights). */
struct weft_slot_key {
	__u64 service;
	__u32 slot;
	__u32 reserved;
};

struct weft_slot {
	__u64 backend;
	__u64 alias; /* taken when a 32-bit random number is >= threshold */
	__u32 threshold;
	__u32 reserved;
};

/* `backends`, by backend id. A draining backend stays here, without a slot, while sockets use it. */
struct weft_backend {
	struct weft_address address;
	__u64 service;
	__u64 workload;          /* 0: the address belongs to no known workload */
	__u64 drain_deadline_ns; /* CLOCK_MONOTONIC; 0: none */
	__be16 port;
	__u16 weight;
	__u8 protocol;
	__u8 state; /* enum weft_backend_state */
	__u8 reserved[2];
};

/* `backend_load`, by backend id: written by the programs only. */
struct weft_backend_load {
	__s64 active; /* open connections */
	__u64 opened; /* connections ever given to the backend */
};

/* `service_state`, by service id: written by the programs only. */
struct weft_service_state {
	__u64 round_robin;
};

/* `affinity`: who the client is, for session affinity and for Maglev. */
struct weft_affinity_key {
	__u64 service;
	__u64 netns_cookie;
	__u64 workload;
	struct weft_address source; /* the bound source address; zero when the client did not bind */
};

struct weft_affinity {
	__u64 backend;
	__u64 last_used_ns;
};

/* ----------------------------------------------------------------------------------- the proxy and tunnel lanes */

/* `proxy`, one entry: where the agent takes the connections of the proxy and tunnel lanes. Port 0: it takes none. */
struct weft_proxy {
	struct weft_address outbound4; /* for IPv4 sockets, and IPv6 sockets that use a mapped address */
	struct weft_address outbound6;
	struct weft_address dns4; /* of the agent's own resolver, as above */
	struct weft_address dns6;
	__be16 outbound_port;
	__be16 tunnel_port; /* at which it takes tunnels for local workloads; 0: it takes none */
	__be16 dns_port;    /* 0: names are asked where the application asks them */
	__u8 reserved[2];
};

enum weft_capture_flags {
	WEFT_CAPTURE_FAIL_OPEN = 1, /* balanced by the kernel while nobody listens for captured connections */
};

/* One destination that a captured connection's requests may be sent to; one stands for all with the same policies. */
struct weft_capture_guard {
	struct weft_address address;
	__u64 workload; /* 0: the address belongs to no known workload */
	__be16 port;
	__u8 reserved[6];
};

/*
 * `captures`, by id of a service in the proxy lane. Its connections have no destination yet when they are decided: they
 * are allowed if each of `guards` allows their source.
 */
struct weft_capture {
	__u32 flags; /* enum weft_capture_flags */
	__u32 guard_count;
	struct weft_capture_guard guards[WEFT_CAPTURE_GUARDS];
};

/*
 * What the agent learns of a connection that was captured, by getsockopt(SOL_IP, SO_ORIGINAL_DST) with exactly this
 * length. `origins` has it, by tuple, from the SYN until the agent's end is established, then `agent_sockets`.
 */
struct weft_origin {
	struct weft_address address; /* what the application asked for */
	__be16 port;
	__u8 lane; /* WEFT_LANE_PROXY, or WEFT_LANE_TUNNEL: policy and backend have been decided */
	__u8 reserved[5];
	__u64 service;     /* 0: it asked for a workload's own address */
	__u64 backend;     /* of the tunnel lane; 0 if there is no service */
	__u64 destination; /* of the tunnel lane: workload id */
	__u64 source;      /* workload id; 0: unknown */
	__u64 netns_cookie;
	__u64 cgroup; /* cgroup id of the process that connected */
	__u64 started_ns;
	__u64 pair; /* as in weft_tuple */
};

/*
 * `inbound_ports`: ports of local workloads with rules of their own for connections from outside of the mesh, and ports
 * of others that are reached by another way than their workload's.
 */
struct weft_inbound_key {
	__u64 workload;
	__be16 port;
	__u8 reserved[6];
};

/* Whether a port asks for mutual TLS. */
enum weft_port_tls {
	WEFT_PORT_TLS_INHERITED = 0, /* as its workload does: WEFT_WORKLOAD_STRICT */
	WEFT_PORT_TLS_STRICT = 1,
	WEFT_PORT_TLS_OPTIONAL = 2,
	WEFT_PORT_TLS_NONE = 3, /* of a workload of another node: no tunnel leads to it */
};

struct weft_inbound_port {
	__u64 service; /* whose rules the requests meet: the connection goes to the agent; 0: it does not */
	__u8 tls;      /* enum weft_port_tls */
	__u8 reserved[7];
};

/* Keys of `inbound_socks`: the agent's listening sockets in a network namespace. */
enum weft_inbound_kind {
	WEFT_INBOUND_IPV4 = 0, /* for `inbound_ports` with a service */
	WEFT_INBOUND_IPV6 = 1,
	WEFT_INBOUND_TUNNEL_IPV4 = 2,
	WEFT_INBOUND_TUNNEL_IPV6 = 3,
	WEFT_INBOUND_KINDS = 4,
};

struct weft_inbound_socket_key {
	__u64 netns_cookie;
	__u32 kind; /* enum weft_inbound_kind */
	__u32 reserved;
};

/*
 * `listeners`: where processes of local workloads listen, so that a connection finds its workload also by an address of
 * the node that nobody has declared. Each socket has a key of its own: those that share a port (SO_REUSEPORT) differ in
 * their slot, and WEFT_LISTENER_SLOTS of them stand for all.
 */
#define WEFT_LISTENER_SLOTS 4

struct weft_listener_key {
	__u64 netns_cookie;
	struct weft_address address; /* all zero: every address, of the families that the value names */
	__be16 port;
	__u8 slot;
	__u8 reserved[5];
};

enum weft_listener_families {
	WEFT_LISTENER_IPV4 = 1,
	WEFT_LISTENER_IPV6 = 2,
};

struct weft_listener {
	__u64 workload;
	__u32 families; /* enum weft_listener_families */
	__u32 reserved;
};

/* `listening`: socket-local storage of such a socket: what it has in `listeners`. */
struct weft_listening {
	struct weft_listener_key key;
	__u64 workload; /* 0: nothing */
};

/* What `accept_queues` writes for each listening socket of a local workload. */
struct weft_accept_queue {
	__u64 workload;
	__be16 port;
	__u8 reserved[6];
	__u32 length; /* connections that are established and have not been accepted yet */
	__u32 limit;  /* listen()'s backlog, bounded by net.core.somaxconn */
};

/* ------------------------------------------------------------------------------------------------ workloads */

enum weft_workload_flags {
	WEFT_WORKLOAD_LOCAL = 1,
	WEFT_WORKLOAD_INBOUND = 2, /* `inbound_ports` has ports of it */
	WEFT_WORKLOAD_STRICT =
	    8, /* plaintext from outside of its node is refused, but where `inbound_ports` allows it */
	WEFT_WORKLOAD_ACCELERATED = 16, /* its connections within the node may be redirected from socket to socket */
	WEFT_WORKLOAD_TUNNEL = 4,       /* its node is another, and an agent there takes tunnels for it, but where
	                                 * `inbound_ports` says otherwise */
};

/* `workloads`, by workload id. */
struct weft_workload {
	__u64 identity; /* id of the namespace and service account: what AuthorizationPolicies speak of */
	__u64 peer;     /* id of what NetworkPolicies can tell of it: one for all that they cannot tell apart */
	__u64 policy;   /* group of the AuthorizationPolicies that guard connections to it; 0: none applies */
	__u64 ingress;  /* group of the NetworkPolicies that do; 0: none applies */
	__u64 egress;   /* group of the NetworkPolicies for its own connections; 0: none applies */
	struct weft_address address; /* its first address of each kind decides ipBlocks before a source is bound */
	__u32 flags;
	__u32 reserved;
};

/* `workload_addresses`: whose address and port that is. */
struct weft_endpoint_key {
	__u64 scope; /* netns cookie for addresses that are only valid in one namespace; 0: everywhere */
	struct weft_address address;
	__be16 port;   /* 0: every port of the address */
	__u8 protocol; /* 0 with port 0 */
	__u8 reserved[5];
};

/* `cgroup_identities`: cache of the nearest enrolled ancestor, by cgroup id. */
struct weft_cgroup_identity {
	__u64 workload;
	__u32 generation; /* of weft_settings.identity_generation */
	__u32 reserved;
};

#include "abi_policy.h"

/* ------------------------------------------------------------------------------------------------ accounting */

/* Log2 histogram; `sum` is in the histogram's unit (microseconds everywhere). */
struct weft_histogram {
	__u64 sum;
	__u64 buckets[WEFT_HISTOGRAM_BUCKETS];
};

/* `traffic` (per CPU): who talked to what, how. All ones is the overflow series. */
struct weft_traffic_key {
	__u64 source;      /* workload id */
	__u64 service;     /* service id; 0 for a connection to a workload's own address, or passthrough */
	__u64 destination; /* workload id of the backend */
	__u8 lane;
	__u8 reporter;
	__u8 protocol;
	__u8 address_class; /* enum weft_address_class, for passthrough */
	__u8 reserved[4];
};

struct weft_traffic {
	__u64 opened;
	__u64 closed;
	__u64 failed;
	__u64 denied;
	__u64 no_backend;
	__u64 sent_bytes; /* by the reporter's socket: payload, retransmissions not included */
	__u64 received_bytes;
	__u64 sent_segments; /* TCP segments or UDP datagrams */
	__u64 received_segments;
	__u64 retransmits;
	__u64 window_limited_us;          /* waits for the peer's receive window (tcpi_rwnd_limited) */
	struct weft_histogram rtt_us;     /* smoothed RTT, when a connection ends and while it is busy */
	struct weft_histogram connect_us; /* connect() to established */
};

/* `node_counters` (per CPU array), by index. */
enum weft_node_counter {
	WEFT_COUNT_FLOWS_LOST = 0,        /* flow records for which the ring had no room */
	WEFT_COUNT_TRAFFIC_OVERFLOW = 1,  /* updates that went to the overflow series */
	WEFT_COUNT_SOCKETS_UNTRACKED = 2, /* sockets that got no storage: memory */
	WEFT_COUNT_TUPLES_LOST = 3,       /* local connections whose server end will not know its client */
	WEFT_COUNT_AFFINITY_LOST = 4,
	WEFT_COUNT_FAIL_CLOSED = 5, /* connections refused because a map entry was missing */
	WEFT_COUNT_UDP_PEERS_EVICTED = 6,
	WEFT_COUNT_TAPS_LOST = 7, /* events of a tap beyond its rate, or for which the ring had no room */
	WEFT_NODE_COUNTERS = 8,
};

/* How much one socket has carried; segments are datagrams for UDP. */
struct weft_volume {
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 sent_segments;
	__u64 received_segments;
	__u32 retransmits;
	__u32 window_limited; /* jiffies in which the peer's receive window had no room for what was to be sent */
};

/* ------------------------------------------------------------------------------------------------ sockets */

enum weft_socket_role {
	WEFT_ROLE_NONE = 0,
	WEFT_ROLE_CLIENT = 1,
	WEFT_ROLE_SERVER = 2, /* accepted from a client that this node does not track */
};

enum weft_socket_phase {
	WEFT_PHASE_IDLE = 0,
	WEFT_PHASE_CONNECTING = 1,
	WEFT_PHASE_OPEN = 2,
	WEFT_PHASE_ENDED = 3,
};

enum weft_socket_flags {
	WEFT_SOCKET_LOCAL_PEER = 1, /* the other end is on this node: it finds its client in `tuples` */
	WEFT_SOCKET_LOADED = 2,     /* counted in `backend_load` */
	WEFT_SOCKET_BOTH_ENDS = 4,  /* the server is a local workload: counted for it from the client's end */
	WEFT_SOCKET_ANNOUNCED = 8,  /* has its entry in `tuples` */
	WEFT_SOCKET_DENIED = 16,    /* the sweep has it ended: a policy does not allow it any more */
	WEFT_SOCKET_DRAINED = 32,   /* the sweep has it ended: its backend's drain deadline has passed */
	WEFT_SOCKET_OPAQUE = 64,    /* what it carries is not read: not HTTP/1, or not from its beginning */
	WEFT_SOCKET_EXCHANGE = 128, /* what is read is in `exchange_socks` */
	WEFT_SOCKET_PAIRED = 256,   /* has its place in `pairs` */
};

/*
 * The state of a connection. Of one within the node only the client's end is tracked: what one end has sent the other
 * has received.
 */
struct weft_connection {
	struct weft_address service_address; /* what the application asked for; equal to peer when not translated */
	struct weft_address peer_address;    /* what it got */
	__be16 service_port;
	__be16 peer_port;
	__u8 protocol;
	__u8 lane;
	__u8 role; /* enum weft_socket_role */
	__u8 address_class;
	__u32 phase;       /* enum weft_socket_phase; u32 because it is exchanged atomically */
	__u32 flags;       /* enum weft_socket_flags */
	__u64 source;      /* workload id */
	__u64 service;     /* service id */
	__u64 destination; /* workload id */
	__u64 backend;     /* backend id */
	__u64 cgroup;      /* cgroup id of the process that connected */
	__u64 netns_cookie;
	__u64 rule; /* rule that allowed it, or does not any more */
	__u64 started_ns;
	__u64 established_ns;
};

/*
 * `connections`: TCP connections while they are young, each in the place that its socket's cookie gives it. A place is
 * taken and given back by an atomic change of its cookie, and nobody but its socket's owner looks further into it.
 */
struct weft_young {
	__u64 cookie; /* 0: free */
	struct weft_connection connection;
};

/* `sockets`: socket-local storage of connected UDP sockets, and of TCP connections that are not young any more. */
struct weft_socket {
	struct weft_connection connection;
	struct weft_volume udp;     /* UDP only: counted here, datagram by datagram */
	struct weft_volume counted; /* what `traffic` has of this socket already */
};

/* One service that an unconnected UDP socket talks to. */
struct weft_udp_peer {
	struct weft_address service_address;
	struct weft_address backend_address;
	__be16 service_port;
	__be16 backend_port;
	__u8 current; /* 0: superseded; kept only to translate late replies */
	__u8 used;
	__u8 lane;
	__u8 address_class;
	__u8 both_ends; /* as WEFT_SOCKET_BOTH_ENDS */
	__u8 reserved[7];
	__u64 source;
	__u64 service;
	__u64 destination;
	__u64 backend;
	__u64 started_ns;
	__u64 last_used_ns;
	__u64 rule;
	struct weft_volume volume;
	struct weft_volume counted;
};

/* `udp_sockets`: socket-local storage of sockets that used sendto() on mesh addresses. */
struct weft_udp_socket {
	struct bpf_spin_lock lock;
	__u32 reserved;
	struct weft_udp_peer peers[WEFT_UDP_PEERS];
};

/* `tuples`: local client ends by what the server's end sees, so that both know both workloads. */
struct weft_tuple_key {
	__u64 scope; /* netns cookie of the client; 0: for servers in other namespaces */
	struct weft_address client_address;
	struct weft_address server_address;
	__be16 client_port;
	__be16 server_port;
	__u8 protocol;
	__u8 reserved[3];
};

struct weft_tuple {
	__u64 source;
	__u64 service;
	__u64 destination; /* workload that its connect() was decided for; 0: none was known at that address */
	__u64 pair;        /* cookie of the client's socket, if its bytes may be redirected; 0: they may not */
};

/* `tuple_places`: most of them, by weft_tuple_index (see lib/tuple.h); the rest is in `tuples`. */
struct weft_tuple_place {
	__u64 owner; /* cookie of the client's socket; 0: free; all ones: being filled */
	struct weft_tuple_key key;
	struct weft_tuple tuple;
};

/* ------------------------------------------------------------------------------------------------ events */

/* `flows` (ring buffer): one record for each ended, failed or denied connection. */
struct weft_flow {
	__u64 started_ns; /* CLOCK_MONOTONIC */
	__u64 ended_ns;
	__u64 connect_us; /* connect() to established; 0: not established */
	__u64 cookie;
	__u64 netns_cookie;
	__u64 cgroup;
	__u64 source;
	__u64 service;
	__u64 destination;
	__u64 rule; /* that allowed or denied it; 0: no policy applied */
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 window_limited_us;
	struct weft_address source_address;
	struct weft_address service_address;
	struct weft_address peer_address;
	__be16 source_port;
	__be16 service_port;
	__be16 peer_port;
	__u8 protocol;
	__u8 lane;
	__u8 event;    /* enum weft_flow_event */
	__u8 reporter; /* enum weft_reporter */
	__u8 address_class;
	__u8 http_class; /* first digit of the first response's status; 0: no HTTP was read */
	__u32 retransmits;
	__u32 rtt_us;
	__u32 error;         /* errno of a failed connection */
	__u32 http_requests; /* that were read, whatever became of them */
};

/* What the sweep writes for a connection that has to end: enough for SOCK_DESTROY in its namespace. */
enum weft_doom {
	WEFT_DOOM_POLICY = 1,  /* a policy no longer allows it */
	WEFT_DOOM_DRAINED = 2, /* its backend's drain deadline has passed */
};

struct weft_doomed {
	__u64 cookie;
	__u64 netns_cookie;
	__u64 source;
	__u64 service;
	__u64 destination;
	__u64 rule;
	struct weft_address local_address;
	struct weft_address peer_address;
	__be16 local_port;
	__be16 peer_port;
	__u8 protocol;
	__u8 reason; /* enum weft_doom */
	__u8 family; /* AF_INET or AF_INET6: the socket's own */
	__u8 reserved;
};

#include "abi_http.h"
#include "abi_redirect.h"
#include "abi_shortcut.h"

/* ------------------------------------------------------------------------------------------------ the node */

/* `settings`, one entry. */
struct weft_settings {
	__u64 generation; /* of the MeshSnapshot that is programmed */
	__u64 agent_started_ns;
	__u64 attached_cgroup; /* cgroup id that the programs are attached to */
	__u32 identity_generation;
	__u32 agent_pid;         /* 0: no agent */
	__u32 flow_wakeup_bytes; /* unread bytes in `flows` from which the agent is woken at once */
	__u32 young_ms;          /* age to which an open connection is young for the sweep */
	__u32 acceleration;      /* 0: nothing is redirected, for now or at all */
	__u32 redirect_cap;      /* bytes of one direction that may wait for their reader outside of TCP */
	__u32 control_share;     /* of 10,000 connections that could be accelerated, how many stay with TCP */
	__u32 reads_http;        /* 0: requests are not read */
};

/* What an entry of `names` names. */
enum weft_name_kind {
	WEFT_NAME_SERVICE = 1,  /* namespace/name:port */
	WEFT_NAME_WORKLOAD = 2, /* namespace/name */
	WEFT_NAME_IDENTITY = 3, /* SPIFFE id */
	WEFT_NAME_RULE = 4,     /* namespace/policy[rule] */
	WEFT_NAME_POLICY = 5,   /* the policies of a group */
	WEFT_NAME_REASON = 6,   /* why a service is in the proxy lane: the objects whose rules demand it */
};

/* `names`, by id: so that the CLI can speak without an agent. */
struct weft_name {
	__u8 kind;
	char text[WEFT_NAME_SIZE - 1]; /* UTF-8, NUL-terminated */
};

/*
 * The address that the self-check connects to: in 240.0.0.0/4, which nothing routes. The connect4 hook answers it with
 * WEFT_PROBE_ERRNO, so a process of the cgroup learns whether the hook is called for it.
 */
#define WEFT_PROBE_ADDRESS 0xf0574546u /* 240.87.69.70, host order */
#define WEFT_PROBE_PORT 15
#define WEFT_PROBE_ERRNO 76 /* ENOTUNIQ, which no connect() of the kernel returns */

WEFT_ASSERT(sizeof(struct weft_address) == 16, "weft_address");
WEFT_ASSERT(sizeof(struct weft_service_key) == 24, "weft_service_key");
WEFT_ASSERT(sizeof(struct weft_service) == 24, "weft_service");
WEFT_ASSERT(sizeof(struct weft_slot_key) == 16, "weft_slot_key");
WEFT_ASSERT(sizeof(struct weft_slot) == 24, "weft_slot");
WEFT_ASSERT(sizeof(struct weft_backend) == 48, "weft_backend");
WEFT_ASSERT(sizeof(struct weft_backend_load) == 16, "weft_backend_load");
WEFT_ASSERT(sizeof(struct weft_affinity_key) == 40, "weft_affinity_key");
WEFT_ASSERT(sizeof(struct weft_proxy) == 72, "weft_proxy");
WEFT_ASSERT(sizeof(struct weft_capture) == 520, "weft_capture");
WEFT_ASSERT(sizeof(struct weft_origin) == 88, "weft_origin");
WEFT_ASSERT(sizeof(struct weft_inbound_key) == 16, "weft_inbound_key");
WEFT_ASSERT(sizeof(struct weft_inbound_port) == 16, "weft_inbound_port");
WEFT_ASSERT(sizeof(struct weft_inbound_socket_key) == 16, "weft_inbound_socket_key");
WEFT_ASSERT(sizeof(struct weft_listener_key) == 32, "weft_listener_key");
WEFT_ASSERT(sizeof(struct weft_listener) == 16, "weft_listener");
WEFT_ASSERT(sizeof(struct weft_listening) == 40, "weft_listening");
WEFT_ASSERT(sizeof(struct weft_accept_queue) == 24, "weft_accept_queue");
WEFT_ASSERT(sizeof(struct weft_workload) == 64, "weft_workload");
WEFT_ASSERT(sizeof(struct weft_endpoint_key) == 32, "weft_endpoint_key");
WEFT_ASSERT(sizeof(struct weft_traffic_key) == 32, "weft_traffic_key");
WEFT_ASSERT(sizeof(struct weft_traffic) == 488, "weft_traffic");
WEFT_ASSERT(sizeof(struct weft_connection) == 120, "weft_connection");
WEFT_ASSERT(sizeof(struct weft_young) == 128, "weft_young");
WEFT_ASSERT(sizeof(struct weft_socket) == 200, "weft_socket");
WEFT_ASSERT(sizeof(struct weft_udp_peer) == 184, "weft_udp_peer");
WEFT_ASSERT(sizeof(struct weft_udp_socket) == 1480, "weft_udp_socket");
WEFT_ASSERT(sizeof(struct weft_tuple_key) == 48, "weft_tuple_key");
WEFT_ASSERT(sizeof(struct weft_tuple_place) == 88, "weft_tuple_place");
WEFT_ASSERT(sizeof(struct weft_flow) == 184, "weft_flow");
WEFT_ASSERT(sizeof(struct weft_doomed) == 88, "weft_doomed");
WEFT_ASSERT(sizeof(struct weft_settings) == 56, "weft_settings");
WEFT_ASSERT(sizeof(struct weft_name) == 256, "weft_name");

#endif

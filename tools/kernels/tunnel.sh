# shellcheck shell=dash
# The checks of tunnels, with two nodes in network namespaces of the virtual machine. Sourced by checks.sh.

nodes=/sys/fs/cgroup/nodes
file_size=16777216
ip=/bin/ip # and not the shell's own

# in_node NODE COMMAND...: in its network namespace.
in_node() {
    node=$1
    shift
    nsenter --net="/run/netns/$node" "$@"
}

# of_reader COMMAND...: as the workload on node a.
of_reader() { in_cgroup "$nodes/a/reader" nsenter --net=/run/netns/a "$@"; }

# Two namespaces and a cable; a web server, and a server that answers with the sum of what it was sent, on node b.
make_nodes() {
    mkdir -p "$nodes/a/reader" "$nodes/b/files" /www/files /etc/weft/tunnel
    cp /weft/tunnel.yaml /etc/weft/tunnel/mesh.yaml
    $ip netns add a && $ip netns add b || return 1
    $ip -n a link add eth0 type veth peer name eth0 netns b || return 1
    for end in "a 10.77.0.1 10.77.0.11" "b 10.77.0.2 10.77.0.21"; do
        # shellcheck disable=SC2086 # three words
        set -- $end
        $ip -n "$1" link set lo up && $ip -n "$1" addr add "$2/24" dev eth0 && $ip -n "$1" addr add "$3/24" dev eth0 &&
            $ip -n "$1" link set eth0 up && $ip -n "$1" route add 10.96.0.0/16 dev eth0 || return 1
    done
    head -c "$file_size" /dev/urandom >/www/files/file
    sum=$(sha256sum </www/files/file)
    in_cgroup "$nodes/b/files" nsenter --net=/run/netns/b httpd -f -p 10.77.0.21:8080 -h /www/files &
    in_cgroup "$nodes/b/files" nsenter --net=/run/netns/b \
        socat TCP4-LISTEN:9000,bind=10.77.0.21,reuseaddr,fork EXEC:sha256sum &
}

# start_node NODE FLAG...: its agent.
start_node() {
    node=$1
    shift
    mkdir -p "/sys/fs/cgroup/agent-$node"
    in_cgroup "/sys/fs/cgroup/agent-$node" nsenter --net="/run/netns/$node" weftd run --cgroup "$nodes/$node" \
        --config /etc/weft/tunnel --node "node-$node" --pin-dir "/sys/fs/bpf/$node" --run-dir "/run/weft-$node" \
        --state-dir "/var/lib/weft-$node" --workers 1 "$@" >"/tmp/weftd-$node.log" 2>&1 &
    within 200 in_node "$node" curl -fs -m 5 -o /dev/null http://127.0.0.1:15021/healthz/ready && return 0
    cat "/tmp/weftd-$node.log"
    return 1
}

# start_nodes FLAG...: both; node b with an intermediate of node a's root.
start_nodes() {
    start_node a "$@" || return 1
    [ -d /tmp/authority ] ||
        weft ca issue-node node-b --state-dir /var/lib/weft-a --out /tmp/authority || return 1
    start_node b --ca-cert /tmp/authority/node.pem --ca-key /tmp/authority/node.pem \
        --ca-bundle /tmp/authority/bundle.pem "$@"
}

stop_nodes() {
    for node in a b; do
        while read -r process; do kill "$process"; done <"/sys/fs/cgroup/agent-$node/cgroup.procs"
    done
    within 60 no_agent
}
no_agent() { [ -z "$(cat /sys/fs/cgroup/agent-a/cgroup.procs /sys/fs/cgroup/agent-b/cgroup.procs)" ]; }

# The file from node b to node a, and from node a to node b.
received() {
    of_reader curl -sSf -m 120 -o /tmp/received http://10.96.0.10/file || return 1
    equal sum "$sum" "$(sha256sum </tmp/received)"
}
sent() {
    equal sum "$sum" "$(of_reader socat -t 120 -T 120 - TCP4:10.96.0.10:9000 </www/files/file)"
}
# Both at once.
both_ways() {
    sent >/tmp/sent 2>&1 &
    sending=$!
    received
    status=$?
    wait "$sending" || status=1
    cat /tmp/sent
    return "$status"
}
small_requests() {
    count=200
    while [ "$count" -gt 0 ]; do
        count=$((count - 1))
        echo "url = http://10.96.0.10/file"
    done >/tmp/urls
    equal answers 200 "$(of_reader curl -sS -r 0-99 -m 120 -K /tmp/urls -w '%{stderr}%{size_download}\n' 2>&1 >/dev/null |
        grep -c '^[1-9]')"
}

# kernel_tls NODE COUNTER: of /proc/net/tls_stat; 0 where the kernel has none.
kernel_tls() { in_node "$1" cat /proc/net/tls_stat 2>/dev/null | awk -v name="$2" '$1 == name { print $2 }'; }

# encrypts NODE: the kernel does, for a connection that is open now.
encrypts() {
    [ "$(kernel_tls "$1" TlsCurrTxSw)" -gt 0 ] && return 0
    in_node "$1" cat /proc/net/tls_stat
    in_node "$1" ss -tnie 2>/dev/null
    return 1
}
encrypts_nothing() { equal TlsCurrTxSw 0 "$(kernel_tls "$1" TlsCurrTxSw)"; }

encrypts_by_default() {
    if feature kernel_tls_key_update; then encrypts "$1"; else encrypts_nothing "$1"; fi
}

# tunnelled: the server's agent has taken streams, and the web server's connections were not made by the client itself.
tunnelled() {
    in_node b curl -sSf -m 10 http://127.0.0.1:15020/metrics |
        grep -E '^istio_tcp_connections_opened_total\{.*source_principal="spiffe://cluster.local/ns/shop/sa/reader"'
}

feature() {
    in_node a curl -sSf -m 10 http://127.0.0.1:15020/metrics | grep -E "^weft_kernel_feature\{feature=\"$1\"\} 1"
}

check "two nodes are made" make_nodes
check "their agents become ready" start_nodes --kernel-tls on
check "this kernel encrypts the records of TLS" feature kernel_tls
check "a file comes through a tunnel whole" received
check "the kernel of the server's node encrypts it" encrypts b
check "a file goes through a tunnel whole" sent
check "the kernel of the client's node encrypts it" encrypts a
check "files go both ways at once" both_ways
check "200 small requests are answered" small_requests
check "the server's agent knows the client's identity" within 60 tunnelled
check "no record was refused" equal TlsDecryptError 0 "$(kernel_tls a TlsDecryptError)"
check "the agents end" stop_nodes
check "they start again without the kernel's TLS" start_nodes --kernel-tls off
check "files go both ways at once" both_ways
check "the kernel encrypts nothing on node a" encrypts_nothing a
check "the kernel encrypts nothing on node b" encrypts_nothing b
check "the agents end" stop_nodes
check "one of two with the kernel's TLS" start_node a --kernel-tls on
check "and one without" start_node b --ca-cert /tmp/authority/node.pem --ca-key /tmp/authority/node.pem \
    --ca-bundle /tmp/authority/bundle.pem --kernel-tls off
check "understand each other" both_ways
check "one kernel encrypts" encrypts a
check "the other does not" encrypts_nothing b
check "the agents end" stop_nodes
check "they start as they do by default" start_nodes
check "files go both ways at once" both_ways
check "the kernel encrypts where it can change keys" encrypts_by_default a
check "the agents log no error" sh -c "! grep -iE 'error|critical' /tmp/weftd-a.log /tmp/weftd-b.log"
check "the agents end" stop_nodes
for node in a b; do
    check "nothing of node $node is left" weft uninstall --pin-dir "/sys/fs/bpf/$node"
done

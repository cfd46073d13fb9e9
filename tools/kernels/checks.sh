# shellcheck shell=dash
# The checks of one node, in the virtual machine. Prints TAP, and at the end "N passed, N failed".

mesh=/sys/fs/cgroup/mesh
agent_cgroup=/sys/fs/cgroup/agent # beside what it is attached to
passed=0 failed=0

# check NAME COMMAND...: whether the command succeeds; what it prints is shown when it does not.
check() {
    name=$1
    shift
    if "$@" >/tmp/check 2>&1; then
        passed=$((passed + 1))
        echo "ok $((passed + failed)) - $name"
    else
        failed=$((failed + 1))
        echo "not ok $((passed + failed)) - $name"
        head -c 4000 /tmp/check | sed 's/^/# /'
    fi
}

# equal WHAT WANTED FOUND
equal() {
    [ "$2" = "$3" ] && return 0
    echo "$1: wanted $2, found $3"
    return 1
}

# within SECONDS COMMAND...: until it succeeds.
within() {
    deadline=$(($(uptime_seconds) + $1))
    shift
    until "$@"; do
        [ "$(uptime_seconds)" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}
uptime_seconds() { cut -d. -f1 /proc/uptime; }

# in_cgroup WORKLOAD COMMAND...: the process is there before it executes the command.
in_cgroup() {
    cgroup=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup" "$@"
}

# ---------------------------------------------------------------------------------------------------- the node's parts

# A workload: a web server, an echo server and a datagram server that answer with its name, in both families.
serve() {
    number=$1
    workload=$mesh/web-v$number
    mkdir -p "$workload" "/www/v$number"
    echo "v$number" >"/www/v$number/index.html"
    for address in 127.96.0.1$number "[fd00:96::1$number]"; do
        case $address in \[*) family=6 ;; *) family=4 ;; esac
        in_cgroup "$workload" httpd -f -p "$address:8080" -h "/www/v$number" &
        in_cgroup "$workload" socat "TCP$family-LISTEN:9000,bind=$address,reuseaddr,fork" EXEC:cat &
        in_cgroup "$workload" socat "UDP$family-RECVFROM:5353,bind=$address,fork" "SYSTEM:read line && echo v$number" &
    done
}

is_ready() { curl -fsS -m 5 -o /dev/null http://127.0.0.1:15021/healthz/ready; }

start_agent() {
    mkdir -p "$agent_cgroup"
    in_cgroup "$agent_cgroup" weftd run --cgroup "$mesh" --node node-a --acceleration opted-in --redirect-cap 65536 \
        --acceleration-control 0 >>/tmp/weftd.log 2>&1 &
    agent=$!
    within 60 is_ready && return 0
    echo "not ready; its log:"
    cat /tmp/weftd.log
    return 1
}

# stop_agent SIGNAL
stop_agent() {
    kill "-$1" "$(cat "$agent_cgroup/cgroup.procs")"
    wait "$agent"
}

# ----------------------------------------------------------------------------------------------------------- questions

# requests WORKLOAD COUNT URL: each answer in a line of its own; as many lines as requests that were answered.
requests() {
    count=$2
    while [ "$count" -gt 0 ]; do
        count=$((count - 1))
        in_cgroup "$mesh/$1" wget -q -O - "$3"
    done
}

# answered COUNT URL: all requests of the frontend, and by both versions.
answered() {
    requests frontend "$1" "$2" >/tmp/answers || return 1
    sort /tmp/answers | uniq -c
    equal answers "$1" "$(grep -c '^v[12]$' /tmp/answers)" && grep -q v1 /tmp/answers && grep -q v2 /tmp/answers
}

# refused WANTED-ERROR CGROUP URL: the error of connect(), as curl names it.
refused() {
    if in_cgroup "$2" curl -sv -m 20 "$3" >/tmp/refusal 2>&1; then
        cat /tmp/refusal
        return 1
    fi
    grep -q "$1" /tmp/refusal && return 0
    cat /tmp/refusal
    return 1
}

# peer_is WANTED URL: what getpeername() says.
peer_is() {
    equal peer "$1" "$(in_cgroup "$mesh/frontend" curl -sS -m 20 -g -o /dev/null -w '%{remote_ip} %{remote_port}' "$2")"
}

# datagram ADDRESS: a reply comes, and from the address that was asked (socat ignores others).
datagram() {
    reply=$(echo name | in_cgroup "$mesh/frontend" socat -t 2 - "$1")
    case $reply in v1 | v2) return 0 ;; esac
    echo "the reply is '$reply'"
    return 1
}

# One backend for all connections of a client.
hashes() {
    requests frontend 12 http://127.96.0.20/ >/tmp/answers || return 1
    equal answers 12 "$(grep -c '^v[12]$' /tmp/answers)" && equal backends 1 "$(sort -u /tmp/answers | wc -l)"
}

# traffic FILTER: a sum over the counters, which jq takes from those entries that the filter lets through.
traffic() { weft map dump traffic -o json | jq "[.[] | $1] | add // 0"; }

# counted WANTED FILTER: the counters move at least every 5 s.
counted() {
    within 10 has_counted "$1" "$2" && return 0
    equal "$2" "$1" "$(traffic "$2")"
    weft map dump traffic -o json | jq -c '.[] | [.source, .service, .destination, .reporter, .protocol, .opened, .closed,
        .failed, .denied, .sentBytes, .receivedBytes]'
    return 1
}
has_counted() { [ "$(traffic "$2")" = "$1" ]; }

http='select(.service == "shop/web:80" and .protocol == "tcp")'
# A connection between two workloads of this node is counted once, by both ends.
of_frontend='select(.source == "shop/frontend" and .reporter == "both")'

# Bytes of some more connections, as curl and the kernel count them.
same_bytes() {
    sticky='select(.service == "shop/sticky:80")'
    sent=$(traffic "$sticky | .sentBytes") received=$(traffic "$sticky | .receivedBytes")
    for _ in 1 2 3 4 5; do
        in_cgroup "$mesh/frontend" curl -sS -m 20 -o /dev/null \
            -w '%{size_request} %{size_header} %{size_download}\n' http://127.96.0.20/ || return 1
    done >/tmp/sizes
    read -r more_sent more_received <<SUMS
$(awk '{ sent += $1; received += $2 + $3 } END { print sent, received }' /tmp/sizes)
SUMS
    [ "$more_sent" -gt 0 ] && [ "$more_received" -gt 0 ] || return 1
    counted $((sent + more_sent)) "$sticky | .sentBytes" &&
        counted $((received + more_received)) "$sticky | .receivedBytes"
}

refusals() {
    weft flows --denied -o json | tee /dev/stderr |
        jq -se 'length == 2 and all(.[]; .event == "denied" and (.rule // "") != "")'
}

features() {
    weft check -o json >/tmp/check.json
    status=$?
    jq -r '.[] | "\(.state)\t\(.check): \(.finding)"' /tmp/check.json
    equal "the hook" ok "$(jq -r '.[] | select(.check == "hook") | .state' /tmp/check.json)" && return "$status"
}

# soak SERVER-MODE SERVER-ADDRESS CLIENT-MODE SERVICE: two-way connections of which every byte is known before.
soak() {
    in_cgroup "$mesh/soak" soak serve "$2" 7000 --mode "$1" --stuck-seconds 60 >/tmp/soak.serve 2>&1 &
    server=$!
    within 20 grep -q ready /tmp/soak.serve || return 1
    in_cgroup "$mesh/soaker" soak run "$4" 80 --mode "$3" --connections 20 --total 60 --bytes 60000000 --stall 100 \
        --stuck-seconds 60
    status=$?
    kill -TERM "$(cat "$mesh/soak/cgroup.procs")"
    wait "$server" || status=1
    cat /tmp/soak.serve
    return "$status"
}

# A server of HTTP/1.1 that keeps its connections, and answers each request with its path.
serve_pages() {
    mkdir -p "$mesh/pages"
    cat >/tmp/pages.cfg <<'CONFIGURATION'
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend pages
  bind 127.96.0.14:8080
  bind fd00:96::14:8080
  http-request return status 200 content-type text/plain lf-string "%[path]\n"
CONFIGURATION
    in_cgroup "$mesh/pages" haproxy -db -f /tmp/pages.cfg >/tmp/pages.log 2>&1 &
}

# pages COUNT URL: requests on one connection, each answered with its own page.
pages() {
    seq 1 "$1" | sed 's,^,/page/,' >/tmp/pages.wanted
    in_cgroup "$mesh/soaker" curl -sS -m 120 "$2/page/[1-$1]" >/tmp/pages.found || return 1
    cmp /tmp/pages.wanted /tmp/pages.found
}

# straight ALL COUNT: so many requests are counted, once each, and at least COUNT of them have gone past the agent.
straight() {
    curl -sS -m 20 http://127.0.0.1:15020/metrics | grep '^istio_requests_total{' |
        grep 'destination_service_name="pages"' | grep 'response_code="200"' | grep 'reporter="source"' >/tmp/requests
    cat /tmp/requests
    awk -v all="$1" -v wanted="$2" '{ sum += $NF } /weft_lane="shortcut"/ { straight += $NF }
        END { exit !(sum == all && straight >= wanted) }' /tmp/requests
}

# redirected BYTES: that many, at least, have gone from socket to socket, and directions have turned slow and fast again.
redirected() {
    weft map dump acceleration -o json | tee /dev/stderr | jq -e "map(.redirectedBytes) | add >= $1" &&
        weft map dump acceleration -o json | jq -e 'all(.demotions > 10 and .promotions > 10)'
}

# The probes of redirected connections: none fails, and what differs from kernel to kernel is told as it is.
probes() {
    weft check --probes -o json >/tmp/probes.json
    jq -r '.[] | select(.verdict) | "\(.verdict)\t\(.check): \(.finding)"' /tmp/probes.json
    equal "the probe of order" works-with-guard "$(verdict order)" || return 1
    equal "probes that fail" 0 "$(jq '[.[] | select(.verdict == "fail")] | length' /tmp/probes.json)" || return 1
    case $(uname -r) in
        # FIONREAD of a member: redirected bytes are not counted.
        6.1.*) equal "FIONREAD of redirected bytes" works-with-guard "$(verdict fionread-redirected)" ;;
    esac
}
verdict() { jq -r --arg name "probe: $1" '.[] | select(.check == $name) | .verdict' /tmp/probes.json; }

no_map_is_there() { ! ls /sys/fs/bpf/weft 2>/dev/null; }

# ---------------------------------------------------------------------------------------------------------- the checks

echo "TAP version 13"
echo "# $(uname -srv)"
mkdir -p "$mesh/frontend" "$mesh/batch" "$mesh/soak" "$mesh/soaker"
for address in 11 12 13 14; do ip -6 addr add "fd00:96::$address/128" dev lo; done
serve 1
serve 2

check "the agent becomes ready" start_agent
check "weft check finds what it needs, and the hook called" features
sed 's/^/# /' /tmp/check
check "weft check tells what redirected connections do here" probes
sed 's/^/# /' /tmp/check
check "every object is programmed" sh -c "weft status -o json | jq -e '[.. | objects
    | select(.type? != null and .status? == \"False\")] | length == 0'"

check "40 connections over IPv4 reach both backends" answered 40 http://127.96.0.10/
check "getpeername shows the service (IPv4)" peer_is "127.96.0.10 80" http://127.96.0.10/
check "40 connections over IPv6 reach both backends" answered 40 "http://[fd00:96::10]/"
check "getpeername shows the service (IPv6)" peer_is "fd00:96::10 80" "http://[fd00:96::10]/"
check "an IPv4-mapped address reaches them" answered 40 "http://[::ffff:127.96.0.10]/"
check "a Maglev service keeps to one backend" hashes
check "a workload that no rule allows is refused" \
    refused "Operation not permitted" "$mesh/batch" http://127.96.0.10/
check "a client outside of the mesh is refused at the destination" \
    refused "Connection refused" /sys/fs/cgroup http://127.96.0.11:8080/
check "a service without that port is not there" refused "Connection refused" "$mesh/frontend" http://127.96.0.10:81/

check "a connected datagram socket is answered (IPv4)" datagram UDP4-CONNECT:127.96.0.10:53
check "an unconnected datagram socket is answered by the service (IPv4)" datagram UDP4-SENDTO:127.96.0.10:53
check "a connected datagram socket is answered (IPv6)" datagram "UDP6-CONNECT:[fd00:96::10]:53"
check "an unconnected datagram socket is answered by the service (IPv6)" datagram "UDP6-SENDTO:[fd00:96::10]:53"

check "122 connections are counted as opened" counted 122 "$http | $of_frontend | .opened"
check "122 connections are counted as closed" counted 122 "$http | $of_frontend | .closed"
check "one connection is counted as denied at the client" \
    counted 1 "$http | select(.reporter == \"source\" and .source == \"shop/batch\") | .denied"
check "one connection is counted as denied at the server" \
    counted 1 'select(.reporter == "destination" and .source == null) | .denied'
check "4 conversations of datagrams are counted" counted 4 'select(.service == "shop/web:53") | .opened'
check "20 bytes are counted as sent in them" counted 20 'select(.service == "shop/web:53") | .sentBytes'
check "12 bytes are counted as received in them" counted 12 'select(.service == "shop/web:53") | .receivedBytes'
check "the kernel counts the bytes that curl counts" same_bytes
check "the refusals are in the flow records, with their rule" refusals

check "accelerated connections lose no byte (epoll)" soak epoll 127.96.0.13 epoll 127.96.0.30
check "accelerated connections lose no byte (poll to io_uring)" soak uring 127.96.0.13 poll 127.96.0.30
check "accelerated connections lose no byte (IPv6, io_uring to poll)" soak poll fd00:96::13 uring fd00:96::30
check "some of their bytes have gone from socket to socket" within 10 redirected 1000000
check "blocking ones lose no byte either" soak blocking 127.96.0.13 blocking 127.96.0.30

serve_pages
check "a service with rules about requests answers" within 20 pages 1 http://127.96.0.40
check "1,000 requests of one connection get their answers (IPv4)" pages 1000 http://127.96.0.40
check "1,000 requests of one connection get their answers (IPv6)" pages 1000 "http://[fd00:96::40]"
check "the kernel has decided most of them" within 20 straight 2001 1500
check "a path that no rule allows is refused" equal status 403 \
    "$(in_cgroup "$mesh/soaker" curl -sS -m 20 -o /dev/null -w '%{http_code}' http://127.96.0.40/page)"

# An open connection, whose input stays open.
{ echo hello && sleep 600; } | {
    in_cgroup "$mesh/frontend" socat - TCP4:127.96.0.10:9000 >/tmp/held 2>&1
    echo ended >>/tmp/held
} &
check "a connection is open" within 10 grep -q hello /tmp/held
cp /etc/weft/mesh.d/policy.yaml /tmp/policy.yaml
{ echo "# The same." && cat /tmp/policy.yaml; } >/tmp/unrelated.yaml && mv /tmp/unrelated.yaml /etc/weft/mesh.d/policy.yaml
sleep 3
check "an unrelated change does not end it" sh -c '! grep -q ended /tmp/held'
check "its bytes are counted while it is open" counted 6 "select(.service == \"shop/web:9000\") | $of_frontend | .sentBytes"
sed 's/, "9000"//' /tmp/policy.yaml >/tmp/forbidding.yaml && mv /tmp/forbidding.yaml /etc/weft/mesh.d/policy.yaml
check "a policy that forbids it ends it" within 5 grep -q ended /tmp/held
check "a new one is refused" refused "Operation not permitted" "$mesh/frontend" http://127.96.0.10:9000/
check "the others go on" answered 40 http://127.96.0.10/

stop_agent KILL 2>/dev/null
check "without the agent, connections work" answered 40 http://127.96.0.10/
check "without the agent, policy holds" refused "Operation not permitted" "$mesh/batch" http://127.96.0.10/
check "without the agent, the maps can be read" counted 202 "$http | $of_frontend | .opened"
check "a new agent becomes ready" start_agent
check "it takes over the programs" grep -q "programs of an earlier agent" /tmp/weftd.log
check "no counter has gone backwards" counted 202 "$http | $of_frontend | .closed"
check "connections work" answered 40 http://127.96.0.10/
check "and are counted" counted 242 "$http | $of_frontend | .closed"
check "the agent logs no error" sh -c "! grep -iE 'error|critical' /tmp/weftd.log"

stop_agent TERM
check "weft uninstall removes everything" weft uninstall
check "no pin is left" no_map_is_there
check "the service is gone" refused "Connection refused" "$mesh/frontend" http://127.96.0.10/

# shellcheck source=tools/kernels/tunnel.sh
. /weft/tunnel.sh

check "the kernel has nothing to complain about" sh -c "! dmesg | grep -E 'WARNING:|BUG:|Oops|lockup|rcu: INFO'"

echo "1..$((passed + failed))"
echo "# $(uptime_seconds) seconds"
echo "$passed passed, $failed failed"

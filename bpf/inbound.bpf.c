/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Packets of mesh sockets (cgroup_skb). TCP keeps its own books and passes at once; datagrams are counted here, because
 * nobody else does. The agent attaches these programs only while the mesh has a UDP service.
 */
#include "kernel.h"

#include "socket.h"

char _license[] SEC("license") = "GPL";

#define PASS 1
#define IPV4_MINIMUM 20
#define IPV6_HEADER 40
#define UDP_HEADER 8

struct datagram {
	struct weft_address remote;
	__be16 remote_port;
	__u32 payload;
};

/* Reads the remote end and the payload's length from the headers; 0 if this is not a plain UDP packet. */
static __noinline int read_datagram(struct __sk_buff *skb, struct datagram *datagram, int egress)
{
	__be32 words[4];
	__be16 ports[2];
	__u8 first, next;
	__u32 header;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return 0;
	if (first >> 4 == 4) {
		header = (first & 0xf) * 4;
		if (header < IPV4_MINIMUM || bpf_skb_load_bytes(skb, 9, &next, 1) || next != IPPROTO_UDP)
			return 0;
		if (bpf_skb_load_bytes(skb, egress ? 16 : 12, words, 4))
			return 0;
		datagram->remote = weft_address_v4(words[0]);
	} else {
		/* Extension headers are not followed: applications' datagrams have none on this path. */
		header = IPV6_HEADER;
		if (bpf_skb_load_bytes(skb, 6, &next, 1) || next != IPPROTO_UDP)
			return 0;
		if (bpf_skb_load_bytes(skb, egress ? 24 : 8, words, sizeof(words)))
			return 0;
		datagram->remote = weft_address_v6(words[0], words[1], words[2], words[3]);
	}
	if (bpf_skb_load_bytes(skb, header, ports, sizeof(ports)) || skb->len < header + UDP_HEADER)
		return 0;
	datagram->remote_port = egress ? ports[1] : ports[0];
	datagram->payload = skb->len - header - UDP_HEADER;
	return 1;
}

static __always_inline void add_datagram(struct weft_volume *volume, __u32 payload, int egress)
{
	if (egress) {
		ADD(volume->sent_bytes, payload);
		ADD(volume->sent_segments, 1);
	} else {
		ADD(volume->received_bytes, payload);
		ADD(volume->received_segments, 1);
	}
}

static __always_inline int count_datagram(struct __sk_buff *skb, int egress)
{
	struct bpf_sock *sk = skb->sk;
	struct weft_udp_socket *udp;
	struct datagram datagram;
	struct weft_socket *socket;

	if (!sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP)
		return PASS;
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	/* Between the tests a barrier: the compiler would join two pointers with OR, which the verifier refuses. */
	udp = bpf_sk_storage_get(&udp_sockets, sk, 0, 0);
	if (!socket) {
		barrier_var(udp);
		if (!udp)
			return PASS;
	}
	if (!read_datagram(skb, &datagram, egress))
		return PASS;

	if (socket && socket->role == WEFT_ROLE_CLIENT && socket->peer_port == datagram.remote_port &&
	    weft_address_equal(&socket->peer_address, &datagram.remote)) {
		add_datagram(&socket->udp, datagram.payload, egress);
		return PASS;
	}
	if (!udp)
		return PASS;
	bpf_spin_lock(&udp->lock);
	for (int i = 0; i < WEFT_UDP_PEERS; i++) {
		struct weft_udp_peer *peer = &udp->peers[i];

		if (peer->used && peer->backend_port == datagram.remote_port &&
		    weft_address_equal(&peer->backend_address, &datagram.remote)) {
			if (egress) {
				peer->volume.sent_bytes += datagram.payload;
				peer->volume.sent_segments += 1;
			} else {
				peer->volume.received_bytes += datagram.payload;
				peer->volume.received_segments += 1;
			}
			break;
		}
	}
	bpf_spin_unlock(&udp->lock);
	return PASS;
}

SEC("cgroup_skb/egress")
int datagram_out(struct __sk_buff *skb)
{
	return count_datagram(skb, 1);
}

SEC("cgroup_skb/ingress")
int datagram_in(struct __sk_buff *skb)
{
	return count_datagram(skb, 0);
}

/** What a machine tries on the network, and the addresses that stand in for the host's neighbours: all on the loopback device of a namespace that the test made. */
import { perl } from './perl.ts'

export const BANNER = 'reached'

export const PLACES = [
  { what: 'a service of the host on its loopback', address: '127.0.0.1', port: 8080 },
  { what: 'a service of the host on its loopback by IPv6', address: '::1', port: 8080 },
  { what: 'the metadata service of a cloud', address: '169.254.169.254', port: 80 },
  { what: 'a neighbour in the local network', address: '192.168.77.1', port: 443 },
  { what: 'a neighbour in the local network by IPv6', address: 'fd00:77::1', port: 443 },
  { what: 'a name server', address: '192.168.77.53', port: 53 },
  { what: 'the name server on the host’s loopback', address: '127.0.0.53', port: 53 },
  { what: 'an address of the wide world', address: '203.0.113.7', port: 443 },
] as const

interface NetworkAttempt {
  readonly name: string
  /** Ends with 0 when it succeeded, with 1 when it was refused. */
  readonly script: string
  readonly hostMayRefuse?: boolean
}

const SOCKETS = 'use Socket qw(:all); alarm(5); $SIG{ALRM}=sub { lost("no answer") };'

function reach(address: string, port: number, type: 'SOCK_STREAM' | 'SOCK_DGRAM'): string {
  const [family, pack] = address.includes(':') ? ['PF_INET6', 'pack_sockaddr_in6'] : ['PF_INET', 'pack_sockaddr_in']
  return perl(`${SOCKETS} my $a=${pack}(${port},inet_pton(${family},"${address}")); socket(S,${family},${type},0)||lost("socket");
    connect(S,$a)||lost("connect"); syswrite(S,"x")||lost("write"); my $n=sysread(S,my $b,99); $b eq "${BANNER}" ? got($b) : lost("read")`)
}

export const NETWORK_ATTEMPTS: readonly NetworkAttempt[] = [
  ...PLACES.flatMap(({ what, address, port }) => [
    { name: `${what} is not reached (${address})`, script: reach(address, port, 'SOCK_STREAM') },
    { name: `${what} gets no datagram (${address})`, script: reach(address, port, 'SOCK_DGRAM') },
  ]),
  {
    name: 'an abstract socket of the host is not reached',
    script: perl(`${SOCKETS} socket(S,PF_UNIX,SOCK_STREAM,0); connect(S,pack("S a*",AF_UNIX,"\\0autovibe-escape"))||lost("connect"); got("connected")`),
  },
  { name: 'raw packets are not made', script: perl('socket(S,PF_INET,SOCK_RAW,1)||lost("socket"); got("a raw socket")') },
  { name: 'frames are not read from the wire', script: perl('socket(S,17,SOCK_RAW,0x300)||lost("socket"); got("a packet socket")') },
  { name: 'an address is not given to the loopback device', script: 'ip addr add 192.0.2.99/32 dev lo || exit 1' },
  { name: 'the addresses of the host are not seen', script: 'grep -h 169.254.169.254 /proc/net/fib_trie /proc/net/tcp || exit 1' },
  { name: 'the connections of the host are not seen', script: 'grep -h ":1F90 " /proc/net/tcp /proc/net/tcp6 || exit 1' },
  { name: 'the sockets of the host are not seen', script: 'grep -h autovibe-escape /proc/net/unix || exit 1' },
  {
    name: 'the host’s own end of the socket family of virtual machines is not reached',
    hostMayRefuse: true,
    // VMADDR_CID_LOCAL: a socket that listens and one that connects, in one process outside; a machine that gets so far could as well ask for the host (CID 2).
    script:
      perl(`${SOCKETS} my $a=pack("SSLLx4",40,0,9999,1); socket(L,40,SOCK_STREAM,0)||lost("socket"); bind(L,$a)||lost("bind"); listen(L,1)||lost("listen");
      socket(S,40,SOCK_STREAM,0); connect(S,$a)||lost("connect"); got("connected")`),
  },
]

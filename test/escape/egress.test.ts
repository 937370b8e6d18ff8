/** What a hostile agent tries on the CONNECT proxy. The proxy is not in this room yet; each case is listed so that none is forgotten when it comes. */
import { test } from 'node:test'

const CASES = [
  'a name on the list that resolves to an address of the host is not reached',
  'a name that resolves to a public address first and to a private one at the connection (DNS rebinding) is not reached',
  'a name with both a public and a private address is not reached',
  'an alias (CNAME) of a listed name to a private name is not reached',
  'a redirect of a listed host to the metadata service leads nowhere',
  'the metadata address 169.254.169.254 is not reached, listed or not',
  'a private address as an IPv6-mapped one (::ffff:10.0.0.1, ::ffff:a00:1) is not reached',
  'a private address through NAT64 and 6to4 (64:ff9b::a00:1, 2002:a00:1::) is not reached',
  'an address in decimal, octal, hexadecimal or short form (2130706433, 0177.1, 0x7f.1, 127.1) is not reached',
  '0.0.0.0, [::], localhost and names that end in a dot are not reached',
  'an address with a zone (fe80::1%eth0) is not reached',
  'a listed name on a port that is not listed is not reached',
  'a name that only ends like a listed one (evil-example.com, example.com.evil) is not reached',
  'a name in other letters that look or fold alike (K, ſ, ｅ) is not taken for a listed one',
  'user names, line breaks and blanks in the target of CONNECT are refused',
  'a tunnel is cut off when the machine is destroyed',
  'the token of another machine opens no tunnel',
  'every attempt is recorded, with the bytes that went through',
]

for (const name of CASES) test(name, { todo: 'needs the CONNECT proxy (packages/hub/egress)' })

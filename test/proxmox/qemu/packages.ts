/** What the test VM's system is made of: Debian's own packages, taken apart rather than installed. */
export const PACKAGES: readonly string[] = [
  // A shell, an init and the small tools; static, so that it serves the first moments as well.
  'busybox-static',
  // Its own shell prefers its own tools to others of the same name.
  'dash',
  'qemu-guest-agent',
  // What the conformance suite looks at a tree with.
  ...['coreutils', 'findutils'],
  // The guest program's unshare, setpriv and mount.
  ...['util-linux', 'mount'],
  // What these and Node are linked with.
  ...['libc6', 'libgcc-s1', 'libstdc++6', 'libglib2.0-0', 'libffi8', 'libpcre2-8-0', 'libselinux1', 'libnuma1', 'libudev1', 'liburing2'],
  ...['libblkid1', 'libmount1', 'libsmartcols1', 'libuuid1', 'libcap-ng0', 'libtinfo6', 'libcrypt1', 'zlib1g'],
  ...['libacl1', 'libattr1', 'libgmp10'],
]

/** Depends on the newest cloud kernel by its full name. */
export const KERNEL_PACKAGE = 'linux-image-cloud-amd64'

/** In the order in which they are loaded, each after what it needs. */
export const MODULES: readonly string[] = [
  ...['virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci'],
  ...['virtio_blk', 'failover', 'net_failover', 'virtio_net', 'virtio_console', 'virtio-rng', 'button', 'evdev'],
]

/** The few files that make an init system of the test VM's packages. What cloud-init brings to a real machine comes by the kernel's command line: a name and an address. */
import { MODULES } from './packages.ts'

/** The first process in the initramfs: what it takes to see the disk. */
export const EARLY_INIT = `#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t devtmpfs devtmpfs /dev
for module in ${MODULES.join(' ')}; do $bb insmod /modules/$module.ko; done
n=0
while [ ! -e /dev/vda ] && [ $n -lt 500 ]; do $bb usleep 10000; n=$((n + 1)); done
$bb mount -t ext4 /dev/vda /root || exec $bb sh
exec $bb switch_root /root /sbin/init
`

const RC = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
for word in $(cat /proc/cmdline); do
  case $word in
    vm.hostname=*) hostname "\${word#*=}" ;;
    vm.address=*) ip link set eth0 up && ip address add "\${word#*=}" dev eth0 ;;
  esac
done
[ ! -e /dev/vdb ] || mount -t ext4 -o ro /dev/vdb /opt/autovibe
`

/** The only port of the only serial controller, whatever its number. */
const AGENT = `#!/bin/sh
exec /usr/sbin/qemu-ga --method=virtio-serial --path="$(echo /dev/vport*p1)" --statedir=/run
`

const GUEST = `#!/bin/sh
[ -x /opt/autovibe/guest ] || exec sleep 1000000
exec /opt/autovibe/guest
`

/** qemu-ga asks for it in the words of SysV. */
const SHUTDOWN = `#!/bin/sh
case $1 in -r) reboot ;; -H) halt ;; *) poweroff ;; esac
`

const INITTAB = `::sysinit:/etc/rc
::respawn:/etc/agent
::respawn:/etc/guest
::respawn:acpid -f -l /dev/null
::shutdown:umount -a -r
`

interface SystemFile {
  readonly text: string
  readonly isProgram?: boolean
}

export const SYSTEM_FILES: Readonly<Record<string, SystemFile>> = {
  'etc/inittab': { text: INITTAB },
  'etc/rc': { text: RC, isProgram: true },
  'etc/agent': { text: AGENT, isProgram: true },
  'etc/guest': { text: GUEST, isProgram: true },
  'etc/passwd': { text: 'root:x:0:0:root:/root:/bin/sh\nautovibe:x:1000:1000::/home/autovibe:/bin/sh\n' },
  'etc/group': { text: 'root:x:0:\nautovibe:x:1000:\n' },
  'etc/acpi/PWRF/00000080': { text: '#!/bin/sh\npoweroff\n', isProgram: true },
  'etc/machine-id': { text: '' },
  'sbin/shutdown': { text: SHUTDOWN, isProgram: true },
}

export const SYSTEM_FOLDERS: readonly string[] = [
  'dev',
  'proc',
  'sys',
  'run',
  'tmp',
  'root',
  'opt/autovibe',
  'var/lib/autovibe',
  'home/autovibe',
  'usr/local/bin',
  'etc/acpi',
]

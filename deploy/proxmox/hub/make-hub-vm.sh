#!/usr/bin/env bash
# On a node of the cluster, as root: makes the VM in which the Hub runs. It never touches a VM that is there already.
set -euo pipefail

usage() {
  cat <<'END'
make-hub-vm.sh --vmid 110 --storage STORAGE --ssh-key FILE --repository URL --hub-name hub.example.com \
  --address 192.0.2.20/24 --gateway 192.0.2.1 --nameserver 192.0.2.1 --machines-address 10.90.0.2/18

  --ref main              branch or tag of the repository
  --name autovibe-hub     of the VM
  --snippets local        a storage with the content "snippets": pvesm set local --content iso,backup,vztmpl,import,snippets
  --bridge vmbr0          for people and for the cluster's API
  --machines-bridge vmbr1 for machines
  --cores 4 --memory 8192 --disk 100   the last in GiB
END
}
die() { printf '%s\n' "$*" >&2; exit 1; }

declare -A given=([name]=autovibe-hub [ref]=main [snippets]=local [bridge]=vmbr0 [machines-bridge]=vmbr1 [cores]=4 [memory]=8192 [disk]=100)
while (($#)); do
  [[ $1 == --help ]] && { usage; exit 0; }
  [[ $1 =~ ^--(vmid|storage|ssh-key|repository|ref|hub-name|name|snippets|bridge|machines-bridge|address|gateway|nameserver|machines-address|cores|memory|disk)$ && $# -ge 2 ]] ||
    { usage >&2; exit 2; }
  given[${1#--}]=$2
  shift 2
done
for needed in vmid storage ssh-key repository hub-name address gateway nameserver machines-address; do
  [[ -n ${given[$needed]:-} ]] || { printf -- '--%s is missing.\n\n' "$needed" >&2; usage >&2; exit 2; }
done

# What goes into YAML between quotes, or into a line of qm, is checked to be no more than it says.
check() { [[ ${given[$1]} =~ ^($2)$ ]] || die "--$1 cannot be ${given[$1]}"; }
address='[0-9]{1,3}(\.[0-9]{1,3}){3}'
check vmid '[1-9][0-9]{2,8}'
check storage '[A-Za-z][A-Za-z0-9._-]*'
check snippets '[A-Za-z][A-Za-z0-9._-]*'
check name '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
check hub-name '[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?'
check repository '(https|ssh|git)://[A-Za-z0-9@:/._~-]+'
check ref '[A-Za-z0-9][A-Za-z0-9/._-]*'
check bridge '[A-Za-z][A-Za-z0-9._-]*'
check machines-bridge '[A-Za-z][A-Za-z0-9._-]*'
check address "$address/[0-9]{1,2}"
check machines-address "$address/[0-9]{1,2}"
check gateway "$address"
check nameserver "$address"
for number in cores memory disk; do check "$number" '[1-9][0-9]*'; done
key=$(cat "${given[ssh-key]}")
[[ $key =~ ^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521))\ [A-Za-z0-9+/=]+(\ [A-Za-z0-9@._-]+)?$ ]] || die "${given[ssh-key]} is not one public key."

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
filled() {
  sed -e "s|@NAME@|${given[name]}|" -e "s|@SSH_KEY@|$key|" -e "s|@REF@|${given[ref]}|" -e "s|@REPOSITORY@|${given[repository]}|" \
    -e "s|@HUB_NAME@|${given[hub-name]}|" -e "s|@HUB_ADDRESS@|${given[address]%/*}|" "$here/user-data.yaml"
}
if [[ ${AUTOVIBE_ONLY_FILES:-} == 1 ]]; then filled; exit 0; fi

[[ $(id -u) == 0 ]] || die 'This is for root on a node.'
command -v qm >/dev/null || die 'There is no qm here: this is for a node of Proxmox VE.'
vmid=${given[vmid]}
pvesh get /cluster/nextid --vmid "$vmid" >/dev/null || die "The number $vmid is taken."
snippet="${given[snippets]}:snippets/autovibe-hub-$vmid.yaml"
pvesm status --content snippets | awk 'NR > 1 { print $1 }' | grep -qxF "${given[snippets]}" || die "${given[snippets]} takes no snippets: see --help."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
image=debian-13-genericcloud-amd64.qcow2
from=https://cloud.debian.org/images/cloud/trixie/latest
curl --fail --location --silent --show-error --output "$work/$image" "$from/$image"
curl --fail --location --silent --show-error --output "$work/SHA512SUMS" "$from/SHA512SUMS"
(cd "$work" && grep -E " $image\$" SHA512SUMS | sha512sum --check --quiet -) || die 'The image is not what its sum says.'

path=$(pvesm path "$snippet")
mkdir -p "$(dirname "$path")"
filled >"$path"

qm create "$vmid" --name "${given[name]}" --ostype l26 --cpu host --cores "${given[cores]}" --memory "${given[memory]}" --agent 1 \
  --scsihw virtio-scsi-single --serial0 socket --vga serial0 --onboot 1 --protection 1 \
  --scsi0 "${given[storage]}:0,import-from=$work/$image,discard=on,iothread=1" --ide2 "${given[storage]}:cloudinit" --boot order=scsi0 \
  --net0 "virtio,bridge=${given[bridge]},firewall=1" --net1 "virtio,bridge=${given[machines-bridge]}" \
  --ipconfig0 "ip=${given[address]},gw=${given[gateway]}" --ipconfig1 "ip=${given[machines-address]}" --nameserver "${given[nameserver]}" \
  --cicustom "user=$snippet"
qm disk resize "$vmid" scsi0 "${given[disk]}G"
qm start "$vmid"
printf 'The VM %s starts; its first boot takes some minutes. See it at work: qm terminal %s, or ssh admin@%s cloud-init status --wait\n' "$vmid" "$vmid" "${given[address]%/*}"

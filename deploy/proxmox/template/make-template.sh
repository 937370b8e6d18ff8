#!/usr/bin/env bash
# On a node of the cluster, as root: makes the template of the machines out of Ubuntu's cloud image. It never touches a VM that is there already.
set -euo pipefail

usage() {
  cat <<'END'
make-template.sh --vmid 9000 --storage STORAGE --repository URL

  --ref main              branch or tag of the repository
  --pool autovibe         the pool of machines, where the Hub's token may clone
  --snippets local        a storage with the content "snippets": pvesm set local --content iso,backup,vztmpl,import,snippets
  --bridge vmbr0          with a way to the internet, for the making alone
  --ip dhcp               or its address there: --ip 192.0.2.30/24,gw=192.0.2.1 --nameserver 192.0.2.1
  --machines-bridge vmbr1 what the template is plugged into afterwards
  --disk 12               in GiB; a machine's own disk is added to that
END
}
die() { printf '%s\n' "$*" >&2; exit 1; }

declare -A given=([ref]=main [pool]=autovibe [snippets]=local [bridge]=vmbr0 [ip]=dhcp [machines-bridge]=vmbr1 [disk]=12)
while (($#)); do
  [[ $1 == --help ]] && { usage; exit 0; }
  [[ $1 =~ ^--(vmid|storage|repository|ref|pool|snippets|bridge|ip|nameserver|machines-bridge|disk)$ && $# -ge 2 ]] || { usage >&2; exit 2; }
  given[${1#--}]=$2
  shift 2
done
for needed in vmid storage repository; do
  [[ -n ${given[$needed]:-} ]] || { printf -- '--%s is missing.\n\n' "$needed" >&2; usage >&2; exit 2; }
done

# What goes into YAML between quotes, or into a line of qm, is checked to be no more than it says.
check() { [[ ${given[$1]} =~ ^($2)$ ]] || die "--$1 cannot be ${given[$1]}"; }
name='[A-Za-z][A-Za-z0-9._-]*'
address='[0-9]{1,3}(\.[0-9]{1,3}){3}'
check vmid '[1-9][0-9]{2,8}'
for each in storage pool snippets bridge machines-bridge; do check "$each" "$name"; done
check repository '(https|ssh|git)://[A-Za-z0-9@:/._~-]+'
check ref '[A-Za-z0-9][A-Za-z0-9/._-]*'
check ip "dhcp|$address/[0-9]{1,2},gw=$address"
[[ -z ${given[nameserver]:-} ]] || check nameserver "$address"
check disk '[1-9][0-9]*'

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fetch="[git, clone, --depth, \"1\", --branch, \"${given[ref]}\", \"${given[repository]}\", /opt/autovibe]"
filled() { sed -e "s|\"@FETCH@\"|$fetch|" "$here/user-data.yaml"; }
if [[ ${AUTOVIBE_ONLY_FILES:-} == 1 ]]; then filled; exit 0; fi

[[ $(id -u) == 0 ]] || die 'This is for root on a node.'
command -v qm >/dev/null || die 'There is no qm here: this is for a node of Proxmox VE.'
vmid=${given[vmid]}
pvesh get /cluster/nextid --vmid "$vmid" >/dev/null || die "The number $vmid is taken."
pvesm status --content snippets | awk 'NR > 1 { print $1 }' | grep -qxF "${given[snippets]}" || die "${given[snippets]} takes no snippets: see --help."
pvesh get /pools --poolid "${given[pool]}" >/dev/null 2>&1 || die "There is no pool ${given[pool]}: pveum pool add ${given[pool]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
image=noble-server-cloudimg-amd64.img
from=https://cloud-images.ubuntu.com/noble/current
curl --fail --location --silent --show-error --output "$work/$image" "$from/$image"
curl --fail --location --silent --show-error --output "$work/SHA256SUMS" "$from/SHA256SUMS"
(cd "$work" && grep -F "*$image" SHA256SUMS | sha256sum --check --quiet -) || die 'The image is not what its sum says.'

snippet="${given[snippets]}:snippets/autovibe-template-$vmid.yaml"
path=$(pvesm path "$snippet")
mkdir -p "$(dirname "$path")"
filled >"$path"

more=()
[[ -z ${given[nameserver]:-} ]] || more+=(--nameserver "${given[nameserver]}")
qm create "$vmid" --name autovibe-template --ostype l26 --cpu x86-64-v2-AES --cores 2 --memory 4096 --agent 1 \
  --scsihw virtio-scsi-single --serial0 socket --vga serial0 \
  --scsi0 "${given[storage]}:0,import-from=$work/$image,discard=on,iothread=1" --ide2 "${given[storage]}:cloudinit" --boot order=scsi0 \
  --net0 "virtio,bridge=${given[bridge]}" --ipconfig0 "ip=${given[ip]}" --cicustom "user=$snippet" "${more[@]}"
qm disk resize "$vmid" scsi0 "${given[disk]}G"
qm start "$vmid"

printf 'The VM %s makes itself ready, which takes some minutes. See it at work: qm terminal %s\n' "$vmid" "$vmid"
for ((left = 180; left > 0; left--)); do
  [[ $(qm status "$vmid") == 'status: stopped' ]] && break
  sleep 10
done
((left > 0)) || die "It is still on after half an hour. What went wrong it says itself (qm terminal $vmid, /var/log/cloud-init-output.log); to begin again: qm stop $vmid && qm destroy $vmid --purge"

# Its clones get network and name by Proxmox's own cloud-init, upgrade nothing at their first boot, and are never on the bridge of the making.
qm set "$vmid" --delete cicustom --ciupgrade 0 --ipconfig0 ip=dhcp --net0 "virtio,bridge=${given[machines-bridge]},firewall=1"
[[ ${#more[@]} -eq 0 ]] || qm set "$vmid" --delete nameserver
rm -f "$path"
qm template "$vmid"
pveum pool modify "${given[pool]}" --vms "$vmid"
printf 'The template %s is made. Tell the Hub: autovibe substrate set NAME --template %s@%s\n' "$vmid" "$vmid" "$(hostname)"

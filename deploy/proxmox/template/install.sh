#!/usr/bin/env bash
# In the VM that becomes the template, as root: Node, the guest with the agent, and nothing left that would tell its clones apart from nobody. user-data.yaml calls it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)

# Node 24 with npm, by the sum that nodejs.org gives for it; the very version, where whoever brought these files says which.
if ! [[ $(node --version 2>/dev/null) == v24.* ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  from=https://nodejs.org/dist/latest-v24.x
  if [[ -s $root/.node-version && $(<"$root/.node-version") =~ ^24\.[0-9]+\.[0-9]+$ ]]; then from=https://nodejs.org/dist/v${BASH_REMATCH[0]}; fi
  curl --fail --location --silent --show-error --output "$work/SHASUMS256.txt" "$from/SHASUMS256.txt"
  archive=$(awk '$2 ~ /^node-v24\.[0-9.]+-linux-x64\.tar\.xz$/ { print $2 }' "$work/SHASUMS256.txt")
  curl --fail --location --silent --show-error --output "$work/$archive" "$from/$archive"
  (cd "$work" && grep -F "  $archive" SHASUMS256.txt | sha256sum --check --quiet -)
  tar --extract --xz --file "$work/$archive" --directory /usr/local --strip-components 1 --no-same-owner
fi

cd "$root"
npm ci --ignore-scripts --omit=dev --omit=optional --no-audit --no-fund --workspace packages/guest --workspace packages/agent
npm cache clean --force
chmod -R go-w "$root"

# The agent's user: an ordinary one that nobody logs in as.
getent passwd autovibe >/dev/null || useradd --uid 1000 --user-group --create-home --shell /bin/bash autovibe
mkdir -p /var/lib/autovibe /machine /opt/autovibe/agents
chmod 711 /var/lib/autovibe

install -m 644 "$here/autovibe-rekey.service" "$here/autovibe-guest.service" /etc/systemd/system/
systemctl daemon-reload
# Enabled, not started: the template itself is nobody's machine.
systemctl enable autovibe-rekey.service autovibe-guest.service qemu-guest-agent.service

# A machine reaches its Hub alone: what looks for upgrades or for people would only wait.
systemctl disable apt-daily.timer apt-daily-upgrade.timer ssh.service ssh.socket 2>/dev/null || true
systemctl mask motd-news.timer ubuntu-advantage.service ua-timer.timer 2>/dev/null || true
apt-get purge --yes --quiet snapd unattended-upgrades 2>/dev/null || true
apt-get clean

# Proxmox's cloud-init drive asks for the default user on every clone: that is the agent's, without sudo.
cat >/etc/cloud/cloud.cfg.d/99-autovibe.cfg <<'END'
system_info:
  default_user:
    name: autovibe
    lock_passwd: true
    shell: /bin/bash
    groups: []
    sudo: null
ssh_pwauth: false
END

# Whoever is cloned from this is somebody new.
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/dbus/machine-id
: >/etc/machine-id
journalctl --quiet --rotate --vacuum-time=1s || true
cloud-init clean --logs
fstrim --all || true
# Says that all of the above is done.
touch /opt/autovibe/.template-made
sync

#!/usr/bin/env bash
# In the Hub's VM, as root: makes /srv/autovibe and starts what compose.yaml says. Again, it changes nothing that is there, and builds and starts anew: that is an upgrade.
#   install.sh NAME...      the names and addresses that people call the Hub by, the first one for its certificate
set -euo pipefail
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=${AUTOVIBE_PLACE:-/srv/autovibe}
owner=7420

die() { printf '%s\n' "$*" >&2; exit 1; }

names=("$@")
if ((${#names[@]} == 0)) && [[ -f $place/names ]]; then mapfile -t names <"$place/names"; fi
((${#names[@]})) || die "Which names the Hub has is not said. For example: $0 hub.example.com 192.0.2.20"
for name in "${names[@]}"; do
  [[ $name =~ ^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$ ]] || die "$name is no name of a host, and no IPv4 address."
done

# Each thing is made beside its place and put there whole, so that an end in the middle leaves nothing half.
put() { # FILE, content on standard input
  cat >"$1.new"
  mv "$1.new" "$1"
}

mkdir -p "$place"
chmod 755 "$place"
for folder in secrets nginx tls; do mkdir -p "$place/$folder"; done
# PostgreSQL's image gives its folder to its own user.
mkdir -p "$place/postgres"
if [[ ! -d $place/data ]]; then
  mkdir "$place/data.new"
  chown "$owner:$owner" "$place/data.new"
  mv "$place/data.new" "$place/data"
fi

[[ -s $place/secrets/postgres ]] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' | put "$place/secrets/postgres"
# The image reads it as its own user.
chown 999:999 "$place/secrets/postgres"
[[ -s $place/secrets/hub.env ]] ||
  printf 'DATABASE_URL=postgres://autovibe:%s@/autovibe?host=/run/postgresql\n' "$(cat "$place/secrets/postgres")" | put "$place/secrets/hub.env"

if [[ ! -s $place/tls/hub.crt ]]; then
  alternatives=()
  for name in "${names[@]}"; do
    if [[ $name =~ ^[0-9.]+$ ]]; then alternatives+=("IP:$name"); else alternatives+=("DNS:$name"); fi
  done
  # One's own, until it is replaced by one of an authority.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -subj "/CN=${names[0]}" \
    -addext "subjectAltName=$(IFS=,; printf '%s' "${alternatives[*]}")" -keyout "$place/tls/hub.key" -out "$place/tls/hub.crt.new" 2>/dev/null
  mv "$place/tls/hub.crt.new" "$place/tls/hub.crt"
fi

printf '%s\n' "${names[@]}" | put "$place/names"
sed "s/@HUB_NAMES@/${names[*]}/" "$here/nginx.conf" | put "$place/nginx/hub.conf"

[[ ${AUTOVIBE_ONLY_FILES:-} == 1 ]] && exit 0
# The command, for whoever is on this VM.
ln -sfn "$here/autovibe" /usr/local/bin/autovibe
cd "$here"
docker compose build --pull
docker compose up --detach --wait --remove-orphans
# nginx reads its configuration and its certificate only when it is told.
docker compose exec -T nginx nginx -s reload
printf 'The Hub answers at https://%s. Its first key is in %s/data/api-key.\n' "${names[0]}" "$place"

-- The gate at which the guests of machines that are VMs find their Hub: what must agree with the rows of machines lies beside them.

-- One row: the certificate that machines know by its fingerprint. With another one they are locked out until they are started anew.
create table gate (
  only_row    boolean primary key default true check (only_row),
  certificate text not null,
  key_sealed  bytea not null,
  made_at     timestamptz not null
);

-- Whom the gate lets in. Hashes suffice; the secrets themselves are nowhere in the Hub. Read whole by each start, written by one Hub alone.
create table gate_admissions (
  machine_id    text primary key,
  -- What the latest invitation says of the gate: `host:port`, and the certificate's fingerprint.
  address       text not null,
  fingerprint   text not null,
  -- SHA-256 of that invitation's secret.
  secret_sha256 text not null check (secret_sha256 ~ '^[0-9a-f]{64}$'),
  -- SHA-256 of what the guest that used the secret had made before; only the same may ask again.
  claim_sha256  text check (claim_sha256 ~ '^[0-9a-f]{64}$'),
  -- SHA-256 of what guests show to be let in, the newest last: a disk may be put back to an earlier one.
  keys          text[] not null default '{}' check (cardinality(keys) <= 16)
);

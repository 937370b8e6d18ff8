-- The clusters that machines can be made on, as a person has brought them. This host itself needs no row.

create table substrates (
  name          text primary key check (name <> 'local'),
  kind          text not null check (kind in ('proxmox')),
  -- Everything but the secret (contract/substrates.ts).
  config        jsonb not null check (jsonb_typeof(config) = 'object'),
  token_sealed  bytea not null,
  -- Counted with each change, for If-Match.
  version       bigint not null default 1,
  -- What a person wants from the next start of the Hub on; none: this host.
  in_use        boolean not null default false,
  -- What the Hub has taken at its last start. Machines live on nothing else.
  serves        boolean not null default false,
  updated_at    timestamptz not null
);
create unique index substrates_one_in_use on substrates (in_use) where in_use;
create unique index substrates_one_serves on substrates (serves) where serves;

-- What a project sets for itself: the models that its machines may use, prices of its own, and keys of its own at the providers.

-- Null: every model that has a price.
alter table projects add column allowed_models text[] check (cardinality(allowed_models) > 0);

create table project_prices (
  project_id             text not null references projects,
  provider               text not null references providers,
  model                  text not null check (model <> ''),
  context_window_tokens  bigint not null check (context_window_tokens > 0),
  -- Pico-US-dollars per token of each kind.
  input                  bigint not null check (input >= 0),
  cache_read             bigint not null check (cache_read >= 0),
  cache_write_5m         bigint not null check (cache_write_5m >= 0),
  cache_write_1h         bigint not null check (cache_write_1h >= 0),
  output                 bigint not null check (output >= 0),
  updated_at             timestamptz not null,
  primary key (project_id, provider, model)
);

create table project_provider_keys (
  project_id  text not null references projects,
  provider    text not null references providers,
  -- Where the key may be sent; it is sealed with it, as with the project and the provider (see security/secrets.ts).
  origin      text not null,
  key_sealed  bytea not null,
  updated_at  timestamptz not null,
  primary key (project_id, provider)
);

-- The gateway remembers these with its callers; they change seldom, so it forgets all of them.
create trigger callers_notify after update of allowed_models on projects for each row execute function notify_callers();
create trigger callers_notify after insert or update or delete on project_prices for each statement execute function notify_callers();
create trigger callers_notify after insert or update or delete on project_provider_keys for each statement execute function notify_callers();

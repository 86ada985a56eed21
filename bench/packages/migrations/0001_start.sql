-- Debian's package index. 0002_packages.csv, made by bench/catalogue, fills it.
create table packages (
  package text primary key,
  version text not null,
  section text not null,
  size integer not null,
  description text not null
);

create index packages_by_section on packages (section, package);
create index packages_by_size on packages (size, package);

-- The functions of the handbook that PostgreSQL lacks. They stand in the schema `tableside`, behind the author's own on
-- the search path. Their bodies are kept parsed, so that what depends on them is known.
--
-- Moments that are kept as texts get the texts back that SQLite gives: `2026-01-31`, `2026-01-31T08:09:10.123Z`.

create or replace function tableside.moment_text(moment timestamptz) returns text
    language sql stable parallel safe
    return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

create or replace function tableside.span(amount bigint, unit text) returns interval
    language sql immutable parallel safe
    return amount * ('1 ' || unit)::interval;

create or replace function tableside.seconds_between(start timestamptz, finish timestamptz) returns double precision
    language sql immutable parallel safe
    return extract(epoch from finish - start)::double precision;

create or replace function tableside.seconds_between(start text, finish text) returns double precision
    language sql stable parallel safe
    return extract(epoch from finish::timestamptz - start::timestamptz)::double precision;

create or replace function tableside.shift(moment timestamptz, amount bigint, unit text) returns timestamptz
    language sql stable parallel safe
    return moment + tableside.span(amount, unit);

create or replace function tableside.shift(day date, amount bigint, unit text) returns date
    language sql immutable parallel safe
    return (day + tableside.span(amount, unit))::date;

create or replace function tableside.shift(moment text, amount bigint, unit text) returns text
    language sql stable parallel safe
    return case
        when length(btrim(moment)) <= 10 and unit ~* '^(day|week|month|year)s?$'
            then to_char((moment::date + tableside.span(amount, unit))::date, 'YYYY-MM-DD')
        else tableside.moment_text(moment::timestamptz + tableside.span(amount, unit))
    end;

create or replace function tableside.date_trunc(unit text, moment text) returns text
    language sql stable parallel safe
    return tableside.moment_text(date_trunc(unit, moment::timestamptz));

create or replace function tableside.to_char(moment text, pattern text) returns text
    language sql stable parallel safe
    return to_char(moment::timestamptz, pattern);

//! What PostgreSQL's own functions do beside computing. Immutable ones do nothing, so only the others are listed here;
//! one that isn't listed may do anything.

/// What calling a function means for a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// The result follows from the arguments, as long as the connection's settings stay what they are.
    Pure,
    /// It may tell the time, or read `now` from a text.
    Clock,
    /// It gives something else at each call, but reads and writes no table.
    Impure,
    /// It may read any table, or more.
    Opaque,
}

/// Functions that PostgreSQL calls stable, because they depend on the time zone, the locale, types or names.
const PURE: &str = " array_in array_out array_to_json array_to_string concat concat_ws convert convert_from convert_to \
    current_database current_schema current_schemas current_user date date_cmp_timestamptz date_eq_timestamptz \
    date_ge_timestamptz date_gt_timestamptz date_le_timestamptz date_lt_timestamptz date_ne_timestamptz date_out \
    date_part date_trunc extract format format_type generate_series get_current_ts_config getdatabaseencoding in_range \
    interval_in interval_out interval_pl_timestamptz json_agg json_agg_strict json_array json_arrayagg json_build_array \
    json_build_object json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict \
    json_to_tsvector jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object jsonb_object_agg \
    jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict jsonb_to_tsvector length \
    make_timestamptz money numeric overlaps pg_client_encoding pg_collation_for pg_typeof phraseto_tsquery \
    plainto_tsquery quote_literal quote_nullable record_in record_out row_to_json session_user textanycat anytextcat time \
    timestamp timestamp_cmp_timestamptz timestamp_eq_timestamptz timestamp_ge_timestamptz timestamp_gt_timestamptz \
    timestamp_le_timestamptz timestamp_lt_timestamptz timestamp_ne_timestamptz timestamptz timestamptz_cmp_date \
    timestamptz_cmp_timestamp timestamptz_eq_date timestamptz_eq_timestamp timestamptz_ge_date \
    timestamptz_ge_timestamp timestamptz_gt_date timestamptz_gt_timestamp timestamptz_le_date timestamptz_le_timestamp \
    timestamptz_lt_date timestamptz_lt_timestamp timestamptz_mi_interval timestamptz_ne_date timestamptz_ne_timestamp \
    timestamptz_out timestamptz_pl_interval to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery \
    to_tsvector ts_headline ts_match_tq ts_match_tt version websearch_to_tsquery xml xml_is_well_formed ";

/// Functions that tell the time, and those that read a time from a text, which may say `now`.
const CLOCK: &str = " age clock_timestamp date_in json_populate_record json_populate_recordset json_to_record \
    json_to_recordset jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz jsonb_path_query_first_tz \
    jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_to_record jsonb_to_recordset now \
    statement_timestamp time_in timeofday timestamp_in timestamptz_in timetz timetz_in timezone transaction_timestamp ";

/// Functions that give something else at each call, and touch no table.
const IMPURE: &str = " array_sample array_shuffle bernoulli current_setting currval gen_random_uuid lastval nextval \
    pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared \
    pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_backend_pid pg_column_compression pg_column_size \
    pg_current_snapshot pg_current_xact_id pg_current_xact_id_if_assigned pg_notify pg_sleep pg_sleep_for \
    pg_sleep_until pg_trigger_depth pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock \
    pg_try_advisory_xact_lock_shared random random_normal setseed setval system txid_current \
    txid_current_if_assigned txid_current_snapshot uuidv4 uuidv7 ";

/// Trigger functions that only change or drop the row at hand, and those of foreign keys, whose actions are known from
/// the keys.
const TRIGGERS: &str = " suppress_redundant_updates_trigger tsvector_update_trigger tsvector_update_trigger_column \
    unique_key_recheck RI_FKey_cascade_del RI_FKey_cascade_upd RI_FKey_check_ins RI_FKey_check_upd RI_FKey_noaction_del \
    RI_FKey_noaction_upd RI_FKey_restrict_del RI_FKey_restrict_upd RI_FKey_setdefault_del RI_FKey_setdefault_upd \
    RI_FKey_setnull_del RI_FKey_setnull_upd ";

/// Extensions that come with PostgreSQL and whose functions read no table.
const EXTENSIONS: &str = " btree_gin btree_gist citext cube earthdistance fuzzystrmatch hstore intarray isn ltree \
    pg_trgm pgcrypto seg unaccent uuid-ossp ";

/// Types of dates and times, their arrays, ranges and multiranges: their texts may say `now`.
const TIMES: [u32; 22] = [
    1082, 1083, 1114, 1184, 1266, 1182, 1183, 1115, 1185, 1270, 3908, 3910, 3912, 3909, 3911, 3913, 4533, 4534, 4535,
    6152, 6153, 6155,
];

fn listed(list: &str, name: &str) -> bool {
    list.contains(&format!(" {name} "))
}

/// What a function of PostgreSQL itself does that isn't immutable.
pub(super) fn own(name: &str) -> Nature {
    match name {
        _ if listed(PURE, name) => Nature::Pure,
        _ if listed(CLOCK, name) => Nature::Clock,
        _ if listed(IMPURE, name) => Nature::Impure,
        _ => Nature::Opaque,
    }
}

/// What a function of an extension does, by its volatility.
pub(super) fn of_extension(extension: &str, volatility: &str) -> Nature {
    match volatility {
        _ if !listed(EXTENSIONS, extension) => Nature::Opaque,
        "i" => Nature::Pure,
        "s" => Nature::Clock,
        _ => Nature::Impure,
    }
}

/// Whether a trigger function of PostgreSQL itself touches nothing that isn't known without it.
pub(super) fn is_harmless_trigger(name: &str) -> bool {
    listed(TRIGGERS, name)
}

/// Whether a text of this type may say `now`.
pub(super) fn is_time(kind: u32) -> bool {
    TIMES.contains(&kind)
}

//! A client's session: its settings, views and remembered relations, and the DataFusion state they amount to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::{Mutex, RwLock};
use spark_datasource::SourceContext;
use spark_sql_parser::error::{ErrorKind, SparkError};

use crate::cache::CacheManager;
use crate::catalog::{CATALOG, DEFAULT_DATABASE, GLOBAL_TEMP, SharedCatalog, TempView};
use crate::errors::Result;
use crate::field::ResolvedPlan;
use crate::settings;
use crate::state::{Mode, build_state};

/// What the sessions of one driver share.
#[derive(Debug)]
pub struct SharedState {
    pub runtime: Arc<RuntimeEnv>,
    pub catalog: RwLock<SharedCatalog>,
    /// Settings of the application, the base of every session's.
    pub conf: RwLock<BTreeMap<String, String>>,
    /// What `cache` and its like keep.
    pub cache: CacheManager,
    default_parallelism: AtomicUsize,
}

impl SharedState {
    #[must_use]
    pub fn new(runtime: Arc<RuntimeEnv>, conf: BTreeMap<String, String>) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            catalog: RwLock::new(SharedCatalog::new()),
            conf: RwLock::new(conf),
            cache: CacheManager::default(),
            default_parallelism: AtomicUsize::new(2),
        })
    }

    /// `spark.default.parallelism`, or the number of cores the engine has.
    #[must_use]
    pub fn default_parallelism(&self) -> usize {
        self.conf
            .read()
            .get("spark.default.parallelism")
            .and_then(|v| v.parse().ok())
            .unwrap_or_else(|| self.default_parallelism.load(Ordering::Relaxed))
            .max(1)
    }

    /// The engine says how many cores it has.
    pub fn set_default_parallelism(&self, cores: usize) {
        self.default_parallelism.store(cores.max(1), Ordering::Relaxed);
    }
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    pub id: String,
    pub user: String,
    pub shared: Arc<SharedState>,
    conf: RwLock<BTreeMap<String, String>>,
    views: RwLock<BTreeMap<String, TempView>>,
    relations: RwLock<HashMap<String, ResolvedPlan>>,
    database: RwLock<String>,
    states: Mutex<Vec<(Mode, SessionState)>>,
}

impl Session {
    #[must_use]
    pub fn new(shared: Arc<SharedState>, id: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            user: user.into(),
            shared,
            conf: RwLock::default(),
            views: RwLock::default(),
            relations: RwLock::default(),
            database: RwLock::new(DEFAULT_DATABASE.to_owned()),
            states: Mutex::default(),
        }
    }

    /// A second session that starts with this one's settings, views and database.
    #[must_use]
    pub fn clone_as(&self, id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            user: self.user.clone(),
            shared: Arc::clone(&self.shared),
            conf: RwLock::new(self.conf.read().clone()),
            views: RwLock::new(self.views.read().clone()),
            relations: RwLock::new(self.relations.read().clone()),
            database: RwLock::new(self.database.read().clone()),
            states: Mutex::default(),
        }
    }

    // Settings.

    /// The value of a setting: the session's, the application's, or Spark's default.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        if let Some(value) = self.conf.read().get(key) {
            return Some(value.clone());
        }
        if let Some(value) = self.shared.conf.read().get(key) {
            return Some(value.clone());
        }
        if key == "spark.sql.session.timeZone" {
            return Some(system_time_zone());
        }
        settings::default_of(key).map(str::to_owned)
    }

    /// Sets a setting for this session.
    ///
    /// # Errors
    /// When the setting is static, belongs to the application, or the value is not valid.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        self.check_modifiable(key)?;
        check_value(key, value)?;
        self.conf.write().insert(key.to_owned(), value.to_owned());
        self.states.lock().clear();
        Ok(())
    }

    /// Sets without checks: the settings a program gives to its session builder.
    pub fn set_initial(&self, key: &str, value: &str) {
        self.conf.write().insert(key.to_owned(), value.to_owned());
        self.states.lock().clear();
    }

    /// Takes the session's own value away.
    ///
    /// # Errors
    /// As [`Session::set`].
    pub fn unset(&self, key: &str) -> Result<()> {
        self.check_modifiable(key)?;
        self.conf.write().remove(key);
        self.states.lock().clear();
        Ok(())
    }

    /// RESET without a key.
    pub fn unset_all(&self) {
        self.conf.write().clear();
        self.states.lock().clear();
    }

    /// All settings with a value, without defaults.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, String> {
        let mut all = self.shared.conf.read().clone();
        all.extend(self.conf.read().clone());
        all
    }

    /// Whether the setting may change in a running session.
    #[must_use]
    pub fn is_modifiable(&self, key: &str) -> bool {
        settings::default_of(key).is_some() && !settings::is_static(key)
            || key == "spark.sql.session.timeZone"
    }

    fn check_modifiable(&self, key: &str) -> Result<()> {
        if settings::is_static(key) || settings::is_core(key) {
            return Err(SparkError::new(
                ErrorKind::Analysis,
                "CANNOT_MODIFY_CONFIG",
                "46110",
                format!(
                    "Cannot modify the value of the Spark config: \"{key}\".\nSee also \
                     'https://spark.apache.org/docs/latest/sql-migration-guide.html#ddl-statements'."
                ),
            )
            .with("key", format!("\"{key}\""))
            .with("docroot", "https://spark.apache.org/docs/latest"));
        }
        Ok(())
    }

    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"))
    }

    /// A setting as a whole number; sizes like `64m` are understood.
    #[must_use]
    pub fn number(&self, key: &str, default: i64) -> i64 {
        self.get(key).and_then(|v| parse_size(&v)).unwrap_or(default)
    }

    #[must_use]
    pub fn ansi(&self) -> bool {
        self.flag("spark.sql.ansi.enabled")
    }

    #[must_use]
    pub fn time_zone(&self) -> String {
        self.get("spark.sql.session.timeZone").unwrap_or_else(|| "UTC".to_owned())
    }

    #[must_use]
    pub fn case_sensitive(&self) -> bool {
        self.flag("spark.sql.caseSensitive")
    }

    #[must_use]
    pub fn shuffle_partitions(&self) -> usize {
        usize::try_from(self.number("spark.sql.shuffle.partitions", 200)).unwrap_or(200).max(1)
    }

    // Names.

    #[must_use]
    pub fn current_catalog(&self) -> String {
        CATALOG.to_owned()
    }

    #[must_use]
    pub fn current_database(&self) -> String {
        self.database.read().clone()
    }

    pub fn set_current_database(&self, name: &str) {
        name.clone_into(&mut self.database.write());
    }

    #[must_use]
    pub fn temp_view(&self, name: &str) -> Option<TempView> {
        self.views.read().get(&name.to_lowercase()).cloned()
    }

    #[must_use]
    pub fn temp_views(&self) -> Vec<TempView> {
        self.views.read().values().cloned().collect()
    }

    #[must_use]
    pub fn global_view(&self, name: &str) -> Option<TempView> {
        self.shared.catalog.read().global_views.get(&name.to_lowercase()).cloned()
    }

    /// Registers a temporary view (`createOrReplaceTempView`).
    ///
    /// # Errors
    /// When it exists and `replace` is false.
    pub fn create_temp_view(
        &self,
        name: &str,
        plan: ResolvedPlan,
        text: Option<String>,
        replace: bool,
        global: bool,
    ) -> Result<()> {
        static GENERATIONS: AtomicU64 = AtomicU64::new(1);
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        let view = TempView { name: name.to_owned(), plan, text, generation };
        let key = name.to_lowercase();
        if replace {
            let old = if global { vec![GLOBAL_TEMP, name] } else { vec![name] };
            let old: Vec<String> = old.into_iter().map(str::to_owned).collect();
            self.shared.cache.forget_name(self, &old);
        }
        if global {
            let mut catalog = self.shared.catalog.write();
            if !replace && catalog.global_views.contains_key(&key) {
                return Err(crate::errors::temp_view_exists(&[
                    crate::catalog::GLOBAL_TEMP.to_owned(),
                    name.to_owned(),
                ]));
            }
            catalog.global_views.insert(key, view);
        } else {
            let mut views = self.views.write();
            if !replace && views.contains_key(&key) {
                return Err(crate::errors::temp_view_exists(&[name.to_owned()]));
            }
            views.insert(key, view);
        }
        Ok(())
    }

    /// Removes a temporary view; says whether there was one.
    pub fn drop_temp_view(&self, name: &str) -> bool {
        if self.views.read().contains_key(&name.to_lowercase()) {
            self.shared.cache.forget_name(self, &[name.to_owned()]);
        }
        self.views.write().remove(&name.to_lowercase()).is_some()
    }

    /// Removes a global temporary view; says whether there was one.
    pub fn drop_global_view(&self, name: &str) -> bool {
        self.shared.cache.forget_name(self, &[GLOBAL_TEMP.to_owned(), name.to_owned()]);
        self.shared.catalog.write().global_views.remove(&name.to_lowercase()).is_some()
    }

    // Relations kept for the client.

    pub fn remember(&self, id: &str, plan: ResolvedPlan) {
        self.relations.write().insert(id.to_owned(), plan);
    }

    #[must_use]
    pub fn remembered(&self, id: &str) -> Option<ResolvedPlan> {
        self.relations.read().get(id).cloned()
    }

    pub fn forget(&self, id: &str) {
        self.relations.write().remove(id);
    }

    // DataFusion.

    /// The DataFusion state for one way of execution, built once per change of settings.
    #[must_use]
    pub fn state(&self, mode: Mode) -> SessionState {
        let mut states = self.states.lock();
        if let Some((_, state)) = states.iter().find(|(m, _)| *m == mode) {
            return state.clone();
        }
        let state = build_state(self, mode);
        states.push((mode, state.clone()));
        state
    }

    /// What the data sources need to know of this session.
    #[must_use]
    pub fn source_context(&self) -> SourceContext {
        crate::sources::context(self)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.cache.forget_session(&self.id);
    }
}

fn check_value(key: &str, value: &str) -> Result<()> {
    let boolean = settings::default_of(key).is_some_and(|d| d == "true" || d == "false");
    let valid = if boolean {
        value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
    } else if key == "spark.sql.session.timeZone" {
        if !is_time_zone(value) {
            return Err(SparkError::new(
                ErrorKind::IllegalArgument,
                "INVALID_CONF_VALUE.TIME_ZONE",
                "22022",
                format!(
                    "The value '{value}' in the config \"{key}\" is invalid. Cannot resolve the given timezone."
                ),
            )
            .with("confName", key)
            .with("confValue", value));
        }
        true
    } else if key == "spark.sql.shuffle.partitions" {
        value.trim().parse::<i64>().is_ok_and(|n| n > 0)
    } else if settings::default_of(key).is_some_and(|d| d.parse::<i64>().is_ok()) {
        parse_size(value).is_some()
    } else {
        true
    };
    if valid {
        return Ok(());
    }
    let kind = if boolean { "boolean" } else { "int" };
    Err(SparkError::new(
        ErrorKind::IllegalArgument,
        "INVALID_CONF_VALUE.TYPE_MISMATCH",
        "22022",
        format!(
            "The value '{value}' in the config \"{key}\" is invalid. It should be of type {kind}."
        ),
    )
    .with("confName", key)
    .with("confValue", value)
    .with("confType", kind))
}

fn is_time_zone(name: &str) -> bool {
    name.parse::<chrono_tz::Tz>().is_ok()
        || ["Z", "UTC", "GMT", "UT"].contains(&name)
        || regex::Regex::new(r"^(UTC|GMT|UT)?[+-]\d{1,2}(:?\d{2}(:?\d{2})?)?$")
            .is_ok_and(|r| r.is_match(name))
}

/// `64m`, `1g`, `10485760b`, `-1`.
pub(crate) fn parse_size(text: &str) -> Option<i64> {
    let text = text.trim().to_lowercase();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: i64 = match &text[digits.len()..] {
        "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

fn system_time_zone() -> String {
    if let Ok(zone) = std::env::var("TZ")
        && zone.parse::<chrono_tz::Tz>().is_ok()
    {
        return zone;
    }
    if let Ok(target) = std::fs::read_link("/etc/localtime")
        && let Some((_, zone)) = target.to_string_lossy().split_once("zoneinfo/")
        && zone.parse::<chrono_tz::Tz>().is_ok()
    {
        return if zone == "UTC" { "Etc/UTC".to_owned() } else { zone.to_owned() };
    }
    "Etc/UTC".to_owned()
}

//! Sessions of clients: keyed by user and session id, with their operations, artifacts and errors.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use spark_connect_proto as sc;
use spark_plan::{Session, SharedState};
use spark_sql_parser::ParserOptions;
use spark_sql_parser::error::{ErrorKind, SparkError};
use tonic::Status;

use crate::convert::Lookup;
use crate::errors::{ErrorLog, invalid_handle};
use crate::operation::Operation;

/// Closed sessions remembered, so that a late call does not revive one.
const REMEMBERED_SESSIONS: usize = 10_000;
/// Ended operations remembered per session, for `GetStatus` and errors on re-use of an id.
const REMEMBERED_OPERATIONS: usize = 1_000;
/// Bytes of artifacts a session may hold: uploads are kept in memory.
const ARTIFACT_BYTES: usize = 2 << 30;

/// One client's session.
#[derive(Debug)]
pub struct ConnectSession {
    pub id: String,
    pub user: String,
    /// Changes when the server restarts; the client compares it on every response.
    pub server_id: String,
    pub plan: Session,
    pub errors: ErrorLog,
    operations: Mutex<Operations>,
    artifacts: RwLock<Artifacts>,
}

#[derive(Debug, Default)]
struct Operations {
    live: HashMap<String, Arc<Operation>>,
    ended: VecDeque<(String, crate::operation::OperationState)>,
}

#[derive(Debug, Default)]
struct Artifacts {
    by_name: HashMap<String, Vec<u8>>,
    bytes: usize,
}

impl ConnectSession {
    fn new(user: &str, id: &str, plan: Session) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            user: user.to_owned(),
            server_id: uuid::Uuid::new_v4().to_string(),
            plan,
            errors: ErrorLog::default(),
            operations: Mutex::default(),
            artifacts: RwLock::default(),
        })
    }

    /// Adds a new operation; an id may be used once.
    pub fn add_operation(&self, operation: Arc<Operation>) -> Result<(), Status> {
        let mut operations = self.operations.lock();
        let known = operations.live.contains_key(&operation.id)
            || operations.ended.iter().any(|(id, _)| *id == operation.id);
        if known {
            return Err(invalid_handle(
                "OPERATION_ALREADY_EXISTS",
                &operation.id,
                "Operation already exists.",
            ));
        }
        operations.live.insert(operation.id.clone(), operation);
        Ok(())
    }

    /// The operation, while the client has not released it.
    pub fn operation(&self, id: &str) -> Result<Arc<Operation>, Status> {
        self.operations
            .lock()
            .live
            .get(id)
            .cloned()
            .ok_or_else(|| invalid_handle("OPERATION_NOT_FOUND", id, "Operation not found."))
    }

    pub fn operations(&self) -> Vec<Arc<Operation>> {
        let mut all: Vec<_> = self.operations.lock().live.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The state of an operation, also of one released before.
    pub fn operation_state(&self, id: &str) -> Option<crate::operation::OperationState> {
        let operations = self.operations.lock();
        match operations.live.get(id) {
            Some(operation) => Some(operation.state()),
            None => operations.ended.iter().find(|(known, _)| known == id).map(|(_, state)| *state),
        }
    }

    /// Drops an operation and what it still buffers; one that runs is stopped.
    pub fn release_operation(&self, id: &str) {
        let mut operations = self.operations.lock();
        let Some(operation) = operations.live.remove(id) else { return };
        operation.interrupt(cancelled(&operation.id));
        if operations.ended.len() == REMEMBERED_OPERATIONS {
            operations.ended.pop_front();
        }
        operations.ended.push_back((operation.id.clone(), operation.state()));
    }

    /// Stops the running operations that `chosen` accepts; gives their ids.
    pub fn interrupt(&self, chosen: impl Fn(&Operation) -> bool) -> Vec<String> {
        let mut ids = Vec::new();
        for operation in self.operations() {
            if operation.is_running() && chosen(&operation) {
                operation.interrupt(cancelled(&operation.id));
                ids.push(operation.id.clone());
            }
        }
        ids
    }

    /// Keeps an uploaded artifact.
    ///
    /// # Errors
    /// When the session's artifacts would need more than 2 GiB.
    pub fn add_artifact(&self, name: &str, data: Vec<u8>) -> Result<(), SparkError> {
        let mut artifacts = self.artifacts.write();
        let replaced = artifacts.by_name.get(name).map_or(0, Vec::len);
        let bytes = artifacts.bytes - replaced + data.len();
        if bytes > ARTIFACT_BYTES {
            return Err(SparkError::new(
                ErrorKind::IllegalArgument,
                "ARTIFACT_STORE_FULL",
                "54000",
                format!(
                    "The artifact {name} of {} bytes does not fit: a session's artifacts may need at most {ARTIFACT_BYTES} bytes.",
                    data.len()
                ),
            )
            .with("name", name));
        }
        artifacts.bytes = bytes;
        artifacts.by_name.insert(name.to_owned(), data);
        Ok(())
    }

    pub fn has_artifact(&self, name: &str) -> bool {
        self.artifacts.read().by_name.contains_key(name)
    }
}

impl Lookup for ConnectSession {
    fn cached_artifact(&self, hash: &str) -> Result<Vec<u8>, SparkError> {
        let name = format!("cache/{hash}");
        let artifacts = self.artifacts.read();
        let data = artifacts.by_name.get(&name).ok_or_else(|| {
            SparkError::new(
                ErrorKind::IllegalArgument,
                "INVALID_ARTIFACT",
                "56K00",
                format!("The cached local data {hash} was not uploaded in this session."),
            )
            .with("name", &name)
        })?;
        let actual: String =
            Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
        if actual != hash {
            return Err(SparkError::new(
                ErrorKind::IllegalArgument,
                "INVALID_ARTIFACT",
                "56K00",
                format!("The cached local data {hash} arrived with the hash {actual}."),
            )
            .with("name", name));
        }
        Ok(data.clone())
    }

    fn parser_options(&self) -> ParserOptions {
        parser_options(&self.plan)
    }
}

/// How SQL text is read under the session's settings.
#[must_use]
pub fn parser_options(session: &Session) -> ParserOptions {
    ParserOptions {
        double_quoted_identifiers: session.ansi()
            && session.flag("spark.sql.ansi.doubleQuotedIdentifiers"),
        exponent_literal_as_decimal: session
            .flag("spark.sql.legacy.exponentLiteralAsDecimal.enabled"),
        ..ParserOptions::default()
    }
}

fn cancelled(operation: &str) -> Status {
    crate::errors::status(
        &SparkError::new(
            ErrorKind::Execution,
            "OPERATION_CANCELED",
            "HY008",
            "Operation has been canceled.",
        )
        .with("operationId", operation),
        None,
    )
}

/// All sessions of the server.
#[derive(Debug)]
pub struct Sessions {
    shared: Arc<SharedState>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<(String, String), Arc<ConnectSession>>,
    closed: HashSet<(String, String)>,
    closed_order: VecDeque<(String, String)>,
}

impl Sessions {
    #[must_use]
    pub fn new(shared: Arc<SharedState>) -> Self {
        Self { shared, state: Mutex::default() }
    }

    /// The session of a request, made at first sight.
    ///
    /// # Errors
    /// `INVALID_HANDLE.*`: the id is no UUID, the session was released, or the client talked to another server before.
    pub fn get(
        &self,
        user: Option<&sc::UserContext>,
        id: &str,
        observed: Option<&str>,
    ) -> Result<Arc<ConnectSession>, Status> {
        if uuid::Uuid::parse_str(id).is_err() {
            return Err(invalid_handle(
                "FORMAT",
                id,
                "Handle must be an UUID string of the format '00112233-4455-6677-8899-aabbccddeeff'.",
            ));
        }
        let user = user.map_or("", |user| user.user_id.as_str());
        let key = (user.to_owned(), id.to_owned());
        let mut state = self.state.lock();
        if state.closed.contains(&key) {
            return Err(invalid_handle("SESSION_CLOSED", id, "Session was closed."));
        }
        let known = state.open.get(&key).cloned();
        match (known, observed.filter(|observed| !observed.is_empty())) {
            (Some(session), Some(observed)) if session.server_id != observed => {
                Err(session_changed(id))
            }
            (Some(session), _) => Ok(session),
            (None, Some(_)) => Err(session_changed(id)),
            (None, None) => {
                let plan = Session::new(Arc::clone(&self.shared), id, user);
                let session = ConnectSession::new(user, id, plan);
                state.open.insert(key, Arc::clone(&session));
                Ok(session)
            }
        }
    }

    /// A second session with the first one's settings and views.
    pub fn clone_session(
        &self,
        from: &ConnectSession,
        id: &str,
    ) -> Result<Arc<ConnectSession>, Status> {
        let key = (from.user.clone(), id.to_owned());
        let mut state = self.state.lock();
        if state.open.contains_key(&key) || state.closed.contains(&key) {
            return Err(invalid_handle("SESSION_ALREADY_EXISTS", id, "Session already exists."));
        }
        let session = ConnectSession::new(&from.user, id, from.plan.clone_as(id));
        let artifacts = from.artifacts.read();
        *session.artifacts.write() =
            Artifacts { by_name: artifacts.by_name.clone(), bytes: artifacts.bytes };
        state.open.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// Closes a session and stops what runs in it; gives its server-side id. Closing twice is fine.
    pub fn release(&self, user: Option<&sc::UserContext>, id: &str, reconnect: bool) -> String {
        let key = (user.map_or("", |user| user.user_id.as_str()).to_owned(), id.to_owned());
        let session = {
            let mut state = self.state.lock();
            if !reconnect && state.closed.insert(key.clone()) {
                state.closed_order.push_back(key.clone());
                if state.closed_order.len() > REMEMBERED_SESSIONS
                    && let Some(oldest) = state.closed_order.pop_front()
                {
                    state.closed.remove(&oldest);
                }
            }
            state.open.remove(&key)
        };
        let Some(session) = session else { return String::new() };
        session.interrupt(|_| true);
        session.server_id.clone()
    }

    /// Stops everything, at shutdown.
    pub fn interrupt_all(&self) {
        let open: Vec<_> = self.state.lock().open.values().cloned().collect();
        for session in open {
            session.interrupt(|_| true);
        }
    }
}

fn session_changed(id: &str) -> Status {
    invalid_handle(
        "SESSION_CHANGED",
        id,
        "The existing Spark server driver instance has restarted. Please reconnect.",
    )
}
